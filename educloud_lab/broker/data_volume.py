"""The data volume in the cloud: found by its tag or created once, and attached to the machine that runs."""

from __future__ import annotations

import uuid
from dataclasses import replace

from educloud_lab.broker.auditing import audit
from educloud_lab.broker.making import Making, find_or_create
from educloud_lab.broker.run import Run
from educloud_lab.broker.tags import GONE, volume_nonce, volume_tags
from educloud_lab.domain import naming
from educloud_lab.domain.errors import CloudNotFoundError, CloudStateError, VolumeError, VolumeMismatchError
from educloud_lab.domain.job import SnapshotState, VolumeStage
from educloud_lab.ports.cloud import CloudView, VolumeSeen, VolumeState
from educloud_lab.ports.records import PermitRecord, SnapshotRecord, VolumeRecord
from educloud_lab.ports.store import Transaction

_MOST_ASKS = 4
_MOST_PERMITS = 5


def never_held_anything(volume: VolumeRecord) -> bool:
    """Say whether nobody can have put a file on the volume yet."""
    return (
        volume.formatted_at is None
        and volume.from_snapshot is None
        and volume.last_mounted_at is None
        and not volume.may_be_mounted
    )


def _nothing_of_ones_own(volume: VolumeRecord) -> bool:
    """Say whether nothing is lost with it: blank, or a copy of what was published that is still being made."""
    copying = volume.from_snapshot is not None and volume.stage is VolumeStage.CREATING
    return never_held_anything(volume) or (copying and volume.last_mounted_at is None and not volume.may_be_mounted)


async def provide(run: Run) -> None:
    """Find the volume by id or tag, or create it, and wait until the cloud lets it be attached."""
    parts, config = run.parts, run.parts.config
    began_s = parts.clock.monotonic_s()
    while True:
        view = await run.look()
        volume = run.volume
        if volume.cloud_id is None:
            await _find_or_create(run, view)
            continue
        seen = view.volumes.get(volume.cloud_id)
        if seen is None:
            await run.say("The cloud does not show the data volume; looking again")
            if parts.sight.confirmed_absent(volume.cloud_id, looks=config.absences, over_s=config.absence_s):
                raise await _lost(run, "The cloud no longer lists your data volume.", gone=True)
        else:
            parts.sight.seen(volume.cloud_id)
            await _see_to_tags(run, seen)
            if await _is_usable(run, seen):
                return
        copied = volume.from_snapshot is not None and volume.last_mounted_at is None
        if parts.clock.monotonic_s() - began_s > (config.restore_limit_s if copied else config.volume_limit_s):
            raise VolumeError(
                f"The data volume {volume.cloud_id} did not become available.",
                kept="It was left as it is.",
                next_step="Press Start to try again; if this repeats, ask whoever runs the cloud.",
            )


async def _making(run: Run) -> Making:
    """Decide what the data volume begins as: what the lab's instructor published, or nothing."""
    lease, volume = run.lease, run.volume

    def source(tx: Transaction) -> SnapshotRecord | None:
        if volume.from_snapshot is not None:
            return tx.snapshot(volume.from_snapshot)  # decided before: a call for it may have been made
        return None if volume.create_sent else published(tx, lease.course, lease.lab)

    snapshot = await run.parts.store.transact(source)
    size_bytes = max(volume.size_bytes, snapshot.size_bytes if snapshot is not None else 0)

    def intend(tx: Transaction) -> None:
        now = tx.volume_of(lease.id)
        assert now is not None
        changed = replace(now, create_sent=True, stage=VolumeStage.CREATING, size_bytes=size_bytes)
        if snapshot is not None:
            # It has the snapshot's file system: it is never formatted, and mounted only when it shows that one (I3).
            changed = replace(
                changed,
                from_snapshot=snapshot.id,
                file_system_uuid=snapshot.file_system_uuid,
                formatted_at=snapshot.formatted_at,
            )
        tx.put_volume(changed)

    def made(tx: Transaction, volume_id: str, twins: list[VolumeSeen]) -> None:
        now = tx.volume_of(lease.id)
        assert now is not None
        others = tuple(seen.volume_id for seen in twins)
        # Twins carry our tag and hold nothing: set aside, never deleted (I2).
        tx.put_volume(
            replace(now, cloud_id=volume_id, stage=VolumeStage.CREATING, quarantined=(*now.quarantined, *others))
        )

    return Making(
        nonce=volume_nonce(volume),
        size_bytes=size_bytes,
        zone=volume.zone,
        tags=volume_tags(run.parts.deployment, lease, volume),
        snapshot_id=(snapshot.cloud_id or "") if snapshot is not None else "",
        sent=volume.create_sent,
        set_aside=volume.quarantined,
        intend=intend,
        made=made,
    )


def published(tx: Transaction, course: str, lab: str) -> SnapshotRecord | None:
    """Return the snapshot that new data volumes of a lab are made from: the newest published one."""
    wanted = [
        snapshot
        for snapshot in tx.snapshots()
        if (snapshot.course, snapshot.lab) == (course, lab)
        and snapshot.published
        and snapshot.state is SnapshotState.COMPLETED
    ]
    return wanted[-1] if wanted else None


async def _find_or_create(run: Run, view: CloudView) -> None:
    making = await _making(run)
    try:
        await find_or_create(run, view, making)
    except CloudNotFoundError as error:
        if not making.snapshot_id:
            raise
        await set_aside(run)
        raise VolumeError(
            "The cloud no longer has the snapshot that this lab's data volumes are made from.",
            kept="No volume was made.",
            next_step="Ask your instructor to publish another one, or none; then press Start.",
        ) from error


async def _see_to_tags(run: Run, seen: VolumeSeen) -> None:
    """Set the tags of a volume whose creation took none, or whose CreateTags was lost (I2)."""
    if seen.tags.get(naming.TAG_DEPLOYMENT) != run.parts.deployment and seen.state not in GONE:
        tags = volume_tags(run.parts.deployment, run.lease, run.volume)
        await run.outside("tag-volume", lambda: run.parts.cloud.tag(seen.volume_id, tags))


async def _is_usable(run: Run, seen: VolumeSeen) -> bool:
    """Say whether the volume can be attached or is attached already; wait otherwise."""
    volume = run.volume
    if seen.state in (VolumeState.FAILED, VolumeState.ERROR):
        raise await _lost(run, f"The cloud could not make or keep the data volume (it says '{seen.state}').")
    if seen.state in (VolumeState.DELETING, VolumeState.DELETED):
        raise await _lost(run, "The data volume was deleted in the cloud.", gone=True)
    if seen.state is VolumeState.AVAILABLE:
        if seen.size_bytes == volume.growing_to_bytes:
            # The wish to enlarge it was fulfilled, although nobody heard so then.
            await run.put_volume("volume grown", size_bytes=seen.size_bytes, growing_to_bytes=None)
        elif seen.size_bytes != volume.size_bytes:
            raise VolumeMismatchError(
                f"The volume {seen.volume_id} has {seen.size_bytes} bytes, our record says {volume.size_bytes}.",
                kept="It was not touched.",
                next_step="Ask whoever runs the cloud whether it was exchanged.",
            )
        if volume.stage in (VolumeStage.PLANNED, VolumeStage.CREATING, VolumeStage.TROUBLE, VolumeStage.DETACHING):
            await run.put_volume("volume available", stage=VolumeStage.AVAILABLE)
        return True
    if seen.state is VolumeState.IN_USE:
        mine = run.lease.instance_id
        others = [a.instance_id for a in seen.attachments if a.instance_id != mine]
        if not others:
            return True
        await run.say(f"The data volume is still attached to {others[0]}")
    else:
        await run.say(f"The cloud says that the data volume is '{seen.state}'")
    return False


async def _lost(run: Run, what: str, *, gone: bool = False) -> VolumeError:
    """Return the error for a volume that cannot be used; one that never held anything is replaced at the next Start."""
    volume = run.volume
    if volume.cloud_id is not None and _nothing_of_ones_own(volume):
        await set_aside(run)
        return VolumeError(what, kept="It held nothing yet.", next_step="Press Start: another volume is made.")
    return VolumeError(
        what,
        kept="Nothing was created in its place.",
        # Only a volume that the cloud has no more is set aside by Delete machine.
        next_step="Ask whoever runs the cloud whether it can be brought back. To begin with an empty volume instead,"
        " press Delete machine and then Start."
        if gone
        else "Ask whoever runs the cloud; do not delete anything there.",
    )


async def set_aside(run: Run) -> None:
    """Forget a volume that the cloud no longer has or could not make; its id stays in the record, for people."""

    def forget(tx: Transaction) -> None:
        now = tx.volume_of(run.lease.id)
        assert now is not None
        gone = (now.cloud_id,) if now.cloud_id is not None else ()
        tx.put_volume(
            replace(
                now,
                cloud_id=None,
                stage=VolumeStage.PLANNED,
                create_sent=False,
                nonce=now.nonce + 1,
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
                quarantined=(*now.quarantined, *gone),
            )
        )

    await run.commit("volume set aside", forget)


async def attach(run: Run) -> None:
    """Attach the volume to the lease's instance, asking again when the cloud silently drops it; record a permit."""
    parts, config = run.parts, run.parts.config
    volume, instance_id = run.volume, run.lease.instance_id
    assert volume.cloud_id is not None
    assert instance_id is not None
    volume_id = volume.cloud_id
    began_s = parts.clock.monotonic_s()
    asks, looks, asked_s = 0, 0, began_s
    if volume.stage not in (VolumeStage.ATTACHED, VolumeStage.MOUNTED):
        await run.put_volume("attach intent", stage=VolumeStage.ATTACHING)
    if run.job.attempts > 1:
        # An earlier attempt may have asked: a wish that was granted is not repeated.
        seen = (await run.look()).volumes.get(volume_id)
        asks = int(seen is not None and any(a.instance_id == instance_id for a in seen.attachments))
    while True:
        now_s = parts.clock.monotonic_s()
        if asks == 0 or (looks >= config.silent_attach_looks and now_s - asked_s > config.silent_attach_s):
            if asks >= _MOST_ASKS:
                raise CloudStateError(
                    "The cloud takes the wish to attach the data volume and drops it without a word.",
                    kept="The volume is unharmed.",
                    next_step="It is tried again; if this repeats, ask whoever runs the cloud.",
                )
            asks, looks, asked_s = asks + 1, 0, now_s
            await run.outside("attach-volume", lambda: parts.cloud.attach_volume(volume_id, instance_id, volume.device))
        view = await run.look()
        seen = view.volumes.get(volume_id)
        mine = [a for a in seen.attachments if a.instance_id == instance_id] if seen is not None else []
        if mine and mine[0].state == "attached":
            break
        if not mine:
            looks += 1
        if parts.clock.monotonic_s() - began_s > config.attach_limit_s:
            raise CloudStateError(
                "The data volume did not get attached in time.",
                kept="It is unharmed.",
                next_step="It is tried again; if this repeats, ask whoever runs the cloud.",
            )
        await run.say("The cloud is attaching the volume")
    assert seen is not None
    run.notes["from_snapshot"] = bool(seen.snapshot_id)
    await _grant_permit(run, volume_id)


async def _grant_permit(run: Run, volume_id: str) -> None:
    """Record that the volume is attached and, when it never held anything, a permit to format it (I3)."""
    allowed = not run.notes["from_snapshot"]

    def record(tx: Transaction) -> None:
        lease, volume = tx.lease(run.lease.id), tx.volume_of(run.lease.id)
        assert lease is not None
        assert volume is not None
        serial = naming.disk_serial(volume_id, volume.device)
        if never_held_anything(volume) and allowed:
            permits = tx.permits(volume_id)
            # The UUID stays the same for all permits of a volume: it is how our own unfinished work is known.
            chosen = volume.file_system_uuid or str(uuid.uuid4())
            exact = [p for p in permits if p.serial == serial and p.generation == lease.generation and not p.spent_at]
            if not exact and len(permits) < _MOST_PERMITS:
                tx.add_permit(
                    PermitRecord(
                        id=uuid.uuid4().hex,
                        lease_id=lease.id,
                        volume_id=volume_id,
                        serial=serial,
                        generation=lease.generation,
                        file_system_uuid=chosen,
                        granted_at=tx.now(),
                    )
                )
                audit(tx, who=run.job.asked_by, what="permit.granted", lease=lease, subject=volume_id)
            volume = replace(volume, file_system_uuid=chosen)
        mounted = volume.stage is VolumeStage.MOUNTED
        tx.put_volume(volume if mounted else replace(volume, stage=VolumeStage.ATTACHED))

    await run.commit("attached", record)
