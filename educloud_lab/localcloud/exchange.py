"""Putting a restored cloud in the place of another: two renames, and what a kill between them leaves is finished.

What is unpacked and verified lies in ``.restoring-TOKEN`` beside the cloud, with a note of its own token in it that is
written last. The cloud is renamed to ``.replaced-TOKEN``, the new one takes its name, the old one is deleted. Whoever
starts, resets or restores the cloud next goes on from wherever that ended (:func:`settle`), always forward.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from educloud_lab.localcloud import disks
from educloud_lab.localcloud.settings import Folders

_STAGING, _ASIDE, _NOTE = ".restoring-", ".replaced-", ".restored"


def staging_folder(folders: Folders, token: str) -> Path:
    """Return where a cloud is unpacked."""
    return folders.home / f"{_STAGING}{token}"


def take_place(folders: Folders, token: str) -> None:
    """Put what was unpacked in the place of the cloud, which is deleted.

    Raises
    ------
    OSError
        What was there is there still.
    """
    staging, aside = staging_folder(folders, token), folders.home / f"{_ASIDE}{token}"
    with (staging / _NOTE).open("w") as note:
        note.write(token)
        note.flush()
        os.fsync(note.fileno())
    disks.flush(staging)
    if folders.cloud.exists():
        folders.cloud.rename(aside)
    try:
        staging.rename(folders.cloud)
    except OSError:
        if aside.exists():
            aside.rename(folders.cloud)
        raise
    disks.flush(folders.home)
    _finish(folders, aside)


def settle(folders: Folders, say: Callable[[str], None]) -> None:
    """Finish an exchange that was killed, or put back what was there; call it where no other command runs.

    Nothing is deleted but what a cloud that is in place has replaced.
    """
    for aside in sorted(folders.home.glob(f"{_ASIDE}*")):
        token = aside.name.removeprefix(_ASIDE)
        staging = staging_folder(folders, token)
        if _token(folders.cloud) == token:
            _finish(folders, aside)
        elif folders.cloud.exists():
            say(f"{aside} is a cloud that a restore set aside. It was left as it is; delete it if you miss nothing.")
        elif _token(staging) == token:
            staging.rename(folders.cloud)
            disks.flush(folders.home)
            _finish(folders, aside)
            say("A restore had been interrupted when all was ready; it was finished.")
        else:
            aside.rename(folders.cloud)
            disks.flush(folders.home)
            say("A restore had been interrupted; the cloud that it was to replace was put back.")


def remove_leftovers(folders: Folders) -> None:
    """Remove what interrupted restores unpacked; call it after :func:`settle`."""
    for left in folders.home.glob(f"{_STAGING}*"):
        shutil.rmtree(left, ignore_errors=True)


def _finish(folders: Folders, aside: Path) -> None:
    shutil.rmtree(aside, ignore_errors=True)
    if not aside.exists():  # else the note says to the next command that it is not needed
        (folders.cloud / _NOTE).unlink(missing_ok=True)


def _token(folder: Path) -> str:
    try:
        return (folder / _NOTE).read_text()
    except OSError:
        return ""
