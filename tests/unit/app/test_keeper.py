"""A cloud that died comes back; one that was stopped stays stopped."""

import asyncio
import json
import os

import pytest

from educloud_lab.app import keeper as keeper_module
from educloud_lab.app.keeper import Keeper, is_dead
from educloud_lab.localcloud.errors import LocalCloudError
from educloud_lab.localcloud.processes import start_ticks
from educloud_lab.localcloud.settings import Folders


@pytest.fixture
def home(tmp_path):
    Folders(tmp_path).make()
    return tmp_path


def announce(home, *, alive):
    own = {"pid": os.getpid(), "start_ticks": start_ticks(os.getpid())}
    gone = own if alive else own | {"start_ticks": 1}
    Folders(home).announcement.write_text(json.dumps({"pids": {"api": gone, "gateway": own}}))


@pytest.fixture
def starts(home, monkeypatch):
    made = []

    def start(where):
        assert where == home
        made.append(where)
        announce(home, alive=True)

    monkeypatch.setattr(keeper_module.process, "start", start)
    return made


async def looks(count=20):
    for _ in range(count):
        await asyncio.to_thread(lambda: None)
        await asyncio.sleep(0)


def test_what_counts_as_dead(home):
    assert not is_dead(home), "nothing was announced"
    announce(home, alive=True)
    assert not is_dead(home)
    announce(home, alive=False)
    assert is_dead(home)
    Folders(home).announcement.write_text("{")
    assert not is_dead(home), "half written"


@pytest.mark.parametrize(("alive", "announced", "expected"), [(True, True, 0), (False, True, 1), (False, False, 0)])
async def test_who_is_started_again(home, starts, alive, announced, expected):
    if announced:
        announce(home, alive=alive)
    kept = Keeper(home, period_s=0, looks=3)
    kept.start()
    kept.start()
    async with asyncio.timeout(10):
        while len(starts) < expected:
            await looks(1)
    await looks()
    await kept.close()
    await kept.close()
    assert len(starts) == expected
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "educloud-keeper"]


async def test_a_short_absence_is_no_death(home, starts, monkeypatch):
    """As while `educloud cloud stop` works: dead for two looks, then no longer announced."""
    answers = iter([True, True])
    monkeypatch.setattr(keeper_module, "is_dead", lambda _home: next(answers, False))
    kept = Keeper(home, period_s=0, looks=3)
    kept.start()
    await looks()
    await kept.close()
    assert starts == []


async def test_a_failed_start_waits(home, monkeypatch):
    tries = []

    def refuse(_home):
        tries.append(1)
        raise LocalCloudError("No.")

    monkeypatch.setattr(keeper_module.process, "start", refuse)
    announce(home, alive=False)
    kept = Keeper(home, period_s=0, looks=1, retry_s=3600)
    kept.start()
    async with asyncio.timeout(10):
        while not tries:
            await looks(1)
    await looks()
    await kept.close()
    assert tries == [1]
