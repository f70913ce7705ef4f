"""Where disk files lie, and who makes them: ``qemu-img``, or nobody when machines are simulated."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Protocol

from educloud_lab.localcloud import disklayers, disks
from educloud_lab.localcloud.disklayers import Header
from educloud_lab.localcloud.settings import Folders


class DiskMaker(Protocol):
    """Makes and removes disk files; each either whole or not at all."""

    async def create_blank(self, path: Path, size_bytes: int) -> None:
        """Make an empty disk. Raises NotEnoughRoomError, HypervisorError."""

    async def create_overlay(self, path: Path, base: Path, size_bytes: int | None = None) -> None:
        """Make a disk that begins as ``base``. Raises NotEnoughRoomError, HypervisorError."""

    async def create_next(self, path: Path, base: Path, size_bytes: int) -> None:
        """Make the empty layer that is to lie on ``base``, a name yet to come. Raises as ``create_blank``."""

    async def check_unused(self, path: Path) -> None:
        """Raise DiskError when some program writes to the disk."""

    def header(self, path: Path) -> Header:
        """Read a disk's size and the layer under it. Raises DiskError when it is missing or damaged."""

    async def rebase(self, path: Path, base: Path | None) -> None:
        """Take up what lies between a disk that nobody uses and ``base``. Repeatable. Raises as ``create_blank``."""

    async def grow(self, path: Path, size_bytes: int) -> None:
        """Make a disk that nobody uses larger. Raises as ``create_blank``."""

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

    async def create_next(self, path: Path, base: Path, size_bytes: int) -> None:
        """Make an empty qcow2 file that names its base."""
        await disklayers.create_next(path, base, size_bytes)

    async def check_unused(self, path: Path) -> None:
        """Open it as one who wants nobody else to write: QEMU's own lock tells."""
        await disks.run_tool(["info", str(path)], path.parent)

    def header(self, path: Path) -> Header:
        """Read the qcow2 header."""
        return disklayers.read_header(path)

    async def rebase(self, path: Path, base: Path | None) -> None:
        """Rebase by qemu-img."""
        await disklayers.rebase(path, base)

    async def grow(self, path: Path, size_bytes: int) -> None:
        """Resize by qemu-img."""
        await disks.grow(path, size_bytes)

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
    """Small files that stand for disks: they hold what a header would."""

    async def create_blank(self, path: Path, size_bytes: int) -> None:
        """Make the file."""
        await asyncio.to_thread(_write_header, path, Header(size_bytes, None))

    async def create_overlay(self, path: Path, base: Path, size_bytes: int | None = None) -> None:
        """Make the file."""
        size_bytes = size_bytes or self.header(base).virtual_bytes
        await asyncio.to_thread(_write_header, path, Header(size_bytes, base))

    async def create_next(self, path: Path, base: Path, size_bytes: int) -> None:
        """Make the file."""
        await asyncio.to_thread(_write_header, path, Header(size_bytes, base))

    async def check_unused(self, path: Path) -> None:
        """Nobody ever writes."""

    def header(self, path: Path) -> Header:
        """Read the file; those of images hold nothing."""
        try:
            found = json.loads(path.read_bytes())
            return Header(int(found["size"]), Path(found["base"]) if found["base"] else None)
        except FileNotFoundError as error:
            raise disks.DiskError(f"{path} is missing.") from error
        except (ValueError, KeyError, TypeError):
            return Header(0, None)

    async def rebase(self, path: Path, base: Path | None) -> None:
        """Write the file anew."""
        await asyncio.to_thread(_write_header, path, Header(self.header(path).virtual_bytes, base))

    async def grow(self, path: Path, size_bytes: int) -> None:
        """Write the file anew."""
        await asyncio.to_thread(_write_header, path, Header(size_bytes, self.header(path).base))

    async def delete(self, path: Path) -> None:
        """Remove the file."""
        await asyncio.to_thread(path.unlink, missing_ok=True)

    async def check_room(self, folder: Path, size_bytes: int) -> None:
        """Everything fits."""

    async def tidy(self, folder: Path) -> None:
        """Nothing is ever half made."""


def _write_header(path: Path, header: Header) -> None:
    text = json.dumps({"size": header.virtual_bytes, "base": str(header.base) if header.base else ""})
    if path.exists():  # in place, as qemu-img does: other names of the file see it too
        path.write_text(text)
        return
    temporary = path.with_name(f".making-{path.name}")
    temporary.write_text(text)
    temporary.replace(path)


def volume_path(folders: Folders, volume_id: str) -> Path:
    """Return a volume's file."""
    return folders.volumes / f"{volume_id}.qcow2"


def next_path(folders: Folders, volume_id: str, tag: str) -> Path:
    """Return the layer that is about to take over a volume's name."""
    return folders.volumes / f"{volume_id}.next-{tag}.qcow2"


def snapshot_file(snapshot_id: str) -> str:
    """Return where a snapshot's layer lies, relative to the cloud's folder."""
    return f"snapshots/{snapshot_id}.qcow2"


def tag_of(snapshot_id: str) -> str:
    """Return the part of a snapshot's id that names its layer where names are short (QEMU's nodes)."""
    return snapshot_id[-8:]


def root_path(folders: Folders, instance_id: str) -> Path:
    """Return the root disk of an instance-store instance."""
    return folders.roots / f"{instance_id}.qcow2"


def serial(volume_id: str, device: str) -> str:
    """Return the disk serial that Eucalyptus's node controller sets (virtio shows 20 characters of it)."""
    full = device if device.startswith("/dev/") else f"/dev/{device.lstrip('/')}"
    return f"euca-{volume_id}{full.replace('/', '-')}"
