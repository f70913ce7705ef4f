"""The queue of keys, which knows nothing of what they mean."""

import asyncio

import pytest

from educloud_lab.adapters.memory.clock import FakeClock
from educloud_lab.broker.workqueue import WorkQueue


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def queue(clock):
    made = WorkQueue(clock)
    yield made
    made.close()


async def test_keys_come_in_order_and_once(queue):
    for key in "abab":
        queue.add(key)
    assert len(queue) == 2
    assert [await queue.get(), await queue.get()] == ["a", "b"]


async def test_a_key_that_is_worked_on_waits_for_the_end_of_that_work(queue):
    queue.add("a")
    assert await queue.get() == "a"
    assert queue.is_busy("a")
    queue.add("a")
    assert len(queue) == 0
    queue.done("a")
    assert await queue.get() == "a"
    queue.done("a")
    assert len(queue) == 0
    assert not queue.is_busy("a")


async def test_a_wish_for_later_comes_later_and_the_earliest_wins(queue, clock):
    queue.add_after("a", 10)
    queue.add_after("a", 5)
    queue.add_after("a", 20)
    await clock.advance(4)
    assert len(queue) == 0
    await clock.advance(1)
    assert await queue.get() == "a"
    queue.done("a")
    await clock.advance(60)
    assert len(queue) == 0


async def test_now_takes_the_place_of_later(queue, clock):
    queue.add_after("a", 5)
    queue.add("a")
    queue.add_after("a", 0)
    assert await queue.get() == "a"
    queue.done("a")
    await clock.advance(60)
    assert len(queue) == 0


async def test_a_getter_wakes_when_something_comes(queue, clock):
    getter = asyncio.ensure_future(queue.get())
    await clock.turns()
    assert not getter.done()
    queue.add("a")
    assert await getter == "a"


async def test_close_forgets_what_was_to_come(queue, clock):
    queue.add_after("a", 5)
    queue.close()
    await clock.advance(60)
    assert len(queue) == 0
