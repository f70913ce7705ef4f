"""A queue of keys that knows nothing of what they mean: each key waits once, and is worked on by one worker at a time.

A key added while it is being worked on is queued again when that work is done. Keys may be added for later; the
earliest wish wins.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict

from educloud_lab.ports.clock import Clock


class WorkQueue:
    """Keys to work on, in the order of their coming.

    Parameters
    ----------
    clock : what delays are measured by.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ready: OrderedDict[str, None] = OrderedDict()
        self._again: set[str] = set()
        self._busy: set[str] = set()
        self._later: dict[str, tuple[float, asyncio.Task[None]]] = {}
        self._filled = asyncio.Event()

    def __len__(self) -> int:
        return len(self._ready)

    def is_busy(self, key: str) -> bool:
        """Say whether a key is being worked on."""
        return key in self._busy

    def add(self, key: str) -> None:
        """Queue a key now; it takes the place of a wish for later."""
        later = self._later.pop(key, None)
        if later is not None:
            later[1].cancel()
        if key in self._busy:
            self._again.add(key)
            return
        self._ready[key] = None
        self._filled.set()

    def add_after(self, key: str, delay_s: float) -> None:
        """Queue a key after a delay in seconds, unless it is wanted earlier already."""
        if delay_s <= 0:
            self.add(key)
            return
        if key in self._ready:
            return
        due = self._clock.monotonic_s() + delay_s
        earlier = self._later.get(key)
        if earlier is not None:
            if earlier[0] <= due:
                return
            earlier[1].cancel()
        self._later[key] = (due, asyncio.ensure_future(self._wait(key, delay_s)))

    async def _wait(self, key: str, delay_s: float) -> None:
        await self._clock.sleep(delay_s)
        del self._later[key]  # or add() would cancel the task that it runs in
        self.add(key)

    async def get(self) -> str:
        """Take the next key; the caller says :meth:`done` afterwards."""
        while not self._ready:
            self._filled.clear()
            await self._filled.wait()
        key, _ = self._ready.popitem(last=False)
        self._busy.add(key)
        return key

    def done(self, key: str) -> None:
        """Say that the work on a key is over."""
        self._busy.discard(key)
        if key in self._again:
            self._again.discard(key)
            self.add(key)

    def close(self) -> None:
        """Forget all wishes for later."""
        for _, task in self._later.values():
            task.cancel()
        self._later.clear()
