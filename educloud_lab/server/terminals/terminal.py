"""One terminal: connects to the machine, reads the shell's output into the log, and stays when the machine goes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Literal

from educloud_lab.domain.errors import (
    ConflictError,
    EducloudError,
    MachineUnreachableError,
    NotFoundError,
)
from educloud_lab.ports.shell import Pty
from educloud_lab.server.connections import MachineConnections
from educloud_lab.server.terminals.answers import answers_only
from educloud_lab.server.terminals.farewell import UNKNOWN, why_ended
from educloud_lab.server.terminals.output import OutputLog
from educloud_lab.server.terminals.reader import Reader

# The shell's output is read while at least one page is closer to its end than this.
LAG_BYTES = 256 * 1024
PATIENCE_S = 180.0
RETRY_S = 2.0
TERM = "xterm-256color"
ENVIRONMENT = {"LANG": "C.UTF-8"}
_DEFAULT_SIZE = (80, 24)
_MAX_COLUMNS_ROWS = 2000
_INTERRUPTS = ("\x03", "\x1c", "\x1a")
_ENTER = ("\r", "\n")
_ERASE_LINE = "\r\x1b[2K"
# What a program that was cut off may have left: a half sequence, the alternate screen, mouse, bracketed paste...
# 1047 and not 1049: the latter also "restores" a cursor that nobody saved, to the top of the page.
_CALM = "\x18\x1b[?1047l\x1b[!p\x1b[?1000;1002;1003;1004;1006;2004l\x1b[0m"

_log = logging.getLogger("educloud.terminals")

State = Literal["connecting", "live", "ended", "gone"]


class _GoneError(Exception):
    """The lease is no longer the person's; there is nothing to reconnect to."""


def _nobody(_lease_id: str, _kind: str) -> None:
    """Tell nobody."""


class Terminal:
    """A terminal.

    Parameters
    ----------
    name, person, lease_id : whose and which.
    connections : where connections to machines come from.
    on_gone : called once when the shell has ended by itself, or the terminal was closed.
    replay_bytes : how much output is kept.
    retry_s, patience_s : while the machine is not ready: how often to try, and for how long without being asked.
    on_activity : called with the lease's id and what happened: "connected", or "terminal" for input to the machine.
    """

    def __init__(
        self,
        name: str,
        person: str,
        lease_id: str,
        connections: MachineConnections,
        on_gone: Callable[[Terminal], None],
        *,
        replay_bytes: int,
        retry_s: float = RETRY_S,
        patience_s: float = PATIENCE_S,
        on_activity: Callable[[str, str], None] = _nobody,
    ) -> None:
        self._on_activity = on_activity
        self.name = name
        self.lease_id = lease_id
        self.last_activity = datetime.now(UTC)
        self.state: State = "connecting"
        self._person = person
        self._connections = connections
        self._on_gone = on_gone
        self._retry_s = retry_s
        self._patience_s = patience_s
        self._log = OutputLog(replay_bytes)
        self._readers: list[Reader] = []
        self._activity = 0
        self._size = _DEFAULT_SIZE
        self._pty: Pty | None = None
        self._enter = asyncio.Event()
        self._room = asyncio.Event()
        self._said = ""
        self._task = asyncio.create_task(self._live())

    # What pages do.

    def attach(self, send: Callable[[bytes], Awaitable[None]]) -> Reader:
        """Add a page; it reads the scrollback first."""
        reader = Reader(self._log, send, self._room.set)
        self._readers.append(reader)
        self._mark_active(reader)
        if self.state == "gone":
            reader.finish()
        return reader

    def detach(self, reader: Reader) -> None:
        """Remove a page; the size is that of the last active one that stays."""
        if reader in self._readers:
            self._readers.remove(reader)
        self._room.set()
        sized = [each for each in self._readers if each.size]
        if sized:
            self._apply_size(max(sized, key=lambda each: each.last_active))

    def resize(self, reader: Reader, columns: int, rows: int) -> None:
        """Take a page's size."""
        reader.size = (min(max(columns, 1), _MAX_COLUMNS_ROWS), min(max(rows, 1), _MAX_COLUMNS_ROWS))
        self._mark_active(reader)
        self._apply_size(reader)

    def type(self, reader: Reader, text: str) -> None:
        """Take input."""
        self.last_activity = datetime.now(UTC)
        self._mark_active(reader)
        self._apply_size(reader)
        if self._pty is None:
            if any(key in text for key in _ENTER):
                self._enter.set()
            return
        if text.startswith(_INTERRUPTS):
            for each in self._readers:
                each.interrupt()
        if not answers_only(text):
            self._on_activity(self.lease_id, "terminal")
        self._pty.write(text.encode("utf-8", "replace"))

    async def close(self) -> None:
        """End the shell and the terminal. Repeatable."""
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        pty, self._pty = self._pty, None
        if pty is not None:
            await pty.close()
        self._go()

    # What happens behind them.

    async def _live(self) -> None:
        try:
            while await self._one_shell():
                self.state = "ended"
                self._tell("Press Enter to connect again when the machine is ready.")
                self._enter.clear()
                await self._enter.wait()
        finally:
            self._go()

    async def _one_shell(self) -> bool:
        """Connect and serve one shell to its end; return whether another may follow."""
        try:
            await self._connect()
            await self._pump()
        except _GoneError:
            return False
        except EducloudError as exc:
            self._tell(str(exc))
        except Exception:  # noqa: BLE001 - a fault of ours: the page must say so instead of staying dark
            _log.exception("terminal %s failed", self.name)
            self._tell("Something went wrong inside the Jupyter server; its log says more.")
        pty, self._pty = self._pty, None
        if pty is None:
            return True
        await pty.close()
        if pty.exit_status is not None and pty.exit_status >= 0:
            return False
        self._put(_CALM.encode())
        self._tell(await self._why_ended())
        return True

    async def _why_ended(self) -> str:
        seen = await self._connections.look(self._person)
        if seen is None:
            return UNKNOWN
        lease = next((each for each in seen.leases if each.id == self.lease_id), None)
        return why_ended(lease, seen.server_time)

    async def _connect(self) -> None:
        """Open a shell, saying what is waited for.

        Raises
        ------
        _GoneError
            The lease is gone; said.
        EducloudError
            Not to be repeated by itself, or it took too long.
        """
        self.state = "connecting"
        self._status("Connecting to the machine...")
        deadline = asyncio.get_running_loop().time() + self._patience_s
        while True:
            try:
                connection = await self._connections.get(self._person, self.lease_id)
                columns, rows = self._size
                self._pty = await connection.open_pty(columns=columns, rows=rows, term=TERM, environment=ENVIRONMENT)
            except NotFoundError:
                self._tell("This machine does not exist any more.")
                raise _GoneError from None
            except (ConflictError, MachineUnreachableError) as exc:
                if asyncio.get_running_loop().time() > deadline:
                    raise
                self._status(f"Waiting for the machine: {exc.what}")
            else:
                self._status("")
                self.state = "live"
                _log.info("terminal %s is live", self.name)
                self._on_activity(self.lease_id, "connected")
                if self._size != (columns, rows):
                    self._pty.resize(*self._size)
                return
            self._enter.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._retry_s):
                    await self._enter.wait()

    async def _pump(self) -> None:
        """Read until the shell's end, while some page keeps up or none is there."""
        assert self._pty is not None
        while True:
            while self._readers and all(each.behind_bytes >= LAG_BYTES for each in self._readers):
                self._room.clear()
                await self._room.wait()
            data = await self._pty.read()
            if not data:
                return
            self._put(data)

    def _go(self) -> None:
        if self.state != "gone":
            self.state = "gone"
            for each in self._readers:
                each.finish()
            self._on_gone(self)

    def _put(self, data: bytes) -> None:
        self._log.append(data)
        for each in self._readers:
            each.wake()

    def _status(self, text: str) -> None:
        """Show one line in the place of the last; the same text is not repeated."""
        if text != self._said:
            self._said = text
            self._put((_ERASE_LINE + _plain(text)).encode())

    def _tell(self, text: str) -> None:
        """Leave a line that stays."""
        self._said = ""
        self._put(f"\r\n\x1b[2m{_plain(text)}\x1b[0m\r\n".encode())

    def _mark_active(self, reader: Reader) -> None:
        self._activity += 1
        reader.last_active = self._activity

    def _apply_size(self, reader: Reader) -> None:
        if reader.size is not None and reader.size != self._size:
            self._size = reader.size
            if self._pty is not None:
                self._pty.resize(*self._size)


def _plain(text: str) -> str:
    """Return text without control characters: error texts may repeat what somebody chose."""
    return "".join(character for character in text if character.isprintable())
