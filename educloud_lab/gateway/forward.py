"""One forward: bytes between an SSH channel and a machine, counted, with back-pressure in both directions."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Callable
from typing import cast

import asyncssh

from educloud_lab.gateway import door
from educloud_lab.gateway.addresses import Destination
from educloud_lab.gateway.routes import Place
from educloud_lab.valve import Valve

# What a paused channel may hold of a client's data (the SSH window).
WINDOW_BYTES = 1024 * 1024
_LINGER_S = 30.0
# While keys are exchanged anew asyncssh keeps packets back in a list; a client that never completes the exchange
# must not make that list grow. An honest exchange takes milliseconds.
_BACKLOG_PACKETS = 256
_BACKLOG_RETRY_S = 0.05

_log = logging.getLogger("educloud.gateway")


class Forward(asyncssh.SSHTCPSession[bytes]):
    """The SSH side of one forward.

    Parameters
    ----------
    who : str
        For the log.
    destination : Destination
        What the client asked for.
    backlog : callable
        How many packets the connection keeps back (while it exchanges keys).
    on_end : callable
        Called with this forward when its channel is closed.
    """

    def __init__(
        self,
        who: str,
        destination: Destination,
        backlog: Callable[[], int],
        on_end: Callable[[Forward], None],
    ) -> None:
        self.destination = destination
        self.sent_bytes = 0
        self.received_bytes = 0
        self._who = who
        self._backlog = backlog
        self._on_end = on_end
        self._channel: asyncssh.SSHTCPChannel[bytes] | None = None
        self._valve: Valve | None = None
        self._target: asyncio.Transport | None = None
        self._opened_at = time.monotonic()
        self._target_eof = False
        self._client_eof = False
        self._holds: set[str] = set()
        self._ended = False

    async def dial(self, place: Place, timeout_s: float) -> None:
        """Connect to the machine, which is reached at `place` from here.

        Raises
        ------
        OSError
            When it refuses or cannot be reached; also after `timeout_s` (TimeoutError).
        """
        async with asyncio.timeout(timeout_s):
            await door.connect(place, self.destination, lambda: _Target(self))

    # The SSH side.

    def connection_made(self, chan: asyncssh.SSHTCPChannel[bytes]) -> None:
        """Let the machine speak, now that the channel is open."""
        self._channel, self._valve = chan, Valve(chan)
        if self._ended:
            chan.abort()
            return
        _log.info("open %s -> %s", self._who, self.destination)
        self.release("unopened")

    def data_received(self, data: bytes, datatype: asyncssh.DataType) -> None:
        """Pass a client's bytes to the machine."""
        self.received_bytes += len(data)
        if self._target:
            self._target.write(data)

    def eof_received(self) -> bool:
        """Pass the client's end of data on; the other direction stays open."""
        self._client_eof = True
        if self._target and self._target.can_write_eof():
            self._target.write_eof()
        self._end_when_done()
        return True

    def pause_writing(self) -> None:
        """Stop reading from the machine while the client takes no more."""
        self.hold("channel")

    def resume_writing(self) -> None:
        """Read again: the client takes data."""
        self.release("channel")

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop counting: the channel is closed on both sides only now."""
        self._finish(abort=exc is not None)
        self._on_end(self)

    # The machine's side.

    def target_made(self, transport: asyncio.Transport) -> None:
        """Keep an accepted connection waiting until the channel is open."""
        self._target = transport
        self.hold("unopened")

    def target_data(self, data: bytes) -> None:
        """Pass the machine's bytes to the client."""
        self.sent_bytes += len(data)
        if self._channel and not self._channel.is_closing():
            self._channel.write(data)
        if self._backlog() > _BACKLOG_PACKETS:
            self.hold("exchange")
            asyncio.get_running_loop().call_later(_BACKLOG_RETRY_S, self._retry)

    def target_eof(self) -> None:
        """Pass the machine's end of data on."""
        self._target_eof = True
        if self._channel and not self._channel.is_closing():
            self._channel.write_eof()
        self._end_when_done()

    def target_paused(self, paused: bool) -> None:
        """Hold the client's data in its window while the machine takes no more."""
        if self._valve and paused:
            self._valve.pause()
        elif self._valve:
            self._valve.resume()

    def target_lost(self) -> None:
        """Close the channel after what the closed machine sent has reached the client."""
        self._target = None
        if self._channel:
            self._channel.close()
        self._finish(abort=False)

    def hold(self, reason: str) -> None:
        """Stop reading from the machine for `reason`."""
        if not self._holds and self._target and not self._target.is_closing():
            self._target.pause_reading()
        self._holds.add(reason)

    def release(self, reason: str) -> None:
        """Give up one reason; read again when none is left."""
        if reason in self._holds:
            self._holds.discard(reason)
            if not self._holds and self._target and not self._target.is_closing():
                self._target.resume_reading()

    def cut(self) -> None:
        """End it now, dropping whatever is on its way."""
        if self._channel:
            self._channel.abort()
        self._finish(abort=True)

    def _retry(self) -> None:
        if self._backlog() > _BACKLOG_PACKETS and not self._ended:
            asyncio.get_running_loop().call_later(_BACKLOG_RETRY_S, self._retry)
        else:
            self.release("exchange")

    def _end_when_done(self) -> None:
        if self._client_eof and self._target_eof and self._channel:
            self._channel.close()

    def _finish(self, abort: bool) -> None:
        if self._ended:
            return
        self._ended = True
        if self._target:
            target, self._target = self._target, None
            if abort:
                target.abort()
            else:
                # What the client sent last still goes out, but a machine that takes nothing is not waited for.
                target.close()
                asyncio.get_running_loop().call_later(_LINGER_S, target.abort)
        if self._channel is None:
            return  # never opened: the refusal is logged by the connection
        _log.info(
            "close %s -> %s after %.1f s, %d bytes in, %d bytes out",
            self._who,
            self.destination,
            time.monotonic() - self._opened_at,
            self.received_bytes,
            self.sent_bytes,
        )


class _Target(asyncio.Protocol):
    """The machine's side of a forward."""

    def __init__(self, forward: Forward) -> None:
        self._forward = forward

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._forward.target_made(cast("asyncio.Transport", transport))

    def data_received(self, data: bytes) -> None:
        self._forward.target_data(data)

    def eof_received(self) -> bool:
        self._forward.target_eof()
        return True

    def pause_writing(self) -> None:
        self._forward.target_paused(True)

    def resume_writing(self) -> None:
        self._forward.target_paused(False)

    def connection_lost(self, exc: Exception | None) -> None:
        self._forward.target_lost()
