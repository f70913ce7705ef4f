"""Programs that the builder needs: found, run, and their failures put into words."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from educloud_lab.localcloud.images.errors import ImageBuildError

# Program -> Debian package that brings it.
NEEDED: Mapping[str, str] = {
    "apt-get": "apt",
    "dpkg-deb": "dpkg",
    "lz4": "lz4",
    "mke2fs": "e2fsprogs",
    "debugfs": "e2fsprogs",
    "qemu-img": "qemu-utils",
}

Progress = Callable[[str, float | None], None]
"""Called with what is being done now and, where known, an estimate of the seconds that are left."""


def search_path() -> str:
    """PATH with the system directories that an ordinary user's often lacks (mke2fs lives in /usr/sbin)."""
    return os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"])


def check_tools(which: Callable[[str], str | None] | None = None) -> None:
    """Make sure that every program is there.

    Raises
    ------
    ImageBuildError
        Names everything that is missing and one command that installs it.
    """
    find = which if which is not None else lambda program: shutil.which(program, path=search_path())
    missing = [program for program in NEEDED if find(program) is None]
    if missing:
        packages = " ".join(sorted({NEEDED[program] for program in missing}))
        raise ImageBuildError(
            f"Images cannot be built here: {', '.join(missing)} not found. Nothing was changed. "
            f"Install with: sudo apt-get install {packages}"
        )


def run(
    what: str,
    command: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: str | None = None,
    with_errors: bool = False,
) -> str:
    """Run one program to its end and return its standard output.

    Parameters
    ----------
    what : the purpose, for the message when it fails ("making the file system").
    with_errors : return what it said on standard error too, after the rest.

    Raises
    ------
    ImageBuildError
        It could not be started or ended with an error; its last lines are in the message.
    """
    environment = {**os.environ, "PATH": search_path(), "LC_ALL": "C", **(env or {})}
    try:
        done = subprocess.run(
            [str(part) for part in command],
            env=environment,
            cwd=cwd,
            input=stdin if stdin is not None else "",
            capture_output=True,
            text=True,
            check=False,
            errors="replace",
        )
    except OSError as exc:
        raise build_error(what, exc) from exc
    if done.returncode != 0:
        said = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        tail = "\n  ".join(said[-8:])
        hint = ""
        if "No space left" in tail or "not enough space" in tail.lower() or "enough free space" in tail:
            hint = " The disk is full: free some space (an image needs about 700 MB while it is built) and try again."
        raise ImageBuildError(
            f"{what.capitalize()} failed ({command[0]} ended with status {done.returncode}); "
            f"earlier images are as they were.{hint}\n  {tail}"
        )
    return done.stdout + (done.stderr if with_errors else "")


def build_error(what: str, exc: OSError) -> ImageBuildError:
    """Words for a failure of the operating system while ``what`` was done."""
    if exc.errno in (errno.ENOSPC, errno.EDQUOT):
        return ImageBuildError(
            f"The disk is full ({what}: {exc.filename or exc}). Earlier images are as they were. "
            f"Free about 700 MB and try again, or choose another place with --home."
        )
    if exc.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return ImageBuildError(
            f"No permission ({what}: {exc.filename or exc}). Nothing was changed. "
            f"Choose a place that you may write to with --home, or set EDUCLOUD_HOME."
        )
    return ImageBuildError(f"{what.capitalize()} failed: {exc}. Earlier images are as they were.")
