"""Time as a port: the local cloud asks it what time it is, sleeps by it, and waits for wake-ups by it.

The system's clock is for people; a virtual one moves only when it is told to, so that a test sees a machine `pending`
for as long as it wants to, and a class's afternoon passes in a second.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """What the local cloud takes the time from. For use from one asyncio loop."""

    def now(self) -> datetime:
        """Return the time as aware UTC."""

    def monotonic_s(self) -> float:
        """Return seconds that never go back."""

    async def sleep(self, delay_s: float) -> None:
        """Wait so long; nought or less lets others run once."""

    async def wait(self, woken: asyncio.Event, limit_s: float) -> bool:
        """Wait until somebody sets the event, at most ``limit_s``; return whether it is set."""


class SystemClock:
    """The computer's own time."""

    def now(self) -> datetime:
        """Return the time as aware UTC."""
        return datetime.now(UTC)

    def monotonic_s(self) -> float:
        """Return seconds that never go back."""
        return time.monotonic()

    async def sleep(self, delay_s: float) -> None:
        """Wait so long."""
        await asyncio.sleep(delay_s)

    async def wait(self, woken: asyncio.Event, limit_s: float) -> bool:
        """Wait for the event, at most so long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                await woken.wait()
        return woken.is_set()


class VirtualClock:
    """Stands still until it is told to move on.

    Parameters
    ----------
    start : what :meth:`now` begins with; default the computer's time, so that times look right.
    """

    def __init__(self, start: datetime | None = None) -> None:
        self._start = start or datetime.now(UTC)
        self._passed_s = 0.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._count = itertools.count()

    def now(self) -> datetime:
        """Return the virtual time as aware UTC."""
        return self._start + timedelta(seconds=self._passed_s)

    def monotonic_s(self) -> float:
        """Return virtual seconds since the clock was made."""
        return self._passed_s

    def advance(self, seconds: float) -> None:
        """Move on, and wake everybody whose time has come, in that order.

        Who is woken runs at the loop's next turns and sees the later time already, as after a computer's sleep. To
        be called in the loop's own thread.
        """
        if seconds < 0:
            raise ValueError("time does not go back")
        self._passed_s += seconds
        while self._sleepers and (self._sleepers[0][0] <= self._passed_s or self._sleepers[0][2].done()):
            _, _, future = heapq.heappop(self._sleepers)
            if not future.done():
                future.set_result(None)

    def next_wake_s(self) -> float | None:
        """Return in how many seconds somebody wakes; None when nobody sleeps."""
        while self._sleepers and self._sleepers[0][2].done():
            heapq.heappop(self._sleepers)
        return self._sleepers[0][0] - self._passed_s if self._sleepers else None

    async def sleep(self, delay_s: float) -> None:
        """Wait until the clock was moved so far."""
        if delay_s <= 0:
            await asyncio.sleep(0)
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._passed_s + delay_s, next(self._count), future))
        await future

    async def wait(self, woken: asyncio.Event, limit_s: float) -> bool:
        """Wait for the event, at most until the clock was moved so far."""
        waits = {asyncio.ensure_future(woken.wait()), asyncio.ensure_future(self.sleep(limit_s))}
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waits:
                task.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
        return woken.is_set()
