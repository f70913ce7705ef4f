"""The loop that keeps the limits: it looks at running leases when it is time, or when the store changed.

It is level-triggered as the reconciler is, and cheap: between the moments that matter it reads one number.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime

from educloud_lab.broker.clock import wait_event
from educloud_lab.broker.limits import Limits
from educloud_lab.broker.parts import Parts
from educloud_lab.broker.sessions import Looked, is_running, next_look_at
from educloud_lab.domain.errors import EducloudError
from educloud_lab.ports.store import Transaction

_log = logging.getLogger(__name__)
_MOST_S = 15.0


class Timekeeper:
    """Looks at running leases.

    Parameters
    ----------
    parts : the broker's ports.
    limits : decides and acts.
    """

    def __init__(self, parts: Parts, limits: Limits) -> None:
        self._parts = parts
        self._limits = limits
        self._version = -1
        self._again_s = float("-inf")
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.ensure_future(self._loop())

    async def close(self) -> None:
        """Stop. Repeatable."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._limits.attendant.close()

    async def _loop(self) -> None:
        parts = self._parts
        while True:
            event = parts.kick.event
            try:
                await self._round()
            except EducloudError:
                _log.exception("the limits could not be looked at; the next look follows")
            except Exception:  # noqa: BLE001 - limits must be kept after any bug in one round
                _log.exception("a look at the limits broke; the next one follows")
            await wait_event(parts.clock, event, parts.config.tick_s)

    async def _round(self) -> None:
        parts, clock_s = self._parts, self._parts.clock.monotonic_s
        version = await parts.store.version()
        if version == self._version and clock_s() < self._again_s and not self._limits.unwritten():
            return
        everything, now, again_at, version = await parts.store.transact(self._look)
        self._limits.looked(everything)
        # Not only when it is time: the store's clock may jump, and a computer may sleep.
        self._again_s = clock_s() + min(_MOST_S, (again_at - now).total_seconds())
        self._version = version
        if any(looked.changed for looked in everything):
            self._version = -1  # what was changed may ask for more
            parts.changed.ring()
            parts.kick.ring()

    def _look(self, tx: Transaction) -> tuple[list[Looked], datetime, datetime, int]:
        now, config = tx.now(), self._parts.config
        everything: list[Looked] = []
        again_at = datetime.max.replace(tzinfo=now.tzinfo)
        for lease in tx.leases(course=self._parts.course):
            if is_running(lease):
                looked = self._limits.look(tx, lease)
                everything.append(looked)
                again_at = min(again_at, next_look_at(looked.chore.lease, config, now))
        return everything, now, again_at, tx.version()
