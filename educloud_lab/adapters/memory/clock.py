"""A clock that stands still until a test drives it: nobody sleeps, and an hour costs nothing."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

_TURNS = 25
"""Turns given to every other task before time moves: enough for a chain of awaits that end at once."""


class FakeClock:
    """Time moves only inside :meth:`drive` and :meth:`advance`, from one sleeper to the next.

    Parameters
    ----------
    start : first value of :meth:`now`.
    """

    def __init__(self, start: datetime = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)) -> None:
        self._start = start
        self._passed_s = 0.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._count = itertools.count()

    def now(self) -> datetime:
        """Return the fake time."""
        return self._start + timedelta(seconds=self._passed_s)

    def monotonic_s(self) -> float:
        """Return fake seconds since the clock was made."""
        return self._passed_s

    async def sleep(self, delay_s: float) -> None:
        """Wait until the test has driven time so far."""
        if delay_s <= 0:
            await asyncio.sleep(0)
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._passed_s + delay_s, next(self._count), future))
        await future

    async def turns(self, count: int = _TURNS) -> None:
        """Let every other task run without moving time."""
        for _ in range(count):
            await asyncio.sleep(0)

    async def drive(self, condition: Callable[[], bool], *, limit_s: float = 600.0) -> float:
        """Move time from sleeper to sleeper until a condition holds; return how many fake seconds it took.

        Raises
        ------
        TimeoutError
            It did not hold within ``limit_s`` fake seconds, or nobody sleeps and it never will.
        """
        began = self._passed_s
        while True:
            await self.turns()
            if condition():
                return self._passed_s - began
            if not self._wake_next(began + limit_s):
                await self.turns(200)
                if condition():
                    return self._passed_s - began
                if self._next_s() is None or (self._next_s() or 0) > began + limit_s:
                    msg = f"the condition did not hold within {limit_s} fake seconds"
                    raise TimeoutError(msg)

    async def advance(self, seconds: float) -> None:
        """Move time by so much, waking sleepers on the way."""
        end = self._passed_s + seconds
        await self.turns()
        while self._wake_next(end):
            await self.turns()
        self._passed_s = end
        await self.turns()

    def jump(self, seconds: float) -> None:
        """Move time at once, as for a computer that slept: sleepers wake late."""
        self._passed_s += seconds

    def _next_s(self) -> float | None:
        while self._sleepers and self._sleepers[0][2].done():
            heapq.heappop(self._sleepers)
        return self._sleepers[0][0] if self._sleepers else None

    def _wake_next(self, limit_s: float) -> bool:
        due = self._next_s()
        if due is None or due > limit_s:
            return False
        _, _, future = heapq.heappop(self._sleepers)
        self._passed_s = max(self._passed_s, due)
        future.set_result(None)
        return True
