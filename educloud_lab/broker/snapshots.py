"""Snapshots of a data volume: frozen where it is mounted, found again by their description, watched until complete.

A cloud may take the volume as it is a moment after it answered (Eucalyptus's DAS and overlay storage do: their
``createSnapshotPoint`` does nothing). So the file system stays frozen until the cloud shows that it has begun, and
``frozen`` is recorded only when the thaw came after that. The record says ``crash`` from the intent on until then.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from educloud_lab.broker.dial import dial
from educloud_lab.broker.run import Run, Superseded
from educloud_lab.broker.scripts import freeze as scripts
from educloud_lab.broker.scripts.grammar import read_answer
from educloud_lab.broker.tags import find_snapshots, snapshot_description, snapshot_nonce, snapshot_tags
from educloud_lab.domain import naming
from educloud_lab.domain.errors import CloudError, NotFoundError, ShellError, VolumeError
from educloud_lab.domain.job import Consistency, SnapshotState, wanted_job
from educloud_lab.domain.lease import Status
from educloud_lab.ports.cloud import SnapshotSeen
from educloud_lab.ports.records import SnapshotRecord
from educloud_lab.ports.shell import Connection
from educloud_lab.ports.store import Transaction

_PENDING = "pending"
_COMPLETED = "completed"
_SLOWEST_LOOK_S = 15.0


async def record_of(run: Run) -> SnapshotRecord:
    """Return the snapshot that the job is about."""
    snapshot_id = run.job.arguments["snapshot"]
    snapshot = await run.parts.store.transact(lambda tx: tx.snapshot(snapshot_id))
    if snapshot is None:
        raise NotFoundError("There is no such snapshot.")
    return snapshot


async def _put(run: Run, label: str, snapshot_id: str, **changes: Any) -> SnapshotRecord:
    def change(tx: Transaction) -> SnapshotRecord:
        now = tx.snapshot(snapshot_id)
        assert now is not None
        changed = replace(now, **changes)
        tx.put_snapshot(changed)
        return changed

    return await run.commit(label, change)


async def freeze(run: Run) -> None:
    """See whether it was taken already; else write down that it is about to be, and hold the file system still."""
    snapshot = await record_of(run)
    if snapshot.cloud_id is not None or await _found(run, snapshot):
        return
    mounted = run.volume.may_be_mounted
    least = Consistency.CRASH if mounted else Consistency.AT_REST
    await _put(run, "snapshot intent", snapshot.id, create_sent=True, consistency=least)
    if mounted and run.lease.status is Status.RUNNING:
        await _hold(run)


async def _found(run: Run, snapshot: SnapshotRecord) -> bool:
    """Look for one that a lost call made; wait until it is sure that there is none."""
    if not snapshot.create_sent:
        return False
    parts, config, nonce = run.parts, run.parts.config, snapshot_nonce(snapshot)
    while True:
        found = find_snapshots((await parts.snapshot_sight.look()).snapshots, parts.deployment, snapshot)
        if found:
            parts.snapshot_sight.seen(nonce)
            seen = found[0]
            await _put(run, "snapshot adopted", snapshot.id, cloud_id=seen.snapshot_id, state=SnapshotState.PENDING)
            return True
        if parts.snapshot_sight.confirmed_absent(nonce, looks=config.absences, over_s=config.create_absence_s):
            parts.snapshot_sight.seen(nonce)
            return False
        await run.say("The cloud did not answer when the snapshot was asked for; looking whether it took it")


async def _hold(run: Run) -> None:
    """Freeze the file system; a machine that cannot be asked leaves the snapshot as after a power cut, and says so."""
    config, volume = run.parts.config, run.volume
    assert volume.cloud_id is not None
    serial = naming.disk_serial(volume.cloud_id, volume.device)
    await run.say("Writing out what is in memory")
    try:
        connection = await dial(run, limit_s=config.freeze_contact_limit_s)
        run.on_end(connection.close)
        arguments = [serial, volume.mount_point, f"{config.freeze_s:g}", f"{10 * config.freeze_s:.0f}"]
        run.on_end(lambda: _let_go(run, connection))
        run.notes["holding"] = connection
        completed = await run.outside(
            "freeze", lambda: connection.run(scripts.FREEZE, arguments=arguments, timeout_s=120.0)
        )
        answer = read_answer("freeze", completed, scripts.FREEZE_FORMS, required=("state",))
        run.notes["frozen"] = answer["state"] == "frozen"
    except (ShellError, CloudError):
        run.notes["frozen"] = False


async def _let_go(run: Run, connection: Connection) -> None:
    """Thaw what an attempt that broke off left frozen; the guest does it by itself when this cannot."""
    if run.notes.pop("holding", None) is not None:
        try:
            await _ask_to_thaw(run, connection)
        except ShellError:
            return


async def _ask_to_thaw(run: Run, connection: Connection) -> bool:
    volume = run.volume
    assert volume.cloud_id is not None
    arguments = [naming.disk_serial(volume.cloud_id, volume.device), volume.mount_point]
    completed = await connection.run(scripts.THAW, arguments=arguments, timeout_s=30.0)
    return read_answer("thaw", completed, scripts.THAW_FORMS, required=("state",))["state"] == "thawed"


async def take(run: Run) -> None:
    """Ask for the snapshot, and let the file system go on as soon as the cloud has begun with it."""
    snapshot = await record_of(run)
    parts, volume = run.parts, run.volume
    volume_id = volume.cloud_id
    if snapshot.cloud_id is None:
        assert volume_id is not None
        seen = await run.outside(
            "create-snapshot",
            lambda: parts.cloud.create_snapshot(
                volume_id,
                description=snapshot_description(parts.deployment, snapshot),
                tags=snapshot_tags(parts.deployment, snapshot),
            ),
        )
        snapshot = await _put(
            run, "snapshot created", snapshot.id, cloud_id=seen.snapshot_id, state=SnapshotState.PENDING
        )
    connection: Connection | None = run.notes.get("holding")
    if connection is None:
        return
    begun = bool(run.notes.get("frozen")) and await _begun(run, snapshot)
    try:
        thawed = await run.outside("thaw", lambda: _ask_to_thaw(run, connection))
    except ShellError:
        thawed = False
    run.notes.pop("holding", None)
    if begun and thawed:
        await _put(run, "snapshot held", snapshot.id, consistency=Consistency.FROZEN)


async def _begun(run: Run, snapshot: SnapshotRecord) -> bool:
    """Wait, for less than the freeze lasts, until the cloud shows that it has begun."""
    parts = run.parts
    began_s = parts.clock.monotonic_s()
    while parts.clock.monotonic_s() - began_s < 0.8 * parts.config.freeze_s:
        try:
            seen = (await parts.snapshot_sight.look()).snapshots.get(snapshot.cloud_id or "")
        except CloudError:
            return False
        if seen is not None and (seen.state == _COMPLETED or seen.progress_percent > 0):
            return True
    return False


async def complete(run: Run) -> None:
    """Watch it until the cloud has copied it; whatever else is wanted of the machine meanwhile goes first."""
    parts, config = run.parts, run.parts.config
    snapshot = await record_of(run)
    pause_s = config.busy_poll_s
    while snapshot.state is SnapshotState.PENDING:
        lease = await parts.store.transact(lambda tx: tx.lease(run.lease.id))
        if lease is None or wanted_job(lease.target, lease.status) is not None:
            raise Superseded  # a new job watches it when nothing else is to be done
        assert snapshot.cloud_id is not None
        seen = (await parts.snapshot_sight.look()).snapshots.get(snapshot.cloud_id)
        if seen is None:
            if parts.snapshot_sight.confirmed_absent(snapshot.cloud_id, looks=config.absences, over_s=config.absence_s):
                await _put(run, "snapshot lost", snapshot.id, state=SnapshotState.FAILED)
                raise _failed("The cloud no longer lists the snapshot.")
        else:
            parts.snapshot_sight.seen(snapshot.cloud_id)
            snapshot = await _note(run, snapshot, seen)
        if snapshot.state is SnapshotState.PENDING:
            await run.say(f"The cloud has copied {snapshot.progress_percent} %")
            await run.after(pause_s)
            pause_s = min(_SLOWEST_LOOK_S, 1.5 * pause_s)


async def _note(run: Run, snapshot: SnapshotRecord, seen: SnapshotSeen) -> SnapshotRecord:
    if seen.tags.get(naming.TAG_DEPLOYMENT) != run.parts.deployment:
        tags = snapshot_tags(run.parts.deployment, snapshot)  # its CreateTags was lost, or not made yet
        await run.outside("tag-snapshot", lambda: run.parts.cloud.tag(seen.snapshot_id, tags))
    consistency = _consistency(run, snapshot)
    if seen.state == _COMPLETED:
        now = await run.parts.store.transact(lambda tx: tx.now())
        return await _put(
            run,
            "snapshot completed",
            snapshot.id,
            state=SnapshotState.COMPLETED,
            progress_percent=100,
            completed_at=now,
            consistency=consistency,
        )
    if seen.state != _PENDING:
        await _put(run, "snapshot failed", snapshot.id, state=SnapshotState.FAILED)
        raise _failed(f"The cloud could not take the snapshot (it says '{seen.state}').")
    if seen.progress_percent != snapshot.progress_percent:
        return await _put(
            run, "snapshot progress", snapshot.id, progress_percent=seen.progress_percent, consistency=consistency
        )
    return snapshot


def _consistency(run: Run, snapshot: SnapshotRecord) -> Consistency:
    """Return what it can be relied on for, now that the cloud is seen to have begun.

    The cloud takes the volume as it is when it begins: somebody may have pressed Start since it answered.
    """
    volume, mounted_at = run.volume, run.volume.last_mounted_at
    used = volume.may_be_mounted or (mounted_at is not None and mounted_at >= snapshot.created_at)
    begun_before = snapshot.progress_percent > 0
    if begun_before or snapshot.consistency is not Consistency.AT_REST or not used:
        return snapshot.consistency
    return Consistency.CRASH if volume.cloud_id == snapshot.volume_cloud_id else snapshot.consistency


def _failed(what: str) -> VolumeError:
    return VolumeError(what, kept="Your data volume is as it was.", next_step="Take another snapshot.")
