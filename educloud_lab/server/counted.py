"""Channels that their connection counts as open until they are closed."""

from __future__ import annotations

from collections.abc import Callable

from educloud_lab.ports.shell import Process, Pty, Stream


class CountedPty:
    """A terminal.

    Parameters
    ----------
    pty : what it stands for.
    on_close : called once, when it has been closed.
    """

    def __init__(self, pty: Pty, on_close: Callable[[], None]) -> None:
        self._pty = pty
        self._on_close: Callable[[], None] | None = on_close

    async def read(self) -> bytes:
        """See the port."""
        return await self._pty.read()

    def write(self, data: bytes) -> None:
        """See the port."""
        self._pty.write(data)

    def resize(self, columns: int, rows: int) -> None:
        """See the port."""
        self._pty.resize(columns, rows)

    @property
    def exit_status(self) -> int | None:
        """See the port."""
        return self._pty.exit_status

    async def close(self) -> None:
        """See the port."""
        on_close, self._on_close = self._on_close, None
        try:
            await self._pty.close()
        finally:
            if on_close is not None:
                on_close()


class CountedProcess:
    """A program; parameters as `CountedPty`."""

    def __init__(self, process: Process, on_close: Callable[[], None]) -> None:
        self._process = process
        self._on_close: Callable[[], None] | None = on_close

    async def read(self) -> tuple[Stream, bytes]:
        """See the port."""
        return await self._process.read()

    async def write(self, data: bytes) -> None:
        """See the port."""
        await self._process.write(data)

    def write_eof(self) -> None:
        """See the port."""
        self._process.write_eof()

    @property
    def exit_status(self) -> int | None:
        """See the port."""
        return self._process.exit_status

    @property
    def exit_signal(self) -> str:
        """See the port."""
        return self._process.exit_signal

    async def close(self) -> None:
        """See the port."""
        on_close, self._on_close = self._on_close, None
        try:
            await self._process.close()
        finally:
            if on_close is not None:
                on_close()
