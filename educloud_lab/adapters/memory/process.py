"""A program on a machine in memory: a handful of the usual ones, just enough for the port's contract."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from educloud_lab.ports.shell import Stream

_PIPE_BYTES = 128 * 1024


class MemoryProcess:
    """One of ``echo``, ``cat``, ``false``, ``yes`` and ``sleep``; anything else is not found.

    Parameters
    ----------
    command : the program and its arguments.
    cut : set when the connection has gone.
    """

    def __init__(self, command: list[str], cut: asyncio.Event) -> None:
        self._cut = cut
        self._output: asyncio.Queue[tuple[Stream, bytes]] = asyncio.Queue(1)
        self._input: asyncio.Queue[bytes] = asyncio.Queue(2)
        self._input_ended = False
        self._status: int | None = None
        program = _PROGRAMS.get(command[0], _missing)
        self._task = asyncio.create_task(self._run(program, command[1:]))
        self._watch = asyncio.create_task(self._lose())

    async def _run(self, program: _Program, arguments: list[str]) -> None:
        self._status = await program(self, arguments)
        self._watch.cancel()

    async def _lose(self) -> None:
        await self._cut.wait()
        self._task.cancel()

    async def put(self, stream: Stream, data: bytes) -> None:
        """Write as the program; waits while nobody reads."""
        for at in range(0, len(data), _PIPE_BYTES):
            await self._output.put((stream, data[at : at + _PIPE_BYTES]))

    async def take(self) -> bytes:
        """Read as the program; b'' at the end."""
        return b"" if self._input_ended and self._input.empty() else await self._input.get()

    async def read(self) -> tuple[Stream, bytes]:
        """Return the next output; b'' after the end."""
        while self._output.empty() and not self._task.done():
            reading = asyncio.ensure_future(self._output.get())
            try:
                await asyncio.wait({reading, self._task}, return_when=asyncio.FIRST_COMPLETED)
                if reading.done():
                    return reading.result()
            finally:
                reading.cancel()
        return ("stdout", b"") if self._output.empty() else self._output.get_nowait()

    async def write(self, data: bytes) -> None:
        """Send input; dropped after the end."""
        if self._task.done() or self._input_ended or not data:
            return
        putting = asyncio.ensure_future(self._input.put(data))
        await asyncio.wait({putting, self._task}, return_when=asyncio.FIRST_COMPLETED)
        putting.cancel()

    def write_eof(self) -> None:
        """End its input."""
        if not self._input_ended:
            self._input_ended = True
            if self._input.empty():
                self._input.put_nowait(b"")

    @property
    def exit_status(self) -> int | None:
        """Exit status; None before the end, and when the connection has gone."""
        return self._status

    @property
    def exit_signal(self) -> str:
        """No program of these is ended by a signal."""
        return ""

    async def close(self) -> None:
        """Let it go."""
        self._task.cancel()
        self._watch.cancel()
        await asyncio.gather(self._task, self._watch, return_exceptions=True)
        while not self._output.empty():
            self._output.get_nowait()


_Program = Callable[[MemoryProcess, list[str]], Awaitable[int]]


async def _echo(process: MemoryProcess, arguments: list[str]) -> int:
    await process.put("stdout", " ".join(arguments).encode() + b"\n")
    return 0


async def _cat(process: MemoryProcess, arguments: list[str]) -> int:
    while data := await process.take():
        await process.put("stdout", data)
    return 0


async def _yes(process: MemoryProcess, arguments: list[str]) -> int:
    while True:
        await process.put("stdout", b"y\n" * 32768)


async def _false(process: MemoryProcess, arguments: list[str]) -> int:
    return 1


async def _sleep(process: MemoryProcess, arguments: list[str]) -> int:
    await asyncio.Event().wait()
    return 0


async def _missing(process: MemoryProcess, arguments: list[str]) -> int:
    await process.put("stderr", b"not found\n")
    return 127


_PROGRAMS: dict[str, _Program] = {"echo": _echo, "cat": _cat, "yes": _yes, "false": _false, "sleep": _sleep}
