"""What those who answer for a course see and do: audit, orphans, bin and quarantine."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from educloud_lab.broker.orphans import Plan
from educloud_lab.broker.owning import Role, oversees, own_lease, role_of
from educloud_lab.broker.parts import Parts
from educloud_lab.broker.reaper import Outcome, Reaper
from educloud_lab.domain.errors import CloudError, NotFoundError
from educloud_lab.domain.job import OrphanState, ShelfKind
from educloud_lab.domain.orphans import REPORTED_ONLY, Kind
from educloud_lab.ports.records import AuditRecord, OrphanRecord, ShelfRecord
from educloud_lab.ports.store import Transaction
from educloud_lab.wire import models as wire

MOST_ENTRIES: Final = 500
_HIDDEN: Final = (OrphanState.GONE, OrphanState.REAPED)
_RECENT: Final = timedelta(days=7)  # for so long what is over stays in the list
REASONS: Final = {
    "orphan": "Nobody's: no record explains it.",
    "set-aside": "A twin or a failed try of a machine's data volume.",
    "duplicate": "A twin of a machine's data volume.",
    "lost": "It was taken out of use after the cloud lost it.",
    "discarded": "Its owner put it into the bin.",
    "restored": "A restore took its place.",
    "returned": "Another volume came back from the bin in its place.",
}


@dataclass(frozen=True, slots=True)
class Figures:
    """How much there is to worry about, for metrics."""

    orphans: int  # not yet acted on
    ended: int  # instances, by this broker since it was opened
    quarantined: int  # volumes, likewise
    halted: bool
    oldest_intent_s: float  # age of the oldest job that has not ended
    swept_at: datetime | None


class Oversight:
    """See :class:`educloud_lab.broker.api.OversightApi`.

    Parameters
    ----------
    parts : the broker's ports.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._reaper = Reaper(parts, self._note)
        self.latest: Figures | None = None  # as of the last sweep

    def start(self) -> None:
        """Begin to sweep for orphans."""
        self._reaper.start()

    async def close(self) -> None:
        """Stop sweeping."""
        await self._reaper.close()

    async def _note(self) -> None:
        self.latest = await self.figures()

    async def figures(self) -> Figures:
        """Return the figures for metrics: of the whole store, except what this broker did itself."""

        def read(tx: Transaction) -> tuple[int, float]:
            orphans = sum(row.state in (OrphanState.SEEN, OrphanState.REAPING) for row in tx.orphans())
            jobs = [tx.job_in_flight(lease.id) for lease in tx.leases(course=self._parts.course)]
            ages = [(tx.now() - job.created_at).total_seconds() for job in jobs if job is not None]
            return orphans, max(ages, default=0.0)

        orphans, oldest_s = await self._parts.store.transact(read)
        last = self._reaper.last
        return Figures(
            orphans=orphans,
            ended=self._reaper.ended,
            quarantined=self._reaper.quarantined,
            halted=bool(last is not None and last.plan.halted),
            oldest_intent_s=oldest_s,
            swept_at=last.survey.seen_at if last is not None else None,
        )

    async def audit(
        self, person: str, *, lease_id: str | None = None, before_id: int | None = None, limit: int = 100
    ) -> wire.AuditPage:
        """See the protocol."""
        limit = max(1, min(limit, MOST_ENTRIES))

        def read(tx: Transaction) -> list[AuditRecord]:
            if lease_id is None:
                self._overseer(tx, person)
            else:
                self._may_read(tx, person, lease_id)
            found = tx.audits(course=self._parts.course, lease_id=lease_id, before_id=before_id, limit=limit + 1)
            return list(found)

        rows = await self._parts.store.transact(read)
        entries = [
            wire.AuditEntry(
                id=row.id,
                at=row.at,
                who=row.who,
                what=row.what,
                course=row.course,
                lease_id=row.lease_id,
                whose=row.whose,
                subject=row.subject,
                result=row.result,
                detail=row.detail,
            )
            for row in rows[:limit]
        ]
        return wire.AuditPage(entries=entries, older=entries[-1].id if len(rows) > limit else None)

    def _overseer(self, tx: Transaction, person: str) -> None:
        if not oversees(tx, self._parts, person):
            raise NotFoundError("There is no such list, or you may not see it.")

    def _may_read(self, tx: Transaction, person: str, lease_id: str) -> None:
        lease = tx.lease(lease_id)
        if lease is not None and lease.course == self._parts.course and oversees(tx, self._parts, person):
            return
        own_lease(tx, self._parts, person, lease_id)

    async def orphans(self, person: str) -> wire.OrphanReport:
        """See the protocol."""

        def read(tx: Transaction) -> tuple[list[OrphanRecord], datetime]:
            self._overseer(tx, person)
            return list(tx.orphans()), tx.now()

        rows, now = await self._parts.store.transact(read)
        last = self._reaper.last
        halted = self._unseen() or (last.plan.halted if last is not None else "The cloud was not looked at yet.")
        return self._report(rows, now, halted=halted, dry_run=True)

    def _unseen(self) -> str:
        problem = self._parts.sight.problem
        return f"The cloud does not answer, so nothing is concluded: {problem.what}" if problem is not None else ""

    async def reap(self, person: str, *, dry_run: bool, only: frozenset[str] | None = None) -> wire.OrphanReport:
        """See the protocol."""

        def check(tx: Transaction) -> None:
            if role_of(tx, self._parts, person) is not Role.INSTRUCTOR:
                raise NotFoundError("There is no such list, or you may not see it.")

        await self._parts.store.transact(check)
        try:
            if dry_run:
                by_itself, by_person = await self._reaper.look()
            else:
                by_itself = by_person = await self._reaper.sweep(person, only=only)
        except CloudError as error:
            rows, now = await self._parts.store.transact(lambda tx: (list(tx.orphans()), tx.now()))
            halted = f"The cloud does not answer, so nothing was done: {error.what}"
            return self._report(rows, now, halted=halted, dry_run=dry_run)
        now = await self._parts.store.transact(lambda tx: tx.now())
        rows = self._as_seen(by_itself, dry_run=dry_run)
        report = self._report(rows, now, halted=by_itself.plan.halted, dry_run=dry_run)
        return report.model_copy(update={"acted": acted(by_person.plan)})

    def _as_seen(self, done: Outcome, *, dry_run: bool) -> list[OrphanRecord]:
        """Return the rows; where nothing was recorded, with those that would be reported for the first time."""
        fresh = {row.cloud_id for row in done.plan.new} if dry_run else set()
        return [row for row in done.rows if row.cloud_id not in fresh] + (list(done.plan.new) if dry_run else [])

    def _report(self, rows: list[OrphanRecord], now: datetime, *, halted: str, dry_run: bool) -> wire.OrphanReport:
        shown = [row for row in rows if row.state not in _HIDDEN or now - row.last_seen_at < _RECENT]
        return wire.OrphanReport(dry_run=dry_run, halted=halted, orphans=[self._wire(row) for row in shown], acted=[])

    def _wire(self, row: OrphanRecord) -> wire.Orphan:
        grace = timedelta(seconds=self._parts.config.orphan_grace_s)
        goes = row.state is OrphanState.SEEN and row.kind != Kind.SNAPSHOT and row.reason not in REPORTED_ONLY
        return wire.Orphan(
            cloud_id=row.cloud_id,
            kind=row.kind,  # type: ignore[arg-type]  # one of the literal's three words: written by domain.orphans.Kind
            state=row.state.value,
            reason=row.reason,
            owner=row.person,
            lab=row.lab,
            size_bytes=row.size_bytes,
            first_seen_at=row.first_seen_at,
            last_seen_at=row.last_seen_at,
            acts_at=row.first_seen_at + grace if goes else None,
        )

    async def shelf(self, person: str) -> wire.Shelf:
        """See the protocol."""

        def read(tx: Transaction) -> list[ShelfRecord]:
            self._overseer(tx, person)
            return [item for item in tx.shelf() if item.course == self._parts.course]

        rows = await self._parts.store.transact(read)
        return wire.Shelf(items=[bin_item(row) for row in rows])


def acted(plan: Plan) -> list[str]:
    """Return the ids that a plan ends or puts into quarantine."""
    return [row.cloud_id for row in (*plan.reap, *plan.quarantine)]


def bin_item(row: ShelfRecord) -> wire.BinItem:
    """Return something of bin or quarantine for those who oversee the course."""
    quarantined = row.kind is ShelfKind.QUARANTINE
    return wire.BinItem(
        id=row.id,
        cloud_id=row.cloud_id,
        quarantined=quarantined,
        size_bytes=row.size_bytes,
        reason=REASONS.get(row.reason, row.reason),
        owner=row.person,
        lab=row.lab,
        created_at=row.created_at,
        shelved_at=row.shelved_at,
        delete_after=row.delete_after,
        last_mounted_at=row.last_mounted_at,
        returnable=not quarantined and row.lease_id is not None,
    )
