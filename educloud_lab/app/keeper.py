"""Brings a local cloud back that died: machines go on without it, but nothing can be started or stopped.

A cloud that was stopped on purpose is left alone: then what it announced is gone. Stopping takes the announcement
away a few seconds after the processes end, so a death is believed only when it has been seen for longer than that.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from pathlib import Path

from educloud_lab.localcloud import process
from educloud_lab.localcloud.errors import LocalCloudError
from educloud_lab.localcloud.processes import is_alive
from educloud_lab.localcloud.settings import Folders

PERIOD_S = 4.0
LOOKS = 4
"""Ending the gateway takes 10 s at most (``process.stop``)."""

RETRY_S = 60.0

log = logging.getLogger(__name__)


def is_dead(home: Path) -> bool:
    """Whether a cloud was announced and one of its processes is gone."""
    try:
        pids = json.loads(Folders(home).announcement.read_text())["pids"]
        return not all(is_alive(pids[name]["pid"], pids[name]["start_ticks"]) for name in ("api", "gateway"))
    except (OSError, ValueError, KeyError, TypeError):
        return False


class Keeper:
    """Looks every few seconds; costs two small file reads.

    Parameters
    ----------
    home : EDUCLOUD_HOME.
    period_s, looks, retry_s : how often it looks, how many looks make a death, the wait after a failed start.
    """

    def __init__(self, home: Path, *, period_s: float = PERIOD_S, looks: int = LOOKS, retry_s: float = RETRY_S) -> None:
        self._home = home
        self._period_s = period_s
        self._looks = looks
        self._retry_s = retry_s
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look. Repeatable."""
        if self._task is None:
            self._task = asyncio.create_task(self._keep(), name="educloud-keeper")

    async def close(self) -> None:
        """Stop looking. Repeatable."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _keep(self) -> None:
        seen = 0
        while True:
            await asyncio.sleep(self._period_s)
            seen = seen + 1 if await asyncio.to_thread(is_dead, self._home) else 0
            if seen < self._looks:
                continue
            seen = 0
            log.warning("The local cloud has died; starting it again.")
            try:
                await asyncio.to_thread(process.start, self._home)
            except (LocalCloudError, OSError) as error:
                log.warning("The local cloud cannot be started again: %s", error)
                await asyncio.sleep(self._retry_s)
