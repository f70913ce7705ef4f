"""Destinations: an IPv4 address and a port, written in exactly one way so that comparing text is comparing places."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import NamedTuple

_PORT = re.compile(r"[1-9][0-9]{0,4}", re.ASCII)


class Destination(NamedTuple):
    """Where a forward may go.

    Attributes
    ----------
    address : str
        A normalised dotted IPv4 address, e.g. ``172.16.77.5``.
    port : int
        1 to 65535.
    """

    address: str
    port: int

    def __str__(self) -> str:
        return f"{self.address}:{self.port}"


@dataclass(frozen=True)
class Permitted:
    """A set of destinations; an address may be permitted with every port.

    Attributes
    ----------
    destinations : frozenset of Destination
        Single destinations.
    addresses : frozenset of str
        Addresses of which every port is permitted.
    """

    destinations: frozenset[Destination] = frozenset()
    addresses: frozenset[str] = frozenset()

    def __contains__(self, destination: Destination) -> bool:
        return destination in self.destinations or destination.address in self.addresses

    def __bool__(self) -> bool:
        return bool(self.destinations or self.addresses)


def parse_address(text: str) -> str:
    """Return `text` if it is a normalised IPv4 address.

    Host names, IPv6 forms, leading zeros, trailing dots and spaces are refused: two spellings of one place
    would let a line that forbids one of them permit the other.

    Raises
    ------
    ValueError
        For anything else.
    """
    try:
        normal = str(ipaddress.IPv4Address(text))
    except ValueError:
        normal = ""
    if normal != text or not text:
        raise ValueError(f"{text[:80]!r} is not a plain IPv4 address such as 172.16.77.5")
    return text


def parse_destination(text: str) -> Destination:
    """Parse ``ADDRESS:PORT``, both in their only accepted spelling.

    Raises
    ------
    ValueError
        When either part is missing, spelt otherwise or out of range.
    """
    address, separator, port = text.rpartition(":")
    if not separator or not _PORT.fullmatch(port) or int(port) > 65535:
        raise ValueError(f"{text[:80]!r} is not ADDRESS:PORT such as 172.16.77.5:22")
    return Destination(parse_address(address), int(port))
