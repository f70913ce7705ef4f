"""A program on the machine: one SSH channel without a terminal, with back-pressure in both directions."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque

import asyncssh

from educloud_lab.adapters.ssh.pty import READ_BYTES
from educloud_lab.ports.shell import Stream
from educloud_lab.valve import Valve

# Input that waits in this process; SSH's window and the machine's pipe hold more.
UNSENT_HIGH_BYTES = 256 * 1024
UNSENT_LOW_BYTES = 64 * 1024
_CLOSE_S = 2.0


class ProcessSession(asyncssh.SSHClientSession[bytes]):
    """Collects output up to `READ_BYTES`, then pauses the channel; tells when input may be written."""

    def __init__(self) -> None:
        self._pieces: deque[tuple[Stream, bytes]] = deque()
        self._size_bytes = 0
        self._ended = False
        self._given_up = False
        self._arrived = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._valve: Valve | None = None

    def connection_made(self, chan: asyncssh.SSHClientChannel[bytes]) -> None:
        """Take the open channel."""
        self._valve = Valve(chan)
        chan.set_write_buffer_limits(UNSENT_HIGH_BYTES, UNSENT_LOW_BYTES)

    def data_received(self, data: bytes, datatype: asyncssh.DataType) -> None:
        """Keep output until it is taken."""
        if self._given_up:
            return
        self._pieces.append(("stderr" if datatype == asyncssh.EXTENDED_DATA_STDERR else "stdout", data))
        self._size_bytes += len(data)
        if self._size_bytes >= READ_BYTES and self._valve:
            self._valve.pause()
        self._arrived.set()

    def eof_received(self) -> bool:
        """Keep our half open: input may still be wanted."""
        return True

    def pause_writing(self) -> None:
        """Hold writers up."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Let writers go on."""
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """Remember the end; what was received can still be taken."""
        self._ended = True
        self._arrived.set()
        self._writable.set()

    async def take(self) -> tuple[Stream, bytes]:
        """Return at most `READ_BYTES` of one stream's output; b'' after the end."""
        while not self._pieces:
            if self._ended or self._given_up:
                return "stdout", b""
            self._arrived.clear()
            await self._arrived.wait()
        stream, data = self._pieces.popleft()
        if self._pieces and self._pieces[0][0] == stream:
            parts, size = [data], len(data)
            while self._pieces and self._pieces[0][0] == stream and size + len(self._pieces[0][1]) <= READ_BYTES:
                part = self._pieces.popleft()[1]
                size += len(part)
                parts.append(part)
            data = b"".join(parts)
        if len(data) > READ_BYTES:
            self._pieces.appendleft((stream, data[READ_BYTES:]))
            data = data[:READ_BYTES]
        self._size_bytes -= len(data)
        if self._size_bytes < READ_BYTES and self._valve:
            self._valve.resume()
        return stream, data

    async def writable(self) -> None:
        """Return when little enough waits to be sent, or nothing will be sent any more."""
        await self._writable.wait()

    def give_up(self) -> None:
        """Drop all output, now and later: what nobody takes would keep the channel from closing."""
        self._given_up = True
        self._pieces.clear()
        self._size_bytes = 0
        self._arrived.set()


class AsyncsshProcess:
    """The Process port over one channel.

    Parameters
    ----------
    channel : the open channel.
    session : what receives its output.
    """

    def __init__(self, channel: asyncssh.SSHClientChannel[bytes], session: ProcessSession) -> None:
        self._channel = channel
        self._session = session

    async def read(self) -> tuple[Stream, bytes]:
        """Return the next output (at most 128 KiB) and its stream; b'' after the end."""
        return await self._session.take()

    async def write(self, data: bytes) -> None:
        """Send input, and return when at most 256 KiB of it wait to be taken. Dropped after the end."""
        if self._channel.is_closing():
            return
        # The channel may have gone between the question and the write, or its input may have ended.
        with contextlib.suppress(OSError):
            self._channel.write(data)
        await self._session.writable()

    def write_eof(self) -> None:
        """End its input. Repeatable."""
        if not self._channel.is_closing():
            with contextlib.suppress(OSError):
                self._channel.write_eof()

    @property
    def exit_status(self) -> int | None:
        """Exit status, 128 and the signal's number when a signal ended it; None before, and without a connection."""
        status = self._channel.get_returncode()
        return 128 - status if status is not None and status < 0 else status

    @property
    def exit_signal(self) -> str:
        """Name of the signal that ended it; '' when none did."""
        found = self._channel.get_exit_signal()
        return "" if found is None else found[0]

    async def close(self) -> None:
        """Let it go: its input ends, its output goes nowhere. Repeatable."""
        self._session.give_up()
        # Not close(): that would wait for input that the program does not take.
        self._channel.abort()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_S):
                await self._channel.wait_closed()
