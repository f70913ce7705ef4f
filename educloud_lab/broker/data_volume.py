"""The data volume in the cloud: found by its tag or created once, and attached to the machine that runs."""

from __future__ import annotations

import uuid
from dataclasses import replace

from educloud_lab.broker.run import Run
from educloud_lab.broker.tags import find_volumes, volume_tags
from educloud_lab.domain import naming
from educloud_lab.domain.errors import CloudStateError, VolumeError, VolumeMismatchError
from educloud_lab.domain.job import VolumeStage
from educloud_lab.ports.cloud import VolumeSeen, VolumeState
from educloud_lab.ports.records import PermitRecord, VolumeRecord
from educloud_lab.ports.store import Transaction

GIB = 1024**3
_MOST_ASKS = 4
_MOST_PERMITS = 5


def never_held_anything(volume: VolumeRecord) -> bool:
    """Say whether nobody can have put a file on the volume yet."""
    return volume.formatted_at is None and volume.last_mounted_at is None and not volume.may_be_mounted


async def provide(run: Run) -> None:
    """Find the volume by id or tag, or create it, and wait until the cloud lets it be attached."""
    parts, config = run.parts, run.parts.config
    began_s = parts.clock.monotonic_s()
    while True:
        view = await run.look()
        volume = run.volume
        if volume.cloud_id is None:
            await _find_or_create(run, find_volumes(view, parts.deployment, volume))
            continue
        seen = view.volumes.get(volume.cloud_id)
        if seen is None:
            await run.say("The cloud does not show the data volume; looking again")
            if parts.sight.confirmed_absent(volume.cloud_id, looks=config.absences, over_s=config.absence_s):
                raise await _lost(run, "The cloud no longer lists your data volume.", gone=True)
        else:
            parts.sight.seen(volume.cloud_id)
            if await _is_usable(run, seen):
                return
        if parts.clock.monotonic_s() - began_s > config.volume_limit_s:
            raise VolumeError(
                f"The data volume {volume.cloud_id} did not become available.",
                kept="It was left as it is.",
                next_step="Press Start to try again; if this repeats, ask whoever runs the cloud.",
            )


async def _find_or_create(run: Run, found: list[VolumeSeen]) -> None:
    parts, config, volume = run.parts, run.parts.config, run.volume
    if found:
        others = tuple(seen.volume_id for seen in found[1:])
        await run.put_volume(
            "volume adopted",
            cloud_id=found[0].volume_id,
            stage=VolumeStage.CREATING,
            # Twins carry our tag and hold nothing: set aside, never deleted (I2).
            quarantined=(*volume.quarantined, *others),
        )
        return
    nonce = f"{volume.id}-{volume.nonce}"
    if volume.create_sent and not parts.sight.confirmed_absent(
        nonce, looks=config.absences, over_s=config.create_absence_s
    ):
        await run.say("The cloud did not answer when the volume was created; looking whether it did it")
        return
    parts.sight.seen(nonce)
    await run.put_volume("volume intent", create_sent=True, stage=VolumeStage.CREATING)
    run.check()
    spec = run.lease
    seen = await run.outside(
        "create-volume",
        lambda: parts.cloud.create_volume(
            size_gib=-(-volume.size_bytes // GIB),
            zone=volume.zone,
            tags=volume_tags(parts.deployment, spec, volume),
        ),
    )
    await run.put_volume("volume created", cloud_id=seen.volume_id)


async def _is_usable(run: Run, seen: VolumeSeen) -> bool:
    """Say whether the volume can be attached or is attached already; wait otherwise."""
    volume = run.volume
    if seen.state in (VolumeState.FAILED, VolumeState.ERROR):
        raise await _lost(run, f"The cloud could not make or keep the data volume (it says '{seen.state}').")
    if seen.state in (VolumeState.DELETING, VolumeState.DELETED):
        raise await _lost(run, "The data volume was deleted in the cloud.", gone=True)
    if seen.state is VolumeState.AVAILABLE:
        if seen.size_bytes != volume.size_bytes:
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
    if volume.cloud_id is not None and never_held_anything(volume):
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
        assert now.cloud_id is not None
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
                quarantined=(*now.quarantined, now.cloud_id),
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
            volume = replace(volume, file_system_uuid=chosen)
        mounted = volume.stage is VolumeStage.MOUNTED
        tx.put_volume(volume if mounted else replace(volume, stage=VolumeStage.ATTACHED))

    await run.commit("attached", record)
