"""The loop that compares what is wanted with what is there: the cloud first, the store second.

It is level-triggered: a pass looks at the present state and never at what happened, so a missed event costs nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial

from educloud_lab.broker import queue
from educloud_lab.broker.auditing import BROKER, audit
from educloud_lab.broker.clock import wait_event
from educloud_lab.broker.diagnosis.watch import Rounds
from educloud_lab.broker.intents import DIED, STRAY, ensure_job, want
from educloud_lab.broker.parts import Parts
from educloud_lab.broker.tags import find_instance
from educloud_lab.broker.upkeep import Upkeep
from educloud_lab.broker.workqueue import WorkQueue
from educloud_lab.domain.errors import CloudError, EducloudError, StoreError
from educloud_lab.domain.lease import Problem, Status, Target
from educloud_lab.ports.cloud import CloudView, InstanceState
from educloud_lab.ports.records import LeaseRecord
from educloud_lab.ports.store import Transaction

_log = logging.getLogger(__name__)
_END_AGAIN_S = 900.0
_UP = (InstanceState.PENDING, InstanceState.RUNNING)
_DOWN = (InstanceState.STOPPED, InstanceState.TERMINATED, InstanceState.STOPPING, InstanceState.SHUTTING_DOWN)


class Reconciler:
    """Makes jobs, hands them to workers, and watches for machines that died.

    Parameters
    ----------
    parts : the broker's ports.
    attempt : makes one attempt at a job.
    watchers : says how many people watch.
    """

    def __init__(self, parts: Parts, attempt: Callable[[str], Awaitable[None]], watchers: Callable[[], int]) -> None:
        self._parts = parts
        self._attempt = attempt
        self._watchers = watchers
        self._queue = WorkQueue(parts.clock)
        self._tasks: set[asyncio.Task[None]] = set()
        self._watching: asyncio.Task[None] | None = None
        self._watched_s = float("-inf")
        self._swept_version = -1
        self._swept_s = float("-inf")
        self._rounds = Rounds(parts)
        self._upkeep = Upkeep(parts)

    def start(self) -> None:
        """Begin."""
        self._spawn(self._loop())
        for _ in range(self._parts.config.workers):
            self._spawn(self._worker())

    def _spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Stop; attempts under way are cut off and their jobs let go."""
        self._queue.close()
        await self._rounds.close()
        tasks = [*self._tasks, *([self._watching] if self._watching is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _worker(self) -> None:
        while True:
            job_id = await self._queue.get()
            try:
                await self._attempt(job_id)
            except StoreError:
                _log.exception("job %s could not be recorded; its claim will expire", job_id)
            except Exception:  # noqa: BLE001 - a worker outlives one job's bug; the claim expires
                _log.exception("the attempt at job %s broke", job_id)
            finally:
                self._queue.done(job_id)

    async def _loop(self) -> None:
        while True:
            event = self._parts.kick.event
            try:
                await self._pass()
            except EducloudError:
                _log.exception("a pass of the reconciler failed; the next one follows")
            await wait_event(self._parts.clock, event, self._parts.config.tick_s)

    async def _pass(self) -> None:
        config, sight = self._parts.config, self._parts.sight
        period_s = config.watched_poll_s if self._watchers() else config.idle_poll_s
        if sight.problem is not None:
            period_s = min(period_s, config.unseen_poll_s)
        # By its own time and not by the age of the last look: others look too, and then nobody would ever compare.
        now_s = self._parts.clock.monotonic_s()
        if now_s - self._watched_s >= period_s and (self._watching is None or self._watching.done()):
            self._watched_s = now_s
            self._watching = asyncio.ensure_future(self._watch_machines())
        self._rounds.begin_if_due()
        await self._upkeep.tend()
        # At rest nothing is read but the version: what could be needed has changed something, or comes with time.
        age_s = self._parts.clock.monotonic_s() - self._swept_s
        if age_s >= config.sweep_s or await self._parts.store.version() != self._swept_version:
            self._swept_s = self._parts.clock.monotonic_s()
            # A transaction that changes nothing does not move the version.
            if await self._parts.store.transact(self._sweep):
                self._parts.changed.ring()
        for job_id in await self._parts.store.transact(lambda tx: tx.due_jobs()):
            if not self._queue.is_busy(job_id):
                self._queue.add(job_id)

    def _sweep(self, tx: Transaction) -> bool:
        """Make the jobs that targets need. The limits of what runs are the timekeeper's."""
        self._swept_version = tx.version()
        changed = False
        now = tx.now()
        queue.tend(tx, self._parts)
        for lease in tx.leases_in_need(course=self._parts.course):
            over = lease.expires_at is not None and lease.expires_at <= now
            if over and lease.status is Status.FAILED:
                # A machine left running after a failure ends as well; when that fails too, again after a while.
                again = now + timedelta(seconds=_END_AGAIN_S)
                target = Target.STOPPED if lease.target is Target.RUNNING else lease.target
                audit(tx, who=BROKER, what="lease.suspend", lease=lease, detail="time-limit, after a failure")
                want(tx, replace(lease, expires_at=again), target, reason="time-limit")
                changed = True
            elif lease.status is not Status.FAILED and tx.job_in_flight(lease.id) is None:
                changed = ensure_job(tx, lease) is not None or changed
        return changed

    async def _watch_machines(self) -> None:
        """Look at the cloud, and at machines that seem dead once more before anything is concluded."""
        try:
            suspects = await self._suspects(await self._parts.sight.look())
            if not suspects:
                return
            # The first view may be older than the lease's present state; this one is not.
            view = await self._parts.sight.look()
        except CloudError:
            return  # out of sight is not dead (I5); the snapshot says that the cloud does not answer
        except StoreError:
            _log.exception("the machines could not be compared with the records")
            return
        for lease in suspects:
            reason = self._is_dead(view, lease)
            if lease.status is Status.STOPPED and self._runs(view, lease):
                await self._parts.transact(partial(self._end_stray, before=lease))
            elif lease.status is Status.RUNNING and reason is not None:
                await self._parts.transact(partial(self._bury, before=lease, why=reason))
            else:
                continue
            self._parts.kick.ring()

    async def _suspects(self, view: CloudView) -> list[LeaseRecord]:
        leases = await self._parts.store.transact(lambda tx: tx.leases(course=self._parts.course))
        running = [lease for lease in leases if lease.status is Status.RUNNING and lease.target is Target.RUNNING]
        resting = [lease for lease in leases if lease.status is Status.STOPPED and lease.target is Target.STOPPED]
        strays = [lease for lease in resting if self._runs(view, lease)]
        return [lease for lease in running if self._is_dead(view, lease) is not None] + strays

    def _runs(self, view: CloudView, lease: LeaseRecord) -> bool:
        seen = find_instance(view, self._parts.deployment, lease)
        return seen is not None and seen.state in _UP

    def _end_stray(self, tx: Transaction, before: LeaseRecord) -> None:
        """Stop a machine that somebody started past us: it has no limits and nobody would ever end it."""
        lease = tx.lease(before.id)
        lag = timedelta(seconds=self._parts.config.absence_s)
        if lease is None or lease != before or tx.now() - lease.updated_at < lag:
            return  # the cloud may still show how it was before it was stopped
        audit(tx, who=BROKER, what="lease.stray", lease=lease, subject=lease.instance_id or "")
        want(tx, replace(lease, status=Status.RUNNING), Target.STOPPED, reason=STRAY)

    def _is_dead(self, view: CloudView, lease: LeaseRecord) -> str | None:
        """Return why a machine is certainly not running, None while it may be."""
        config, sight = self._parts.config, self._parts.sight
        if lease.instance_id is None:
            return None
        seen = find_instance(view, self._parts.deployment, lease)
        if seen is None:
            sure = sight.confirmed_absent(lease.instance_id, looks=config.absences, over_s=config.absence_s)
            return "the cloud no longer lists it" if sure else None
        sight.seen(lease.instance_id)
        return f"the cloud says '{seen.state}'" if seen.state in _DOWN else None

    def _bury(self, tx: Transaction, before: LeaseRecord, why: str) -> None:
        lease = tx.lease(before.id)
        if lease is None or lease != before:
            return  # somebody acted meanwhile: the next pass looks again
        if lease.guard_until is not None and tx.now() >= lease.guard_until:
            # Its own timer did what nobody was there to do.
            audit(tx, who=BROKER, what="lease.suspend", lease=lease, detail="time-limit, by the machine's own timer")
            want(tx, lease, Target.STOPPED, reason="time-limit")
            return
        kept = "Your data volume is kept."
        problem = Problem(
            code="machine-died",
            what=f"The machine stopped by itself ({why}).",
            kept=kept,
            next_step="Start brings it back; the console log may say why it stopped.",
            at=tx.now(),
        )
        audit(tx, who=BROKER, what="lease.died", lease=lease, subject=lease.instance_id or "", detail=why)
        want(tx, replace(lease, problem=problem), Target.STOPPED, reason=DIED)
