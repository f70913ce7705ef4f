"""Clocks: a virtual one moves only when told, and wakes whoever's time has come."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from educloud_lab.localcloud.clock import SystemClock, VirtualClock

START = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


async def turns():
    for _ in range(10):
        await asyncio.sleep(0)


async def test_nobody_wakes_before_the_clock_is_moved_so_far():
    clock, woken = VirtualClock(START), []

    async def sleep(delay_s):
        await clock.sleep(delay_s)
        woken.append(delay_s)

    tasks = [asyncio.create_task(sleep(delay_s)) for delay_s in (3.0, 1.0, 2.0, 0.0)]
    await turns()
    assert woken == [0.0]
    assert clock.next_wake_s() == 1.0
    clock.advance(0.999)
    await turns()
    assert woken == [0.0]
    clock.advance(1.5)
    await turns()
    assert woken == [0.0, 1.0, 2.0]
    clock.advance(3600)
    await asyncio.gather(*tasks)
    assert clock.now() == START + timedelta(seconds=3602.499)
    assert clock.next_wake_s() is None


async def test_a_wait_ends_with_the_event_or_with_the_time():
    clock, woken = VirtualClock(START), asyncio.Event()
    waiting = asyncio.create_task(clock.wait(woken, 5.0))
    await turns()
    clock.advance(4.9)
    await turns()
    assert not waiting.done()
    woken.set()
    assert await waiting is True
    woken.clear()
    waiting = asyncio.create_task(clock.wait(woken, 5.0))
    await turns()
    clock.advance(5.0)
    assert await waiting is False


async def test_whoever_was_cancelled_is_passed_over():
    clock = VirtualClock(START)
    gone, there = asyncio.create_task(clock.sleep(1)), asyncio.create_task(clock.sleep(2))
    await turns()
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    assert clock.next_wake_s() == 2.0
    clock.advance(2)
    await there


def test_time_does_not_go_back():
    with pytest.raises(ValueError, match="back"):
        VirtualClock().advance(-1)


async def test_the_systems_clock_ends_a_wait_at_the_event():
    clock, woken = SystemClock(), asyncio.Event()
    woken.set()
    assert await clock.wait(woken, 3600) is True
    woken.clear()
    assert await clock.wait(woken, 0) is False
    assert clock.now().utcoffset() == timedelta(0)
