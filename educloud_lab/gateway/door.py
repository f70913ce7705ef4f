"""A door: a unix socket whose owner gives a way to a private address, one connection at a time.

The gateway writes ``{"connect": "172.16.77.5:80"}`` and a line break. The answer is one line of JSON:

- ``{"socket": true}`` together with a descriptor (``SCM_RIGHTS``): a fresh TCP socket that belongs to the private
  network, which the gateway itself connects to the destination. Bytes never pass through the door's owner, and a
  session outlives it.
- ``{"address": "127.0.0.1:40123"}``: dial this instead.
- ``{"error": "..."}``: there is no way; the text says why.
"""

from __future__ import annotations

import asyncio
import errno
import json
import os
import socket
from collections.abc import Callable
from contextlib import suppress

from educloud_lab.gateway.addresses import Destination, parse_destination
from educloud_lab.gateway.routes import Door, Place

_ANSWER_BYTES = 4096


class DoorError(OSError):
    """The door gives no way; `strerror` says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(errno.EHOSTUNREACH, reason)


async def connect(place: Place, destination: Destination, factory: Callable[[], asyncio.Protocol]) -> None:
    """Connect to `destination`, which is reached at `place`. There is no time limit here: the caller has one.

    Raises
    ------
    OSError
        When it refuses or cannot be reached.
    """
    loop = asyncio.get_running_loop()
    if isinstance(place, Destination):
        await loop.create_connection(factory, place.address, place.port)
        return
    way = await _knock(place, destination)
    if isinstance(way, Destination):
        await loop.create_connection(factory, way.address, way.port)
        return
    try:
        way.setblocking(False)
        await loop.sock_connect(way, destination)
        await loop.create_connection(factory, sock=way)
    except BaseException:
        way.close()
        raise


async def _knock(door: Door, destination: Destination) -> socket.socket | Destination:
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC) as asking:
        try:
            await loop.sock_connect(asking, str(door.path))
        except (FileNotFoundError, ConnectionRefusedError) as exc:
            raise DoorError("the network's own service does not run; `educloud cloud start` starts it") from exc
        await loop.sock_sendall(asking, json.dumps({"connect": str(destination)}).encode() + b"\n")
        text, handle = await _answer(asking)
    try:
        answer = json.loads(text)
        if answer.get("socket") and handle >= 0:
            way = socket.socket(fileno=handle)
            handle = -1
            return way
        if "address" in answer:
            return parse_destination(str(answer["address"]))
        raise DoorError(str(answer.get("error", "the network gave no way"))[:200])
    except (ValueError, AttributeError) as exc:
        raise DoorError("the network's answer was not understood") from exc
    finally:
        if handle >= 0:
            os.close(handle)


async def _answer(asking: socket.socket) -> tuple[bytes, int]:
    """Read one line and at most one descriptor (-1 for none)."""
    loop = asyncio.get_running_loop()
    text, handle = b"", -1
    try:
        while b"\n" not in text:
            await _readable(loop, asking)
            with suppress(BlockingIOError):
                data, handles, _, _ = socket.recv_fds(asking, _ANSWER_BYTES, 1)
                for found in handles:
                    if handle >= 0:
                        os.close(found)
                    else:
                        handle = found
                if not data or len(text) > _ANSWER_BYTES:
                    raise DoorError("the network's own service ended before it answered")
                text += data
    except BaseException:
        if handle >= 0:
            os.close(handle)
        raise
    return text.partition(b"\n")[0], handle


async def _readable(loop: asyncio.AbstractEventLoop, waiting: socket.socket) -> None:
    ready: asyncio.Future[None] = loop.create_future()

    def tell() -> None:
        if not ready.done():
            ready.set_result(None)

    loop.add_reader(waiting, tell)
    try:
        await ready
    finally:
        loop.remove_reader(waiting)
