"""Talking to a guest that waits for its personality, over the second serial port (a unix socket on this side).

One line each way. The guest says ``waiting`` once it is a template, and ``ready INSTANCE`` once it has become that
machine: its random numbers reseeded, its clock set, its own network card found, its disk mounted for writing. Until
then it has no address and no sshd, so a machine with half a personality can never be met by anybody.
"""

from __future__ import annotations

import asyncio
import secrets
from pathlib import Path

from educloud_lab.localcloud.hypervisor.base import HypervisorError
from educloud_lab.localcloud.hypervisor.qemu_process import is_alive

SEED_BYTES = 64
_GREETING = "educloud 1"
_LINE_LIMIT = 4096


class TemplateError(HypervisorError):
    """A template could not be made or used; machines start cold instead."""


def personality(instance_id: str, mac: str, seed: bytes | None = None) -> bytes:
    """Give the line that makes a machine itself; ``seed`` defaults to 64 bytes of the host's random numbers."""
    chosen = (seed or secrets.token_bytes(SEED_BYTES)).hex()
    return f"{_GREETING} instance={instance_id} mac={mac} seed={chosen} end\n".encode("ascii")


class Channel:
    """One connection to a guest's second serial port.

    Parameters
    ----------
    socket : QEMU's socket.
    pid, start_ticks : QEMU's process: when it is gone, nothing is waited for.
    """

    def __init__(self, socket: Path, pid: int, start_ticks: int | None) -> None:
        self._socket = socket
        self._pid = pid
        self._start_ticks = start_ticks
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def open(self) -> None:
        """Connect. Raises TemplateError."""
        try:
            self._reader, self._writer = await asyncio.open_unix_connection(str(self._socket), limit=_LINE_LIMIT)
        except OSError as error:
            raise TemplateError(f"The machine's second serial port {self._socket} does not answer.") from error

    def close(self) -> None:
        """Hang up. Repeatable."""
        if self._writer is not None:
            self._writer.close()

    async def wait_for(self, answer: str, limit_s: float) -> None:
        """Wait until the guest says ``answer``.

        Raises
        ------
        TemplateError
            It said ``failed``, it ended, or ``limit_s`` passed.
        """
        assert self._reader is not None
        try:
            async with asyncio.timeout(limit_s):
                while line := await self._reader.readline():
                    said = line.decode("ascii", "replace").strip()
                    if said == f"{_GREETING} {answer}":
                        return
                    if said.startswith(f"{_GREETING} failed"):
                        raise TemplateError(f"The guest could not become a machine: {said}")
        except TimeoutError as error:
            raise TemplateError(f"The guest did not say {answer!r} within {limit_s:.0f} s.") from error
        except (OSError, ValueError) as error:  # ValueError: a line longer than the limit
            raise TemplateError(f"The guest's second serial port broke: {error}") from error
        alive = "closed its serial port" if is_alive(self._pid, self._start_ticks) else "ended"
        raise TemplateError(f"QEMU {alive} while it was to say {answer!r}.")

    async def give(self, line: bytes) -> None:
        """Send a personality. Raises TemplateError."""
        assert self._writer is not None
        try:
            self._writer.write(line)
            await self._writer.drain()
        except OSError as error:
            raise TemplateError(f"The guest's second serial port broke: {error}") from error
