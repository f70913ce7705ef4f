"""The bin: a data volume is put there and comes back whole; what was there for its time is deleted.

Only what a person put there is ever deleted, and never what a lease uses. The quarantine has no end.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from educloud_lab.broker.auditing import audit
from educloud_lab.broker.intents import new_id
from educloud_lab.broker.run import Run
from educloud_lab.domain.errors import CloudStateError, ConflictError, NotFoundError, VolumeBusyError, VolumeError
from educloud_lab.domain.job import ShelfKind, SnapshotState, VolumeStage
from educloud_lab.ports.cloud import VolumeState
from educloud_lab.ports.records import LeaseRecord, ShelfRecord, VolumeRecord
from educloud_lab.ports.store import Transaction

_GONE = (VolumeState.DELETED, VolumeState.DELETING)


def blank(volume: VolumeRecord) -> VolumeRecord:
    """Return the record of a data volume that is yet to be made, in the place of one that left."""
    return replace(
        volume,
        cloud_id=None,
        stage=VolumeStage.PLANNED,
        create_sent=False,
        nonce=volume.nonce + 1,
        file_system_uuid=None,
        formatted_at=None,
        last_mounted_at=None,
        may_be_mounted=False,
        from_snapshot=None,
        last_written_at=None,
        mount_count=None,
        growing_to_bytes=None,
        proof="",
        proved_at=None,
    )


def into_bin(tx: Transaction, lease: LeaseRecord, volume: VolumeRecord, *, reason: str, keep_s: float) -> VolumeRecord:
    """Put the lease's present volume into the bin, and return the record that takes its place.

    Raises
    ------
    VolumeBusyError
        It may be mounted.
    """
    if volume.may_be_mounted:
        raise VolumeBusyError(
            "The data volume may still be mounted.", kept="It was left where it is.", next_step="Press Stop first."
        )
    if volume.cloud_id is not None:
        now = tx.now()
        tx.put_shelved(
            ShelfRecord(
                id=new_id(),
                kind=ShelfKind.BIN,
                cloud_id=volume.cloud_id,
                course=lease.course,
                lab=lease.lab,
                lease_id=lease.id,
                person=lease.person,
                size_bytes=volume.size_bytes,
                zone=volume.zone,
                shelved_at=now,
                delete_after=now + timedelta(seconds=keep_s),
                reason=reason,
                file_system_uuid=volume.file_system_uuid,
                formatted_at=volume.formatted_at,
                last_mounted_at=volume.last_mounted_at,
                last_written_at=volume.last_written_at,
                mount_count=volume.mount_count,
                from_snapshot=volume.from_snapshot,
            )
        )
    return blank(volume)


def out_of_bin(tx: Transaction, volume: VolumeRecord, item: ShelfRecord) -> None:
    """Make a volume of the bin the lease's data volume; what it knew about its file system comes with it (I3)."""
    tx.put_volume(
        replace(
            volume,
            cloud_id=item.cloud_id,
            size_bytes=item.size_bytes,
            zone=item.zone or volume.zone,
            stage=VolumeStage.AVAILABLE,
            create_sent=True,
            file_system_uuid=item.file_system_uuid,
            formatted_at=item.formatted_at,
            last_mounted_at=item.last_mounted_at,
            last_written_at=item.last_written_at,
            mount_count=item.mount_count,
            from_snapshot=item.from_snapshot,
        )
    )
    tx.put_shelved(replace(item, ended_at=tx.now(), end="returned"))


def swap(tx: Transaction, run: Run, shelf_id: str, *, reason: str) -> None:
    """Exchange the lease's data volume for one of its bin, in one transaction. Done already is success."""
    lease, volume, item = tx.lease(run.lease.id), tx.volume_of(run.lease.id), tx.shelved(shelf_id)
    assert lease is not None
    assert volume is not None
    if item is None or item.lease_id != lease.id or item.kind is not ShelfKind.BIN:
        raise NotFoundError("There is no such volume in your bin.")
    if item.end == "returned":
        return
    if item.ended_at is not None:
        raise ConflictError("This volume was deleted: its time in the bin was over.", kept="Nothing was changed.")
    out_of_bin(tx, into_bin(tx, lease, volume, reason=reason, keep_s=run.parts.config.bin_s), item)


async def discard(run: Run) -> None:
    """Put the data volume into the bin; the next Start makes another one."""
    wanted = run.job.arguments["volume"]

    def change(tx: Transaction) -> None:
        lease, volume = tx.lease(run.lease.id), tx.volume_of(run.lease.id)
        assert lease is not None
        assert volume is not None
        if volume.cloud_id == wanted:
            tx.put_volume(into_bin(tx, lease, volume, reason="discarded", keep_s=run.parts.config.bin_s))

    await run.commit("discarded", change)


async def bring_back(run: Run) -> None:
    """Take a volume out of the bin; the present one goes there in its place."""
    shelf_id = run.job.arguments["shelf"]
    item = await run.parts.store.transact(lambda tx: tx.shelved(shelf_id))
    if item is not None and item.ended_at is None:
        seen = (await run.look()).volumes.get(item.cloud_id)
        if seen is not None and seen.state in _GONE:
            # By hand, or by a deletion whose answer was lost.
            raise VolumeError(
                f"The volume {item.cloud_id} was deleted in the cloud.",
                kept="Your present data volume is as it was.",
                next_step="Ask whoever runs the cloud whether it can be brought back.",
            )
    await run.commit("returned", lambda tx: swap(tx, run, shelf_id, reason="replaced"))


async def erase(run: Run) -> None:
    """Delete in the cloud what was in the bin for its time, or a snapshot that a person deleted."""
    if "snapshot" in run.job.arguments:
        await _erase_snapshot(run, run.job.arguments["snapshot"])
    else:
        await _erase_volume(run, run.job.arguments["shelf"])


async def _erase_snapshot(run: Run, snapshot_id: str) -> None:
    snapshot = await run.parts.store.transact(lambda tx: tx.snapshot(snapshot_id))
    assert snapshot is not None
    cloud_id = snapshot.cloud_id
    if snapshot.state is SnapshotState.DELETED:
        return
    if cloud_id is not None:
        await run.outside("delete-snapshot", lambda: run.parts.cloud.delete_snapshot(cloud_id))

    def record(tx: Transaction) -> None:
        now = tx.snapshot(snapshot_id)
        assert now is not None
        tx.put_snapshot(replace(now, state=SnapshotState.DELETED, published=False))
        _audit(tx, run, "snapshot.deleted", cloud_id or "", f"'{now.name}', as {run.job.asked_by} wanted")

    await run.commit("snapshot deleted", record)


async def _erase_volume(run: Run, shelf_id: str) -> None:
    parts = run.parts

    def read(tx: Transaction) -> tuple[ShelfRecord | None, bool]:
        item = tx.shelved(shelf_id)
        used = item is not None and any(item.cloud_id in (v.cloud_id, *v.quarantined) for v in tx.volumes())
        return item, used

    item, used = await parts.store.transact(read)
    if item is None or item.ended_at is not None:
        return
    if used or item.kind is not ShelfKind.BIN:
        raise ConflictError(f"The volume {item.cloud_id} is in use or in quarantine.", kept="It was not deleted.")
    cloud_id = item.cloud_id
    seen = (await run.look()).volumes.get(cloud_id)
    if seen is not None and seen.attachments:
        raise CloudStateError(f"The volume {cloud_id} of the bin is attached to a machine.", kept="It was not deleted.")
    if seen is None or seen.state not in _GONE:
        await run.outside("delete-volume", lambda: parts.cloud.delete_volume(cloud_id))

    def record(tx: Transaction) -> None:
        now = tx.shelved(shelf_id)
        assert now is not None
        tx.put_shelved(replace(now, ended_at=tx.now(), end="deleted"))
        _audit(tx, run, "volume.deleted", cloud_id, f"it was in the bin since {_day(now.shelved_at)}: {now.reason}")

    await run.commit("volume deleted", record)


def _day(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d}"


def _audit(tx: Transaction, run: Run, what: str, subject: str, detail: str) -> None:
    audit(tx, who=run.job.asked_by, what=what, lease=run.lease, subject=subject, detail=detail)
