"""The way to a machine that may still be booting: channels through the gateway, of which one is logged in over.

A port forward in user space accepts a connection before the guest's network is up and then says nothing, so a silent
channel is joined by another one; and between network and sshd the guest refuses, so that is asked again for a while.
Only the channel whose other end greets first goes on to the key exchange: several at once would share the guest's one
emulated processor.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import asyncssh

_HEDGE_S = 0.7  # a channel that is silent for so long is joined by another one
_HEDGE_SHARE = 0.12  # of the time passed, when that is more: a machine that is only slow is given time
_MOST = 4  # channels at once; the oldest makes room
_AGAIN_S = 0.1
_PATIENCE_S = 3.0  # between the guest's network and its sshd

_Session = asyncssh.SSHTCPSession[bytes]
_Channel = asyncssh.SSHTCPChannel[bytes]


class GreetedTunnel:
    """What ``asyncssh.connect`` takes as its tunnel.

    Parameters
    ----------
    gateway : the connection to the gateway.
    """

    def __init__(self, gateway: asyncssh.SSHClientConnection) -> None:
        self._gateway = gateway

    async def create_connection(
        self, session_factory: Callable[[], _Session], remote_host: str, remote_port: int
    ) -> tuple[_Channel, _Session]:
        """Open a channel whose other end has greeted. Waits as long as it is silent; the caller limits that.

        Raises
        ------
        asyncssh.ChannelOpenError, asyncssh.ConnectionLost
            It is not permitted, the gateway is gone, or the machine refused for a few seconds.
        """
        refused_s: float | None = None
        while True:
            try:
                waiting = await self._first_to_greet(remote_host, remote_port)
            except (asyncssh.ChannelOpenError, asyncssh.ConnectionLost) as exc:
                now_s = time.monotonic()
                refused_s = now_s if refused_s is None else refused_s
                forbidden = getattr(exc, "code", None) == asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED
                if forbidden or self._gateway.is_closed() or now_s - refused_s > _PATIENCE_S:
                    raise
                await asyncio.sleep(_AGAIN_S)
            else:
                return waiting.hand_over(session_factory())

    async def _first_to_greet(self, host: str, port: int) -> _Waiting:
        began_s = time.monotonic()
        attempts: list[asyncio.Task[_Waiting]] = []
        try:
            while True:
                if len(attempts) == _MOST:
                    await _end(attempts.pop(0))
                attempts.append(asyncio.create_task(self._greeted(host, port)))
                hedge_s = max(_HEDGE_S, _HEDGE_SHARE * (time.monotonic() - began_s))
                done, _ = await asyncio.wait(attempts, timeout=hedge_s, return_when=asyncio.FIRST_COMPLETED)
                for attempt in done:
                    attempts.remove(attempt)
                    return attempt.result()
        finally:
            for attempt in attempts:
                await _end(attempt)

    async def _greeted(self, host: str, port: int) -> _Waiting:
        waiting = _Waiting()
        try:
            await self._gateway.create_connection(lambda: waiting, host, port)
            await waiting.greeted.wait()
        except BaseException:
            waiting.abort()
            raise
        if waiting.lost:
            raise asyncssh.ConnectionLost("closed before its greeting")
        return waiting

    def close(self) -> None:
        """Do nothing: the gateway's connection belongs to the caller."""

    async def wait_closed(self) -> None:
        """Return at once, as `close`."""


async def _end(attempt: asyncio.Task[_Waiting]) -> None:
    """Close a channel that came too late, or never."""
    attempt.cancel()
    for result in await asyncio.gather(attempt, return_exceptions=True):
        if isinstance(result, _Waiting):
            result.abort()


class _Waiting(asyncssh.SSHTCPSession[bytes]):
    """Keeps what the machine says until asyncssh's own protocol takes over."""

    def __init__(self) -> None:
        self.greeted = asyncio.Event()  # or lost
        self.lost = False
        self._kept = bytearray()
        self._channel: _Channel | None = None
        self._inner: _Session | None = None

    def hand_over(self, inner: _Session) -> tuple[_Channel, _Session]:
        """Let this session have the channel, beginning with what was kept."""
        assert self._channel is not None
        self._inner = inner
        inner.connection_made(self._channel)
        inner.session_started()
        inner.data_received(bytes(self._kept), None)
        if self.lost:
            inner.connection_lost(None)
        return self._channel, inner

    def abort(self) -> None:
        """Close the channel."""
        if self._channel is not None:
            self._channel.abort()

    def connection_made(self, chan: _Channel) -> None:
        self._channel = chan

    def data_received(self, data: bytes, datatype: asyncssh.DataType) -> None:
        if self._inner is not None:
            self._inner.data_received(data, datatype)
            return
        self._kept += data
        if b"\n" in self._kept:
            self.greeted.set()

    def eof_received(self) -> bool:
        if self._inner is not None:
            return self._inner.eof_received()
        self._end()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        if self._inner is not None:
            self._inner.connection_lost(exc)
        else:
            self._end()

    def pause_writing(self) -> None:
        if self._inner is not None:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        if self._inner is not None:
            self._inner.resume_writing()

    def _end(self) -> None:
        self.lost = True
        self.greeted.set()
