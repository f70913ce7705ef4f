"""Attempts at jobs: claimed, run, and ended by the table of outcomes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final

from educloud_lab.broker import (
    contact,
    data_disk,
    data_volume,
    growing,
    guard,
    machine,
    queue,
    restoring,
    shelf,
    snapshots,
    stop,
)
from educloud_lab.broker.auditing import job_ended
from educloud_lab.broker.intents import DIED, unfinished_to
from educloud_lab.broker.making import let_others
from educloud_lab.broker.outcomes import Verdict, verdict_for, waiting_text
from educloud_lab.broker.parts import Parts
from educloud_lab.broker.recording import Told, read_told
from educloud_lab.broker.run import Run, StepFunction, Superseded
from educloud_lab.broker.sessions import begun, ended, without_exemption
from educloud_lab.domain.errors import EducloudError, StaleClaimError, StoreError, VolumeBusyError, VolumeError
from educloud_lab.domain.job import (
    BUSY_STATUS,
    START_NEEDS,
    VOLUME_KINDS,
    JobKind,
    Outcome,
    StepState,
    VolumeStage,
    step_names,
    wanted_job,
)
from educloud_lab.domain.lease import Problem, Status, Target
from educloud_lab.ports.records import JobRecord, LeaseRecord, VolumeRecord
from educloud_lab.ports.store import Transaction

_log = logging.getLogger(__name__)
_EXCHANGES: Final = (JobKind.RESTORE, JobKind.RETURN, JobKind.DISCARD)
_AT_REST: Final = (Status.STOPPED, Status.NEW)
_FAIR_ATTEMPTS: Final = 3

_START: Final[dict[str, StepFunction]] = {
    "volume": data_volume.provide,
    "instance": machine.boot,
    "address": machine.find_address,
    "connect": contact.connect,
    "attach": data_volume.attach,
    "disk": data_disk.find,
    "format": data_disk.make_file_system,
    "mount": data_disk.mount,
    "ready": guard.finish,
}
_STOP: Final[dict[str, StepFunction]] = {
    "sessions": stop.close_sessions,
    "unmount": stop.unmount,
    "detach": stop.detach,
    "instance": stop.go_down,
}
_VOLUME: Final[dict[JobKind, dict[str, StepFunction]]] = {
    JobKind.SNAPSHOT: {"freeze": snapshots.freeze, "take": snapshots.take, "complete": snapshots.complete},
    JobKind.RESTORE: {"copy": restoring.copy, "exchange": restoring.exchange},
    JobKind.GROW: {"enlarge": growing.enlarge},
    JobKind.DISCARD: {"shelve": shelf.discard},
    JobKind.RETURN: {"exchange": shelf.bring_back},
    JobKind.EMPTY: {"erase": shelf.erase},
}


def plan(kind: JobKind, *, has_volume: bool) -> tuple[Mapping[str, StepFunction], Mapping[str, tuple[str, ...]]]:
    """Return a job's steps and what each of them waits for."""
    names = step_names(kind, has_volume=has_volume)
    if kind is JobKind.START:
        return {name: _START[name] for name in names}, START_NEEDS
    chain = {name: (before,) for before, name in pairwise(names)}
    functions = _VOLUME.get(kind, _STOP)
    return {name: functions[name] for name in names}, chain


class Jobs:
    """Runs attempts.

    Parameters
    ----------
    parts : the broker's ports.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def attempt(self, job_id: str) -> None:
        """Make one attempt at a job, if it is due and free; record how it ended."""
        parts = self._parts
        claimed = await parts.transact(lambda tx: self._claim(tx, job_id))
        if claimed is None:
            return
        run = Run(parts, *claimed)
        try:
            await self._work(run)
        except StaleClaimError:
            _log.info("job %s is another broker's now", job_id)
        except asyncio.CancelledError:
            await self._let_go(run)
            raise
        finally:
            await run.end()
        parts.kick.ring()

    def _claim(
        self, tx: Transaction, job_id: str
    ) -> tuple[JobRecord, LeaseRecord, VolumeRecord | None, Told | None] | None:
        job = tx.claim_job(job_id, self._parts.holder, for_s=self._parts.config.claim_s)
        if job is None:
            return None
        lease = tx.lease(job.lease_id)
        if lease is None:
            return None
        job = replace(job, attempts=job.attempts + 1, waiting_for="")
        tx.put_job(job)
        busy = BUSY_STATUS.get(job.kind, lease.status)
        if lease.status is not busy:
            lease = replace(lease, status=busy)
            tx.put_lease(lease)
        told = read_told(tx, job) if self._parts.config.record_calls else None
        return job, lease, tx.volume_of(lease.id), told

    async def _work(self, run: Run) -> None:
        work = asyncio.create_task(self._steps(run), name=f"job {run.job.id}")
        beat = asyncio.create_task(run.heartbeat(), name=f"heartbeat {run.job.id}")
        try:
            await asyncio.wait({work, beat}, return_when=asyncio.FIRST_COMPLETED)
            if beat.done():
                beat.result()
            await work
        except StaleClaimError:
            raise
        except Superseded:
            await self._supersede(run)
        except EducloudError as error:
            await self._failed(run, error)
        except Exception:  # noqa: BLE001 - any bug ends the job visibly; a job that hangs would lock the lease for ever
            _log.exception("job %s met an error that nobody expected", run.job.id)
            await self._failed(
                run,
                EducloudError(
                    "Something went wrong inside the broker.",
                    kept="Your data volume was left as it was.",
                    next_step="Press Start to try again; the server's log says more.",
                ),
            )
        else:
            await self._done(run)
        finally:
            for task in (work, beat):
                task.cancel()
            await asyncio.gather(work, beat, return_exceptions=True)

    async def _steps(self, run: Run) -> None:
        run.check()
        run.listen("")
        if run.job.kind is JobKind.START:
            await machine.choose_place(run)
        functions, needs = plan(run.job.kind, has_volume=run.has_volume)
        await run.steps(functions, needs)

    async def _let_go(self, run: Run) -> None:
        """Closing: let another broker take the job at once."""
        try:
            await run.release()
        except StoreError:
            _log.info("job %s keeps its claim until it expires", run.job.id)

    async def _done(self, run: Run) -> None:
        def record(tx: Transaction) -> None:
            now = tx.now()
            job, lease = self._rows(tx, run)
            tx.put_job(replace(job, ended_at=now, outcome=Outcome.DONE, waiting_for=""))
            job_ended(tx, job, lease, Outcome.DONE)
            if job.attempts <= 1:
                tx.add_duration(job.scope, "", (now - job.created_at).total_seconds())
            if job.kind not in VOLUME_KINDS:
                tx.put_lease(self._reached(run, lease, now))
            if job.kind in (JobKind.STOP, JobKind.DELETE):
                queue.freed(tx, lease)

        await run.commit("job done", record)

    def _reached(self, run: Run, lease: LeaseRecord, now: datetime) -> LeaseRecord:
        if run.job.kind is JobKind.START:
            return begun(replace(lease, status=Status.RUNNING, problem=None, reason=""), now)
        gone = bool(run.notes.get("gone"))
        stays_off = run.job.kind is JobKind.DELETE or (gone and lease.root_device_type != "instance-store")
        problem = lease.problem if lease.reason == DIED else None
        lease = replace(
            machine.without_instance(lease) if gone else replace(lease, instance_state="stopped", address=None),
            status=Status.NEW if stays_off else Status.STOPPED,
            problem=problem,
        )
        lease = ended(lease)
        if run.job.kind is JobKind.STOP:
            return lease
        return without_exemption(replace(lease, root_device_type="", image_id=""))

    def _rows(self, tx: Transaction, run: Run) -> tuple[JobRecord, LeaseRecord]:
        job, lease = tx.job(run.job.id), tx.lease(run.lease.id)
        assert job is not None
        assert lease is not None
        return job, lease

    async def _supersede(self, run: Run) -> None:
        def record(tx: Transaction) -> None:
            job, lease = self._rows(tx, run)
            unfinished_to(tx, job.id, StepState.TODO)
            tx.put_job(replace(job, ended_at=tx.now(), outcome=Outcome.SUPERSEDED, waiting_for=""))
            job_ended(tx, job, lease, Outcome.SUPERSEDED)

        await run.commit("job superseded", record)

    async def _failed(self, run: Run, error: EducloudError) -> None:
        if isinstance(error, queue.NoRoomError):
            await run.commit("place in the queue", lambda tx: self._park(tx, run, error))
            return
        verdict = verdict_for(error, run.job.kind)
        strikes = run.job.strikes + (verdict is Verdict.RETRY_LIMITED)
        if verdict is Verdict.FAIL or strikes > self._parts.config.limited_retries:
            await run.commit("job failed", lambda tx: self._give_up(tx, run, error))
            return
        delay_s = self._backoff_s(run.job.attempts)
        text = waiting_text(error)

        def later(tx: Transaction) -> None:
            job, lease = self._rows(tx, run)
            if self._stands_in_the_way(tx, job, lease):
                self._give_up(tx, run, _for_good(error, job))
                return
            at = tx.now() + timedelta(seconds=delay_s)
            tx.put_job(replace(job, next_attempt_at=at, strikes=strikes, waiting_for=text))
            for step in tx.steps(job.id):
                if step.state is StepState.DOING:
                    tx.put_step(replace(step, waiting_for=text))
            if lease.reason != DIED:  # why it died matters more than what delays the tidying up
                tx.put_lease(replace(lease, problem=_problem(tx, error)))
            let_others(tx, job.id)
            tx.renew_claim(run.claim, for_s=0)

        await run.commit("retry later", later)

    def _stands_in_the_way(self, tx: Transaction, job: JobRecord, lease: LeaseRecord) -> bool:
        """Say whether a volume's own job that would be tried again holds up what matters more, or has had its time.

        Only what nobody works on meanwhile is given up for another wish: who restores and then starts wants both.
        """
        if job.kind not in VOLUME_KINDS:
            return False
        waits = wanted_job(lease.target, lease.status) is not None
        if waits and job.kind in (JobKind.SNAPSHOT, JobKind.EMPTY) and job.attempts >= _FAIR_ATTEMPTS:
            return True
        return tx.now() - job.created_at > timedelta(seconds=self._parts.config.restore_limit_s)

    def _park(self, tx: Transaction, run: Run, error: queue.NoRoomError) -> None:
        queue.park(tx, self._parts, run.job.id, error)
        let_others(tx, run.job.id)
        tx.renew_claim(run.claim, for_s=0)

    def _backoff_s(self, attempts: int) -> float:
        config = self._parts.config
        most = min(config.backoff_most_s, config.backoff_first_s * 2 ** min(attempts, 16))
        return max(0.2, self._parts.random.uniform(0, most))

    def _give_up(self, tx: Transaction, run: Run, error: EducloudError) -> None:
        job, lease = self._rows(tx, run)
        unfinished_to(tx, job.id, StepState.FAILED)
        tx.put_job(replace(job, ended_at=tx.now(), outcome=Outcome.FAILED, waiting_for=""))
        job_ended(tx, job, lease, Outcome.FAILED, code=error.code)
        if job.kind in VOLUME_KINDS:
            # The machine goes on as it was; what went wrong is told beside it. A Start that waited for other files does
            # not go on with the old ones: the person decides again, knowing it.
            waits = job.kind in _EXCHANGES and lease.target is Target.RUNNING and lease.status in _AT_REST
            lease = replace(lease, target=Target.STOPPED) if waits else lease
            tx.put_lease(replace(lease, problem=_problem(tx, error)))
            return
        until = lease.expires_at
        if until is None and lease.token_sent:
            # The machine may run, so that somebody can look; it does not run for ever.
            until = tx.now() + timedelta(seconds=lease.profile.time_limit_s)
        tx.put_lease(replace(lease, status=Status.FAILED, problem=_problem(tx, error), expires_at=until))
        volume = tx.volume_of(lease.id)
        if volume is not None and isinstance(error, VolumeError) and not isinstance(error, VolumeBusyError):
            tx.put_volume(replace(volume, stage=VolumeStage.TROUBLE))


def _problem(tx: Transaction, error: EducloudError) -> Problem:
    return Problem(code=error.code, what=error.what, kept=error.kept, next_step=error.next_step, at=tx.now())


def _for_good(error: EducloudError, job: JobRecord) -> EducloudError:
    """Return the error without its promise that it is tried again."""
    step = "Ask for it again when the cloud does it." if job.asked_by else "Nothing is to be done: it is tried later."
    return type(error)(error.what, kept=error.kept, next_step=step)
