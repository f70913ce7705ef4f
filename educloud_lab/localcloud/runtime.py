"""The folder of sockets and of machines' records: beside the state that they belong to, by a path that is short.

A machine's process outlives the cloud's own process and a person's login, so what is needed to find it again must not
lie where a logout clears up (``XDG_RUNTIME_DIR``), nor in a place that depends on how the command was called. It lies
in ``cloud/run``. A socket's path holds 107 bytes (unix(7)); where the home's own path is too long for that, or has
characters that QEMU's options would misread, everything goes by a symbolic link in ``/tmp``.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import socket
import stat
from pathlib import Path

from educloud_lab.localcloud.errors import LocalCloudError

LONGEST = 72
"""Bytes of the folder's path: 107, less ``/m/i-…/journal.sock``."""

_TEMPORARY = Path("/tmp")  # noqa: S108 (owner and mode of what lies there are verified below)
_PLAIN = re.compile(r"[A-Za-z0-9/._-]+")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def runtime_folder(home: Path, cloud: Path) -> Path:
    """Return the 0700 folder, made where missing and emptied of what an earlier boot of the host left.

    Where there is no cloud yet, nothing is made: the path is where it will be.

    Raises
    ------
    LocalCloudError
        What lies at its place belongs to somebody else or is open to others.
    """
    name = f"educloud-{os.getuid()}-{hashlib.sha256(str(home).encode()).hexdigest()[:8]}"
    if (earlier := _earlier(name)) is not None:
        return earlier
    folder = cloud / "run"
    short = len(os.fsencode(folder)) <= LONGEST and _PLAIN.fullmatch(str(folder)) is not None
    link = _TEMPORARY / name
    if not cloud.is_dir():
        return folder if short else link
    if not folder.exists():
        folder.mkdir(mode=0o700, exist_ok=True)
    _verify(folder)
    _forget_earlier_boot(folder)
    if short and _holds_sockets(folder):
        return folder
    if not short and _linked(link, folder) and _holds_sockets(link):
        return link
    # A file system without sockets (a shared folder of a virtual machine, say).
    with contextlib.suppress(FileNotFoundError):
        if link.is_symlink() and link.lstat().st_uid == os.getuid():
            link.unlink()
    link.mkdir(mode=0o700, exist_ok=True)
    _verify(link)
    _forget_earlier_boot(link)
    return link


def remove_runtime_folder(home: Path, cloud: Path) -> None:
    """Remove the folder and the link to it. Repeatable."""
    link = _TEMPORARY / f"educloud-{os.getuid()}-{hashlib.sha256(str(home).encode()).hexdigest()[:8]}"
    with contextlib.suppress(OSError):
        if link.is_symlink():
            if link.lstat().st_uid == os.getuid():
                link.unlink()
        elif link.is_dir():
            shutil.rmtree(link, ignore_errors=True)
    shutil.rmtree(cloud / "run", ignore_errors=True)


def _earlier(name: str) -> Path | None:
    """Return where version 0.1 kept its sockets, for as long as machines that it started have their records there."""
    bases = [os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"]
    digest = name.rpartition("-")[2]
    for folder in (*(Path(base) / f"educloud-{digest}" for base in bases), _TEMPORARY / name):
        try:
            if folder.is_symlink() or not any(folder.glob("m/*/machine.json")):
                continue
        except OSError:
            continue
        if (folder / "boot").exists():
            continue  # this version's own, on a file system without sockets
        _verify(folder)
        return folder
    return None


def _verify(folder: Path) -> None:
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise LocalCloudError(
            f"The folder for sockets, {folder}, is not a private folder of yours. Nothing was started. Remove it, then"
            " try again."
        )


def _forget_earlier_boot(folder: Path) -> None:
    """Remove records of machines that ran before the host's last boot: a process of today may have their numbers."""
    try:
        boot = _BOOT_ID.read_text("ascii").strip()
    except OSError:
        return
    note = folder / "boot"
    try:
        known = note.read_text("ascii").strip()
    except (OSError, ValueError):
        known = ""
    if known == boot:
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if note.exists() and note.read_text("ascii").strip() == boot:
            return  # another command did it meanwhile, and may have begun to use the folder
        for path in folder.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        note.write_text(boot + "\n", "ascii")
    finally:
        os.close(descriptor)


def _linked(link: Path, folder: Path) -> bool:
    """Make the link lead to the folder; False where a folder of its own has to stay (one without sockets)."""
    try:
        found = link.lstat()
    except FileNotFoundError:
        with contextlib.suppress(FileExistsError):  # another command was quicker: looked at below
            link.symlink_to(folder)
        found = link.lstat()
    if stat.S_ISLNK(found.st_mode) and found.st_uid == os.getuid():
        if link.readlink() != folder:
            link.unlink()
            link.symlink_to(folder)
        return True
    if stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid():
        if (link / "boot").exists():
            return False
        shutil.rmtree(link)  # of version 0.1, without machines
        link.symlink_to(folder)
        return True
    raise LocalCloudError(
        f"The link to the folder for sockets, {link}, is not yours. Nothing was started. Have it removed by whoever"
        " owns it, or set EDUCLOUD_HOME to a folder with a shorter path."
    )


def _holds_sockets(folder: Path) -> bool:
    """Whether the file system can hold sockets; tried once a boot, then remembered."""
    verdict = folder / "sockets"
    if verdict.exists():
        return True
    trial = folder / f"try-{os.getpid()}"
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(trial))
    except OSError:
        return False
    finally:
        trial.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        verdict.touch(mode=0o600)
    return True
