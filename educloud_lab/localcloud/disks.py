"""Disk files of the local cloud: qcow2, made and inspected by ``qemu-img``.

Each file is made under a temporary name, flushed and renamed: after a crash or a full disk there is either the whole
file or a leftover whose name tells (:func:`remove_leftovers`), never half a volume.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path

from educloud_lab.localcloud.hypervisor.base import HypervisorError, NotEnoughRoomError

BINARY = "qemu-img"
MARGIN_BYTES = 256 * 1024 * 1024
"""Room that is always left on the host's disk: for logs, the store and the person's own work."""

_LIMIT_S = 60.0
_LEFTOVER_PREFIX = ".making-"
_MIB = 1024 * 1024


class DiskError(HypervisorError):
    """A disk file could not be made, read or changed; the message says what was kept."""


@dataclass(frozen=True, slots=True)
class DiskInfo:
    """What ``qemu-img info`` says of one file.

    ``virtual_bytes`` is what a guest sees, ``used_bytes`` what the file takes on the host now. ``base`` is the file it
    is an overlay of.
    """

    path: Path
    format: str
    virtual_bytes: int
    used_bytes: int
    base: Path | None


async def create_blank(path: Path, size_bytes: int) -> None:
    """Make an empty disk of ``size_bytes``.

    Raises
    ------
    NotEnoughRoomError, DiskError
        Nothing was made. An existing file is never overwritten.
    """
    _check_size(size_bytes)
    await create(path, [], size_bytes)


async def create_overlay(path: Path, base: Path, size_bytes: int | None = None) -> None:
    """Make a disk that begins with the content of ``base`` and keeps only what is written from then on.

    Parameters
    ----------
    base : a qcow2 file that must not change nor go while the overlay lives.
    size_bytes : default the size of ``base``; never smaller.

    Raises
    ------
    NotEnoughRoomError, DiskError
        Nothing was made.
    """
    known = await info(base)
    if size_bytes is not None:
        _check_size(size_bytes)
        if size_bytes < known.virtual_bytes:
            raise DiskError(
                f"A disk of {size_bytes} bytes cannot hold {base.name} of {known.virtual_bytes} bytes. "
                "Nothing was made."
            )
    backing = ["-b", str(base.absolute()), "-F", known.format]  # noqa: ASYNC240 - no file is touched
    await create(path, backing, size_bytes)


async def grow(path: Path, size_bytes: int) -> None:
    """Make a disk that no machine uses larger; the same size is success.

    Raises
    ------
    NotEnoughRoomError, DiskError
        The disk is as it was: shrinking, which would cut off data, is refused.
    """
    _check_size(size_bytes)
    known = await info(path)
    if size_bytes < known.virtual_bytes:
        raise DiskError(f"{path.name} has {known.virtual_bytes} bytes and is never shrunk. Nothing changed.")
    if size_bytes > known.virtual_bytes:
        await run_tool(["resize", "-q", "-f", known.format, str(path), str(size_bytes)], path.parent)


async def info(path: Path) -> DiskInfo:
    """Inspect a disk, in use or not. Raises DiskError when it is missing or damaged."""
    # -U: a running machine holds the lock, and reading the header is harmless.
    answer = await run_tool(["info", "-U", "--output=json", str(path)], path.parent)
    try:
        document = json.loads(answer)
        kind = str(document["format"])
        base = document.get("full-backing-filename") or document.get("backing-filename")
        return DiskInfo(
            path=path,
            format=kind,
            virtual_bytes=int(document["virtual-size"]),
            used_bytes=int(document["actual-size"]),
            base=None if base is None else Path(base),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise DiskError(f"{BINARY} gave an answer about {path} that was not understood.") from error


async def delete(path: Path) -> None:
    """Remove a disk file; a missing one is success. That nobody uses it is for the caller to know."""
    await asyncio.to_thread(path.unlink, missing_ok=True)


async def check_room(folder: Path, size_bytes: int, *, margin_bytes: int = MARGIN_BYTES) -> None:
    """Refuse when ``folder``'s file system cannot take ``size_bytes`` and keep ``margin_bytes`` free.

    Files are sparse: pass what is promised to the person to be sure that it can be kept, 0 to check the margin alone.

    Raises
    ------
    NotEnoughRoomError
        Says how much is free and what to do.
    """
    usage = await asyncio.to_thread(shutil.disk_usage, folder)
    if size_bytes + margin_bytes > usage.free:
        raise NotEnoughRoomError(
            f"{folder} has {usage.free // _MIB} MiB free; {size_bytes // _MIB} MiB are needed and "
            f"{margin_bytes // _MIB} MiB must stay free. Nothing was made; delete what is not needed and try again."
        )


async def remove_leftovers(folder: Path) -> list[Path]:
    """Remove files that a crash left half made; call it at start, before anything is made. Gives what was removed."""

    def remove() -> list[Path]:
        found = sorted(folder.glob(f"{_LEFTOVER_PREFIX}*"))
        for path in found:
            path.unlink(missing_ok=True)
        return found

    return await asyncio.to_thread(remove)


def _check_size(size_bytes: int) -> None:
    if size_bytes <= 0 or size_bytes % 512:
        raise DiskError(f"A disk cannot have {size_bytes} bytes: a positive multiple of 512 is needed.")


async def create(path: Path, options: list[str], size_bytes: int | None) -> None:
    """Make a qcow2 file with options of ``qemu-img create``, whole or not at all. Raises as :func:`create_blank`."""
    if await asyncio.to_thread(path.exists):
        raise DiskError(f"{path} exists already and was left as it is.")
    await check_room(path.parent, 0)
    temporary = path.parent / f"{_LEFTOVER_PREFIX}{path.name}-{uuid.uuid4().hex[:8]}"
    size = [] if size_bytes is None else [str(size_bytes)]
    try:
        await run_tool(["create", "-q", "-f", "qcow2", *options, str(temporary), *size], path.parent)
        await asyncio.to_thread(publish, temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def publish(temporary: Path, path: Path) -> None:
    """Flush the file, give it its name, flush the folder."""
    try:
        flush(temporary)
        temporary.rename(path)
        flush(path.parent)
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise _full(path.parent) from error
        raise DiskError(f"{path} could not be made: {error.strerror}. Nothing was kept of it.") from error


def flush(path: Path) -> None:
    """Bring a file's content, or a folder's names, to the disk itself: a crash of the host keeps them."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _full(folder: Path) -> NotEnoughRoomError:
    return NotEnoughRoomError(
        f"The disk that holds {folder} is full. Nothing was made and nothing was lost; free some space and try again."
    )


async def run_tool(
    arguments: list[str], folder: Path, *, limit_s: float | None = None, ends_with_us: bool = False
) -> str:
    """Run qemu-img and give its output; it is ended when the caller is cancelled.

    Parameters
    ----------
    folder : named when the disk is full.
    limit_s : seconds after which it is given up; default 60.
    ends_with_us : end it too when this process is killed: one that works for long would keep the disk locked, and the
        machine that it belongs to could not start.

    Raises
    ------
    NotEnoughRoomError, DiskError
    """
    limit_s = limit_s or _LIMIT_S
    # util-linux's; where it is missing, a start has to wait until the tool is through.
    bound = ["setpriv", "--pdeathsig=KILL", "--"] if ends_with_us and shutil.which("setpriv") else []
    try:
        process = await asyncio.create_subprocess_exec(
            *bound,
            BINARY,
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
    except FileNotFoundError as error:
        raise DiskError(
            f"{BINARY} was not found. Install it (on Debian and Ubuntu: `sudo apt-get install qemu-utils`)."
        ) from error
    try:
        async with asyncio.timeout(limit_s):
            output, words = await process.communicate()
    except TimeoutError as error:
        raise DiskError(f"{BINARY} {arguments[0]} did not end within {limit_s:.0f} s.") from error
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    if process.returncode == 0:
        return output.decode("utf-8", "replace")
    text = words.decode("utf-8", "replace").strip()
    if os.strerror(errno.ENOSPC) in text or os.strerror(errno.EDQUOT) in text:
        raise _full(folder)
    raise DiskError(f"{BINARY} {arguments[0]} failed: {text}")
