"""Reading QEMU's ``info usernet``: text for people, and the only place where forwarded ports can be seen."""

from __future__ import annotations

import re
from dataclasses import dataclass

_FORWARD = re.compile(
    r"^\s*(?P<protocol>TCP|UDP)\[HOST_FORWARD\]\s+\S+\s+"
    r"(?P<host>[\d.*]+)\s+(?P<host_port>\d+)\s+(?P<guest>[\d.*]+)\s+(?P<guest_port>\d+)\s"
)


@dataclass(frozen=True, slots=True)
class Forward:
    """One listening port of the host that leads to a port of the machine."""

    protocol: str
    host: str
    host_port: int
    guest: str
    guest_port: int


def parse_forwards(text: str) -> list[Forward]:
    """Give the forwards in the answer of ``info usernet`` (state ``HOST_FORWARD``); other lines are ignored."""
    found: list[Forward] = []
    for line in text.splitlines():
        match = _FORWARD.match(line)
        if match:
            found.append(
                Forward(
                    protocol=match["protocol"].lower(),
                    host=match["host"],
                    host_port=int(match["host_port"]),
                    guest=match["guest"],
                    guest_port=int(match["guest_port"]),
                )
            )
    return found
