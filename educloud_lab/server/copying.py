"""Copies between a kernel and a machine: never more in memory than what is on its way, and checked at both ends."""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
from typing import TYPE_CHECKING

from educloud_lab.domain.errors import (
    BadInputError,
    ConflictError,
    EducloudError,
    NotFoundError,
    ShellError,
)
from educloud_lab.ports.shell import Process
from educloud_lab.server.copy_scripts import receive, send
from educloud_lab.server.errors import refusal_of
from educloud_lab.server.run_service import RunService
from educloud_lab.server.running import SendBytes, SendText

if TYPE_CHECKING:  # pydantic is loaded at first use, not with the extension
    from educloud_lab.wire.copying import DownloadRequest, UploadRequest

FRAME_BYTES = 128 * 1024
AHEAD_BYTES = 1024 * 1024
ACK_BYTES = 128 * 1024
_MOST_LINE_BYTES = 8192
_CONTENT = b"\1"
_READY_TO_SEND = re.compile(r"(\d{1,18}) ([0-7]{1,5}) (.*)", re.DOTALL)


class Copy:
    """One file, in one direction.

    Parameters
    ----------
    service, lease_id : which machine.
    send_text, send_bytes : send one frame, and return when it has left this process.
    """

    def __init__(self, service: RunService, lease_id: str, send_text: SendText, send_bytes: SendBytes) -> None:
        self._service = service
        self._lease_id = lease_id
        self._send_text = send_text
        self._send_bytes = send_bytes
        self._ahead_bytes = 0
        self._room = asyncio.Event()
        self._room.set()
        self._frames: asyncio.Queue[bytes] = asyncio.Queue()
        self._waiting_bytes = 0

    def acknowledge(self, size_bytes: int) -> None:
        """Take the reader's word that so much was taken."""
        self._ahead_bytes = max(0, self._ahead_bytes - size_bytes)
        if self._ahead_bytes < AHEAD_BYTES:
            self._room.set()

    def take(self, frame: bytes) -> bool:
        """Take content; False when it is none, or more than may be on its way."""
        if frame[:1] != _CONTENT or self._waiting_bytes > 2 * AHEAD_BYTES:
            return False
        self._waiting_bytes += len(frame) - 1
        self._frames.put_nowait(frame[1:])
        return True

    async def copy(self, request: UploadRequest | DownloadRequest) -> None:
        """Copy it; tells all that happens. Cancelled: what was copied so far is gone."""
        from educloud_lab.wire.copying import UploadRequest

        reporting = asyncio.create_task(self._service.keep_reporting(self._lease_id))
        try:
            if isinstance(request, UploadRequest):
                await self._upload(request)
            else:
                await self._download(request)
        except EducloudError as error:
            await self._send_text(failed(error))
        finally:
            reporting.cancel()

    async def _upload(self, request: UploadRequest) -> None:
        from educloud_lab.wire.copying import CopyAck, CopyDone, CopyReady

        process = await self._service.open(self._lease_id, receive(request, secrets.token_hex(8)))
        try:
            lines = _Output(process)
            path = await self._answer(lines, "ready", upload=True)
            ready = CopyReady(path=path, size_bytes=request.size_bytes, mode=request.mode)
            await self._send_text(ready.model_dump_json())
            ending = asyncio.create_task(self._answer(lines, "done", upload=True))
            try:
                left_bytes, owed_bytes = request.size_bytes, 0
                while left_bytes > 0:
                    data = await self._next(ending)
                    if len(data) > left_bytes:
                        raise BadInputError("More came than was announced.", kept="Nothing was changed.")
                    left_bytes -= len(data)
                    await process.write(data)
                    owed_bytes += len(data)
                    if owed_bytes >= ACK_BYTES or not left_bytes:
                        await self._send_text(CopyAck(size_bytes=owed_bytes).model_dump_json())
                        owed_bytes = 0
                process.write_eof()
                await ending
            finally:
                ending.cancel()
                with contextlib.suppress(asyncio.CancelledError, EducloudError):
                    await ending
        finally:
            await process.close()
        done = CopyDone(path=path, size_bytes=request.size_bytes, sha256=request.sha256, mode=request.mode)
        await self._send_text(done.model_dump_json())

    async def _next(self, ending: asyncio.Task[str]) -> bytes:
        """Return the next content, unless the machine ended the copy before."""
        if self._frames.empty():
            getting = asyncio.create_task(self._frames.get())
            try:
                await asyncio.wait({getting, ending}, return_when=asyncio.FIRST_COMPLETED)
                if not getting.done():
                    ending.result()  # what it was refused with
                    raise ShellError("The machine ended the copy.", kept="Nothing was changed.")
                data = getting.result()
            finally:
                getting.cancel()
        else:
            data = self._frames.get_nowait()
        self._waiting_bytes -= len(data)
        return data

    async def _download(self, request: DownloadRequest) -> None:
        from educloud_lab.wire.copying import CopyDone, CopyReady

        process = await self._service.open(self._lease_id, send(request))
        try:
            output = _Output(process)
            found = _READY_TO_SEND.fullmatch(await self._answer(output, "ready", upload=False))
            if found is None:
                raise ShellError("The machine gave an answer that cannot be read.")
            size_bytes, mode, path = int(found[1]), int(found[2], 8) & 0o777, found[3]
            await self._send_text(CopyReady(path=path, size_bytes=size_bytes, mode=mode).model_dump_json())
            left_bytes = size_bytes
            while left_bytes > 0:
                data = await output.take(min(left_bytes, FRAME_BYTES))
                if not data:
                    raise await self._broken(process, upload=False)
                left_bytes -= len(data)
                await self._room.wait()
                self._ahead_bytes += len(data)
                if self._ahead_bytes >= AHEAD_BYTES:
                    self._room.clear()
                await self._send_bytes(_CONTENT + data)
            sha256 = await self._answer(output, "done", upload=False)
        finally:
            await process.close()
        done = CopyDone(path=path, size_bytes=size_bytes, sha256=sha256, mode=mode)
        await self._send_text(done.model_dump_json())

    async def _answer(self, output: _Output, expected: str, *, upload: bool) -> str:
        """Return what comes after the expected word in the machine's next line."""
        line = await output.line()
        if line is None:
            raise await self._broken(output.process, upload=upload)
        word, _, rest = line.partition(" ")
        if word == "refused":
            raise _refused(*rest.partition(" ")[::2])
        if word != expected:
            raise ShellError("The machine gave an answer that cannot be read.")
        return rest

    async def _broken(self, process: Process, *, upload: bool) -> EducloudError:
        """Return why the machine's side ended without a word."""
        kept = "What was copied so far is dropped; a file of that name is as it was."
        if process.exit_status is None:
            return await self._service.lost(self._lease_id, kept)
        if upload:
            return ShellError("The machine's side of the copy was ended.", kept=kept)
        return ConflictError(
            "The file became shorter while it was copied.", kept=kept, next_step="Copy it when nothing writes to it."
        )


class _Output:
    """A program's standard output, by lines and by bytes."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self._held = b""

    async def line(self) -> str | None:
        """Return the next line without its end; None when there is none."""
        while b"\n" not in self._held:
            data = await self._more()
            if not data or len(self._held) > _MOST_LINE_BYTES:
                return None
            self._held += data
        line, _, self._held = self._held.partition(b"\n")
        return line.decode(errors="replace")

    async def take(self, most_bytes: int) -> bytes:
        """Return the next bytes, b'' after the end."""
        data = self._held or await self._more()
        self._held = data[most_bytes:]
        return data[:most_bytes]

    async def _more(self) -> bytes:
        while True:
            stream, data = await self.process.read()
            if stream == "stdout":
                return data


def failed(error: EducloudError) -> str:
    """Return the message that says why something was not copied."""
    from educloud_lab.wire.copying import CopyFailed
    from educloud_lab.wire.run import RunProblem

    found = refusal_of(error)
    problem = RunProblem(code=found.code, what=found.what, kept=found.kept, next_step=found.next_step)
    return CopyFailed(error=problem).model_dump_json()


_KEPT = "Nothing was changed."


def _refused(word: str, detail: str) -> EducloudError:
    """Return the error for a word of the scripts."""
    if word == "absent":
        return NotFoundError(
            f"There is no file {detail} on the machine, or its folder may not be looked into.",
            next_step="Look with ls in the machine's terminal.",
        )
    sentences = {
        "no-folder": (f"There is no folder {detail} on the machine.", "Make it first: mkdir -p."),
        "is-folder": (
            f"{detail} on the machine is a folder; files are copied one by one.",
            "Name a file. For a whole folder make an archive of it first: tar czf.",
        ),
        "no-file": (f"{detail} on the machine is no ordinary file.", "Name a file."),
        "permission": (
            f"You may not do that with {detail} on the machine.",
            "Copy to or from your home folder, and move it there with sudo.",
        ),
        "space": (
            f"The disk that holds {detail} on the machine is full.",
            "Delete something there (df -h and du show what), or copy it to another disk.",
        ),
        "quota": (f"Your quota on the disk that holds {detail} is used up.", "Delete something there."),
        "read-only": (f"The disk that holds {detail} on the machine can only be read.", "Copy it to another disk."),
        "differs": (
            "What arrived on the machine is not what was announced: the file was changed while it was copied.",
            "Copy it again when nothing writes to it.",
        ),
    }
    what, next_step = sentences.get(word, (f"The machine could not do it: {detail[:200]}.", "Try again."))
    if word in {"no-folder", "is-folder", "no-file"}:
        return BadInputError(what, kept=_KEPT, next_step=next_step)
    if word in sentences:
        return ConflictError(what, kept=_KEPT, next_step=next_step)
    return ShellError(what, kept=_KEPT, next_step=next_step)
