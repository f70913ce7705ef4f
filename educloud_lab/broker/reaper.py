"""The sweep for what nobody owns: reported at first sight, acted on after a grace time, never many at once (I2).

Each sweep looks at the cloud first and reads the store second. What it decides, it decides in one transaction that
looks at the records again, one broker at a time; what it ends, it ends after that was committed, and asks again at
each sweep until the cloud says that it is over. Volumes are never deleted: they go to the quarantine, which is a list.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime

from educloud_lab.broker.auditing import BROKER, audit
from educloud_lab.broker.orphans import Plan, Survey, is_reapable, next_call, plan, shelf_id, survey
from educloud_lab.broker.parts import Parts
from educloud_lab.domain import naming
from educloud_lab.domain.errors import CloudError, CloudNotFoundError, StoreError
from educloud_lab.domain.job import OrphanState, ShelfKind
from educloud_lab.domain.orphans import Kind
from educloud_lab.ports.cloud import CloudView
from educloud_lab.ports.records import OrphanRecord, ShelfRecord
from educloud_lab.ports.store import Transaction

_log = logging.getLogger(__name__)
_LOCK = "sweeper"


@dataclass(slots=True)
class _Sighting:
    """How often and since when something was without owner, in looks that followed each other."""

    kind: Kind
    looks: int
    since_s: float
    last: datetime


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a sweep found and did."""

    plan: Plan
    survey: Survey
    rows: tuple[OrphanRecord, ...]


class Reaper:
    """Sweeps by itself while the broker is open, and when a person asks.

    Parameters
    ----------
    parts : the broker's ports.
    on_sweep : called after each sweep that could look.
    """

    def __init__(self, parts: Parts, on_sweep: Callable[[], Awaitable[None]]) -> None:
        self._parts = parts
        self._on_sweep = on_sweep
        self._task: asyncio.Task[None] | None = None
        self._sightings: dict[str, _Sighting] = {}
        self._told = ""
        self.last: Outcome | None = None
        self.ended = 0  # by this broker, since it was opened
        self.quarantined = 0

    def start(self) -> None:
        """Begin to sweep."""
        self._task = asyncio.ensure_future(self._loop())

    async def close(self) -> None:
        """Stop. What is being ended stays recorded; the next broker goes on."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _loop(self) -> None:
        config, sweeps = self._parts.config, 0
        while True:
            busy = self.last is not None and any(row.state is OrphanState.REAPING for row in self.last.rows)
            quick = busy or sweeps < config.orphan_first_sweeps
            period_s = config.orphan_first_s if quick else config.orphan_s
            await self._parts.clock.sleep(period_s)
            sweeps += 1
            try:
                # The reconciler's last look will do, when it is not older than this period.
                await self.sweep(most_s=min(period_s, config.idle_poll_s))
                await self._on_sweep()
            except CloudError:
                pass  # out of sight is not without owner (I5); the snapshot says that the cloud does not answer
            except StoreError:
                _log.exception("the sweep for orphans could not be recorded; the next one follows")

    async def sweep(self, who: str = BROKER, *, only: frozenset[str] | None = None, most_s: float = 0.0) -> Outcome:
        """Look once, record what follows, and go on with what is being ended.

        Parameters
        ----------
        who
            The person who asks.
        only
            Ids that this person saw and wants gone, however many; None: what is due, as far as the cap allows.
        most_s
            A look of somebody else's will do when it is not older than this, in seconds.

        Raises
        ------
        CloudError
            The cloud could not be looked at: nothing was concluded.
        """
        parts = self._parts
        view = await self._view(most_s)
        self._count(await parts.store.transact(lambda tx: survey(tx, parts, view)))
        decided = await parts.store.transact(lambda tx: self._decide(tx, view, only))
        if decided.plan:
            await parts.checkpoint("commit orphans: before")
            decided = await parts.transact(lambda tx: self._record(tx, view, who, only))
            self.ended += len(decided.plan.ended)
            self.quarantined += len(decided.plan.quarantine)
            await parts.checkpoint("commit orphans: after")
        self._tell(decided.plan)
        self.last = decided
        if not decided.plan.blind:
            for row in decided.rows:
                if row.state is OrphanState.REAPING and self._still(row, decided.survey):
                    await self._end(row, view)
        return decided

    def _still(self, row: OrphanRecord, found: Survey) -> bool:
        """Say whether the records still explain nothing of what is being ended."""
        both = found.found.get(row.cloud_id)
        return both is not None and is_reapable(*both)

    async def look(self) -> tuple[Outcome, Outcome]:
        """Look once and say what follows by itself, and what a person could have done; record and do nothing.

        Raises
        ------
        CloudError
            The cloud could not be looked at.
        """
        view = await self._view(0.0)

        def both(tx: Transaction) -> tuple[Outcome, Outcome]:
            by_itself = self._decide(tx, view, None)
            return by_itself, self._decide(tx, view, frozenset(by_itself.survey.found))

        return await self._parts.store.transact(both)

    async def _view(self, most_s: float) -> CloudView:
        """Return a view that is not older than this; usually the reconciler has one."""
        sight, config = self._parts.sight, self._parts.config
        recent = sight.problem is None and sight.age_s() < most_s
        view = sight.view if recent and sight.view is not None else await sight.look()
        if 0 < most_s <= config.orphan_first_s:
            return view  # snapshots cost a call of their own, and nothing is done about them: they can wait
        try:
            return replace(view, snapshots=await self._parts.cloud.observe_snapshots())
        except CloudError:
            return view  # what was seen counts all the same

    def _count(self, found: Survey) -> None:
        """Count looks in which something was without owner; one that it is not in begins anew."""
        now_s = self._parts.clock.monotonic_s()
        kept: dict[str, _Sighting] = {}
        if not found.snapshots_seen:
            kept = {key: each for key, each in self._sightings.items() if each.kind is Kind.SNAPSHOT}
        for cloud_id, (thing, _) in found.found.items():
            before = self._sightings.get(cloud_id)
            if before is None:
                kept[cloud_id] = _Sighting(thing.kind, 1, now_s, found.seen_at)
            else:
                looks = before.looks + (found.seen_at != before.last)
                kept[cloud_id] = _Sighting(thing.kind, looks, before.since_s, found.seen_at)
        self._sightings = kept

    def _sure(self, cloud_id: str) -> bool:
        config, sighting = self._parts.config, self._sightings.get(cloud_id)
        if sighting is None or sighting.looks < config.orphan_looks:
            return False
        return self._parts.clock.monotonic_s() - sighting.since_s >= config.orphan_age_s

    def _decide(self, tx: Transaction, view: CloudView, only: frozenset[str] | None) -> Outcome:
        config, sight = self._parts.config, self._parts.sight
        found, rows = survey(tx, self._parts, view), tx.orphans()
        blind = bool(found.known.recorded) and not found.listed  # an empty answer where there were things

        def absent(cloud_id: str) -> bool:
            seen = sight.confirmed_absent(f"orphan {cloud_id}", looks=config.absences, over_s=config.absence_s)
            return seen and not blind

        for cloud_id in found.found:
            sight.seen(f"orphan {cloud_id}")
        planned = plan(rows, found, tx.now(), config, sure=self._sure, absent=absent, only=only)
        return Outcome(planned, found, tuple(rows))

    def _record(self, tx: Transaction, view: CloudView, who: str, only: frozenset[str] | None) -> Outcome:
        """Decide again with the sweep to ourselves, and write it down: the intent before the act."""
        tx.set_meta(_LOCK, self._parts.holder)  # holds the row: brokers decide one after the other
        decided = self._decide(tx, view, only)
        todo, now = decided.plan, tx.now()
        for cloud_id, lease_id in todo.aside:
            item = self._shelf_item(tx, cloud_id, lease_id, view, reason="set-aside")
            tx.put_shelved(item)
            what, lease = "volume.quarantine", tx.lease(lease_id)
            audit(tx, who=BROKER, what=what, lease=lease, course=item.course, subject=cloud_id, detail=item.reason)
        for row in todo.seen:
            tx.put_orphan(row)
        for row in todo.new:
            self._put(tx, decided.survey, view, row, "orphan.seen", BROKER)
        for row in todo.gone:
            self._put(tx, decided.survey, view, replace(row, state=OrphanState.GONE), "orphan.gone", BROKER)
        for row in todo.ended:
            self._put(tx, decided.survey, view, replace(row, state=OrphanState.REAPED), "orphan.reaped", BROKER)
        for row in todo.reap:
            row = replace(row, state=OrphanState.REAPING, acted_at=now)
            self._put(tx, decided.survey, view, row, "orphan.reap", who)
        for row in todo.quarantine:
            named = decided.survey.found[row.cloud_id][1].lease_id
            tx.put_shelved(self._shelf_item(tx, row.cloud_id, named, view, reason="orphan", person=row.person))
            row = replace(row, state=OrphanState.QUARANTINED, acted_at=now)
            self._put(tx, decided.survey, view, row, "orphan.quarantine", who)
        return Outcome(todo, decided.survey, tuple(tx.orphans()))

    def _put(self, tx: Transaction, found: Survey, view: CloudView, row: OrphanRecord, what: str, who: str) -> None:
        tx.put_orphan(row)
        both = found.found.get(row.cloud_id)
        # Of what is over there is no judgement any more, but it still says whose it was.
        over = view.instances.get(row.cloud_id) or view.volumes.get(row.cloud_id)
        named = both[1].lease_id if both is not None else over.tags.get(naming.TAG_LEASE) if over is not None else None
        lease = tx.lease(named) if named else None
        detail = f"{row.kind} of {row.person or 'nobody known'}: {row.reason}"
        audit(tx, who=who, what=what, lease=lease, course=self._parts.course, subject=row.cloud_id, detail=detail)

    def _shelf_item(
        self, tx: Transaction, cloud_id: str, lease_id: str | None, view: CloudView, *, reason: str, person: str = ""
    ) -> ShelfRecord:
        seen = view.volumes[cloud_id]
        lease = tx.lease(lease_id) if lease_id is not None else None
        return ShelfRecord(
            id=shelf_id(cloud_id),
            kind=ShelfKind.QUARANTINE,
            cloud_id=cloud_id,
            course=lease.course if lease is not None else self._parts.course,
            lab=lease.lab if lease is not None else "",
            lease_id=lease.id if lease is not None else None,
            person=lease.person if lease is not None else person,
            size_bytes=seen.size_bytes,
            zone=seen.zone,
            created_at=seen.created_at,
            shelved_at=tx.now(),
            reason=reason,
        )

    async def _end(self, row: OrphanRecord, view: CloudView) -> None:
        """Ask the cloud for what comes next; its refusals are asked again at the next sweep."""
        parts = self._parts
        seen = view.instances.get(row.cloud_id)
        if seen is None:
            return
        now = await parts.store.transact(lambda tx: tx.now())
        calls: dict[str, Callable[[str], Awaitable[None]]] = {
            "stop": parts.cloud.stop_instance,
            "terminate": parts.cloud.terminate_instance,
        }
        call = next_call(row, seen, now, parts.config)
        if not call:
            return
        label = "reap-instance" if call == "terminate" else "stop-orphan"
        await parts.checkpoint(f"call {label}: before")
        try:
            await calls[call](row.cloud_id)
        except CloudNotFoundError:
            pass  # gone, or not shown: the next looks will say (I5)
        except CloudError as error:
            _log.warning("the cloud did not %s %s, which nobody owns: %s", call, row.cloud_id, error)
        await parts.checkpoint(f"call {label}: after")

    def _tell(self, done: Plan) -> None:
        for row in done.new:
            _log.warning("%s %s has no owner: %s", row.kind, row.cloud_id, row.reason)
        for row in done.reap:
            _log.warning("instance %s, which nobody owns, is being ended", row.cloud_id)
        for row in done.quarantine:
            _log.warning("volume %s, which nobody owns, is in quarantine now", row.cloud_id)
        if done.halted != self._told:
            self._told = done.halted
            if done.halted:
                _log.error("orphans are left alone: %s", done.halted)
