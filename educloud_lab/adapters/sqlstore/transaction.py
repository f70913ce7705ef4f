"""One transaction of the store over one database connection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from sqlalchemy import Connection, Select, and_, delete, func, insert, or_, select, text, update
from sqlalchemy.exc import IntegrityError

from educloud_lab.adapters.sqlstore import tables as t
from educloud_lab.adapters.sqlstore.calls import SqlCalls
from educloud_lab.adapters.sqlstore.keys import Sealer
from educloud_lab.adapters.sqlstore.rows import from_row, insert_missing, to_row, upsert, upsert_row
from educloud_lab.domain.errors import ConflictError, StaleClaimError
from educloud_lab.domain.job import wanted_job
from educloud_lab.domain.lease import ON_THE_WAY, LeaseKey, Status, Target
from educloud_lab.ports.records import (
    AuditRecord,
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
from educloud_lab.ports.store import FARTHEST_S, HISTORY, Rate

R = TypeVar("R")
_WANTING = [(target, status) for target in Target for status in Status if wanted_job(target, status) is not None]


def database_now(connection: Connection) -> datetime:
    """Return the database's own time."""
    if connection.dialect.name == "postgresql":
        now: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
        return now.astimezone(UTC)
    stamp: str = connection.execute(text("SELECT strftime('%Y-%m-%d %H:%M:%f', 'now')")).scalar_one()
    return datetime.fromisoformat(stamp).replace(tzinfo=UTC)


class SqlTransaction(SqlCalls):
    """See :class:`educloud_lab.ports.store.Transaction`.

    Parameters
    ----------
    connection : in a transaction already.
    sealer : encrypts private keys.
    """

    def __init__(self, connection: Connection, sealer: Sealer) -> None:
        self._connection = connection
        self._sealer = sealer
        self._now: datetime | None = None
        self.changed = False

    def _one(self, cls: type[R], query: Select[Any]) -> R | None:
        row = self._connection.execute(query).first()
        return None if row is None else from_row(cls, row)

    def _all(self, cls: type[R], query: Select[Any]) -> list[R]:
        return [from_row(cls, row) for row in self._connection.execute(query)]

    def now(self) -> datetime:
        """Return the time of this transaction."""
        if self._now is None:
            offset_s = self._connection.execute(select(t.counter.c.clock_offset_s)).scalar_one()
            self._now = database_now(self._connection) + timedelta(seconds=offset_s)
        return self._now

    def version(self) -> int:
        """Return the change counter."""
        version: int = self._connection.execute(select(t.counter.c.version)).scalar_one()
        return version

    def meta(self, name: str) -> str | None:
        """Return a named text."""
        return self._connection.execute(select(t.meta.c.value).where(t.meta.c.name == name)).scalar()

    def set_meta(self, name: str, text: str) -> None:
        """Set a named text."""
        self.changed = True
        found = self._connection.execute(update(t.meta).where(t.meta.c.name == name).values(value=text))
        if found.rowcount == 0:
            self._connection.execute(insert(t.meta).values(name=name, value=text))

    def lease(self, lease_id: str) -> LeaseRecord | None:
        """Return a lease, locked."""
        return self._one(LeaseRecord, select(t.leases).where(t.leases.c.id == lease_id).with_for_update())

    def lease_by_key(self, key: LeaseKey) -> LeaseRecord | None:
        """Return the lease of a key."""
        c = t.leases.c
        where = (c.course == key.course, c.lab == key.lab, c.person == key.person, c.slot == key.slot)
        return self._one(LeaseRecord, select(t.leases).where(*where).with_for_update())

    def leases(self, *, course: str, person: str | None = None) -> Sequence[LeaseRecord]:
        """List leases."""
        query = select(t.leases).where(t.leases.c.course == course).order_by(t.leases.c.created_at, t.leases.c.id)
        if person is not None:
            query = query.where(t.leases.c.person == person)
        return self._all(LeaseRecord, query)

    def leases_in_need(self, *, course: str) -> Sequence[LeaseRecord]:
        """List leases that want a job, and failed ones whose time is over."""
        c, jobs = t.leases.c, t.jobs.c
        wants = or_(*(and_(c.target == target, c.status == status) for target, status in _WANTING))
        busy = select(jobs.id).where(jobs.lease_id == c.id, jobs.ended_at.is_(None)).exists()
        over = and_(c.status == Status.FAILED, c.expires_at <= self.now())
        query = select(t.leases).where(c.course == course, or_(and_(wants, ~busy), over))
        return self._all(LeaseRecord, query.order_by(c.created_at, c.id))

    def leases_to_watch(self, *, course: str) -> Sequence[LeaseRecord]:
        """List leases that are on their way, have failed, or carry a finding."""
        c = t.leases.c
        watched = or_(c.status.in_(ON_THE_WAY), c.finding.is_not(None))
        query = select(t.leases).where(c.course == course, watched)
        return self._all(LeaseRecord, query.order_by(c.created_at, c.id))

    def put_lease(self, lease: LeaseRecord) -> None:
        """Insert or replace."""
        self.changed = True
        try:
            upsert(self._connection, t.leases, replace(lease, updated_at=self.now()))
        except IntegrityError as error:
            raise ConflictError("This lab already has a machine.") from error

    def volume_of(self, lease_id: str) -> VolumeRecord | None:
        """Return the lease's data volume."""
        return self._one(VolumeRecord, select(t.volumes).where(t.volumes.c.lease_id == lease_id))

    def put_volume(self, volume: VolumeRecord) -> None:
        """Insert or replace."""
        self.changed = True
        upsert(self._connection, t.volumes, volume)

    def volumes(self) -> Sequence[VolumeRecord]:
        """List the data volumes of all leases."""
        return self._all(VolumeRecord, select(t.volumes).order_by(t.volumes.c.id))

    def snapshot(self, snapshot_id: str) -> SnapshotRecord | None:
        """Return a snapshot."""
        return self._one(SnapshotRecord, select(t.snapshots).where(t.snapshots.c.id == snapshot_id))

    def snapshots(self, *, lease_id: str | None = None) -> Sequence[SnapshotRecord]:
        """List snapshots."""
        c = t.snapshots.c
        query = select(t.snapshots).order_by(c.created_at, c.id)
        return self._all(SnapshotRecord, query if lease_id is None else query.where(c.lease_id == lease_id))

    def put_snapshot(self, snapshot: SnapshotRecord) -> None:
        """Insert or replace."""
        self.changed = True
        upsert(self._connection, t.snapshots, snapshot)

    def shelved(self, shelf_id: str) -> ShelfRecord | None:
        """Return a volume of bin or quarantine."""
        return self._one(ShelfRecord, select(t.shelf).where(t.shelf.c.id == shelf_id))

    def shelf(self, *, lease_id: str | None = None) -> Sequence[ShelfRecord]:
        """List what is in bin and quarantine."""
        c = t.shelf.c
        query = select(t.shelf).where(c.ended_at.is_(None)).order_by(c.shelved_at, c.id)
        return self._all(ShelfRecord, query if lease_id is None else query.where(c.lease_id == lease_id))

    def put_shelved(self, item: ShelfRecord) -> None:
        """Insert or replace."""
        self.changed = True
        upsert(self._connection, t.shelf, item)

    def orphans(self) -> Sequence[OrphanRecord]:
        """List what was found without owner."""
        return self._all(OrphanRecord, select(t.orphans).order_by(t.orphans.c.first_seen_at, t.orphans.c.cloud_id))

    def put_orphan(self, orphan: OrphanRecord) -> None:
        """Insert or replace."""
        self.changed = True
        upsert(self._connection, t.orphans, orphan)

    def add_audit(self, record: AuditRecord) -> None:
        """Append. The version stays: nothing that anybody watches has changed by it."""
        values = to_row(record)
        del values["id"]  # the database counts
        self._connection.execute(insert(t.audits).values(values))

    def audits(
        self, *, course: str, lease_id: str | None = None, before_id: int | None = None, limit: int = 100
    ) -> Sequence[AuditRecord]:
        """List the newest first."""
        c = t.audits.c
        query = select(t.audits).where(c.course == course).order_by(c.id.desc()).limit(limit)
        if lease_id is not None:
            query = query.where(c.lease_id == lease_id)
        if before_id is not None:
            query = query.where(c.id < before_id)
        return self._all(AuditRecord, query)

    def queued_jobs(self) -> Sequence[JobRecord]:
        """List jobs that wait for room."""
        c = t.jobs.c
        where = (c.ended_at.is_(None), c.queued_at.is_not(None))
        return self._all(JobRecord, select(t.jobs).where(*where).order_by(c.queue, c.queued_at, c.id))

    def hasten_job(self, job_id: str, *, leave_queue: bool = False) -> None:
        """Make a job due now, by those columns alone: another transaction may be writing the rest."""
        c = t.jobs.c
        values: dict[str, Any] = {"next_attempt_at": self.now()}
        which = c.next_attempt_at > self.now()
        if leave_queue:
            values |= {"queue": "", "queued_at": None}
            which = or_(which, c.queued_at.is_not(None))
        query = update(t.jobs).where(c.id == job_id, c.ended_at.is_(None), which).values(values)
        self.changed = self._connection.execute(query).rowcount > 0 or self.changed

    def job(self, job_id: str) -> JobRecord | None:
        """Return a job."""
        return self._one(JobRecord, select(t.jobs).where(t.jobs.c.id == job_id))

    def job_in_flight(self, lease_id: str) -> JobRecord | None:
        """Return the lease's job that has not ended."""
        return self._one(JobRecord, select(t.jobs).where(t.jobs.c.lease_id == lease_id, t.jobs.c.ended_at.is_(None)))

    def last_job(self, lease_id: str) -> JobRecord | None:
        """Return the job in flight, else the newest."""
        newest = select(t.jobs).where(t.jobs.c.lease_id == lease_id).order_by(t.jobs.c.created_at.desc()).limit(1)
        return self.job_in_flight(lease_id) or self._one(JobRecord, newest)

    def add_job(self, job: JobRecord, steps: Sequence[StepRecord]) -> None:
        """Record an intent."""
        self.changed = True
        try:
            self._connection.execute(insert(t.jobs).values(to_row(job)))
        except IntegrityError as error:
            raise ConflictError("A job is in flight already.") from error
        if steps:
            self._connection.execute(insert(t.job_steps), [to_row(step) for step in steps])

    def put_job(self, job: JobRecord) -> None:
        """Replace all but the claim."""
        self.changed = True
        kept = ("id", "holder", "epoch", "claimed_until")
        values = {name: value for name, value in to_row(job).items() if name not in kept}
        self._connection.execute(update(t.jobs).where(t.jobs.c.id == job.id).values(values))

    def steps(self, job_id: str) -> Sequence[StepRecord]:
        """List a job's steps."""
        query = select(t.job_steps).where(t.job_steps.c.job_id == job_id).order_by(t.job_steps.c.position)
        return self._all(StepRecord, query)

    def put_step(self, step: StepRecord) -> None:
        """Replace a step."""
        self.changed = True
        upsert(self._connection, t.job_steps, step)

    def _is_due(self) -> tuple[Any, ...]:
        c, now = t.jobs.c, self.now()
        far = now + timedelta(seconds=FARTHEST_S)
        free = or_(c.claimed_until.is_(None), c.claimed_until <= now, c.claimed_until > far)
        due = or_(c.next_attempt_at <= now, and_(c.next_attempt_at > far, c.queued_at.is_(None)))
        return (c.ended_at.is_(None), due, free)

    def due_jobs(self) -> Sequence[str]:
        """List ids of jobs that are due and free."""
        query = select(t.jobs.c.id).where(*self._is_due()).order_by(t.jobs.c.next_attempt_at)
        return list(self._connection.execute(query).scalars())

    def jobs_in_flight(self) -> int:
        """Count jobs in flight."""
        query = select(func.count()).select_from(t.jobs).where(t.jobs.c.ended_at.is_(None))
        count: int = self._connection.execute(query).scalar_one()
        return count

    def claim_job(self, job_id: str, holder: str, *, for_s: float) -> JobRecord | None:
        """Take a due job; a row that another broker takes just now is passed over, not waited for."""
        query = select(t.jobs).where(t.jobs.c.id == job_id, *self._is_due()).with_for_update(skip_locked=True)
        job = self._one(JobRecord, query)
        if job is None:
            return None
        until = self.now() + timedelta(seconds=for_s)
        job = replace(job, holder=holder, epoch=job.epoch + 1, claimed_until=until)
        values = {"holder": holder, "epoch": job.epoch, "claimed_until": until}
        self._connection.execute(update(t.jobs).where(t.jobs.c.id == job_id).values(values))
        return job

    def renew_claim(self, claim: Claim, *, for_s: float) -> None:
        """Hold it for longer."""
        self.check_claim(claim)
        until = self.now() + timedelta(seconds=for_s)
        self._connection.execute(update(t.jobs).where(t.jobs.c.id == claim.job_id).values(claimed_until=until))

    def check_claim(self, claim: Claim) -> None:
        """Fence."""
        c = t.jobs.c
        where = (c.id == claim.job_id, c.holder == claim.holder, c.epoch == claim.epoch, c.ended_at.is_(None))
        if self._connection.execute(select(c.id).where(*where).with_for_update()).first() is None:
            raise StaleClaimError("Another broker works on this job now.")

    def take_tokens(self, rates: Mapping[str, Rate]) -> float:
        """Take the tokens of one call from each bucket, or none."""
        c = t.buckets.c
        # In one order, so that two brokers never wait for each other's rows.
        query = select(t.buckets).where(c.name.in_(rates)).order_by(c.name).with_for_update()
        rows = {row.name: row for row in self._connection.execute(query)}
        if len(rows) < len(rates):
            for name in sorted(rates):
                fresh = {"name": name, "tokens": rates[name].burst, "at": self.now()}
                insert_missing(self._connection, t.buckets, fresh)
            rows = {row.name: row for row in self._connection.execute(query)}
        self._now = None  # read again now that the rows are ours: another broker may have had them until a moment ago
        now = self.now()
        there = {
            name: rate.after(rows[name].tokens, (now - rows[name].at).total_seconds()) for name, rate in rates.items()
        }
        wait_s = max((rate.wait_s(there[name]) for name, rate in rates.items()), default=0.0)
        if wait_s <= 0.0:
            for name, tokens in there.items():
                self.set_tokens(name, tokens - rates[name].take)
        return wait_s

    def set_tokens(self, name: str, tokens: float) -> None:
        """Say how many tokens a bucket holds now."""
        upsert_row(self._connection, t.buckets, {"name": name, "tokens": tokens, "at": self.now()})

    def permits(self, volume_id: str) -> Sequence[PermitRecord]:
        """List permits of a volume."""
        query = select(t.permits).where(t.permits.c.volume_id == volume_id).order_by(t.permits.c.granted_at)
        return self._all(PermitRecord, query)

    def add_permit(self, permit: PermitRecord) -> None:
        """Record a permit."""
        self._connection.execute(insert(t.permits).values(to_row(permit)))

    def spend_permit(self, permit_id: str) -> bool:
        """Spend a permit, once."""
        where = (t.permits.c.id == permit_id, t.permits.c.spent_at.is_(None))
        return self._connection.execute(update(t.permits).where(*where).values(spent_at=self.now())).rowcount == 1

    def secret(self, name: str) -> KeyPairText | None:
        """Return a key pair."""
        row = self._connection.execute(select(t.secrets).where(t.secrets.c.name == name)).first()
        return None if row is None else KeyPairText(private=self._sealer.unseal(row.private), public=row.public)

    def put_secret(self, name: str, pair: KeyPairText) -> None:
        """Keep a key pair."""
        self.drop_secret(name)
        values = {"name": name, "public": pair.public, "private": self._sealer.seal(pair.private)}
        self._connection.execute(insert(t.secrets).values(values))

    def drop_secret(self, name: str) -> None:
        """Forget a key pair."""
        self._connection.execute(delete(t.secrets).where(t.secrets.c.name == name))

    def add_duration(self, scope: str, step: str, seconds: float) -> None:
        """Remember a duration; old ones go."""
        self._connection.execute(insert(t.durations).values(scope=scope, step=step, seconds=seconds))
        c = t.durations.c
        mine = select(c.id).where(c.scope == scope, c.step == step).order_by(c.id.desc()).limit(HISTORY)
        kept = list(self._connection.execute(mine).scalars())
        self._connection.execute(delete(t.durations).where(c.scope == scope, c.step == step, c.id.not_in(kept)))

    def durations(self, scope: str) -> Mapping[str, Sequence[float]]:
        """Return remembered durations."""
        c = t.durations.c
        found: dict[str, list[float]] = {}
        for row in self._connection.execute(select(c.step, c.seconds).where(c.scope == scope).order_by(c.id)):
            found.setdefault(row.step, []).append(row.seconds)
        return found
