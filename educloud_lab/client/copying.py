"""Files to and from a machine: checked by size and checksum at both ends, under another name until they are whole.

The functions that begin with ``a`` are for a running event loop; the others do the same in the background and call
``progress`` in the caller's own thread.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any, BinaryIO

from pydantic import ValidationError

from educloud_lab.client.background import background_loop
from educloud_lab.client.copied_files import KEPT, create, measure, open_source, target_path, told
from educloud_lab.client.errors import ServerUnreachableError, error_of
from educloud_lab.client.find import Server
from educloud_lab.client.sockets import RestedTooLongError, WorkSocket, pool
from educloud_lab.domain.errors import BadInputError, ConflictError, EducloudError
from educloud_lab.wire.copying import (
    AHEAD_BYTES,
    CONTENT,
    FRAME_BYTES,
    TO_KERNEL,
    CopyAck,
    CopyDone,
    CopyFailed,
    CopyReady,
    DownloadRequest,
    ToKernel,
    UploadRequest,
)

ACK_BYTES = 256 * 1024
ENDING_S = 5.0
_CONTENT = bytes([CONTENT])

Progress = Callable[[int, int], None]
"""Called with the bytes that have arrived, and all bytes."""


@dataclass(frozen=True, slots=True)
class Copied:
    """A file that was copied.

    Parameters
    ----------
    path : where it is now: on the machine after an upload, here after a download.
    size_bytes : its size.
    sha256 : its checksum, in hexadecimal; computed at both ends.
    """

    path: str
    size_bytes: int
    sha256: str


async def aupload(
    server: Server, lease_id: str, source: str | Path, target: str, *, progress: Progress | None = None
) -> Copied:
    """Copy a file to the machine; its mode is kept.

    Parameters
    ----------
    server, lease_id : which machine.
    source : a file here.
    target : a file there, or a folder that is there or ends in ``/``; relative to the home folder, ``~`` is understood.
    progress : called as it goes on.

    Raises
    ------
    BadInputError, NotFoundError, ConflictError
        It cannot be read here, or may not be written there; says which.
    EducloudError
        It broke off; the machine has the file as it was before.
    """
    source = await asyncio.to_thread(Path(source).expanduser)
    with told(source):
        file = await asyncio.to_thread(open_source, source)
    with file:
        with told(source):
            size_bytes, sha256 = await asyncio.to_thread(measure, file)
        mode = os.fstat(file.fileno()).st_mode & 0o777
        try:
            request = UploadRequest(path=str(target), name=source.name, size_bytes=size_bytes, sha256=sha256, mode=mode)
        except ValidationError as error:
            raise _bad_path(str(target)) from error
        socket, _ = await _begin(server, lease_id, request)
        try:
            done = await _send(socket, file, size_bytes, progress)
            socket.rest()
        except BaseException:
            await socket.close()
            raise
    return Copied(done.path, done.size_bytes, done.sha256)


async def adownload(
    server: Server, lease_id: str, source: str, target: str | Path = ".", *, progress: Progress | None = None
) -> Copied:
    """Copy a file of the machine to here; its mode is kept.

    Parameters
    ----------
    server, lease_id : which machine.
    source : a file there; relative to the home folder, ``~`` is understood.
    target : a file here, or a folder that is here or ends in ``/``.
    progress : called as it goes on.

    Raises
    ------
    BadInputError, NotFoundError, ConflictError
        It cannot be read there, or may not be written here; says which.
    EducloudError
        It broke off; a file of that name here is as it was.
    """
    try:
        request = DownloadRequest(path=str(source))
    except ValidationError as error:
        raise _bad_path(str(source)) from error
    socket, ready = await _begin(server, lease_id, request)
    part: Path | None = None
    try:
        path = await asyncio.to_thread(target_path, str(target), ready.path)
        with told(path):
            part = path.with_name(f".educloud-{secrets.token_hex(8)}.part")
            with await asyncio.to_thread(create, part) as file:
                done = await _receive(socket, file, ready.size_bytes, progress)
            part.chmod(ready.mode)
            await asyncio.to_thread(os.replace, part, path)
        socket.rest()
    except BaseException:
        if part is not None:
            part.unlink(missing_ok=True)
        await socket.close()
        raise
    return Copied(str(path), done.size_bytes, done.sha256)


def upload(
    server: Server, lease_id: str, source: str | Path, target: str, *, progress: Progress | None = None
) -> Copied:
    """Copy a file to the machine; see `aupload`. An interrupt gives it up."""
    return _do(lambda told: aupload(server, lease_id, source, target, progress=told), progress)


def download(
    server: Server, lease_id: str, source: str, target: str | Path = ".", *, progress: Progress | None = None
) -> Copied:
    """Copy a file of the machine to here; see `adownload`. An interrupt gives it up."""
    return _do(lambda told: adownload(server, lease_id, source, target, progress=told), progress)


def _do(work: Callable[[Progress | None], Coroutine[Any, Any, Copied]], progress: Progress | None) -> Copied:
    queue: SimpleQueue[tuple[int, int] | None] = SimpleQueue()
    told = None if progress is None else lambda done, total: queue.put((done, total))
    over = threading.Event()

    async def whole() -> Copied:
        try:
            return await work(told)
        finally:
            over.set()

    future = asyncio.run_coroutine_threadsafe(whole(), background_loop())
    future.add_done_callback(lambda _: queue.put(None))
    try:
        while (step := queue.get()) is not None:
            if progress is not None:
                progress(*step)
        return future.result()
    except BaseException:
        future.cancel()
        over.wait(ENDING_S)  # the program may end at once, and half a file would stay beside its place
        raise


async def _begin(
    server: Server, lease_id: str, request: UploadRequest | DownloadRequest, *, fresh: bool = False
) -> tuple[WorkSocket, CopyReady]:
    socket = await pool().get(server, lease_id, "copy", fresh=fresh)
    try:
        await socket.send(request.model_dump_json())
        ready = _read(await socket.receive())
    except RestedTooLongError:
        return await _begin(server, lease_id, request, fresh=True)
    except BaseException:
        await socket.close()
        raise
    if not isinstance(ready, CopyReady):
        await socket.close()
        raise _odd()
    return socket, ready


async def _send(socket: WorkSocket, file: BinaryIO, size_bytes: int, progress: Progress | None) -> CopyDone:
    sent_bytes = taken_bytes = 0
    if progress is not None:
        progress(0, size_bytes)
    while True:
        while sent_bytes < size_bytes and sent_bytes - taken_bytes < AHEAD_BYTES:
            data = await asyncio.to_thread(file.read, min(FRAME_BYTES, size_bytes - sent_bytes))
            if not data:
                raise ConflictError(
                    "The file became shorter while it was copied.",
                    kept=KEPT,
                    next_step="Copy it when nothing writes to it.",
                )
            await socket.send(_CONTENT + data)
            sent_bytes += len(data)
        message = _read(await socket.receive())
        if isinstance(message, CopyDone):
            return message
        if not isinstance(message, CopyAck):
            raise _odd()
        taken_bytes += message.size_bytes
        if progress is not None:
            progress(taken_bytes, size_bytes)


async def _receive(socket: WorkSocket, file: BinaryIO, size_bytes: int, progress: Progress | None) -> CopyDone:
    sum_ = hashlib.sha256()
    taken_bytes = owed_bytes = 0
    if progress is not None:
        progress(0, size_bytes)
    while True:
        frame = await socket.receive()
        if isinstance(frame, str):
            message = _read(frame)
            if not isinstance(message, CopyDone):
                raise _odd()
            if message.size_bytes != taken_bytes or message.sha256 != sum_.hexdigest():
                raise ConflictError(
                    "What arrived is not what the machine has: the file was changed while it was copied.",
                    kept=KEPT,
                    next_step="Copy it again when nothing writes to it.",
                )
            await asyncio.to_thread(file.flush)
            return message
        data = frame[1:]
        sum_.update(data)
        await asyncio.to_thread(file.write, data)
        taken_bytes += len(data)
        owed_bytes += len(data)
        if owed_bytes >= ACK_BYTES:
            await socket.send(CopyAck(size_bytes=owed_bytes).model_dump_json())
            owed_bytes = 0
            if progress is not None:
                progress(taken_bytes, size_bytes)
        elif taken_bytes == size_bytes and progress is not None:
            progress(taken_bytes, size_bytes)


def _read(frame: str | bytes) -> ToKernel:
    """Return a message; a refusal is raised."""
    if isinstance(frame, bytes):
        raise _odd()
    try:
        message = TO_KERNEL.validate_json(frame)
    except ValidationError:
        raise _odd() from None  # its words quote the answer
    if isinstance(message, CopyFailed):
        problem = message.error
        raise error_of(problem.code, problem.what, problem.kept, problem.next_step)
    return message


def _bad_path(path: str) -> BadInputError:
    return BadInputError(f"{path[:200]!r} is no name of a file on a machine.", kept=KEPT)


def _odd() -> EducloudError:
    return ServerUnreachableError(
        "The server gave an answer that is none of ours.",
        next_step="Install the same version of educloud-lab beside the server and beside the kernel.",
    )
