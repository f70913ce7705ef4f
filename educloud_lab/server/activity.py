"""Tells the broker that a person does something on their machine, as often as it happens and no oftener than it helps.

One call is under way for a lease at a time; what happens meanwhile is told by one more call after it. Only that
something happened is told, never what.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from educloud_lab.domain.errors import EducloudError

_log = logging.getLogger("educloud.activity")

Tell = Callable[[str, str], Awaitable[None]]
"""Called with a lease's id and the kind of activity; see ``BrokerApi.limits.activity``."""


class ActivityReporter:
    """Reports.

    Parameters
    ----------
    tell : tells the broker.
    """

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._again: dict[str, str] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def report(self, lease_id: str, kind: str) -> None:
        """Tell that something happened now; returns at once. To be called in the loop."""
        self._again[lease_id] = kind
        if lease_id not in self._tasks:
            self._tasks[lease_id] = asyncio.get_running_loop().create_task(self._run(lease_id))

    async def _run(self, lease_id: str) -> None:
        while (kind := self._again.pop(lease_id, None)) is not None:
            try:
                await self._tell(lease_id, kind)
            except EducloudError as error:
                # The next key tells it again; a terminal must not suffer by it.
                _log.info("activity of lease %s could not be told: %s", lease_id, error)
            except Exception:  # noqa: BLE001 - as above, whatever the broker's fault is
                _log.exception("activity of lease %s could not be told", lease_id)
        del self._tasks[lease_id]  # here, not in a callback: what happens before that would be told to nobody

    async def stop(self) -> None:
        """Give up what is under way."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
