"""What the broker sees of the cloud: one look for everybody who waits, and "not seen" only after several looks (I5)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from educloud_lab.domain.errors import CloudError, EducloudError
from educloud_lab.ports.calls import CALLS, CallSeen
from educloud_lab.ports.clock import Clock
from educloud_lab.ports.cloud import Cloud, CloudView

HealthListener = Callable[[EducloudError | None], Awaitable[None]]


class Observer(Protocol):
    """What can be looked at: a cloud, or a part of it."""

    async def observe(self) -> CloudView:
        """Look at everything of it."""


@dataclass(slots=True)
class _Absence:
    """A thing that was not in the last looks."""

    looks: int
    since_s: float
    look_number: int


class Sight:
    """Shares looks at the cloud.

    Parameters
    ----------
    cloud, clock : the ports.
    period_s : least time between the beginnings of two looks.
    on_health : called when the cloud goes out of sight or comes back.
    """

    def __init__(self, cloud: Observer, clock: Clock, *, period_s: float, on_health: HealthListener) -> None:
        self._cloud = cloud
        self._clock = clock
        self._period_s = period_s
        self._on_health = on_health
        self._began_s = float("-inf")
        self._next: asyncio.Task[CloudView] | None = None
        self._calls: list[CallSeen] = []  # that the next look makes: all who wait for it hear of them
        self._started = False
        self._number = 0
        self._absent: dict[str, _Absence] = {}
        self.view: CloudView | None = None
        self.problem: EducloudError | None = None
        self.checked_at: datetime | None = None

    def age_s(self) -> float:
        """Return how long ago the last look began."""
        return self._clock.monotonic_s() - self._began_s

    async def look(self) -> CloudView:
        """Return a view that was asked for after this call, sharing the request with all who wait for one.

        Raises
        ------
        CloudError
            The look failed: nothing is known, nothing is absent.
        """
        while True:
            task = self._next
            if task is None or task.done():
                self._calls = []
                task = self._next = asyncio.ensure_future(self._observe(self._calls))
                self._started = False
                fresh = True
            else:
                fresh = not self._started
            calls, recorder = self._calls, CALLS.get()
            try:
                view = await asyncio.shield(task)
            finally:
                if fresh and recorder is not None and task.done():
                    for call in calls:
                        recorder(call)
            if fresh:
                return view

    async def _observe(self, calls: list[CallSeen]) -> CloudView:
        CALLS.set(calls.append)  # in this task's own context: not only whoever asked first hears of it
        pause_s = self._began_s + self._period_s - self._clock.monotonic_s()
        if pause_s > 0:
            await self._clock.sleep(pause_s)
        self._started = True
        self._began_s = self._clock.monotonic_s()
        try:
            view = await self._cloud.observe()
        except CloudError as error:
            first = self.problem is None
            self.problem = error
            if first:
                await self._on_health(error)
            raise
        self._number += 1
        # Looks must agree: what this one shows was not absent, though nobody asks for it just now.
        for thing in [thing for thing in self._absent if _shows(view, thing)]:
            del self._absent[thing]
        self.view = view
        self.checked_at = self._clock.now()
        if self.problem is not None:
            self.problem = None
            await self._on_health(None)
        return view

    def confirmed_absent(self, thing: str, *, looks: int, over_s: float) -> bool:
        """Count that a thing is not in the last view; True after so many different looks over so long."""
        now_s = self._clock.monotonic_s()
        absence = self._absent.get(thing)
        if absence is None:
            self._absent[thing] = _Absence(looks=1, since_s=now_s, look_number=self._number)
            return looks <= 1 and over_s <= 0
        if absence.look_number != self._number:
            absence.looks += 1
            absence.look_number = self._number
        return absence.looks >= looks and now_s - absence.since_s >= over_s

    def seen(self, thing: str) -> None:
        """Forget absences of a thing, because it was seen."""
        self._absent.pop(thing, None)

    def close(self) -> None:
        """Give up a look that is under way."""
        if self._next is not None:
            self._next.cancel()


def _shows(view: CloudView, thing: str) -> bool:
    return thing in view.volumes or thing in view.instances or thing in view.snapshots


class _Snapshots:
    """The snapshots of a cloud, as a view of their own."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def observe(self) -> CloudView:
        seen = await self._cloud.observe_snapshots()
        return CloudView(seen_at=datetime.now(UTC), instances={}, volumes={}, snapshots=seen)


def snapshot_sight(cloud: Cloud, clock: Clock, *, period_s: float) -> Sight:
    """Return a sight of the snapshots alone, shared by all who wait for one."""

    async def nobody_told(_error: EducloudError | None) -> None:
        return

    return Sight(_Snapshots(cloud), clock, period_s=period_s, on_health=nobody_told)
