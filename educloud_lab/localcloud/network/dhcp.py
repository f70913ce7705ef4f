"""The DHCP server's answers: no leases, no state. Who asks is known by the card on which the question came.

A general server (dnsmasq was tried) knows machines by the address that they claim for their card, keeps leases in a
file and has to be told of each new machine; here one card has one address for good, which is all there is to know.
"""

from __future__ import annotations

import ipaddress
import struct

SERVER_PORT, CLIENT_PORT = 67, 68
_COOKIE = b"\x63\x82\x53\x63"
_HEADER = struct.Struct("!BBBBIHH4s4s4s4s16s64s128s")  # RFC 2131, section 2
_REQUEST, _REPLY = 1, 2
_DISCOVER, _OFFER, _ASK, _ACK, _NAK, _INFORM = 1, 2, 3, 5, 6, 8
_MASK, _ROUTER, _NAMES, _WANTED, _LEASE, _TYPE, _SERVER = 1, 3, 6, 50, 51, 53, 54
LEASE_S = 86_400


def answer(packet: bytes, address: str, network: str) -> bytes | None:
    """Answer a client that sits on the card of ``address``; None for what is no question.

    Parameters
    ----------
    packet : the payload of the client's datagram.
    network : the machines' network; its first address is router and name server.
    """
    if len(packet) < _HEADER.size + 4 or packet[_HEADER.size : _HEADER.size + 4] != _COOKIE:
        return None
    fields = _HEADER.unpack_from(packet)
    operation, kind, length, xid, flags, client, hardware = (*fields[:3], fields[4], fields[6], fields[7], fields[11])
    if (operation, kind, length) != (_REQUEST, 1, 6):
        return None
    options = _options(packet[_HEADER.size + 4 :])
    asked = options.get(_TYPE, b"\0")[0] if options.get(_TYPE) else 0
    inside = ipaddress.IPv4Network(network)
    router, given = (inside.network_address + 1).packed, ipaddress.IPv4Address(address).packed
    if asked not in (_DISCOVER, _ASK, _INFORM) or options.get(_SERVER, router) != router:
        return None
    wanted = options.get(_WANTED, client if client != bytes(4) else given)
    said = {_DISCOVER: _OFFER, _INFORM: _ACK, _ASK: _ACK if wanted == given else _NAK}[asked]
    yours = bytes(4) if said == _NAK or asked == _INFORM else given
    head = _HEADER.pack(_REPLY, 1, 6, 0, xid, 0, flags, client, yours, router, bytes(4), hardware, b"", b"")
    found = [(_TYPE, bytes([said])), (_SERVER, router)]
    if said != _NAK:
        found += [(_MASK, inside.netmask.packed), (_ROUTER, router), (_NAMES, router)]
        if asked != _INFORM:
            found.append((_LEASE, struct.pack("!I", LEASE_S)))
    body = b"".join(bytes([code, len(value)]) + value for code, value in found) + b"\xff"
    return (head + _COOKIE + body).ljust(300, b"\0")  # some clients drop what is shorter than BOOTP's 300 bytes


def _options(data: bytes) -> dict[int, bytes]:
    options: dict[int, bytes] = {}
    position = 0
    while position < len(data) and data[position] != 255:
        if data[position] == 0:
            position += 1
            continue
        if position + 2 > len(data):
            break
        code, length = data[position], data[position + 1]
        value = data[position + 2 : position + 2 + length]
        if len(value) == length:
            options.setdefault(code, value)
        position += 2 + length
    return options
