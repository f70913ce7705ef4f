"""The data volume as a disk on the machine: found by its serial, formatted once and only with a permit, mounted.

A disk is formatted only when ``blkid`` finds nothing, ``wipefs`` finds nothing and its ends are readable and zero,
and a permit for exactly this volume, serial and generation was spent in the store before (I3). Everything else is
refused and explained.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

from educloud_lab.broker.auditing import audit
from educloud_lab.broker.run import Run
from educloud_lab.broker.scripts import disk as scripts
from educloud_lab.broker.scripts.grammar import read_answer
from educloud_lab.domain import naming
from educloud_lab.domain.errors import (
    CommandFailedError,
    MachineUnreachableError,
    ShellError,
    VolumeError,
    VolumeMismatchError,
    VolumeNotBlankError,
    VolumeUnreadableError,
)
from educloud_lab.domain.job import VolumeStage
from educloud_lab.ports.records import VolumeRecord
from educloud_lab.ports.shell import Connection
from educloud_lab.ports.store import Transaction

_log = logging.getLogger(__name__)
_WAIT_TENTHS = "200"
_MKFS_S = 600.0
_LEFT = "It was not changed."


def _connection(run: Run) -> Connection:
    connection: Connection | None = run.notes.get("connection")
    if connection is None or connection.closed:
        raise MachineUnreachableError(
            "The connection to the machine broke.",
            kept="The data volume was not changed.",
            next_step="It is tried again.",
        )
    return connection


def _serial(run: Run) -> str:
    assert run.volume.cloud_id is not None
    return naming.disk_serial(run.volume.cloud_id, run.volume.device)


async def find(run: Run) -> None:
    """Find the disk by its serial, compare its size, and learn what is on it."""
    completed = await _connection(run).run(scripts.PROBE, arguments=[_serial(run), _WAIT_TENTHS], timeout_s=120.0)
    answer = read_answer("probe", completed, scripts.PROBE_FORMS, required=("disk",))
    if answer["disk"] == "none":
        raise ShellError(
            "The cloud says that the data volume is attached, but the machine does not see the disk.",
            kept=_LEFT,
            next_step="It is tried again; Stop and Start may help.",
        )
    if set(answer) != set(scripts.PROBE_FORMS):
        raise CommandFailedError("The machine did not say everything about the disk.", exit_status=0, kept=_LEFT)
    if int(answer["size_bytes"]) != run.volume.size_bytes:
        raise VolumeMismatchError(
            f"The disk has {answer['size_bytes']} bytes, the data volume {run.volume.size_bytes}.",
            kept=_LEFT,
            next_step="Ask whoever runs the cloud whether the volume was exchanged.",
        )
    if answer["readonly"] == "1":
        raise VolumeUnreadableError(
            "The disk of the data volume is write-protected.", kept=_LEFT, next_step="Ask whoever runs the cloud."
        )
    run.notes["probe"] = answer


async def make_file_system(run: Run) -> None:
    """See that the disk holds our file system; make it when the disk is blank and a permit can be spent."""
    volume = run.volume
    probe: dict[str, str] = run.notes["probe"]
    ours = volume.file_system_uuid is not None and probe["uuid"] == volume.file_system_uuid and probe["type"] == "ext4"
    if volume.formatted_at is not None:
        if not ours:
            raise _not_as_recorded(run, probe)
        return
    if probe["blkid"] == "found" and ours and await _permit_was_spent(run):
        # A broker was cut off between mkfs and its record.
        await _record_formatted(run)
        return
    _refuse_unless_blank(probe)
    if not await run.commit("permit spent", lambda tx: _spend(tx, run)):
        raise VolumeError(
            "There is no permission left to format this volume.",
            kept=_LEFT,
            next_step="Ask your instructor to look at it.",
        )
    volume = run.volume
    assert volume.file_system_uuid is not None
    arguments = [_serial(run), volume.file_system_uuid, str(volume.size_bytes)]
    await run.say("Making the file system, this once")
    completed = await run.outside(
        "format", lambda: _connection(run).run(scripts.FORMAT, arguments=arguments, timeout_s=_MKFS_S)
    )
    if completed.exit_status == 72:
        raise _not_blank("something appeared on it")
    answer = read_answer("format", completed, scripts.FORMAT_FORMS, required=("uuid",))
    if answer["uuid"] != volume.file_system_uuid:
        raise _not_as_recorded(run, answer)
    await _record_formatted(run)
    run.notes["new"] = True


def _refuse_unless_blank(probe: dict[str, str]) -> None:
    if probe["blkid"] == "error" or probe["wipefs"] == "error" or probe["zeros"] == "unreadable":
        raise VolumeUnreadableError(
            "The data volume cannot be read, so nobody can say whether it is empty.",
            kept="It was not formatted and not changed.",
            next_step="Stop and Start may help; else ask whoever runs the cloud.",
        )
    if probe["blkid"] == "found":
        raise _not_blank(f"a {probe['type']} file system or partition table" if probe["type"] != "-" else "something")
    if probe["blkid"] != "none" or probe["wipefs"] != "none" or probe["partitions"] != "no":
        raise _not_blank("a signature that we did not write")
    if probe["zeros"] != "yes" or probe["mounted"] != "-":
        raise _not_blank("data that we do not know")


def _not_blank(holds: str) -> VolumeNotBlankError:
    return VolumeNotBlankError(
        f"The data volume is not empty: it holds {holds}.",
        kept="It was not formatted and not changed.",
        next_step="Ask your instructor to look at it; nothing will format it.",
    )


def _not_as_recorded(run: Run, answer: dict[str, str]) -> VolumeError:
    if answer.get("blkid") == "error" or answer.get("zeros") == "unreadable" or answer.get("wipefs") == "error":
        return VolumeUnreadableError(
            "The data volume cannot be read.", kept=_LEFT, next_step="Stop and Start may help; else ask for help."
        )
    return VolumeMismatchError(
        f"The disk shows the file system {answer['uuid']}, our record says {run.volume.file_system_uuid}.",
        kept="It was not mounted and not changed.",
        next_step="Ask your instructor to look at it.",
    )


async def _permit_was_spent(run: Run) -> bool:
    volume_id, wanted = run.volume.cloud_id, run.volume.file_system_uuid
    assert volume_id is not None
    permits = await run.parts.store.transact(lambda tx: tx.permits(volume_id))
    return any(p.spent_at is not None and p.file_system_uuid == wanted for p in permits)


def _spend(tx: Transaction, run: Run) -> bool:
    """Spend the permit of exactly this volume, serial, generation and UUID."""
    lease, volume = tx.lease(run.lease.id), tx.volume_of(run.lease.id)
    assert lease is not None
    assert volume is not None
    assert volume.cloud_id is not None
    for permit in tx.permits(volume.cloud_id):
        exact = (
            permit.lease_id == lease.id
            and permit.serial == naming.disk_serial(volume.cloud_id, volume.device)
            and permit.generation == lease.generation
            and permit.file_system_uuid == volume.file_system_uuid
        )
        if exact and permit.spent_at is None and volume.formatted_at is None:
            spent = tx.spend_permit(permit.id)
            if spent:
                audit(tx, who=run.job.asked_by, what="permit.spent", lease=lease, subject=volume.cloud_id)
            return spent
    return False


async def _record_formatted(run: Run) -> None:
    now = await run.parts.store.transact(lambda tx: tx.now())
    await run.put_volume("formatted", formatted_at=now)


async def mount(run: Run) -> None:
    """Mount it at its place, after a check of what is safe to repair; never silently read-only."""
    volume = run.volume
    assert volume.file_system_uuid is not None
    await run.put_volume("mount intent", may_be_mounted=True)
    arguments = [_serial(run), volume.file_system_uuid, volume.mount_point, run.lease.profile.login_user]
    # What was made a moment ago over this connection needs no check.
    arguments.append("new" if run.notes.get("new") else "known")
    await run.say("Checking and mounting the file system")
    completed = await run.outside(
        "mount", lambda: _connection(run).run(scripts.MOUNT, arguments=arguments, timeout_s=_MKFS_S)
    )
    answer = read_answer("mount", completed, scripts.MOUNT_FORMS, required=("state",))
    state = answer["state"]
    if state == "mismatch":
        raise _not_as_recorded(run, {"uuid": "another"})
    if state == "elsewhere":
        raise VolumeMismatchError(
            "The data volume is mounted at another place on the machine.",
            kept="Nothing was unmounted.",
            next_step="Press Stop and then Start.",
        )
    if state in ("dirty", "refused"):
        await run.put_volume("not mounted", mount_count=None)  # the check may have written to it
    if state == "dirty":
        raise VolumeError(
            "The file system needs a repair that is not safe without a person's eyes.",
            kept="It was not mounted and not repaired.",
            next_step="Ask your instructor to look at it (e2fsck), before anything else is tried.",
        )
    if state == "refused":
        raise VolumeError(
            f"The machine refused to mount the data volume at {volume.mount_point}.",
            kept="It was not changed.",
            next_step="The console log may say why; Stop and Start may help.",
        )
    if answer.get("extended") == "failed":
        _log.warning("lease %s: the file system could not be extended; the next mount tries again", run.lease.id)
    now = await run.parts.store.transact(lambda tx: tx.now())
    await run.put_volume("mounted", stage=VolumeStage.MOUNTED, last_mounted_at=now, **_proof(volume, answer, now))


def _proof(volume: VolumeRecord, answer: dict[str, str], now: datetime) -> dict[str, Any]:
    """Return what the file system's own record of its last write says beside ours of the last unmount."""
    written, mounts = answer.get("written", "-"), answer.get("mounts", "-")
    changes: dict[str, Any] = {"mount_count": None, "proof": "", "proved_at": now}
    if written == "-" or mounts == "-":
        # Nothing to compare: it is new, or it was mounted already when a broker was cut off.
        return changes if volume.stage is not VolumeStage.MOUNTED else {}
    at = datetime.fromtimestamp(int(written), UTC)
    if volume.mount_count is not None:
        same = (volume.last_written_at, volume.mount_count) == (at, int(mounts))
        changes["proof"] = "same" if same else "changed"
    return changes | {"last_written_at": at}
