"""The store in memory: the same contract without a file, for tests. Nothing survives the process."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TypeVar

from educloud_lab.adapters.memory.tables import Tables
from educloud_lab.domain.errors import ConflictError, StaleClaimError
from educloud_lab.domain.job import wanted_job
from educloud_lab.domain.lease import ON_THE_WAY, LeaseKey, Status
from educloud_lab.ports.clock import Clock
from educloud_lab.ports.records import (
    AuditRecord,
    CallRecord,
    Claim,
    JobRecord,
    LeaseRecord,
    OrphanRecord,
    PermitRecord,
    ShelfRecord,
    SnapshotRecord,
    StepRecord,
    VolumeRecord,
)
from educloud_lab.ports.shell import KeyPairText
from educloud_lab.ports.store import FARTHEST_S, HISTORY, Rate, Transaction

T = TypeVar("T")


class _MemoryTransaction:
    """One transaction: what it writes is undone when it raises."""

    def __init__(self, tables: Tables, now: datetime, version: int) -> None:
        self.tables = tables
        self.changed = False
        self._now = now
        self._version = version

    def now(self) -> datetime:
        return self._now

    def version(self) -> int:
        return self._version

    def meta(self, name: str) -> str | None:
        return self.tables.meta.get(name)

    def set_meta(self, name: str, text: str) -> None:
        self.changed = True
        self.tables.meta[name] = text

    def lease(self, lease_id: str) -> LeaseRecord | None:
        return self.tables.leases.get(lease_id)

    def lease_by_key(self, key: LeaseKey) -> LeaseRecord | None:
        return self.tables.leases.get(self.tables.lease_of_key.get(key, ""))

    def leases(self, *, course: str, person: str | None = None) -> Sequence[LeaseRecord]:
        found = (row for row in self.tables.leases.values() if row.course == course)
        return sorted((row for row in found if person in (None, row.person)), key=lambda row: (row.created_at, row.id))

    def leases_in_need(self, *, course: str) -> Sequence[LeaseRecord]:
        busy = {job.lease_id for job in self.tables.jobs.values() if job.ended_at is None}

        def needs(lease: LeaseRecord) -> bool:
            over = lease.expires_at is not None and lease.expires_at <= self._now
            unled = lease.id not in busy and wanted_job(lease.target, lease.status) is not None
            return unled or (over and lease.status is Status.FAILED)

        return [lease for lease in self.leases(course=course) if needs(lease)]

    def leases_to_watch(self, *, course: str) -> Sequence[LeaseRecord]:
        rows = self.leases(course=course)
        return [row for row in rows if row.status in ON_THE_WAY or row.finding is not None]

    def put_lease(self, lease: LeaseRecord) -> None:
        other = self.lease_by_key(lease.key)
        if other is not None and other.id != lease.id:
            raise ConflictError("This lab already has a machine.")
        self.changed = True
        self.tables.leases[lease.id] = replace(lease, updated_at=self._now)
        if other is None:
            self.tables.lease_of_key[lease.key] = lease.id

    def volume_of(self, lease_id: str) -> VolumeRecord | None:
        return self.tables.volumes.get(self.tables.volume_of_lease.get(lease_id, ""))

    def put_volume(self, volume: VolumeRecord) -> None:
        self.changed = True
        self.tables.volumes[volume.id] = volume
        if volume.lease_id not in self.tables.volume_of_lease:
            self.tables.volume_of_lease[volume.lease_id] = volume.id

    def volumes(self) -> Sequence[VolumeRecord]:
        return sorted(self.tables.volumes.values(), key=lambda row: row.id)

    def snapshot(self, snapshot_id: str) -> SnapshotRecord | None:
        return self.tables.snapshots.get(snapshot_id)

    def snapshots(self, *, lease_id: str | None = None) -> Sequence[SnapshotRecord]:
        rows = (row for row in self.tables.snapshots.values() if lease_id in (None, row.lease_id))
        return sorted(rows, key=lambda row: (row.created_at, row.id))

    def put_snapshot(self, snapshot: SnapshotRecord) -> None:
        self.changed = True
        self.tables.snapshots[snapshot.id] = snapshot

    def shelved(self, shelf_id: str) -> ShelfRecord | None:
        return self.tables.shelf.get(shelf_id)

    def shelf(self, *, lease_id: str | None = None) -> Sequence[ShelfRecord]:
        rows = (row for row in self.tables.shelf.values() if row.ended_at is None and lease_id in (None, row.lease_id))
        return sorted(rows, key=lambda row: (row.shelved_at, row.id))

    def put_shelved(self, item: ShelfRecord) -> None:
        self.changed = True
        self.tables.shelf[item.id] = item

    def orphans(self) -> Sequence[OrphanRecord]:
        return sorted(self.tables.orphans.values(), key=lambda row: (row.first_seen_at, row.cloud_id))

    def put_orphan(self, orphan: OrphanRecord) -> None:
        self.changed = True
        self.tables.orphans[orphan.cloud_id] = orphan

    def add_audit(self, record: AuditRecord) -> None:
        number = len(self.tables.audits) + 1
        self.tables.audits[number] = replace(record, id=number)

    def audits(
        self, *, course: str, lease_id: str | None = None, before_id: int | None = None, limit: int = 100
    ) -> Sequence[AuditRecord]:
        rows = (row for row in reversed(self.tables.audits.values()) if row.course == course)
        wanted = (row for row in rows if lease_id in (None, row.lease_id) and (before_id is None or row.id < before_id))
        return [row for row, _ in zip(wanted, range(limit), strict=False)]

    def put_calls(self, calls: Sequence[CallRecord]) -> None:
        for call in calls:
            kept = {row.number: row for row in self.tables.calls.get(call.job_id, ())} | {call.number: call}
            self.tables.calls[call.job_id] = tuple(kept[number] for number in sorted(kept))

    def calls(self, job_id: str) -> Sequence[CallRecord]:
        return self.tables.calls.get(job_id, ())

    def jobs_with_calls(self, lease_id: str, *, limit: int) -> Sequence[JobRecord]:
        rows = [self.tables.jobs[job_id] for job_id in self.tables.calls]
        mine = sorted((row for row in rows if row.lease_id == lease_id), key=lambda row: (row.created_at, row.id))
        return mine[::-1][:limit]

    def drop_old_calls(self, *, keep: int) -> int:
        leases = {self.tables.jobs[job_id].lease_id for job_id in self.tables.calls}
        old = [job.id for lease_id in leases for job in self.jobs_with_calls(lease_id, limit=10**9)[keep:]]
        for job_id in old:
            del self.tables.calls[job_id]
        return len(old)

    def queued_jobs(self) -> Sequence[JobRecord]:
        rows = [row for row in self._in_flight() if row.queued_at is not None]
        return sorted(rows, key=lambda row: (row.queue, row.queued_at, row.id))

    def hasten_job(self, job_id: str, *, leave_queue: bool = False) -> None:
        row = self.tables.jobs.get(job_id)
        if row is None or row.ended_at is not None:
            return
        sooner = replace(row, next_attempt_at=min(row.next_attempt_at, self._now))
        sooner = replace(sooner, queue="", queued_at=None) if leave_queue else sooner
        if sooner != row:
            self.changed = True
            self.tables.jobs[job_id] = sooner

    def job(self, job_id: str) -> JobRecord | None:
        return self.tables.jobs.get(job_id)

    def job_in_flight(self, lease_id: str) -> JobRecord | None:
        return self.tables.jobs.get(self.tables.job_of_lease.get(lease_id, ""))

    def _in_flight(self) -> list[JobRecord]:
        return [self.tables.jobs[job_id] for job_id in self.tables.job_of_lease.values()]

    def last_job(self, lease_id: str) -> JobRecord | None:
        return self.job_in_flight(lease_id) or self.tables.jobs.get(self.tables.last_job_of_lease.get(lease_id, ""))

    def add_job(self, job: JobRecord, steps: Sequence[StepRecord]) -> None:
        tables = self.tables
        if job.lease_id in tables.job_of_lease or job.volume_id in tables.job_of_volume:
            raise ConflictError("A job is in flight already.")
        self.changed = True
        tables.jobs[job.id] = job
        if job.ended_at is None:
            tables.job_of_lease[job.lease_id] = job.id
            if job.volume_id is not None:
                tables.job_of_volume[job.volume_id] = job.id
        last = tables.jobs.get(tables.last_job_of_lease.get(job.lease_id, ""))
        if last is None or last.created_at < job.created_at:
            tables.last_job_of_lease[job.lease_id] = job.id
        for step in steps:
            self.tables.steps[step.job_id, step.position] = step

    def put_job(self, job: JobRecord) -> None:
        kept = self.tables.jobs[job.id]
        self.changed = True
        self.tables.jobs[job.id] = replace(job, holder=kept.holder, epoch=kept.epoch, claimed_until=kept.claimed_until)
        if job.ended_at is not None and kept.ended_at is None:
            self.tables.job_of_lease.discard(kept.lease_id)
            if kept.volume_id is not None:
                self.tables.job_of_volume.discard(kept.volume_id)

    def steps(self, job_id: str) -> Sequence[StepRecord]:
        found: list[StepRecord] = []
        while (row := self.tables.steps.get((job_id, len(found)))) is not None:
            found.append(row)
        return found

    def put_step(self, step: StepRecord) -> None:
        self.changed = True
        self.tables.steps[step.job_id, step.position] = step

    def _is_due(self, row: JobRecord) -> bool:
        far = self._now + timedelta(seconds=FARTHEST_S)
        free = row.claimed_until is None or not self._now < row.claimed_until <= far
        lost = row.next_attempt_at > far and row.queued_at is None
        return row.ended_at is None and (row.next_attempt_at <= self._now or lost) and free

    def due_jobs(self) -> Sequence[str]:
        rows = sorted((row for row in self._in_flight() if self._is_due(row)), key=lambda row: row.next_attempt_at)
        return [row.id for row in rows]

    def jobs_in_flight(self) -> int:
        return len(self.tables.job_of_lease)

    def claim_job(self, job_id: str, holder: str, *, for_s: float) -> JobRecord | None:
        row = self.tables.jobs.get(job_id)
        if row is None or not self._is_due(row):
            return None
        row = replace(row, holder=holder, epoch=row.epoch + 1, claimed_until=self._now + timedelta(seconds=for_s))
        self.tables.jobs[job_id] = row  # not a change that anybody sees: the version stays
        return row

    def renew_claim(self, claim: Claim, *, for_s: float) -> None:
        self.check_claim(claim)
        row = self.tables.jobs[claim.job_id]
        self.tables.jobs[row.id] = replace(row, claimed_until=self._now + timedelta(seconds=for_s))

    def check_claim(self, claim: Claim) -> None:
        row = self.tables.jobs.get(claim.job_id)
        if row is None or row.epoch != claim.epoch or row.holder != claim.holder or row.ended_at is not None:
            raise StaleClaimError("Another broker works on this job now.")

    def take_tokens(self, rates: Mapping[str, Rate]) -> float:
        there: dict[str, float] = {}
        for name, rate in rates.items():
            tokens, at = self.tables.buckets.get(name, (rate.burst, self._now))
            there[name] = rate.after(tokens, (self._now - at).total_seconds())
        wait_s = max((rate.wait_s(there[name]) for name, rate in rates.items()), default=0.0)
        if wait_s <= 0.0:
            for name, tokens in there.items():
                self.set_tokens(name, tokens - rates[name].take)
        return wait_s

    def set_tokens(self, name: str, tokens: float) -> None:
        self.tables.buckets[name] = (tokens, self._now)

    def permits(self, volume_id: str) -> Sequence[PermitRecord]:
        return [row for row in self.tables.permits.values() if row.volume_id == volume_id]

    def add_permit(self, permit: PermitRecord) -> None:
        self.tables.permits[permit.id] = permit

    def spend_permit(self, permit_id: str) -> bool:
        row = self.tables.permits.get(permit_id)
        if row is None or row.spent_at is not None:
            return False
        self.tables.permits[permit_id] = replace(row, spent_at=self._now)
        return True

    def secret(self, name: str) -> KeyPairText | None:
        return self.tables.secrets.get(name)

    def put_secret(self, name: str, pair: KeyPairText) -> None:
        self.tables.secrets[name] = pair

    def drop_secret(self, name: str) -> None:
        self.tables.secrets.discard(name)

    def add_duration(self, scope: str, step: str, seconds: float) -> None:
        kept = self.tables.durations.get((scope, step), ())
        self.tables.durations[scope, step] = (*kept, seconds)[-HISTORY:]

    def durations(self, scope: str) -> Mapping[str, Sequence[float]]:
        return {step: rows for (owner, step), rows in self.tables.durations.items() if owner == scope}


class MemoryStore:
    """Rows in memory, one transaction at a time. Several brokers may share one object.

    Parameters
    ----------
    clock : stands for the database's clock.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._tables = Tables()
        self._version = 0
        self._offset_s = 0.0

    async def open(self) -> None:
        """Do nothing: it is always ready."""

    async def close(self) -> None:
        """Do nothing."""

    async def transact(self, function: Callable[[Transaction], T]) -> T:
        """Run a function as one transaction; its changes are dropped when it raises."""
        now = self._clock.now() + timedelta(seconds=self._offset_s)
        transaction = _MemoryTransaction(self._tables, now, self._version)
        try:
            result = function(transaction)
        except BaseException:
            self._tables.undo()
            raise
        self._tables.keep()
        if transaction.changed:
            self._version += 1
        return result

    def peek(self) -> Tables:
        """Return the present rows, for tests to read."""
        return self._tables

    async def version(self) -> int:
        """Return the change counter."""
        return self._version

    async def set_clock_offset_for_tests(self, offset_s: float) -> None:
        """Move the store's time."""
        self._offset_s = offset_s
