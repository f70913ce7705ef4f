"""When the broker for scripts ends by itself, and when it does not."""

import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from educloud_lab.app import broker_app
from educloud_lab.app.broker_app import BrokerServer
from educloud_lab.client.headless import Place, read_run_file
from educloud_lab.server.base import LAST_ASKED
from educloud_lab.server.desk import SETTING as DESK
from educloud_lab.server.run import OPEN_SOCKETS
from educloud_lab.server.socket import SETTING as STATE_SOCKETS

LONG_AGO = datetime.now(UTC) - timedelta(days=1)


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path, tmp_path)


@pytest.fixture
def server(place):
    made = BrokerServer(where=place, idle_s=300.0)
    made.identity_provider = SimpleNamespace(token="t0k")
    desk = SimpleNamespace(ready=lambda: False)
    settings = {"started": LONG_AGO, DESK: desk, STATE_SOCKETS: [], OPEN_SOCKETS: 0}
    made.web_app = SimpleNamespace(settings=settings)
    made.extension_manager = SimpleNamespace(any_activity=lambda: False)
    return made


async def test_who_asks_during_the_farewell_keeps_it_and_others_find_it_again(server, place, monkeypatch):
    monkeypatch.setattr(broker_app, "FAREWELL_S", 0)
    answers = iter([True, False, True, True])  # nobody asks; somebody does; nobody; nobody during the farewell either
    seen = []

    async def is_idle(for_s):
        seen.append((for_s, bool(read_run_file(place))))
        return next(answers)

    ended = []
    monkeypatch.setattr(server, "_is_idle", is_idle)
    monkeypatch.setattr(server, "stop", lambda: ended.append(place.run_file.exists()))
    server.announce()
    await server.until_idle()
    assert seen == [(300.0, True), (0, False), (300.0, True), (0, False)]
    assert ended == [False]


async def test_what_keeps_it(server):
    settings = server.web_app.settings
    assert await server._is_idle(300.0)
    for name, value in {LAST_ASKED: datetime.now(UTC), OPEN_SOCKETS: 1, STATE_SOCKETS: ["a panel"]}.items():
        before = settings.get(name)
        settings[name] = value
        assert not await server._is_idle(300.0), name
        settings[name] = before


@pytest.mark.parametrize("in_flight", [True, False])
async def test_a_job_in_flight_keeps_it(server, in_flight):
    lease = SimpleNamespace(job=SimpleNamespace(in_flight=in_flight))

    async def broker():
        return SimpleNamespace(snapshot=snapshot)

    async def snapshot(person):
        return SimpleNamespace(leases=[lease])

    server.web_app.settings[DESK] = SimpleNamespace(ready=lambda: True, broker=broker, person="ada")
    assert await server._is_idle(300.0) is not in_flight


async def test_a_broker_that_cannot_say_what_it_does_ends_all_the_same(server):
    async def broker():
        raise OSError("the disk is gone")

    server.web_app.settings[DESK] = SimpleNamespace(ready=lambda: True, broker=broker, person="ada")
    assert await server._is_idle(300.0)


def test_its_file_is_private_and_only_its_own_is_taken_away(server, place):
    server.announce()
    assert place.run_file.stat().st_mode & 0o777 == 0o600
    place.run_file.write_text(json.dumps({"pid": 1}))
    server.remove_server_info_file()
    assert place.run_file.exists()
