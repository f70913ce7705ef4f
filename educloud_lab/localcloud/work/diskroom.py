"""Where disk files lie, and who makes them: ``qemu-img``, or nobody when machines are simulated."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Protocol

from educloud_lab.localcloud import disks
from educloud_lab.localcloud.settings import Folders


class DiskMaker(Protocol):
    """Makes and removes disk files; each either whole or not at all."""

    async def create_blank(self, path: Path, size_bytes: int) -> None:
        """Make an empty disk. Raises NotEnoughRoomError, HypervisorError."""

    async def create_overlay(self, path: Path, base: Path, size_bytes: int | None = None) -> None:
        """Make a disk that begins as ``base``. Raises NotEnoughRoomError, HypervisorError."""

    async def delete(self, path: Path) -> None:
        """Remove a disk; a missing one is success."""

    async def check_room(self, folder: Path, size_bytes: int) -> None:
        """Raise NotEnoughRoomError where so much does not fit."""

    async def tidy(self, folder: Path) -> None:
        """Remove what a crash left half made."""


class QemuDisks:
    """qcow2 files."""

    async def create_blank(self, path: Path, size_bytes: int) -> None:
        """Make an empty qcow2 file."""
        await disks.create_blank(path, size_bytes)

    async def create_overlay(self, path: Path, base: Path, size_bytes: int | None = None) -> None:
        """Make a qcow2 file over another."""
        await disks.create_overlay(path, base, size_bytes)

    async def delete(self, path: Path) -> None:
        """Remove the file."""
        await disks.delete(path)

    async def check_room(self, folder: Path, size_bytes: int) -> None:
        """Compare with the file system's free space."""
        await disks.check_room(folder, size_bytes)

    async def tidy(self, folder: Path) -> None:
        """Remove temporary files."""
        await disks.remove_leftovers(folder)


class SimulatedDisks:
    """Empty files that stand for disks."""

    async def create_blank(self, path: Path, size_bytes: int) -> None:
        """Make the file."""
        await asyncio.to_thread(path.touch)

    async def create_overlay(self, path: Path, base: Path, size_bytes: int | None = None) -> None:
        """Make the file."""
        await asyncio.to_thread(path.touch)

    async def delete(self, path: Path) -> None:
        """Remove the file."""
        await asyncio.to_thread(path.unlink, missing_ok=True)

    async def check_room(self, folder: Path, size_bytes: int) -> None:
        """Everything fits."""

    async def tidy(self, folder: Path) -> None:
        """Nothing is ever half made."""


def volume_path(folders: Folders, volume_id: str) -> Path:
    """Return a volume's file."""
    return folders.volumes / f"{volume_id}.qcow2"


def root_path(folders: Folders, instance_id: str) -> Path:
    """Return the root disk of an instance-store instance."""
    return folders.roots / f"{instance_id}.qcow2"


def serial(volume_id: str, device: str) -> str:
    """Return the disk serial that Eucalyptus's node controller sets (virtio shows 20 characters of it)."""
    full = device if device.startswith("/dev/") else f"/dev/{device.lstrip('/')}"
    return f"euca-{volume_id}{full.replace('/', '-')}"
