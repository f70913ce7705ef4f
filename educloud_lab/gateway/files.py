"""Small files that others read while we write them: written beside, synchronised, then renamed into place."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from pathlib import Path


def write_atomically(path: Path, text: str) -> None:
    """Replace the file `path` by `text`, mode 0600; a reader sees the old text or the new, never a part.

    Raises
    ------
    OSError
        When the folder cannot be written; the old file, if any, is unchanged.
    """
    # The name starts with a dot and does not end in .keys, so no reader of the folder takes it for lines.
    beside = path.with_name(f".{path.name}.{secrets.token_hex(6)}.new")
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            beside.unlink()
        raise
    sync_folder(path.parent)


def remove(path: Path) -> bool:
    """Remove a file for good; return whether there was one.

    Raises
    ------
    OSError
        When the folder cannot be written.
    """
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    sync_folder(path.parent)
    return True


def sync_folder(folder: Path) -> None:
    """Make a rename or removal in `folder` survive a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_limited(path: Path, limit_bytes: int) -> str:
    """Read a regular file of at most `limit_bytes`, as UTF-8.

    Raises
    ------
    OSError
        When it cannot be read.
    ValueError
        When it is no regular file, too large or not UTF-8.
    """
    # O_NONBLOCK: a FIFO in the folder must not stop the gateway.
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise ValueError(f"{path.name} is not a regular file")
        data = file.read(limit_bytes + 1)
    if len(data) > limit_bytes:
        raise ValueError(f"{path.name} is larger than {limit_bytes} bytes")
    return data.decode("utf-8")


def only_ours(path: Path) -> str | None:
    """Return why others than this user and root could change `path`, or None when they cannot.

    Raises
    ------
    OSError
        When it cannot be looked at.
    """
    status = path.stat()
    if status.st_uid not in (0, os.geteuid()):
        return f"{path} belongs to another user"
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return f"{path} can be written by others (chmod go-w it)"
    return None
