"""Runs on machines: begins them, lets their output flow no faster than it is taken, and ends them when nobody is there.

docs/explanation/how-a-cell-runs.md tells it in whole.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Literal

from educloud_lab.domain.errors import BadInputError, ConflictError, EducloudError
from educloud_lab.ports.shell import Process, Stream
from educloud_lab.server.errors import refusal_of
from educloud_lab.server.marks import Marks
from educloud_lab.server.run_scripts import command, script_input
from educloud_lab.server.run_service import RunService

if TYPE_CHECKING:  # pydantic is loaded at first use, not with the extension
    from educloud_lab.wire.run import RunRequest

AHEAD_BYTES = 1024 * 1024
"""So much output may be on its way to a kernel that has not said it took it."""

GRACE_S = 5.0
"""Between asking a script to end, at its limit, and killing it."""

_NOT_FOUND = 127
_CODES: dict[Stream, bytes] = {"stdout": b"\1", "stderr": b"\2"}

Signal = Literal["INT", "TERM", "KILL"]
SendText = Callable[[str], Awaitable[None]]
SendBytes = Callable[[bytes], Awaitable[None]]


class Run:
    """One script on one machine, for one reader.

    Parameters
    ----------
    service : see there.
    lease_id : whose machine.
    send_text, send_bytes : send one frame, and return when it has left this process.
    """

    def __init__(self, service: RunService, lease_id: str, send_text: SendText, send_bytes: SendBytes) -> None:
        self._service = service
        self._lease_id = lease_id
        self._send_text = send_text
        self._send_bytes = send_bytes
        self._process: Process | None = None
        self._ahead_bytes = 0
        self._room = asyncio.Event()
        self._room.set()
        self._why: Literal["", "interrupted", "limit"] = ""
        self._interrupted = asyncio.Event()
        self._writing: set[asyncio.Task[None]] = set()

    @property
    def ahead_bytes(self) -> int:
        """How much output was sent that nobody said they took."""
        return self._ahead_bytes

    def acknowledge(self, size_bytes: int) -> None:
        """Take the reader's word that so much was taken."""
        self._ahead_bytes = max(0, self._ahead_bytes - size_bytes)
        if self._ahead_bytes < AHEAD_BYTES:
            self._room.set()

    def signal(self, name: Signal) -> None:
        """Signal the script; before it has begun, it will not begin."""
        self._why = self._why or "interrupted"
        self._interrupted.set()
        self._write(name)

    def _write(self, word: str) -> None:
        if self._process is not None:
            task = asyncio.create_task(self._process.write(word.encode() + b"\n"))
            self._writing.add(task)
            task.add_done_callback(self._writing.discard)

    async def run(self, request: RunRequest) -> None:
        """Run it to its end; tells all that happens. Cancelled: what runs is ended on the machine."""
        from educloud_lab.wire.run import RunEnded

        if request.background:
            await self._run_by_itself(request)
            return
        began_s = time.monotonic()
        reporting = asyncio.create_task(self._service.keep_reporting(self._lease_id))
        try:
            exit_status = await self._run(request)
        except EducloudError as error:
            await self._send_text(failed(error))
        else:
            duration_s = time.monotonic() - began_s
            ended = RunEnded(exit_status=exit_status, why=self._why, duration_s=duration_s)
            await self._send_text(ended.model_dump_json())
        finally:
            reporting.cancel()

    async def _run_by_itself(self, request: RunRequest) -> None:
        from educloud_lab.server.background import begin
        from educloud_lab.wire.run import RunStarted

        self._service.report(self._lease_id)
        try:
            run_id = await begin(self._service, self._lease_id, request)
        except EducloudError as error:
            await self._send_text(failed(error))
        else:
            await self._send_text(RunStarted(run_id=run_id).model_dump_json())

    async def _run(self, request: RunRequest) -> int:
        from educloud_lab.wire.run import RunStarted

        nonce = secrets.token_hex(8)
        words = command(request.shell, nonce=nonce, folder=request.folder, keep=request.keep)
        process = await self._begin(words)
        over = False
        loop = asyncio.get_running_loop()
        timers: list[asyncio.TimerHandle] = []
        try:
            await process.write(script_input(request.script, request.environment))
            await self._send_text(RunStarted(run_id=None).model_dump_json())
            if request.limit_s is not None:
                timers.append(loop.call_later(request.limit_s, self._expire, "TERM"))
                timers.append(loop.call_later(request.limit_s + GRACE_S, self._expire, "KILL"))
            exit_status = await self._flow(process, nonce, request)
            over = exit_status is not None
            if exit_status is not None:
                await process.write(b"END\n")
                return exit_status
        finally:
            for timer in timers:
                timer.cancel()
            self._process = None
            if over:
                self._service.linger(process)
            else:  # its input ends: what stands beside the script there ends it
                await process.close()
        return await self._without_mark(process, request)

    async def _begin(self, words: list[str]) -> Process:
        """Open the channel, unless it is interrupted before."""
        opening = asyncio.create_task(self._service.open(self._lease_id, words))
        interrupted = asyncio.create_task(self._interrupted.wait())
        try:
            await asyncio.wait({opening, interrupted}, return_when=asyncio.FIRST_COMPLETED)
            if opening.done():
                self._process = opening.result()
                return self._process
        finally:
            interrupted.cancel()
            if not opening.done():
                opening.cancel()
        raise ConflictError("It was interrupted before it began.", kept="Nothing was run.")

    async def _flow(self, process: Process, nonce: str, request: RunRequest) -> int | None:
        """Send the output until the script has ended; None: the channel ended without saying so."""
        marks: dict[Stream, Marks] = {"stdout": Marks(nonce), "stderr": Marks(nonce)}
        ended: dict[Stream, int] = {}
        while len(ended) < len(marks):
            stream, data = await process.read()
            if not data:
                break
            if stream in ended:  # something that it left running
                continue
            output, found = marks[stream].feed(data)
            if output:
                await self._send(stream, output)
            for word, _, value in (words.partition(" ") for words in found):
                if word == "refused":
                    raise _refused(value, request)
                if word == "ended" and value.isdigit():
                    ended[stream] = int(value)
        else:
            return ended["stdout"]
        for stream, each in marks.items():
            if rest := each.rest():
                await self._send(stream, rest)
        return None

    async def _without_mark(self, process: Process, request: RunRequest) -> int:
        status = process.exit_status
        if status is None:
            raise await self._service.lost(
                self._lease_id,
                kept="What it printed before is shown; the command itself has ended with the connection.",
            )
        if status == _NOT_FOUND:
            raise BadInputError(
                f"The machine has no shell {request.shell}.",
                kept="Nothing was run.",
                next_step="Ask for another one: sh is everywhere.",
            )
        return status  # it killed the shell around it

    async def _send(self, stream: Stream, data: bytes) -> None:
        await self._room.wait()
        self._ahead_bytes += len(data)
        if self._ahead_bytes >= AHEAD_BYTES:
            self._room.clear()
        await self._send_bytes(_CODES[stream] + data)

    def _expire(self, name: Signal) -> None:
        self._why = "limit"
        self._write(name)


def failed(error: EducloudError) -> str:
    """Return the message that says why something was not run, or has not come to its end."""
    from educloud_lab.wire.run import RunFailed, RunProblem

    found = refusal_of(error)
    problem = RunProblem(code=found.code, what=found.what, kept=found.kept, next_step=found.next_step)
    return RunFailed(error=problem).model_dump_json()


def _refused(what: str, request: RunRequest) -> EducloudError:
    if what == "folder":
        return BadInputError(
            f"There is no folder {request.folder} on the machine, or it may not be entered.",
            kept="Nothing was run.",
            next_step="Make it first (mkdir -p), or begin elsewhere.",
        )
    return BadInputError(
        "What is to be kept between runs has no safe place on the machine: a folder in /tmp belongs to somebody else.",
        kept="Nothing was run.",
        next_step="Run it without keep, or remove /tmp/educloud-* there.",
    )
