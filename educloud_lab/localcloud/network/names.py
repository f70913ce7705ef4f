"""The name server's answers about machines: a machine may ask for those of its own owner, others are not there."""

from __future__ import annotations

import struct
from collections.abc import Mapping

DOMAIN = "lab.internal"
TTL_S = 5
_A, _PTR, _IN = 1, 12, 1
_NXDOMAIN, _REFUSED, _FORMAT = 3, 5, 1


def answer(query: bytes, known: Mapping[str, str], *, forward: bool) -> bytes | None:
    """Answer one question (RFC 1035); None when it is to be asked outside.

    Parameters
    ----------
    known : name -> address of the asker's own machines.
    forward : whether what is not known here may be asked outside; else it does not exist.
    """
    question = _question(query)
    if question is None:
        return None if len(query) < 12 or query[2] & 0x80 else _reply(query, 12, _FORMAT, b"")
    name, kind, end = question
    label = name.removesuffix(f".{DOMAIN}")
    if label in known:
        record = bytes(map(int, known[label].split("."))) if kind == _A else None
        return _reply(query, end, 0, _record(_A, record) if record else b"")
    if name.endswith(".in-addr.arpa"):
        address = ".".join(reversed(name.removesuffix(".in-addr.arpa").split(".")))
        names = [found for found, place in known.items() if place == address]
        if names:
            return _reply(query, end, 0, _record(_PTR, _encode(f"{names[0]}.{DOMAIN}")) if kind == _PTR else b"")
    if forward and "." in name and not name.endswith((f".{DOMAIN}", ".in-addr.arpa")):
        return None
    return _reply(query, end, _NXDOMAIN, b"")


def _question(query: bytes) -> tuple[str, int, int] | None:
    """Give name, type and end of the only question; None for anything else."""
    if len(query) < 17 or query[2] & 0xF8 or query[4:6] != b"\0\1":  # an answer, another operation, not one question
        return None
    labels, position = [], 12
    while position < len(query) and query[position]:
        length = query[position]
        if length > 63:
            return None
        labels.append(query[position + 1 : position + 1 + length].decode("ascii", "replace").lower())
        position += 1 + length
    if position + 5 > len(query):
        return None
    kind, form = struct.unpack_from("!HH", query, position + 1)
    return (".".join(labels), kind, position + 5) if form == _IN else None


def _reply(query: bytes, end: int, code: int, record: bytes) -> bytes:
    # Authoritative, recursion available: resolvers that see neither complain.
    flags = 0x8480 | (query[2] & 1) << 8 | code
    counts = struct.pack("!HHHH", 1 if end > 12 else 0, 1 if record else 0, 0, 0)
    return query[:2] + struct.pack("!H", flags) + counts + query[12:end] + record


def _record(kind: int, data: bytes) -> bytes:
    return struct.pack("!HHHIH", 0xC00C, kind, _IN, TTL_S, len(data)) + data


def _encode(name: str) -> bytes:
    return b"".join(bytes([len(label)]) + label.encode("ascii") for label in name.split(".")) + b"\0"
