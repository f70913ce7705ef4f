"""Routes: where a permitted destination is really reached from here, when its private address is not.

A routes file is one JSON object. From a destination, or a range of ports, to where it is reached::

    {
      "172.16.77.5:22": "127.0.0.1:40123",
      "172.16.77.5:80": "unix:/run/user/1000/educloud-1a2b3c4d/door.sock",
      "172.16.77.6:1-1023": "unix:/run/user/1000/educloud-1a2b3c4d/net/net.sock",
      "172.16.77.6:*": "closed"
    }

``unix:`` names a door (:mod:`educloud_lab.gateway.door`), asked at each connection. ``closed`` says that the machine is
known and its other ports are not to be reached, so that a refusal can say which of the two it is.
"""

from __future__ import annotations

import itertools
import json
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from educloud_lab.gateway import files
from educloud_lab.gateway.addresses import Destination, parse_address, parse_destination
from educloud_lab.gateway.errors import RoutesError

MAX_ROUTES_BYTES = 4 * 1024 * 1024
CLOSED = "closed"
_DOOR = "unix:"


@dataclass(frozen=True)
class Door:
    """A unix socket that gives a way to one destination at a time."""

    path: Path

    def __str__(self) -> str:
        return f"{_DOOR}{self.path}"


Place = Destination | Door
"""Where a destination is reached: dialled, or asked for at a door."""


@dataclass(frozen=True)
class Routes:
    """Every route in force.

    Attributes
    ----------
    exact : mapping of Destination to Place
        Single destinations; they win over ranges.
    ranges : mapping of str to sequence of (int, int, Place)
        By address: first and last port and the place, in order, not overlapping.
    closed : frozenset of str
        Addresses whose other ports are not to be reached, not even directly.
    """

    exact: Mapping[Destination, Place] = field(default_factory=dict)
    ranges: Mapping[str, tuple[tuple[int, int, Place], ...]] = field(default_factory=dict)
    closed: frozenset[str] = frozenset()

    def __len__(self) -> int:
        return len(self.exact) + sum(map(len, self.ranges.values()))

    def find(self, destination: Destination) -> Place | None:
        """Return where `destination` is reached; None without a route."""
        if (place := self.exact.get(destination)) is not None:
            return place
        ranges = self.ranges.get(destination.address, ())
        index = bisect_right(ranges, destination.port, key=lambda entry: entry[0]) - 1
        if index >= 0 and destination.port <= ranges[index][1]:
            return ranges[index][2]
        return None


def parse_routes(text: str) -> Routes:
    """Parse a routes file's text.

    Raises
    ------
    RoutesError
        When it is not such an object, one end is not understood, or two routes contradict each other.
    """
    try:
        pairs = json.loads(text, object_pairs_hook=tuple)
    except ValueError as exc:
        raise RoutesError(f"the routes are not a JSON text: {exc}; the former routes stay") from exc
    if not isinstance(pairs, tuple):  # an object became a tuple of pairs, which shows repeated names too
        raise RoutesError("the routes are not a JSON object; the former routes stay")
    exact: dict[Destination, Place] = {}
    ranges: dict[str, list[tuple[int, int, Place]]] = {}
    closed: set[str] = set()
    for source, target in pairs:
        if not isinstance(target, str):
            raise RoutesError(f"the route of {source[:80]!r} is not a text; the former routes stay")
        address, _, ports = source.rpartition(":")
        try:
            if ports == "*" or target == CLOSED:
                if (ports, target) != ("*", CLOSED):
                    raise ValueError(f"{source[:80]!r}: '*' and 'closed' come together")
                closed.add(parse_address(address))
            elif "-" in ports:
                first, last = (parse_destination(f"{address}:{port}") for port in ports.split("-", 1))
                if first.port > last.port:
                    raise ValueError(f"{source[:80]!r} is no range of ports")
                ranges.setdefault(first.address, []).append((first.port, last.port, _place(target, single=False)))
            else:
                destination = parse_destination(source)
                if destination in exact:
                    raise ValueError(f"{destination} has two routes")
                exact[destination] = _place(target, single=True)
        except ValueError as exc:
            raise RoutesError(f"a route is wrong: {exc}; the former routes stay") from exc
    for address, found in ranges.items():
        found.sort(key=lambda entry: entry[:2])
        for before, after in itertools.pairwise(found):
            if after[0] <= before[1]:
                raise RoutesError(f"ports of {address} have two routes; the former routes stay")
    return Routes(exact, {address: tuple(found) for address, found in ranges.items()}, frozenset(closed))


def write_routes(path: Path, routes: Mapping[str, str]) -> None:
    """Check and write a routes file, atomically.

    Raises
    ------
    RoutesError
        When a route is wrong; the file is unchanged.
    OSError
        When it cannot be written.
    """
    text = json.dumps(dict(routes), indent=1, sort_keys=True) + "\n"
    parse_routes(text)
    files.write_atomically(path, text)


def _place(target: str, *, single: bool) -> Place:
    if target.startswith(_DOOR):
        path = Path(target.removeprefix(_DOOR))
        if not path.is_absolute() or "\0" in target:
            raise ValueError(f"{target[:120]!r} does not name a socket by its whole path")
        return Door(path)
    if not single:
        raise ValueError(f"a range of ports leads to a door (unix:/...), not to {target[:80]!r}")
    return parse_destination(target)
