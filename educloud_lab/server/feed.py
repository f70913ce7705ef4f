"""One watch of the broker for all sockets of a server, started with the first and ended with the last.

Ten open sidebars cost the broker what one costs. Each subscriber holds only the newest snapshot, so that a reader
that stalls costs no memory, and each sees versions that only grow.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator
from functools import partial
from typing import TYPE_CHECKING

from educloud_lab.domain.errors import EducloudError
from educloud_lab.server.desk import Desk

if TYPE_CHECKING:
    from educloud_lab.broker.api import BrokerApi
    from educloud_lab.wire import models as wire

RETRY_S = 5.0
"""How long to wait before the broker is asked for again after it could not be had or its watch broke."""

log = logging.getLogger(__name__)


class Feed:
    """The newest snapshot of one person, and who waits for a newer one.

    Parameters
    ----------
    desk : where the broker is.
    retry_s : wait after a failure.
    """

    def __init__(self, desk: Desk, *, retry_s: float = RETRY_S) -> None:
        self._desk = desk
        self._retry_s = retry_s
        self._changed = asyncio.Condition()
        self._newest: wire.SnapshotMessage | None = None
        self._subscribers = 0
        self._task: asyncio.Task[None] | None = None
        self._epoch = 0
        self.closed = False

    @property
    def version(self) -> int:
        """The newest version seen; 0 before the first."""
        return self._newest.snapshot.version if self._newest else 0

    async def subscribe(self) -> AsyncGenerator[wire.SnapshotMessage, None]:
        """Yield the newest snapshot now and at every newer version, skipping those that nobody had time for.

        Ends when the feed is closed, and when the broker's watch broke after it had told something: the page
        then asks again, rather than showing what may no longer be so. A stand-in (version 0) is repeated only
        when what it says has changed.
        """
        self._subscribers += 1
        epoch = self._epoch
        if self._task is None and not self.closed:
            self._task = asyncio.create_task(self._watch(), name="educloud-feed")
        seen: wire.SnapshotMessage | None = None
        try:
            while True:
                async with self._changed:
                    await self._changed.wait_for(partial(self._news, epoch, seen))
                    seen = self._newest
                if self._ended(epoch) or seen is None:
                    return
                yield seen
        finally:
            self._subscribers -= 1
            if self._subscribers == 0:
                await self._end_watch()

    def _ended(self, epoch: int) -> bool:
        return self.closed or epoch != self._epoch

    def _news(self, epoch: int, seen: wire.SnapshotMessage | None) -> bool:
        return self._ended(epoch) or self._newest is not seen

    async def close(self) -> None:
        """End all subscriptions. Repeatable."""
        self.closed = True
        await self._end_watch()
        async with self._changed:
            self._changed.notify_all()

    async def _end_watch(self) -> None:
        task, self._task = self._task, None
        # Whoever comes later must not be shown yesterday's state as if it were fresh.
        self._newest = None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _publish(self, snapshot: wire.Snapshot) -> None:
        from educloud_lab.wire.models import SnapshotMessage

        if self._newest is not None:
            held = self._newest.snapshot
            if snapshot.version < held.version:
                return
            if snapshot.version == held.version and (snapshot.version or held.cloud == snapshot.cloud):
                return
        async with self._changed:
            self._newest = SnapshotMessage(snapshot=snapshot)
            self._changed.notify_all()

    async def _watch(self) -> None:
        """Follow the broker for as long as anybody listens, whatever happens to it."""
        while True:
            try:
                if await self._desk.soon() is None:
                    await self._publish(self._desk.stand_in())
                await self._follow(await self._desk.broker())
            except EducloudError as error:
                log.warning("The broker cannot be watched now: %s", error)
            except Exception:  # the feed outlives a defect of the broker: the sidebar would freeze without a word
                log.exception("The broker's watch broke")
            if self.version > 0:
                await self._drop_subscribers()
            elif not self._desk.ready():
                await self._publish(self._desk.stand_in())
            await asyncio.sleep(self._retry_s)

    async def _follow(self, broker: BrokerApi) -> None:
        snapshots = broker.watch(self._desk.person)
        try:
            async for snapshot in snapshots:
                await self._publish(snapshot)
        finally:
            if isinstance(snapshots, AsyncGenerator):  # what the broker holds for this watch is let go at once
                await snapshots.aclose()

    async def _drop_subscribers(self) -> None:
        async with self._changed:
            self._newest = None
            self._epoch += 1
            self._changed.notify_all()
