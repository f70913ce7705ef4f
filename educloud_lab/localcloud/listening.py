"""Choosing the loopback port of the API."""

from __future__ import annotations

import errno
import socket

from educloud_lab.localcloud.errors import PortTakenError
from educloud_lab.localcloud.settings import DEFAULT_PORT

HOST = "127.0.0.1"


def bind(asked: int | None, last: int | None) -> socket.socket:
    """Return a listening socket on the loopback; raises :class:`PortTakenError` for a port that was asked for."""
    if asked is not None and not 0 <= asked <= 65535:
        raise PortTakenError(f"{asked} is not a port (0 to 65535). Nothing was started. Choose another with --port.")
    candidates = [asked] if asked is not None else [*([last] if last else []), DEFAULT_PORT, 0]
    for port in dict.fromkeys(candidates):
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
            listener.listen(128)
        except OSError as error:
            listener.close()
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise
            if asked is not None:
                raise PortTakenError(
                    f"Port {asked} is taken by another program (or not allowed). Nothing was started. Choose another"
                    " with --port, or leave it out and a free one is taken."
                ) from error
            continue
        listener.setblocking(False)
        return listener
    raise PortTakenError("No port is free on the loopback interface. Nothing was started.")
