"""Machines whose run folder was removed under them: their processes live, hold their disks, and nobody can reach them.

QEMU's own locks keep a second process off those disks, so such a machine cannot be started again while it lives; and
a monitor whose socket has no name any more cannot be spoken to. It is asked by SIGTERM to end, which QEMU does in
order: everything that the guest wrote to its disks is on them.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import logging
import os
import re
import signal
from dataclasses import dataclass
from pathlib import Path

from educloud_lab.localcloud.hypervisor.base import MachineReport, MachineState
from educloud_lab.localcloud.hypervisor.qemu_process import is_alive, read_stat

log = logging.getLogger(__name__)

_NAME = re.compile(r"guest=(i-[0-9a-f]{8,17}),process=")
_TERM_LIMIT_S = 10.0
_KILL_LIMIT_S = 5.0
_POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class Stray:
    """A process that runs a machine of this cloud."""

    instance_id: str
    pid: int
    start_ticks: int


class Strays:
    """Finds and ends strays, and remembers which machines they were until they are forgotten.

    Parameters
    ----------
    disk_folder : the cloud's own folder; None looks for nothing.
    """

    def __init__(self, disk_folder: Path | None) -> None:
        self._disk_folder = disk_folder
        self.ended: set[str] = set()

    async def end_all(self, known: frozenset[int]) -> None:
        """End the machines that run without being among the known processes. Repeatable."""
        if self._disk_folder is None:
            return
        for stray in await asyncio.to_thread(find, self._disk_folder, known):
            text = "Machine %s (process %d) cannot be reached, its run folder is gone or damaged: it is ended"
            log.warning(text, stray.instance_id, stray.pid)
            if await end(stray):
                self.ended.add(stray.instance_id)

    def report(self, instance_id: str) -> MachineReport:
        """Return what is known of a machine that has no record."""
        if instance_id in self.ended:
            return MachineReport(instance_id, MachineState.ENDED, reason="lost")
        return MachineReport(instance_id, MachineState.ABSENT)


def find(disk_folder: Path, known: frozenset[int], proc: Path = Path("/proc")) -> list[Stray]:
    """Find processes of this user that run machines on disks in ``disk_folder``.

    Parameters
    ----------
    disk_folder : the cloud's own folder, so that another cloud's machines are left alone.
    known : processes that have a record; they are not strays.
    """
    found = []
    for folder in proc.glob("[0-9]*"):
        pid = int(folder.name)
        if pid in known:
            continue
        try:
            if folder.stat().st_uid != os.getuid():
                continue
            arguments = (folder / "cmdline").read_bytes().decode("utf-8", "surrogateescape").split("\0")
        except OSError:
            continue  # it ended meanwhile
        instance_id = _runs(arguments, disk_folder)
        stat = read_stat(pid) if instance_id else None
        if instance_id and stat is not None and not stat.gone:
            found.append(Stray(instance_id, pid, stat.start_ticks))
    return found


async def end(stray: Stray) -> bool:
    """End the process, in order where it listens; False when it does not end at all."""
    for number, limit_s in ((signal.SIGTERM, _TERM_LIMIT_S), (signal.SIGKILL, _KILL_LIMIT_S)):
        if not is_alive(stray.pid, stray.start_ticks):
            return True
        with contextlib.suppress(ProcessLookupError):
            os.kill(stray.pid, number)
        loop = asyncio.get_running_loop()
        until_s = loop.time() + limit_s
        while loop.time() < until_s and is_alive(stray.pid, stray.start_ticks):  # noqa: ASYNC110 (no event tells it)
            await asyncio.sleep(_POLL_S)
    return not is_alive(stray.pid, stray.start_ticks)


def _runs(arguments: list[str], disk_folder: Path) -> str:
    """Return the instance that a command line runs on a disk of this cloud, or ''."""
    name = ""
    ours = False
    for option, value in itertools.pairwise(arguments):
        if option == "-name" and (match := _NAME.match(value)):
            name = match[1]
        elif option == "-blockdev":
            with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):
                ours = ours or Path(json.loads(value)["file"]["filename"]).is_relative_to(disk_folder)
    return name if ours else ""
