"""What is to be done about volumes although nobody asks just then: the bin emptied, snapshots watched to their end."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from educloud_lab.broker.intents import DIED, new_id
from educloud_lab.broker.parts import Parts
from educloud_lab.domain.job import JobKind, ShelfKind, SnapshotState, step_names, wanted_job
from educloud_lab.domain.lease import Status
from educloud_lab.ports.records import JobRecord, LeaseRecord, ShelfRecord, StepRecord
from educloud_lab.ports.store import Transaction

_UNDER_WAY: Final = (SnapshotState.PLANNED, SnapshotState.PENDING)
_AGAIN: Final = timedelta(hours=1)
_SURE: Final = timedelta(hours=1)
_WATCH_AGAIN: Final = timedelta(seconds=60)


def add_volume_job(
    tx: Transaction, lease: LeaseRecord, kind: JobKind, arguments: dict[str, str], *, who: str = ""
) -> JobRecord:
    """Write down one of the volumes' own jobs; nothing may be in flight for the lease.

    Raises
    ------
    ConflictError
        Something is.
    """
    volume = tx.volume_of(lease.id)
    now = tx.now()
    if who and lease.problem is not None and lease.status is not Status.FAILED and lease.reason != DIED:
        tx.put_lease(replace(lease, problem=None))  # what went wrong with the last wish: this is another one
    job = JobRecord(
        id=new_id(),
        lease_id=lease.id,
        volume_id=volume.id if volume is not None else None,
        kind=kind,
        scope=f"{kind}:{lease.profile.name}",
        created_at=now,
        next_attempt_at=now,
        asked_by=who,
        arguments=arguments,
    )
    names = step_names(kind, has_volume=True)
    tx.add_job(job, [StepRecord(job_id=job.id, position=i, name=name) for i, name in enumerate(names)])
    return job


def _idle(tx: Transaction, lease_id: str | None) -> LeaseRecord | None:
    """Return a lease for which nothing is in flight and nothing is wanted."""
    lease = tx.lease(lease_id) if lease_id is not None else None
    if lease is None or tx.job_in_flight(lease.id) is not None or wanted_job(lease.target, lease.status) is not None:
        return None
    return lease


def _is_due(tx: Transaction, item: ShelfRecord, now: datetime) -> bool:
    """Say whether a volume's time in the bin is over, and was over for a while already.

    What is deleted does not come back, and a clock may be wrong by days until it is put right (a computer that starts
    without network). So what seems due is written down first, and it goes when that still holds an hour later.
    """
    name = f"bin-due-{item.id}"
    noticed = tx.meta(name) or ""
    if item.delete_after is None or item.delete_after > now:
        if noticed:
            tx.set_meta(name, "")
        return False
    since = datetime.fromisoformat(noticed) if noticed else now
    if not noticed or since > now:
        tx.set_meta(name, now.isoformat())
    return bool(noticed) and since + _SURE <= now


def sweep(tx: Transaction, course: str) -> bool:
    """Make the jobs that bin and snapshots need; say whether any was made or anything written down."""
    changed = False
    now = tx.now()
    for item in tx.shelf():
        if item.course != course or item.kind is not ShelfKind.BIN:
            continue
        due = _is_due(tx, item, now)
        lease = _idle(tx, item.lease_id) if due else None
        if lease is not None:
            # A deletion that fails is tried again later, not at once.
            tx.put_shelved(replace(item, delete_after=now + _AGAIN))
            add_volume_job(tx, lease, JobKind.EMPTY, {"shelf": item.id})
            changed = True
    for snapshot in tx.snapshots():
        if snapshot.course != course or snapshot.state not in _UNDER_WAY:
            continue
        lease = _idle(tx, snapshot.lease_id)
        if lease is None:
            continue
        last = tx.last_job(lease.id)
        if snapshot.state is SnapshotState.PLANNED:
            # Its job ended without an id from the cloud. Should there be a snapshot all the same, it carries our tags.
            tx.put_snapshot(replace(snapshot, state=SnapshotState.FAILED))
            changed = True
        elif last is None or last.kind is not JobKind.SNAPSHOT or (last.ended_at or now) + _WATCH_AGAIN <= now:
            add_volume_job(tx, lease, JobKind.SNAPSHOT, {"snapshot": snapshot.id})
            changed = True
    return changed


class Upkeep:
    """Sweeps now and then.

    Parameters
    ----------
    parts : the broker's ports.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._last_s = float("-inf")
        self._forgot_s = parts.clock.monotonic_s()

    async def tend(self) -> None:
        """Sweep when it is time."""
        now_s = self._parts.clock.monotonic_s()
        if now_s - self._last_s < self._parts.config.upkeep_s:
            return
        self._last_s = now_s
        if await self._parts.store.transact(lambda tx: sweep(tx, self._parts.course)):
            self._parts.changed.ring()
        if now_s - self._forgot_s >= self._parts.config.forget_calls_s:
            self._forgot_s = now_s
            await self._parts.store.transact(lambda tx: tx.drop_old_calls(keep=self._parts.config.keep_calls))
