"""A terminal on the machine: one SSH channel that is read no faster than somebody takes its output."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque

import asyncssh

from educloud_lab.valve import Valve

READ_BYTES = 128 * 1024
# What a person pastes is small; what a broken page sends is not.
MAX_UNSENT_BYTES = 4 * 1024 * 1024


class PtySession(asyncssh.SSHClientSession[bytes]):
    """Collects output up to `READ_BYTES`, then pauses the channel; SSH's window does the rest."""

    def __init__(self) -> None:
        self._pieces: deque[bytes] = deque()
        self._size_bytes = 0
        self._ended = False
        self._waiter: asyncio.Future[None] | None = None
        self._valve: Valve | None = None

    def connection_made(self, chan: asyncssh.SSHClientChannel[bytes]) -> None:
        """Take the open channel."""
        self._valve = Valve(chan)

    def data_received(self, data: bytes, datatype: asyncssh.DataType) -> None:
        """Keep output until it is taken."""
        self._pieces.append(data)
        self._size_bytes += len(data)
        if self._size_bytes >= READ_BYTES and self._valve:
            self._valve.pause()
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """Remember the end; what was received can still be taken."""
        self._ended = True
        self._wake()

    async def take(self) -> bytes:
        """Return at most `READ_BYTES` of output, or b'' after the end."""
        while not self._pieces:
            if self._ended:
                return b""
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        data = self._pieces.popleft()
        if self._pieces:
            parts = [data]
            size = len(data)
            while self._pieces and size + len(self._pieces[0]) <= READ_BYTES:
                size += len(self._pieces[0])
                parts.append(self._pieces.popleft())
            data = b"".join(parts)
        if len(data) > READ_BYTES:
            self._pieces.appendleft(data[READ_BYTES:])
            data = data[:READ_BYTES]
        self._size_bytes -= len(data)
        if self._size_bytes < READ_BYTES and self._valve:
            self._valve.resume()
        return data

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class AsyncsshPty:
    """The Pty port over one channel.

    Parameters
    ----------
    channel : the open channel.
    session : what receives its output.
    """

    def __init__(self, channel: asyncssh.SSHClientChannel[bytes], session: PtySession) -> None:
        self._channel = channel
        self._session = session

    async def read(self) -> bytes:
        """Return the next output (at most 128 KiB), b'' after the end. One reader at a time."""
        return await self._session.take()

    def write(self, data: bytes) -> None:
        """Send input; dropped after the end, and when the machine has not taken 4 MiB yet."""
        if not self._channel.is_closing() and self._channel.get_write_buffer_size() < MAX_UNSENT_BYTES:
            # The channel may have gone between the question and the write.
            with contextlib.suppress(OSError):
                self._channel.write(data)

    def resize(self, columns: int, rows: int) -> None:
        """Tell the machine the new size; without effect after the end."""
        if not self._channel.is_closing():
            # As in write.
            with contextlib.suppress(OSError):
                self._channel.change_terminal_size(columns, rows)

    @property
    def exit_status(self) -> int | None:
        """Exit status, or minus the number of the signal that ended it; None before, and after a lost connection."""
        return self._channel.get_returncode()

    async def close(self) -> None:
        """End it: the machine hangs up on the shell. Repeatable."""
        self._channel.close()
        # Output that nobody will take would keep the channel from closing.
        self._channel.resume_reading()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(2.0):
                await self._channel.wait_closed()
