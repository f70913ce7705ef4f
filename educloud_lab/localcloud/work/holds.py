"""Who may change the files of a disk: one at a time, and work that can wait gives way to work that cannot."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass


@dataclass(eq=False, slots=True)
class _Hold:
    ids: frozenset[str]
    gives_way: asyncio.Task[object] | None


class Holds:
    """Holds on disks by the ids of their volumes and snapshots. For one event loop."""

    def __init__(self) -> None:
        self._held: dict[str, _Hold] = {}
        self._freed = asyncio.Event()

    @contextlib.asynccontextmanager
    async def hold(self, ids: Iterable[str]) -> AsyncIterator[None]:
        """Hold all of these disks or wait until they are free; background work on any of them is cancelled first."""
        async with self._entered(frozenset(ids), None):
            yield

    @contextlib.asynccontextmanager
    async def hold_in_background(self, ids: Iterable[str]) -> AsyncIterator[None]:
        """Hold these disks until somebody else wants one: then the task that runs this is cancelled."""
        task = asyncio.current_task()
        assert task is not None  # an asynchronous context is entered by a task
        async with self._entered(frozenset(ids), task):
            yield

    @contextlib.asynccontextmanager
    async def _entered(self, ids: frozenset[str], gives_way: asyncio.Task[object] | None) -> AsyncIterator[None]:
        while others := {self._held[key] for key in ids if key in self._held}:
            if gives_way is None:
                for other in others:
                    if other.gives_way is not None:
                        # Once: another word must not cut short how it puts the disk in order.
                        giving, other.gives_way = other.gives_way, None
                        giving.cancel()
            freed = self._freed
            await freed.wait()
        mine = _Hold(ids, gives_way)
        self._held.update(dict.fromkeys(ids, mine))
        try:
            yield
        finally:
            for key in ids:
                del self._held[key]
            self._freed.set()
            self._freed = asyncio.Event()
