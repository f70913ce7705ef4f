"""Layers of disks: which file lies on which, as the qcow2 headers say, and the steps that change that.

A snapshot is a file that nobody writes to any more, and the volume's file a layer on it. Whatever a step here does to
a file, what is read from the file stays the same: a crash in the middle of one leaves a disk that is whole.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import struct
from dataclasses import dataclass
from pathlib import Path

from educloud_lab.localcloud import disks
from educloud_lab.localcloud.disks import DiskError

_MAGIC = b"QFI\xfb"
_HEADER = struct.Struct(">4sIQIIQ")  # docs/interop/qcow2.txt: magic, version, backing offset and length, bits, size
_MERGE_LIMIT_S = 3600.0


@dataclass(frozen=True, slots=True)
class Header:
    """What a qcow2 file says of itself: its size as a guest sees it, and the file it lies on."""

    virtual_bytes: int
    base: Path | None


def read_header(path: Path) -> Header:
    """Read a header, whoever uses the file.

    Raises
    ------
    DiskError
        The file is missing or no qcow2 file.
    """
    try:
        with path.open("rb") as stream:
            head = stream.read(_HEADER.size)
            if len(head) < _HEADER.size or head[:4] != _MAGIC:
                raise DiskError(f"{path} is no qcow2 file.")
            _, _, offset, length, _, size = _HEADER.unpack(head)
            stream.seek(offset)
            name = stream.read(length).decode("utf-8", "surrogateescape") if offset else ""
    except OSError as error:
        raise DiskError(f"{path} cannot be read: {error.strerror}.") from error
    return Header(size, path.parent / name if name else None)


def chain(path: Path) -> list[Path]:
    """Return the layers under ``path``, the nearest first, without itself. Raises DiskError for one that is missing."""
    found: list[Path] = []
    while (base := read_header(path).base) is not None:
        if base in found:
            raise DiskError(f"The layers of {path} go round in a circle.")
        found.append(base)
        path = base
    return found


def all_bases(*folders: Path) -> set[Path]:
    """Return every file on which one of these folders' disks lies; what cannot be read is left out."""
    found: set[Path] = set()
    for path in (path for folder in folders for path in folder.glob("*.qcow2")):
        with contextlib.suppress(DiskError):
            if (base := read_header(path).base) is not None:
                found.add(base)
    return found


async def create_next(path: Path, base: Path, size_bytes: int) -> None:
    """Make the empty layer that is to lie on ``base``, a name that need not exist yet.

    Raises
    ------
    NotEnoughRoomError, DiskError
        Nothing was made.
    """
    await disks.create(path, ["-u", "-b", str(base), "-F", "qcow2"], size_bytes)


def link(path: Path, name: Path) -> None:
    """Give the file a second name that survives a crash of the host; the name may be there already."""
    try:
        os.link(path, name)
    except FileExistsError:
        if not name.samefile(path):
            raise
    disks.flush(name.parent)


def replace(path: Path, name: Path) -> None:
    """Rename ``path`` over ``name``, for good."""
    path.replace(name)
    disks.flush(name.parent)


def remove(path: Path) -> None:
    """Remove a file for good; a missing one is success."""
    path.unlink(missing_ok=True)
    disks.flush(path.parent)


def same_file(path: Path, other: Path) -> bool:
    """Whether both names exist and are one file."""
    return path.exists() and other.exists() and path.samefile(other)


def has_other_names(path: Path) -> bool:
    """Whether the file has another name besides this one."""
    return path.stat().st_nlink > 1


def used_bytes(path: Path) -> int:
    """Return what a file takes on the host's disk; 0 when it is missing."""
    try:
        return path.stat().st_blocks * 512
    except FileNotFoundError:
        return 0


async def rebase(path: Path, base: Path | None) -> None:
    """Take up into ``path`` what lies between it and ``base``, a layer further down (None: everything).

    What is copied is on the disk before the header points past the layers that were copied (``-t writethrough``).
    Ended halfway, the copies stay and the layers too; begun again, it goes on from there.

    Raises
    ------
    NotEnoughRoomError, DiskError
        The disk is in use, or the host's disk is full. The disk reads as before.
    """
    where = ["-b", ""] if base is None else ["-b", str(base), "-F", "qcow2"]
    command = ["rebase", "-q", "-t", "writethrough", "-f", "qcow2", *where, str(path)]
    await disks.run_tool(command, path.parent, limit_s=_MERGE_LIMIT_S, ends_with_us=True)
    await asyncio.to_thread(disks.flush, path)
