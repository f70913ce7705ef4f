"""The local cloud's usual port, kept from all clouds of the tests: several run at once, and only one could have it."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

from educloud_lab.localcloud.settings import DEFAULT_PORT


@contextlib.contextmanager
def usual_port_taken() -> Iterator[None]:
    """Hold the port while tests run; that another worker holds it already does as well."""
    with socket.socket() as held:
        # Else what is left of connections to a cloud that had it would keep this socket, and no cloud, from it.
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):
            held.bind(("127.0.0.1", DEFAULT_PORT))
            held.listen()
        yield
