"""Routes: where a permitted destination is really reached from here, when its private address is not."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from educloud_lab.gateway import files
from educloud_lab.gateway.addresses import Destination, parse_destination
from educloud_lab.gateway.errors import RoutesError

MAX_ROUTES_BYTES = 4 * 1024 * 1024


def parse_routes(text: str) -> dict[Destination, Destination]:
    """Parse ``{"172.16.77.5:22": "127.0.0.1:40123", ...}``.

    Raises
    ------
    RoutesError
        When it is not such an object or one end is not a plain ``ADDRESS:PORT``.
    """
    try:
        pairs = json.loads(text, object_pairs_hook=tuple)
    except ValueError as exc:
        raise RoutesError(f"the routes are not a JSON text: {exc}; the former routes stay") from exc
    if not isinstance(pairs, tuple):  # an object became a tuple of pairs, which shows repeated names too
        raise RoutesError("the routes are not a JSON object; the former routes stay")
    routes: dict[Destination, Destination] = {}
    for source, target in pairs:
        if not isinstance(target, str):
            raise RoutesError(f"the route of {source[:80]!r} is not a text; the former routes stay")
        try:
            destination, reached = parse_destination(source), parse_destination(target)
        except ValueError as exc:
            raise RoutesError(f"a route is wrong: {exc}; the former routes stay") from exc
        if destination in routes:
            raise RoutesError(f"{destination} has two routes; the former routes stay")
        routes[destination] = reached
    return routes


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
