"""What an image boots with, also one that was registered wrongly: that machine starts, and never gets far."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from educloud_lab.localcloud.settings import Folders
from educloud_lab.localcloud.state.tables import Image

ARCHITECTURE = "x86_64"


@dataclass(frozen=True, slots=True)
class Boot:
    """Kernel and ramdisk of a machine, where it has them, and what the kernel is told."""

    architecture: str
    kernel: Path | None
    ramdisk: Path | None
    kernel_args: str


def boot_of(image: Image, folders: Folders) -> Boot:
    """Return how machines of an image boot.

    On a real cloud the node controller starts what it is given. Without its ramdisk a kernel that needs one finds no
    root file system and panics; it has to stand there then, to be seen on the console (``panic=0``), where a sound
    image restarts. A kernel for another architecture does not run at all on the processor that the registration asks
    for: the machine runs and its console stays empty, which is what a start from a disk without a boot loader does.
    """
    folder = folders.cloud / image.folder
    kernel, ramdisk = image.files.get("kernel"), image.files.get("ramdisk")
    if image.registered and image.architecture != ARCHITECTURE:
        return Boot(ARCHITECTURE, None, None, "")
    arguments = image.kernel_args
    if image.registered and kernel and not ramdisk:
        words = [word for word in arguments.split() if not word.startswith("panic=")]
        arguments = " ".join([*words, "panic=0"])
    return Boot(
        image.architecture,
        _of(folder, kernel),
        _of(folder, ramdisk),
        arguments,
    )


def _of(folder: Path, name: str | None) -> Path | None:
    return folder / name if name else None
