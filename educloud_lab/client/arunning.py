"""A command on a machine, in an event loop: pieces of output as they come, an interrupt, and its end.

`client.running` is the same for code without one.
"""

from __future__ import annotations

import asyncio
import codecs
import contextlib
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Self

from pydantic import ValidationError

from educloud_lab.client.errors import ServerUnreachableError, error_of
from educloud_lab.client.find import Server
from educloud_lab.client.hints import hint_of
from educloud_lab.client.sockets import RestedTooLongError, WorkSocket, pool
from educloud_lab.domain.errors import EducloudError
from educloud_lab.wire.run import STREAMS, TO_KERNEL, RunAck, RunEnded, RunFailed, RunRequest, RunSignal, RunStarted

ACK_BYTES = 64 * 1024
_TAIL_CHARACTERS = 2048
LADDER: tuple[Literal["INT", "TERM", "KILL"], ...] = ("INT", "TERM", "KILL")
"""What interrupts send, one after the other."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Some output. `size_bytes` is to be acknowledged when it has been taken."""

    stream: str
    text: str
    size_bytes: int


class AsyncRunning:
    """A command that runs. Iterate it for (stream, text); leaving the iteration early does not end it, `close` does.

    Parameters
    ----------
    server, lease_id : on which machine.
    request : what is run.
    """

    def __init__(self, server: Server, lease_id: str, request: RunRequest) -> None:
        self._server = server
        self._lease_id = lease_id
        self._request = request
        self._socket: WorkSocket | None = None
        self._decoders = {code: codecs.getincrementaldecoder("utf-8")(errors="replace") for code in STREAMS}
        self._owed_bytes = 0
        self._taken_bytes = 0
        self._step = 0
        self._tail = ""
        self._reading = asyncio.Lock()
        self.ended: RunEnded | None = None
        self.run_id: str | None = None

    async def begin(self, *, fresh: bool = False) -> None:
        """Ask for it. Raises what the server refuses with, or that it does not answer."""
        self._socket = await pool().get(self._server, self._lease_id, "run", fresh=fresh)
        try:
            await self._socket.send(self._request.model_dump_json())
        except RestedTooLongError:
            await self.begin(fresh=True)

    @property
    def hint(self) -> str:
        """What to do when it failed because it wanted to be typed into; '' otherwise."""
        return "" if self.ended is None else hint_of(self.ended.exit_status, self._tail)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> tuple[str, str]:
        await self.acknowledge(self._taken_bytes)
        self._taken_bytes = 0
        piece = await self.next()
        if piece is None:
            raise StopAsyncIteration
        self._taken_bytes = piece.size_bytes
        return piece.stream, piece.text

    async def next(self) -> Piece | None:
        """Return the next output, None after the end; the caller acknowledges it.

        Raises
        ------
        EducloudError
            It was refused, or the connection was lost on the way; says which.
        """
        async with self._reading:
            while self._socket is not None:
                try:
                    frame = await self._socket.receive()
                except RestedTooLongError:
                    await self.begin(fresh=True)
                    continue
                except ServerUnreachableError:
                    self._socket = None
                    raise
                piece = self._data(frame) if isinstance(frame, bytes) else self._control(frame)
                if piece is not None:
                    self._tail = (self._tail + piece.text)[-_TAIL_CHARACTERS:]
                    return piece
        return None

    def _data(self, frame: bytes) -> Piece | None:
        text = self._decoders[frame[0]].decode(frame[1:])
        return Piece(STREAMS[frame[0]], text, len(frame) - 1)

    def _control(self, frame: str) -> Piece | None:
        assert self._socket is not None
        try:
            message = TO_KERNEL.validate_json(frame)
        except ValidationError:
            raise ServerUnreachableError(
                "The server gave an answer that is none of ours.",
                next_step="Install the same version of educloud-lab beside the server and beside the kernel.",
            ) from None  # its words quote the answer
        if isinstance(message, RunStarted):
            self.run_id = message.run_id
            if message.run_id is None:
                return None
        socket, self._socket = self._socket, None
        socket.rest()
        if isinstance(message, RunFailed):
            problem = message.error
            raise error_of(problem.code, problem.what, problem.kept, problem.next_step)
        if isinstance(message, RunEnded):
            self.ended = message
            for code, decoder in self._decoders.items():
                if text := decoder.decode(b"", final=True):  # half a character
                    return Piece(STREAMS[code], text, 0)
        return None

    async def acknowledge(self, size_bytes: int) -> None:
        """Say that so much output was taken; the server hears it in larger portions."""
        self._owed_bytes += size_bytes
        if self._owed_bytes >= ACK_BYTES and self._socket is not None:
            owed, self._owed_bytes = self._owed_bytes, 0
            with contextlib.suppress(ServerUnreachableError):  # the next reading tells it
                await self._socket.send(RunAck(size_bytes=owed).model_dump_json())

    async def interrupt(self) -> None:
        """Stop it there, with all that it started: asked to (SIGINT), then told to (SIGTERM), then killed."""
        name = LADDER[min(self._step, len(LADDER) - 1)]
        self._step += 1
        await self.signal(name)

    async def signal(self, name: Literal["INT", "TERM", "KILL"]) -> None:
        """Send a signal; without effect after the end."""
        if self._socket is not None:
            with contextlib.suppress(ServerUnreachableError):
                await self._socket.send(RunSignal(signal=name).model_dump_json())

    async def wait(self) -> RunEnded:
        """Return how it ended; output that was not taken before is dropped. Raises as `next`."""
        async for _ in self:
            pass
        if self.ended is None:
            raise without_end()
        return self.ended

    async def close(self) -> None:
        """Let it go: when it still runs, it is ended on the machine. Repeatable."""
        socket, self._socket = self._socket, None
        if socket is not None:
            await socket.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


async def abegin(server: Server, lease_id: str, request: RunRequest) -> AsyncRunning:
    """Begin a command on the machine of a lease.

    Raises
    ------
    ServerUnreachableError
        The Jupyter server does not answer.
    EducloudError
        It refused.
    """
    running = AsyncRunning(server, lease_id, request)
    await running.begin()
    return running


async def abegin_background(server: Server, lease_id: str, request: RunRequest) -> str:
    """Begin a command that goes on by itself, and return its name; `leases/<id>/runs` lists, shows and ends them.

    Raises as `abegin`, and what the machine refuses with.
    """
    running = await abegin(server, lease_id, request.model_copy(update={"background": True}))
    async with running:
        async for _ in running:
            pass
    if running.run_id is None:
        raise without_end()
    return running.run_id


def without_end() -> EducloudError:
    """Return the error for a command whose end was not waited for."""
    return ServerUnreachableError(
        "It is not known how the command ended: it was let go before.",
        kept="What it did until then is on the machine.",
    )
