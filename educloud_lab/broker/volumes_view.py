"""The data volume for people: what its mounts proved, its snapshots, its bin, and what can be asked for now."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from educloud_lab.domain.job import Consistency, ShelfKind, SnapshotState
from educloud_lab.domain.lease import PHASES, Phase
from educloud_lab.ports.records import LeaseRecord, ShelfRecord, SnapshotRecord, VolumeRecord
from educloud_lab.ports.store import Transaction
from educloud_lab.wire import models as wire

CONSISTENCY: Final = {
    Consistency.UNKNOWN: "",
    Consistency.AT_REST: "Taken while nothing used it: everything is in it",
    Consistency.FROZEN: "Taken while its file system was held still: whole files, as programs had written them",
    Consistency.CRASH: "Taken while programs wrote: as after a power cut; the file system repairs itself",
}
REASONS: Final = {
    "discarded": "You put it there",
    "restored": "It was replaced by a snapshot",
    "replaced": "It was replaced by another one from the bin",
    "copy": "It was made from a snapshot and not used",
    "duplicate": "The cloud made it twice",
    "untagged": "The cloud does not say whose it is",
    "orphan": "No record knows it",
    "lost": "The cloud could not keep it",
}
_RESTING: Final = (Phase.OFF, Phase.ASLEEP)


def _when(moment: datetime, now: datetime) -> str:
    """Return a time as people say it, in UTC."""
    clock = f"{moment:%H:%M} UTC"
    if moment.date() == now.date():
        return f"{clock} today"
    if moment.date() == now.date() - timedelta(days=1):
        return f"{clock} yesterday"
    return f"{clock} on {moment.day} {moment:%B %Y}"


def proof_text(volume: VolumeRecord, now: datetime) -> str:
    """Return what the last mount proved; '' where there was nothing to compare."""
    if volume.proof == "changed":
        return "It was changed while it was elsewhere: it is not as this machine left it"
    if volume.proof == "same" and volume.last_written_at is not None:
        return f"Same disk, last written at {_when(volume.last_written_at, now)}"
    return ""


def wire_volume(tx: Transaction, volume: VolumeRecord) -> wire.Volume:
    """Return a data volume for people."""
    source = tx.snapshot(volume.from_snapshot) if volume.from_snapshot is not None else None
    return wire.Volume(
        id=volume.cloud_id,
        size_bytes=volume.size_bytes,
        mount_point=volume.mount_point,
        stage=wire.VolumeStage(volume.stage.value),
        file_system_uuid=volume.file_system_uuid if volume.formatted_at is not None else None,
        formatted_at=volume.formatted_at,
        last_mounted_at=volume.last_mounted_at,
        last_written_at=volume.last_written_at,
        proof=proof_text(volume, tx.now()),
        from_snapshot=source.name if source is not None else None,
    )


def wire_snapshots(tx: Transaction, lease: LeaseRecord) -> list[wire.VolumeSnapshot]:
    """Return the snapshots of a lease that are there, newest first."""
    rows = [row for row in tx.snapshots(lease_id=lease.id) if row.state is not SnapshotState.DELETED]
    return [_wire_snapshot(row) for row in reversed(rows)]


def _wire_snapshot(snapshot: SnapshotRecord) -> wire.VolumeSnapshot:
    return wire.VolumeSnapshot(
        id=snapshot.id,
        name=snapshot.name,
        cloud_id=snapshot.cloud_id,
        state=wire.SnapshotState(snapshot.state.value),
        progress_percent=snapshot.progress_percent,
        size_bytes=snapshot.size_bytes,
        created_at=snapshot.created_at,
        created_by=snapshot.created_by,
        completed_at=snapshot.completed_at,
        consistency=CONSISTENCY[snapshot.consistency] if snapshot.cloud_id is not None else "",
        published=snapshot.published,
        restorable=snapshot.state is SnapshotState.COMPLETED and snapshot.formatted_at is not None,
    )


def wire_bin(tx: Transaction, lease: LeaseRecord) -> list[wire.BinItem]:
    """Return what is in a lease's bin, and what is in quarantine for it, oldest first."""
    return [bin_item(item) for item in tx.shelf(lease_id=lease.id)]


def bin_item(item: ShelfRecord) -> wire.BinItem:
    """Return a volume of bin or quarantine for people."""
    return wire.BinItem(
        id=item.id,
        cloud_id=item.cloud_id,
        quarantined=item.kind is ShelfKind.QUARANTINE,
        size_bytes=item.size_bytes,
        reason=REASONS.get(item.reason, item.reason),
        owner=item.person,
        lab=item.lab,
        created_at=item.created_at,
        shelved_at=item.shelved_at,
        delete_after=item.delete_after,
        last_mounted_at=item.last_mounted_at,
        returnable=item.kind is ShelfKind.BIN,
    )


def reasons(tx: Transaction, lease: LeaseRecord, volume: VolumeRecord | None) -> dict[wire.Action, str]:
    """Return why what concerns the data volume cannot be asked for now; '' where it can."""
    phase = PHASES[lease.target, lease.status]
    found: dict[wire.Action, str] = dict.fromkeys(_ALL, "")
    if volume is None:
        return dict.fromkeys(_ALL, "This machine has no data volume.")
    if tx.job_in_flight(lease.id) is not None:
        return dict.fromkeys(_ALL, "Something else is being done for this machine.")
    if phase not in (*_RESTING, Phase.READY):
        found[wire.Action.SNAPSHOT] = "Possible when the machine is ready or asleep."
    if phase not in _RESTING:
        for action in (wire.Action.RESTORE, wire.Action.GROW, wire.Action.DISCARD, wire.Action.RETURN):
            found[action] = "Put the machine to sleep first: a data volume in use is never exchanged."
    elif volume.may_be_mounted:
        for action in (wire.Action.RESTORE, wire.Action.GROW, wire.Action.DISCARD, wire.Action.RETURN):
            found[action] = "The data volume may still be mounted: press Start and then Stop."
    if volume.cloud_id is None or volume.formatted_at is None:
        found[wire.Action.SNAPSHOT] = found[wire.Action.SNAPSHOT] or "There is nothing on the data volume yet."
    if volume.cloud_id is None:
        for action in (wire.Action.DISCARD, wire.Action.GROW):
            found[action] = found[action] or "There is no data volume yet."
    if not any(row.state is SnapshotState.COMPLETED for row in tx.snapshots(lease_id=lease.id)):
        found[wire.Action.RESTORE] = found[wire.Action.RESTORE] or "There is no snapshot yet."
    if not any(item.kind is ShelfKind.BIN for item in tx.shelf(lease_id=lease.id)):
        found[wire.Action.RETURN] = found[wire.Action.RETURN] or "The bin is empty."
    return found


_ALL: Final = (
    wire.Action.SNAPSHOT,
    wire.Action.RESTORE,
    wire.Action.GROW,
    wire.Action.DISCARD,
    wire.Action.RETURN,
)
