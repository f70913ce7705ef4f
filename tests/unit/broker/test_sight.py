"""One look for all who wait, never an old one, and absence believed only after several looks."""

import asyncio

import pytest

from educloud_lab.adapters.memory.clock import FakeClock
from educloud_lab.adapters.memory.cloud import MemoryCloud
from educloud_lab.broker.sight import Sight
from educloud_lab.domain.errors import CloudUnreachableError


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def cloud(clock):
    return MemoryCloud(clock)


@pytest.fixture
def health():
    return []


@pytest.fixture
def sight(cloud, clock, health):
    async def on_health(error):
        health.append(error)

    return Sight(cloud, clock, period_s=0.3, on_health=on_health)


async def looked(clock, *looks):
    tasks = [asyncio.ensure_future(look) for look in looks]
    await clock.drive(lambda: all(task.done() for task in tasks))
    return [task.result() for task in tasks]


async def test_all_who_wait_share_one_look(sight, cloud, clock):
    views = await looked(clock, *(sight.look() for _ in range(10)))
    assert len({id(view) for view in views}) == 1
    assert cloud.calls["observe"] == 1


async def test_a_look_that_began_before_the_question_is_no_answer(sight, cloud, clock):
    started, go = asyncio.Event(), asyncio.Event()
    observe = cloud.observe

    async def slow():
        started.set()
        view = await observe()
        await go.wait()
        return view

    cloud_like = type("Slow", (), {"observe": staticmethod(slow)})
    sight._cloud = cloud_like
    first = asyncio.ensure_future(sight.look())
    await started.wait()
    second = asyncio.ensure_future(sight.look())
    await clock.turns()
    go.set()
    await clock.drive(lambda: first.done() and second.done())
    assert first.result() is not second.result()
    assert cloud.calls["observe"] == 2


async def test_looks_keep_their_distance(sight, cloud, clock):
    for _ in range(5):
        await looked(clock, sight.look())
    assert clock.monotonic_s() == pytest.approx(1.2)


async def test_a_failed_look_tells_everybody_and_the_way_back_too(sight, cloud, clock, health):
    cloud.faults.out_of_sight = True
    for _ in range(2):
        task = asyncio.ensure_future(sight.look())
        await clock.drive(task.done)
        assert isinstance(task.exception(), CloudUnreachableError)
    assert len(health) == 1
    cloud.faults.out_of_sight = False
    await looked(clock, sight.look())
    assert health[1:] == [None]
    assert sight.problem is None


async def test_absence_needs_several_looks_over_some_time(sight, clock):
    def absent():
        return sight.confirmed_absent("i-1", looks=3, over_s=30)

    await looked(clock, sight.look())
    assert not any(absent() for _ in range(10))  # the same look again says nothing new
    for _ in range(5):
        await looked(clock, sight.look())
        assert not absent()
    await clock.advance(30)
    await looked(clock, sight.look())
    assert absent()
    sight.seen("i-1")
    assert not absent()
