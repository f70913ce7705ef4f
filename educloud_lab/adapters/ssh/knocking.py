"""Knocking at a port of a machine as people reach it: through the gateway, without a login at the machine."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

import asyncssh

from educloud_lab.adapters.ssh.errors import translating
from educloud_lab.adapters.ssh.options import connect_options
from educloud_lab.domain.errors import MachineUnreachableError
from educloud_lab.ports.shell import GatewayAddress, Grant, Knocked, Way

MOST_HEARD_BYTES: Final = 32 * 1024
_HEARING_S: Final = 5.0
_GATEWAY = "the gateway"
_USER = "educloud"  # the gateway looks at the certificate only; an OpenSSH front end has an account of this name


async def knock(grant: Grant, port: int, *, ask: bytes, timeout_s: float) -> Knocked:
    """Connect to a port, say something, hear what comes; see `AsyncsshShell.knock`."""
    if grant.gateway is None:
        return await _directly(grant.address, port, ask, timeout_s)
    try:
        async with asyncio.timeout(timeout_s):
            gateway = await _connect(grant.gateway, grant, timeout_s)
    except TimeoutError as exc:
        raise _gateway_silent() from exc
    hearing = _Hearing()
    try:
        async with asyncio.timeout(timeout_s):
            channel, _ = await gateway.create_connection(lambda: hearing, grant.address, port)
            if ask:
                channel.write(ask)
                with contextlib.suppress(TimeoutError):  # what it said until then is what it says
                    async with asyncio.timeout(min(_HEARING_S, timeout_s)):
                        await hearing.over.wait()
    except asyncssh.ChannelOpenError as exc:
        if exc.code == asyncssh.OPEN_RESOURCE_SHORTAGE:
            raise _gateway_silent() from exc  # it is full, which says nothing of the machine
        return Knocked(_way(exc))
    except (TimeoutError, OSError, asyncssh.Error) as exc:
        if not hearing.opened:
            raise _gateway_silent() from exc  # its own limit is shorter than ours: this says nothing of the machine
    finally:
        gateway.abort()
    return Knocked(Way.OPEN, bytes(hearing.heard))


def _gateway_silent() -> MachineUnreachableError:
    return MachineUnreachableError(
        "The gateway did not answer in time.", next_step="Try again in a moment; educloud doctor says more."
    )


def _way(exc: asyncssh.ChannelOpenError) -> Way:
    """Return what the gateway's refusal means; its words are ours, a stock OpenSSH server's are its system's."""
    words = exc.reason.lower()
    if "security groups" in words:
        return Way.CLOSED
    if exc.code == asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED or "has no route" in words:
        return Way.NONE
    return Way.REFUSED if "refused" in words else Way.SILENT


async def _connect(address: GatewayAddress, grant: Grant, timeout_s: float) -> asyncssh.SSHClientConnection:
    with translating(_GATEWAY):
        options = connect_options(
            username=_USER,
            private_key=grant.private_key,
            certificate=grant.certificate,
            host_keys=(address.host_key,),
            who=_GATEWAY,
            timeout_s=timeout_s,
        )
        return await asyncssh.connect(address.host, address.port, **options)


async def _directly(host: str, port: int, ask: bytes, timeout_s: float) -> Knocked:
    heard = b""
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_connection(host, port)
    except ConnectionRefusedError:
        return Knocked(Way.REFUSED)
    except (TimeoutError, OSError):
        return Knocked(Way.SILENT)
    try:
        if ask:
            writer.write(ask)
            with contextlib.suppress(TimeoutError, OSError):
                async with asyncio.timeout(min(_HEARING_S, timeout_s)):
                    while len(heard) < MOST_HEARD_BYTES and (more := await reader.read(4096)):
                        heard += more
    finally:
        writer.close()
    return Knocked(Way.OPEN, heard[:MOST_HEARD_BYTES])


class _Hearing(asyncssh.SSHTCPSession[bytes]):
    """Keeps the beginning of what the other end says."""

    def __init__(self) -> None:
        self.heard = bytearray()
        self.opened = False
        self.over = asyncio.Event()  # enough was heard, or the other end has ended

    def connection_made(self, chan: asyncssh.SSHTCPChannel[bytes]) -> None:
        self.opened = True

    def data_received(self, data: bytes, datatype: asyncssh.DataType) -> None:
        self.heard += data[: MOST_HEARD_BYTES - len(self.heard)]
        if len(self.heard) >= MOST_HEARD_BYTES:
            self.over.set()

    def eof_received(self) -> bool:
        self.over.set()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.over.set()
