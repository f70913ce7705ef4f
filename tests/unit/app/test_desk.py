"""The desk: one broker however many ask, failures told and tried again, nothing left when it closes."""

import asyncio

import pytest

from educloud_lab.app.desk import BrokerDesk, DeskGrants
from educloud_lab.domain.errors import CloudUnreachableError, EducloudError


class Broker:
    closed = False

    async def close(self):
        self.closed = True

    async def grant(self, person, lease_id):
        return (person, lease_id)

    async def snapshot(self, person):
        return person


class Builder:
    """Builds when told to; raises what is in ``failures`` first."""

    def __init__(self, *failures):
        self.failures = list(failures)
        self.attempts = 0
        self.go = asyncio.Event()
        self.go.set()
        self.broker = Broker()

    async def __call__(self):
        self.attempts += 1
        await self.go.wait()
        if self.failures:
            raise self.failures.pop(0)
        return self.broker


UNREACHABLE = CloudUnreachableError("The cloud is off.", kept="All.", next_step="Switch it on.")


async def test_many_who_ask_at_once_get_one_broker():
    build = Builder()
    desk = BrokerDesk(build, person="ada")
    assert not desk.ready()
    assert set(await asyncio.gather(*(desk.broker() for _ in range(5)))) == {build.broker}
    assert (build.attempts, desk.ready(), desk.hello().problem) == (1, True, None)


async def test_whoever_gives_up_takes_nothing_from_the_others():
    build = Builder()
    build.go.clear()
    desk = BrokerDesk(build, person="ada")
    first, second = asyncio.create_task(desk.broker()), asyncio.create_task(desk.broker())
    await asyncio.sleep(0)
    first.cancel()
    build.go.set()
    assert await second is build.broker
    assert first.cancelled()
    assert build.attempts == 1


async def test_a_failure_is_told_for_a_while_then_tried_again():
    build = Builder(UNREACHABLE)
    desk = BrokerDesk(build, person="ada", retry_s=3600)
    for _ in range(3):
        with pytest.raises(CloudUnreachableError):
            await desk.broker()
    assert build.attempts == 1
    problem = desk.hello().problem
    assert (problem.code, problem.what, problem.next_step) == (
        "cloud-unreachable",
        "The cloud is off.",
        "Switch it on.",
    )
    desk._failed_at -= 3601
    assert await desk.broker() is build.broker
    assert desk.hello().problem is None


async def test_hello_begins_to_build_and_does_not_wait():
    build = Builder()
    build.go.clear()
    desk = BrokerDesk(build, person="ada")
    assert desk.hello().problem is None
    await asyncio.sleep(0)
    assert build.attempts == 1
    stand_in = desk.stand_in()
    assert (stand_in.version, stand_in.person, stand_in.cloud.reachable) == (0, "ada", False)
    assert stand_in.cloud.problem.code == "starting"
    await desk.close()


async def test_soon_does_not_wait_long(monkeypatch):
    monkeypatch.setattr("educloud_lab.app.desk.SOON_S", 0.01)
    build = Builder()
    build.go.clear()
    desk = BrokerDesk(build, person="ada")
    assert await desk.soon() is None
    build.go.set()
    assert await desk.broker() is build.broker
    assert await desk.soon() is build.broker
    assert build.attempts == 1


async def test_a_defect_is_told_without_the_inside(caplog):
    desk = BrokerDesk(Builder(RuntimeError("secret=hunter2")), person="ada")
    with pytest.raises(EducloudError) as caught:
        await desk.broker()
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in desk.hello().model_dump_json()
    assert "hunter2" in caplog.text, "the log has it"


async def test_closing():
    build = Builder()
    desk = BrokerDesk(build, person="ada")
    await desk.broker()
    await desk.close()
    await desk.close()
    assert build.broker.closed
    with pytest.raises(EducloudError):
        await desk.broker()
    assert build.attempts == 1


async def test_closing_while_it_is_being_built():
    build = Builder()
    build.go.clear()
    desk = BrokerDesk(build, person="ada")
    waiting = asyncio.create_task(desk.broker())
    await asyncio.sleep(0)
    await desk.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not desk.ready()


async def test_grants_come_from_a_broker_that_is_built_for_them():
    build = Builder()
    grants = DeskGrants(BrokerDesk(build, person="ada"))
    assert await grants.grant("ada", "l1") == ("ada", "l1")
    assert await grants.snapshot("ada") == "ada"
    assert build.attempts == 1
