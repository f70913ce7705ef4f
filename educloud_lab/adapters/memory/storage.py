"""Snapshots of the memory cloud, and the rarer acts on its volumes.

A snapshot takes the disk as it is when the storage begins with it, ``Pace.snapshot_s`` after the answer, as
Eucalyptus's storage controllers do; a file system that is frozen until then is whole in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from educloud_lab.domain.errors import (
    CannotGrowError,
    CloudNotFoundError,
    CloudStateError,
    CloudUnreachableError,
)
from educloud_lab.ports.cloud import SnapshotSeen, VolumeState

if TYPE_CHECKING:
    from educloud_lab.adapters.memory.cloud import MemoryCloud
    from educloud_lab.adapters.memory.machines import MemoryDisk

GIB = 1024**3


@dataclass(slots=True)
class SnapshotRow:
    """One snapshot with what happens to it next."""

    seen: SnapshotSeen
    begins_at_s: float
    listed_at_s: float
    content: MemoryDisk | None = None  # None until the storage has begun
    was_frozen: bool = False  # the file system was frozen when it began, or not mounted


def copy_of(disk: MemoryDisk, volume_id: str, size_bytes: int) -> MemoryDisk:
    """Return a disk that holds what another holds."""
    return replace(disk, volume_id=volume_id, size_bytes=size_bytes, files=dict(disk.files), formats=0)


def advance(cloud: MemoryCloud, now_s: float) -> None:
    """Let the storage begin with the snapshots whose time has come."""
    for row in cloud.snapshots.values():
        if row.content is None and row.begins_at_s <= now_s:
            disk = cloud.disks[row.seen.volume_id]
            users = [m for m in cloud.machines.values() if m.up and disk.volume_id in m.mounts.values()]
            row.was_frozen = all(machine.frozen.get(disk.volume_id, 0.0) > row.begins_at_s for machine in users)
            row.content = copy_of(disk, row.seen.snapshot_id, disk.size_bytes)
            if users and not row.was_frozen:
                row.content.dirty = row.content.dirty or "journal"
            failed = cloud.faults.failed_snapshots > 0
            cloud.faults.failed_snapshots -= failed
            if failed or not cloud.faults.snapshots_pending:
                state = "error" if failed else "completed"
                row.seen = replace(row.seen, state=state, progress_percent=0 if failed else 100)
            else:
                row.seen = replace(row.seen, progress_percent=10)
        elif row.content is not None and row.seen.state == "pending" and not cloud.faults.snapshots_pending:
            row.seen = replace(row.seen, state="completed", progress_percent=100)


async def observe(cloud: MemoryCloud, now_s: float) -> Mapping[str, SnapshotSeen]:
    """Return the snapshots that are listed already."""
    if cloud.faults.out_of_sight:
        raise CloudUnreachableError("The cloud does not answer.", next_step="It is asked again.")
    return {key: row.seen for key, row in cloud.snapshots.items() if row.listed_at_s <= now_s}


def create(
    cloud: MemoryCloud, now_s: float, number: int, volume_id: str, description: str, tags: Mapping[str, str]
) -> SnapshotSeen:
    """Begin a snapshot."""
    volume = cloud.volume_row(volume_id).seen
    if volume.state not in (VolumeState.AVAILABLE, VolumeState.IN_USE):
        raise CloudStateError(f"Volume {volume_id} is not ready: {volume.state}")
    seen = SnapshotSeen(
        snapshot_id=f"snap-{number:08x}",
        volume_id=volume_id,
        state="pending",
        progress_percent=0,
        size_bytes=volume.size_bytes,
        created_at=cloud.clock.now(),
        description=description,
        tags=dict(tags),
    )
    cloud.snapshots[seen.snapshot_id] = SnapshotRow(seen, now_s + cloud.pace.snapshot_s, now_s + cloud.faults.lag_s)
    return seen


def delete(cloud: MemoryCloud, snapshot_id: str) -> None:
    """Delete a snapshot; gone is success."""
    row = cloud.snapshots.get(snapshot_id)
    if row is None:
        return
    if row.seen.state == "pending":
        raise CloudStateError(f"Snapshot {snapshot_id} is still being taken")
    del cloud.snapshots[snapshot_id]


def source_of(cloud: MemoryCloud, snapshot_id: str, size_gib: int) -> MemoryDisk:
    """Return what a new volume from a snapshot begins with."""
    row = cloud.snapshots.get(snapshot_id)
    if row is None:
        raise CloudNotFoundError(f"The snapshot '{snapshot_id}' does not exist.")
    if row.content is None or row.seen.state != "completed":
        raise CloudStateError(f"Snapshot {snapshot_id} is not completed: {row.seen.state}")
    if size_gib * GIB < row.content.size_bytes:
        raise CloudStateError("Volume size cannot be less than snapshot size")
    return row.content


def grow(cloud: MemoryCloud, volume_id: str, size_gib: int) -> None:
    """Enlarge a volume that is available."""
    if cloud.faults.cannot_grow:
        raise CannotGrowError("This cloud cannot enlarge volumes.", kept="Your data volume is as it was.")
    row = cloud.volume_row(volume_id)
    if row.seen.state is not VolumeState.AVAILABLE:
        raise CloudStateError(f"Volume {volume_id} is not available: {row.seen.state}")
    if size_gib * GIB < row.seen.size_bytes:
        cloud.violations.append("a volume was to be made smaller")
        raise CloudStateError("New size cannot be smaller than existing size")
    row.seen = replace(row.seen, size_bytes=size_gib * GIB)
    cloud.disks[volume_id].size_bytes = size_gib * GIB


def delete_volume(cloud: MemoryCloud, volume_id: str) -> None:
    """Delete a volume; gone is success."""
    row = cloud.find_volume_row(volume_id)
    if row is None or row.seen.state is VolumeState.DELETED:
        return
    if row.seen.attachments:
        raise CloudStateError(f"Volume is currently attached to: {row.seen.attachments[0].instance_id}")
    row.seen, row.next_seen = replace(row.seen, state=VolumeState.DELETED), None
    cloud.disks.pop(volume_id, None)
