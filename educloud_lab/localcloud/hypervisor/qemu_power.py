"""The power of one machine: button, clean restart, cut. Every wait has a limit and ends when the process does."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

from educloud_lab.localcloud.hypervisor import qemu_journal
from educloud_lab.localcloud.hypervisor.base import HypervisorError
from educloud_lab.localcloud.hypervisor.qemu_monitor import CommandRefusedError, Monitor, MonitorLostError
from educloud_lab.localcloud.hypervisor.qemu_process import is_alive

_POLL_S = 0.1
# A guest that is still booting does not hear the button: press again.
_PRESS_EVERY_S = 2.0
_QUIT_LIMIT_S = 3.0
_KILL_LIMIT_S = 10.0
REBOOT_GRACE_S = 12.0


class Power:
    """The power switch of one process.

    Parameters
    ----------
    pid, start_ticks : the process.
    """

    def __init__(self, monitor: Monitor, journal: Path, pid: int, start_ticks: int | None) -> None:
        self._monitor = monitor
        self._journal = journal
        self._pid = pid
        self._start_ticks = start_ticks

    def alive(self) -> bool:
        """Whether the process lives."""
        return is_alive(self._pid, self._start_ticks)

    async def press_until_off(self, grace_s: float) -> bool:
        """Press the power button until the process ended, for at most ``grace_s``; whether it did."""
        loop = asyncio.get_running_loop()
        end = loop.time() + grace_s
        while self.alive() and loop.time() < end:
            await self._press()
            await self._wait_gone(min(_PRESS_EVERY_S, max(0.0, end - loop.time())))
        return not self.alive()

    async def cut(self) -> None:
        """End the process: QEMU's own ``quit`` first (it closes the images in order), SIGKILL when it hangs.

        Raises
        ------
        HypervisorError
            The process survives SIGKILL (it hangs in the kernel).
        """
        if not self.alive():
            return
        qemu_journal.note_kill(self._journal)
        with contextlib.suppress(HypervisorError):  # it hangs or has just ended: the signal below settles it
            await self._monitor.execute("quit", limit_s=_QUIT_LIMIT_S)
        await self._wait_gone(_QUIT_LIMIT_S)
        if self.alive():
            try:
                os.kill(self._pid, signal.SIGKILL)
            except ProcessLookupError:
                return
            await self._wait_gone(_KILL_LIMIT_S)
        if self.alive():
            raise HypervisorError(f"QEMU's process {self._pid} does not end, even by SIGKILL.")

    async def restart(self, between: Callable[[], Awaitable[None]] | None = None) -> None:
        """Restart the guest cleanly: power button, and once it is off, on again in the same process.

        A guest that does not shut down within 12 s is reset hard, as a reset button would. ``between`` is awaited
        while it is off. Raises HypervisorError.
        """
        loop = asyncio.get_running_loop()
        await self._monitor.execute("set-action", {"shutdown": "pause"})
        end = loop.time() + REBOOT_GRACE_S
        next_press = 0.0
        while loop.time() < end and await self._status() != "shutdown":
            if loop.time() >= next_press:
                await self._press()
                next_press = loop.time() + _PRESS_EVERY_S
            await asyncio.sleep(_POLL_S)
        try:
            if between is not None:
                await between()
        finally:
            await self.finish_restart()

    async def finish_restart(self) -> None:
        """Take a restart that was begun (perhaps by an earlier process) to its end."""
        await self._monitor.execute("system_reset")
        if await self._status() != "running":
            await self._monitor.execute("cont")
        await self._monitor.execute("set-action", {"shutdown": "poweroff"})

    async def _status(self) -> str:
        return str((await self._monitor.execute("query-status"))["status"])

    async def _press(self) -> None:
        try:
            await self._monitor.execute("system_powerdown")
        except (MonitorLostError, CommandRefusedError):
            await asyncio.sleep(_POLL_S)  # it is ending, or it hangs: the caller's limit decides

    async def _wait_gone(self, limit_s: float) -> None:
        """Wait until the process ended, at most ``limit_s``. A pid descriptor turns readable at that moment."""
        try:
            descriptor = os.pidfd_open(self._pid)
        except (ProcessLookupError, ValueError):
            return
        loop = asyncio.get_running_loop()
        gone = asyncio.Event()
        loop.add_reader(descriptor, gone.set)
        try:
            # Looked at once more: the pid may have gone to another process before the descriptor was opened.
            if self.alive():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(limit_s):
                        await gone.wait()
        finally:
            loop.remove_reader(descriptor)
            os.close(descriptor)
