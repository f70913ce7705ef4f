"""The holder's sockets towards machines: DHCP, names, and the relay of metadata requests."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import struct
from collections.abc import Callable, Mapping

from educloud_lab.localcloud.network import dhcp, names

log = logging.getLogger("educloud.network")

_PKTINFO = struct.Struct("I4s4s")  # struct in_pktinfo (ip(7))
_IP_PKTINFO = 8
_ASKED_OUTSIDE_S = 5.0
_ASKED_OUTSIDE_AT_ONCE = 256


class Dhcp:
    """The DHCP server of all cards: one socket, which tells on which card a question came.

    Parameters
    ----------
    address_of : gives the address of the machine behind a card, None for a card that is no machine's.
    """

    def __init__(self, network: str, address_of: Callable[[str], str | None]) -> None:
        self._network = network
        self._address_of = address_of
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        self._socket.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
        self._socket.bind(("0.0.0.0", dhcp.SERVER_PORT))  # noqa: S104 - inside a namespace whose only wires are machines
        asyncio.get_running_loop().add_reader(self._socket, self._answer)

    def close(self) -> None:
        """Answer no more."""
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()

    def _answer(self) -> None:
        try:
            packet, ancillary, _, _ = self._socket.recvmsg(4096, 256)
            found = [data for level, kind, data in ancillary if (level, kind) == (socket.IPPROTO_IP, _IP_PKTINFO)]
            index = _PKTINFO.unpack_from(found[0])[0]
            address = self._address_of(socket.if_indextoname(index))
            reply = None if address is None else dhcp.answer(packet, address, self._network)
            if reply is not None:
                # To everybody on the wire, who is one: the asker has no address yet.
                towards = [(socket.IPPROTO_IP, _IP_PKTINFO, _PKTINFO.pack(index, bytes(4), bytes(4)))]
                self._socket.sendmsg([reply], towards, 0, ("255.255.255.255", dhcp.CLIENT_PORT))
        except (OSError, IndexError) as error:
            log.warning("a DHCP question was not answered: %s", error)


class Names(asyncio.DatagramProtocol):
    """The name server.

    Parameters
    ----------
    known : gives the names that the machine of an address may ask for.
    outside : name server for all other names; None when there is no outside.
    """

    def __init__(self, known: Callable[[str], Mapping[str, str]], outside: str | None) -> None:
        self._known = known
        self._outside = outside
        self._transport: asyncio.DatagramTransport | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]  # of its kind
        """Keep what answers are sent by."""
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Answer, or ask outside."""
        reply = names.answer(data, self._known(addr[0]), forward=self._outside is not None)
        if reply is not None:
            self._send(reply, addr)
        elif self._outside is not None and len(data) >= 12 and len(self._tasks) < _ASKED_OUTSIDE_AT_ONCE:
            task = asyncio.get_running_loop().create_task(self._ask(data, addr, self._outside))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _ask(self, data: bytes, addr: tuple[str, int], outside: str) -> None:
        loop = asyncio.get_running_loop()
        kind = socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        with socket.socket(socket.AF_INET, kind) as asking, contextlib.suppress(OSError, TimeoutError):
            asking.connect((outside, 53))
            async with asyncio.timeout(_ASKED_OUTSIDE_S):
                await loop.sock_sendall(asking, data)
                reply = await loop.sock_recv(asking, 65535)
            if reply[:2] == data[:2]:
                self._send(reply, addr)

    def _send(self, reply: bytes, addr: tuple[str, int]) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.sendto(reply, addr)


async def relay(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    to_reader: asyncio.StreamReader,
    to_writer: asyncio.StreamWriter,
) -> None:
    """Carry bytes both ways until the far side has closed."""

    async def carry(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while data := await source.read(65536):
            target.write(data)
            await target.drain()
        if target.can_write_eof():
            target.write_eof()

    asking = asyncio.create_task(carry(reader, to_writer))
    try:
        await carry(to_reader, writer)
    finally:
        asking.cancel()
        with contextlib.suppress(asyncio.CancelledError, OSError):
            await asking
        to_writer.close()
