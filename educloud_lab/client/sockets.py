"""Websockets to the Jupyter server, kept for the next command: a handshake costs more than a short command.

One that has done its work rests for a minute, one for each machine and purpose as needed, in the loop that made it.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Coroutine
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

from pydantic import ValidationError
from websockets.asyncio.client import ClientConnection, connect, unix_connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI
from websockets.protocol import State

from educloud_lab.client.errors import ServerUnreachableError, error_of
from educloud_lab.client.find import Server
from educloud_lab.domain.errors import EducloudError
from educloud_lab.wire import models as wire

PREFIX = "educloud/api/v1/"
REST_S = 60.0
OPEN_S = 30.0
_MAX_FRAME_BYTES = 1024 * 1024
_POLITE = 1000

_Key = tuple[Server, str]


class RestedTooLongError(ServerUnreachableError):
    """The server closed a socket that rested, just as it was taken up again: nothing was done."""


class WorkSocket:
    """A websocket that does one piece of work at a time.

    Parameters
    ----------
    pool : where it rests.
    key : server and path.
    connection : the open websocket.
    """

    def __init__(self, pool: Pool, key: _Key, connection: ClientConnection) -> None:
        self._pool = pool
        self._key = key
        self._connection = connection
        self._silent = True
        self._rests = False
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_open(self) -> bool:
        """Whether it can be written to."""
        return self._connection.state is State.OPEN

    async def send(self, message: str | bytes) -> None:
        """Send a frame; waits while the server takes none.

        Raises
        ------
        ServerUnreachableError
            It is closed.
        """
        try:
            await self._connection.send(message)
        except ConnectionClosed as error:
            raise self._gone(error) from error

    async def receive(self) -> str | bytes:
        """Return the next frame. Raises as `send`."""
        try:
            frame: str | bytes = await self._connection.recv()
        except ConnectionClosed as error:
            raise self._gone(error) from error
        self._silent = False
        return frame

    def rest(self) -> None:
        """Keep it for the next piece of work."""
        self._silent = self._rests = True
        self._pool.keep(self._key, self)
        self._timer = asyncio.get_running_loop().call_later(REST_S, self._tire)

    def wake(self) -> None:
        """Take it up again."""
        self._rests = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tire(self) -> None:
        self._pool.forget(self._key, self)
        self._pool.later(self.close())

    async def close(self) -> None:
        """End it; what it did is ended with it. Repeatable."""
        rests = self._rests
        self.wake()
        self._pool.forget(self._key, self)
        if rests:
            await self._connection.close()
        else:  # what the server still sends is not waited for
            self._connection.transport.abort()

    def _gone(self, error: ConnectionClosed) -> EducloudError:
        closing = error.rcvd
        if self._silent and closing is not None and closing.code == _POLITE:
            return RestedTooLongError("The server ended a connection that was not used for long.")
        reason = f": {closing.reason}" if closing is not None and closing.reason else "."
        return ServerUnreachableError(
            f"The connection to the Jupyter server has ended{reason}",
            kept="What ran on the machine through it is ended there; files on it are as they were left.",
            next_step="See that the server runs, then run it again.",
        )


class Pool:
    """All sockets of one event loop."""

    def __init__(self) -> None:
        self._resting: dict[_Key, list[WorkSocket]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def get(self, server: Server, lease_id: str, purpose: str, *, fresh: bool = False) -> WorkSocket:
        """Return a socket: one that rested, or a new one.

        Raises
        ------
        ServerUnreachableError
            The server does not answer.
        EducloudError
            It refused.
        """
        key = (server, f"{PREFIX}leases/{quote(lease_id, safe='')}/{purpose}")
        resting = self._resting.get(key, [])
        while resting and not fresh:
            found = resting.pop()
            found.wake()
            if found.is_open:
                return found
        return WorkSocket(self, key, await _open(*key))

    def keep(self, key: _Key, socket: WorkSocket) -> None:
        """Let a socket rest."""
        self._resting.setdefault(key, []).append(socket)

    def forget(self, key: _Key, socket: WorkSocket) -> None:
        """Let it go."""
        if socket in (resting := self._resting.get(key, [])):
            resting.remove(socket)

    async def close(self, server: Server | None = None) -> None:
        """End all that rest, or those to one server. Repeatable."""
        resting = [each for key, found in self._resting.items() if server in (None, key[0]) for each in found]
        for socket in resting:
            await socket.close()

    def later(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something in the background."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


_pools: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Pool] = weakref.WeakKeyDictionary()


def pool() -> Pool:
    """Return the pool of the running loop."""
    loop = asyncio.get_running_loop()
    if loop not in _pools:
        # A loop that has ended closes nothing any more, and what rests in its pool would keep it for ever.
        for ended in [each for each in _pools if each.is_closed()]:
            del _pools[ended]
    return _pools.setdefault(loop, Pool())


async def _open(server: Server, path: str) -> ClientConnection:
    parts = urlsplit(server.url)
    url = urlunsplit(("wss" if parts.scheme == "https" else "ws", parts.netloc, parts.path + path, "", ""))
    options: dict[str, Any] = {
        "additional_headers": {"Authorization": f"token {server.token}"} if server.token else {},
        "compression": None,  # between processes of one computer it only costs
        "max_size": _MAX_FRAME_BYTES,
        "open_timeout": OPEN_S,
        "proxy": None,  # one of the environment knows nothing of our loopback, and must not see tokens
    }
    try:
        if server.socket:
            return await unix_connect(server.socket, url, **options)
        return await connect(url, **options)
    except InvalidStatus as error:
        try:
            problem = wire.ErrorReply.model_validate_json(error.response.body or b"").error
        except ValidationError:
            raise ServerUnreachableError(
                f"What was asked, {server.name}, does not know how to run commands"
                f" (HTTP {error.response.status_code}).",
                next_step="Install the same version of educloud-lab beside the server and beside the kernel, then"
                " restart the server, not the kernel.",
                server=server,
            ) from None
        raise error_of(problem.code, problem.what, problem.kept, problem.next_step) from error
    except (OSError, InvalidHandshake, InvalidURI, ConnectionClosed) as error:  # TimeoutError is an OSError
        raise ServerUnreachableError.silent(server, error) from None
