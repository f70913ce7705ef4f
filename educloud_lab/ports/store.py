"""The store: what the broker remembers, in transactions that are plain functions.

``await store.transact(fn)`` runs ``fn(tx)`` as one transaction in a worker thread; it commits when ``fn`` returns
and rolls back when it raises. ``fn`` may be run again after a deadlock, so it has no effect but through ``tx``.
Everything raises only :class:`~educloud_lab.domain.errors.StoreError` and its children (besides what ``fn`` itself
raises).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeVar

from educloud_lab.domain.lease import LeaseKey
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

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Rate:
    """A token bucket: filled at a steady rate, holding so many at most; and how many tokens one call takes."""

    per_s: float
    burst: float
    take: float = 1.0

    def after(self, tokens: float, passed_s: float) -> float:
        """Return how many tokens there are after a time.

        A clock that was put back a little adds none; after one that was put back by much what was recorded says
        nothing, and waiting for the clock to come round again would take as long.
        """
        if passed_s < -FARTHEST_S:
            return self.burst
        return min(self.burst, tokens + max(0.0, passed_s) * self.per_s)

    def wait_s(self, tokens: float) -> float:
        """Return in how many seconds there are as many tokens as are taken; 0.0 when there are."""
        missing = self.take - tokens
        return missing / self.per_s if missing > _NOTHING else 0.0


_NOTHING = 1e-9  # sums of fractions: a waiter that came at the very moment must not wait again
FARTHEST_S = 300.0
"""No claim and no pause before a next attempt reaches further (but for those who wait in a queue and will be called).
What does was written before the database's clock was put back: it is due at once, or jobs would stand still for as long
as the clock jumped."""
HISTORY = 7
"""How many durations of a step are remembered."""


class Transaction(Protocol):
    """What a transaction can read and write. Not to be kept after the function returned."""

    def now(self) -> datetime:
        """Return the database's time plus the store's offset, aware UTC."""

    def version(self) -> int:
        """Return the change counter: grows with each transaction that changed something, never shrinks."""

    def meta(self, name: str) -> str | None:
        """Return a named text, None when never set."""

    def set_meta(self, name: str, text: str) -> None:
        """Set a named text."""

    def lease(self, lease_id: str) -> LeaseRecord | None:
        """Return a lease, locked until the end of the transaction where the database can."""

    def lease_by_key(self, key: LeaseKey) -> LeaseRecord | None:
        """Return the lease of (course, lab, person, slot)."""

    def leases(self, *, course: str, person: str | None = None) -> Sequence[LeaseRecord]:
        """List leases, oldest first; of one person, or of everybody when None."""

    def leases_in_need(self, *, course: str) -> Sequence[LeaseRecord]:
        """List leases whose target wants a job while none is in flight, and failed ones whose time is over; cheaply."""

    def leases_to_watch(self, *, course: str) -> Sequence[LeaseRecord]:
        """List leases that are on their way, have failed, or carry a finding; cheaply. For the doctor's rounds."""

    def put_lease(self, lease: LeaseRecord) -> None:
        """Insert or replace; sets ``updated_at``.

        Raises
        ------
        ConflictError
            Another lease has this (course, lab, person, slot).
        """

    def volume_of(self, lease_id: str) -> VolumeRecord | None:
        """Return the lease's data volume."""

    def put_volume(self, volume: VolumeRecord) -> None:
        """Insert or replace."""

    def volumes(self) -> Sequence[VolumeRecord]:
        """List the data volumes of all leases."""

    def snapshot(self, snapshot_id: str) -> SnapshotRecord | None:
        """Return a snapshot."""

    def snapshots(self, *, lease_id: str | None = None) -> Sequence[SnapshotRecord]:
        """List snapshots, oldest first, deleted ones too; of one lease, or all when None."""

    def put_snapshot(self, snapshot: SnapshotRecord) -> None:
        """Insert or replace."""

    def shelved(self, shelf_id: str) -> ShelfRecord | None:
        """Return a volume of the bin or of the quarantine."""

    def shelf(self, *, lease_id: str | None = None) -> Sequence[ShelfRecord]:
        """List what is in bin and quarantine now (not what left them), oldest first; of one lease, or all when None."""

    def put_shelved(self, item: ShelfRecord) -> None:
        """Insert or replace."""

    def orphans(self) -> Sequence[OrphanRecord]:
        """List what was ever found without owner, oldest first."""

    def put_orphan(self, orphan: OrphanRecord) -> None:
        """Insert or replace; the key is the cloud's id."""

    def add_audit(self, record: AuditRecord) -> None:
        """Append to the audit log, without moving the version. There is no way to change or remove what is in it."""

    def audits(
        self, *, course: str, lease_id: str | None = None, before_id: int | None = None, limit: int = 100
    ) -> Sequence[AuditRecord]:
        """List the newest records first; those older than ``before_id`` when that is given."""

    def put_calls(self, calls: Sequence[CallRecord]) -> None:
        """Insert or replace by job and number, without moving the version."""

    def calls(self, job_id: str) -> Sequence[CallRecord]:
        """List the calls of a job in their order."""

    def jobs_with_calls(self, lease_id: str, *, limit: int) -> Sequence[JobRecord]:
        """List the lease's newest jobs of which calls are kept, newest first."""

    def drop_old_calls(self, *, keep: int) -> int:
        """Forget the calls of all but each lease's newest jobs that have any; return how many jobs lost theirs."""

    def queued_jobs(self) -> Sequence[JobRecord]:
        """List jobs in flight that wait for room in the cloud, by queue and then first come first served."""

    def hasten_job(self, job_id: str, *, leave_queue: bool = False) -> None:
        """Make a job in flight due now, whoever holds it; take it out of its queue when asked to. Ended is success."""

    def job(self, job_id: str) -> JobRecord | None:
        """Return a job."""

    def job_in_flight(self, lease_id: str) -> JobRecord | None:
        """Return the lease's job that has not ended."""

    def last_job(self, lease_id: str) -> JobRecord | None:
        """Return the job in flight, else the one that was made last."""

    def add_job(self, job: JobRecord, steps: Sequence[StepRecord]) -> None:
        """Record an intent.

        Raises
        ------
        ConflictError
            One is in flight already for this lease or this volume.
        """

    def put_job(self, job: JobRecord) -> None:
        """Replace; holder, epoch and claim are left as they are in the store."""

    def steps(self, job_id: str) -> Sequence[StepRecord]:
        """List a job's steps in order."""

    def put_step(self, step: StepRecord) -> None:
        """Replace one step."""

    def due_jobs(self) -> Sequence[str]:
        """List ids of jobs in flight whose next attempt is due and that nobody holds (any more).

        Times further ahead than :data:`FARTHEST_S` count as past.
        """

    def jobs_in_flight(self) -> int:
        """Count jobs in flight."""

    def claim_job(self, job_id: str, holder: str, *, for_s: float) -> JobRecord | None:
        """Take a due job for a time; None when it is not due, ended, or held by another. Raises the epoch."""

    def renew_claim(self, claim: Claim, *, for_s: float) -> None:
        """Hold it for longer, or end the hold with 0.

        Raises
        ------
        StaleClaimError
            Another broker holds it now.
        """

    def check_claim(self, claim: Claim) -> None:
        """Fence: raise :class:`StaleClaimError` unless the claim is still the last one made."""

    def take_tokens(self, rates: Mapping[str, Rate]) -> float:
        """Take the tokens of one call from each of these buckets, or from none when one of them has too few.

        All brokers on the store share them. The version does not move. A bucket that nobody knows yet is full.

        Returns
        -------
        float
            0.0 when the tokens were taken, else after how many seconds there may be enough in each.
        """

    def set_tokens(self, name: str, tokens: float) -> None:
        """Say how many tokens a bucket holds now. The version does not move."""

    def permits(self, volume_id: str) -> Sequence[PermitRecord]:
        """List all permits ever granted for a volume of the cloud, oldest first."""

    def add_permit(self, permit: PermitRecord) -> None:
        """Record a permit."""

    def spend_permit(self, permit_id: str) -> bool:
        """Mark a permit as spent; False when it was spent already."""

    def secret(self, name: str) -> KeyPairText | None:
        """Return a key pair; its private half is encrypted where it is kept."""

    def put_secret(self, name: str, pair: KeyPairText) -> None:
        """Keep a key pair."""

    def drop_secret(self, name: str) -> None:
        """Forget a key pair; absent is success."""

    def add_duration(self, scope: str, step: str, seconds: float) -> None:
        """Remember how long a step took ('' is the whole job); the last :data:`HISTORY` are kept."""

    def durations(self, scope: str) -> Mapping[str, Sequence[float]]:
        """Return remembered durations in seconds by step, newest last."""


class Store(Protocol):
    """Where the records are."""

    async def open(self) -> None:
        """Make it ready.

        Raises
        ------
        SchemaError
            The database has a revision that this program cannot use; says the cure.
        """

    async def close(self) -> None:
        """Let go of it. Repeatable."""

    async def transact(self, function: Callable[[Transaction], T]) -> T:
        """Run a function as one transaction."""

    async def version(self) -> int:
        """Return the change counter, cheaply."""

    async def set_clock_offset_for_tests(self, offset_s: float) -> None:
        """Move :meth:`Transaction.now` of every process on this store."""
