"""Restore: a new volume from a snapshot, exchanged for the present one in one transaction. Never in place.

The new volume is made onto the shelf, so that whatever happens in between it is known and nothing is lost: it is then
taken out of the bin as any other volume is, and the present one goes in.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from educloud_lab.broker import shelf
from educloud_lab.broker.making import Making, find_or_create
from educloud_lab.broker.run import Run
from educloud_lab.broker.snapshots import record_of
from educloud_lab.broker.tags import volume_tags
from educloud_lab.domain import naming
from educloud_lab.domain.errors import CloudNotFoundError, VolumeError
from educloud_lab.domain.job import ShelfKind, SnapshotState
from educloud_lab.ports.cloud import VolumeSeen, VolumeState
from educloud_lab.ports.records import ShelfRecord, SnapshotRecord
from educloud_lab.ports.store import Transaction

_KEPT = "Your present data volume is as it was."


async def copy(run: Run) -> None:
    """Make a volume from the snapshot and wait until it can be used."""
    snapshot = await record_of(run)
    if snapshot.state is not SnapshotState.COMPLETED or snapshot.cloud_id is None:
        raise VolumeError("The snapshot is not complete.", kept=_KEPT, next_step="Wait until it is, then restore it.")
    parts, config = run.parts, run.parts.config
    shelf_id = run.job.arguments["shelf"]
    began_s = parts.clock.monotonic_s()
    while True:
        view = await run.look()
        item = await parts.store.transact(lambda tx: tx.shelved(shelf_id))
        if item is None:
            try:
                await find_or_create(run, view, await _making(run, snapshot, shelf_id))
            except CloudNotFoundError as error:
                raise VolumeError(
                    "The cloud no longer has this snapshot.", kept=_KEPT, next_step="Restore another one."
                ) from error
            continue
        if item.ended_at is not None:
            return  # exchanged already
        seen = view.volumes.get(item.cloud_id)
        if seen is not None:
            await _see_to_tags(run, seen)
            if seen.state is VolumeState.AVAILABLE:
                return
            if seen.state is not VolumeState.CREATING:
                raise VolumeError(
                    f"The cloud could not make a volume from the snapshot (it says '{seen.state}').",
                    kept=_KEPT,
                    next_step="Restore it again; if this repeats, ask whoever runs the cloud.",
                )
        if parts.clock.monotonic_s() - began_s > config.restore_limit_s:
            raise VolumeError(
                "The volume from the snapshot did not become available.",
                kept=_KEPT,
                next_step="Restore it again; if this repeats, ask whoever runs the cloud.",
            )
        await run.say("The cloud is copying the snapshot to a new volume")


async def _making(run: Run, snapshot: SnapshotRecord, shelf_id: str) -> Making:
    lease, volume, job_id = run.lease, run.volume, run.job.id
    nonce = f"{volume.id}-{job_id}"
    size_bytes = max(snapshot.size_bytes, volume.size_bytes)  # what was enlarged since stays so
    sent = await run.parts.store.transact(lambda tx: _arguments(tx, job_id).get("sent") == "yes")

    def intend(tx: Transaction) -> None:
        job = tx.job(job_id)
        assert job is not None
        tx.put_job(replace(job, arguments={**job.arguments, "sent": "yes"}))

    def made(tx: Transaction, volume_id: str, _twins: list[VolumeSeen]) -> None:
        now = tx.now()
        tx.put_shelved(
            ShelfRecord(
                id=shelf_id,
                kind=ShelfKind.BIN,
                cloud_id=volume_id,
                course=lease.course,
                lab=lease.lab,
                lease_id=lease.id,
                person=lease.person,
                size_bytes=size_bytes,
                zone=volume.zone or lease.zone,
                created_at=now,
                shelved_at=now,
                delete_after=now + timedelta(seconds=run.parts.config.bin_s),
                reason="copy",
                file_system_uuid=snapshot.file_system_uuid,
                formatted_at=snapshot.formatted_at,
                from_snapshot=snapshot.id,
            )
        )

    return Making(
        nonce=nonce,
        size_bytes=size_bytes,
        zone=volume.zone or lease.zone,
        tags={**volume_tags(run.parts.deployment, lease, volume), naming.TAG_NONCE: nonce},
        snapshot_id=snapshot.cloud_id or "",
        sent=sent,
        set_aside=volume.quarantined,
        intend=intend,
        made=made,
    )


def _arguments(tx: Transaction, job_id: str) -> dict[str, str]:
    job = tx.job(job_id)
    assert job is not None
    return dict(job.arguments)


async def _see_to_tags(run: Run, seen: VolumeSeen) -> None:
    """Set the tags of a copy whose creation took none, or whose CreateTags was lost (I2)."""
    if seen.tags.get(naming.TAG_DEPLOYMENT) != run.parts.deployment:
        nonce = f"{run.volume.id}-{run.job.id}"
        tags = {**volume_tags(run.parts.deployment, run.lease, run.volume), naming.TAG_NONCE: nonce}
        await run.outside("tag-volume", lambda: run.parts.cloud.tag(seen.volume_id, tags))


async def exchange(run: Run) -> None:
    """Put the copy into the place of the present volume, which goes to the bin."""
    shelf_id = run.job.arguments["shelf"]
    await run.commit("restored", lambda tx: shelf.swap(tx, run, shelf_id, reason="restored"))
