"""The queue for room in the cloud: first come, first served, for each zone and instance type.

A start that the cloud refused for want of room keeps its place, from the moment of its wish, in the store. Only the
head of a queue asks the cloud again: every half a minute, or at once when a machine of ours of that kind has ended.
When it got its machine, the next one goes at once. Who wants something else leaves the queue at once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TypeVar

from educloud_lab.broker.parts import Parts
from educloud_lab.broker.run import Run
from educloud_lab.domain.errors import CapacityError
from educloud_lab.domain.job import StepState
from educloud_lab.domain.lease import Problem
from educloud_lab.ports.records import JobRecord, LeaseRecord
from educloud_lab.ports.store import Rate, Transaction
from educloud_lab.wire import models as wire

T = TypeVar("T")
WAITING = "Waiting for room in the cloud"
_ORDINALS = {1: "st", 2: "nd", 3: "rd"}


class NoRoomError(CapacityError):
    """The job waits for its turn in the queue; ``asked`` when it was the cloud that said so just now."""

    def __init__(self, error: CapacityError | None = None, *, wait_s: float = 0.0) -> None:
        super().__init__(
            error.what if error is not None else f"{WAITING}.",
            kept=error.kept if error is not None else "",
            next_step=error.next_step if error is not None else "",
        )
        self.asked = error is not None
        self.wait_s = wait_s


def queue_of(lease: LeaseRecord) -> str:
    """Return the name of the queue that a lease's start would wait in."""
    return f"{lease.zone}:{lease.profile.instance_type}"


def _bucket(queue: str) -> str:
    return f"room:{queue}"


def _line(tx: Transaction, queue: str) -> Sequence[JobRecord]:
    return [job for job in tx.queued_jobs() if job.queue == queue]


def _is_first(tx: Transaction, job: JobRecord, queue: str) -> bool:
    me = (job.queued_at or job.created_at, job.id)
    return all(me <= (other.queued_at or other.created_at, other.id) for other in _line(tx, queue))


async def admit(run: Run) -> None:
    """Let the job ask the cloud for a machine: when nobody waits for one of this kind, or when it is its turn.

    Raises
    ------
    NoRoomError
        Others are before it, or the cloud was asked too short a time ago.
    """
    queue, period_s = queue_of(run.lease), run.parts.config.room_s

    def ask(tx: Transaction) -> float | None:
        job = tx.job(run.job.id)
        assert job is not None
        if job.queued_at is None and not _line(tx, queue):
            return 0.0
        if not _is_first(tx, job, queue):
            return None
        return tx.take_tokens({_bucket(queue): Rate(1.0 / period_s, 1.0)})

    wait_s = await run.parts.store.transact(ask)
    if wait_s is None or wait_s > 0.0:
        raise NoRoomError(wait_s=wait_s or 0.0)


async def ask(run: Run, label: str, call: Callable[[], Awaitable[T]]) -> T:
    """Ask the cloud for a machine by one call; the next one in the queue goes when it worked.

    Raises
    ------
    NoRoomError
        The cloud has no room for it.
    """
    try:
        result = await run.outside(label, call)
    except CapacityError as error:
        raise NoRoomError(error) from error
    if run.job.queued_at is not None:
        await run.commit("out of the queue", lambda tx: _leave(tx, run.job.id, queue_of(run.lease)))
        run.parts.kick.ring()
    return result


def _leave(tx: Transaction, job_id: str, queue: str) -> None:
    job = tx.job(job_id)
    if job is not None and job.queued_at is not None:
        tx.put_job(replace(job, queue="", queued_at=None, waiting_for=""))
        _next(tx, queue)


def _next(tx: Transaction, queue: str) -> None:
    """Let the head of a queue ask at once."""
    line = _line(tx, queue)
    if line:
        tx.set_tokens(_bucket(queue), 1.0)
        tx.hasten_job(line[0].id)


def freed(tx: Transaction, lease: LeaseRecord) -> None:
    """Say that a machine of ours has ended: there may be room for one of this kind."""
    _next(tx, queue_of(lease))


def park(tx: Transaction, parts: Parts, job_id: str, error: NoRoomError) -> None:
    """Let a job wait in its queue, at its place; whoever is first asks again after a while."""
    job = tx.job(job_id)
    assert job is not None
    lease = tx.lease(job.lease_id)
    assert lease is not None
    config, queue, now = parts.config, queue_of(lease), tx.now()
    job = replace(job, queue=queue, queued_at=job.queued_at or job.created_at, waiting_for=WAITING)
    wait_s = error.wait_s
    if error.asked:
        tx.set_tokens(_bucket(queue), 0.0)
        wait_s = config.room_s
        problem = Problem(code=error.code, what=error.what, kept=error.kept, next_step=error.next_step, at=now)
        tx.put_lease(replace(lease, problem=problem))
    if _is_first(tx, job, queue):
        wait_s += parts.random.uniform(0.0, config.room_jitter_s)
    else:
        wait_s = config.park_s
        if lease.token_sent:
            wait_s = config.room_s  # a call without an answer may have made the machine: looked for, not asked for
    tx.put_job(replace(job, next_attempt_at=now + timedelta(seconds=wait_s)))
    for step in tx.steps(job.id):
        if step.state is StepState.DOING and step.name == "instance":
            tx.put_step(replace(step, waiting_for=WAITING))


def tend(tx: Transaction, parts: Parts) -> None:
    """See that the head of each queue will ask: whoever was before it may have left."""
    latest = tx.now() + timedelta(seconds=parts.config.room_s + parts.config.room_jitter_s)
    heads: set[str] = set()
    for job in tx.queued_jobs():
        if job.queue not in heads and job.next_attempt_at > latest:
            tx.hasten_job(job.id)
        heads.add(job.queue)


def place(tx: Transaction, job: JobRecord) -> wire.QueuePlace | None:
    """Return a job's place in its queue, None when it waits in none."""
    if job.queued_at is None or job.ended_at is not None:
        return None
    line = _line(tx, job.queue)
    zone, _, instance_type = job.queue.partition(":")
    before = sum((other.queued_at or other.created_at, other.id) < (job.queued_at, job.id) for other in line)
    return wire.QueuePlace(
        position=before + 1,
        waiting=max(len(line), before + 1),
        since=job.queued_at,
        what=f"another {instance_type} machine in zone {zone}",
        next_try_at=line[0].next_attempt_at if line else None,
    )


def headline(place: wire.QueuePlace) -> str:
    """Return the line that people read while they wait."""
    position = place.position
    ending = "th" if position % 100 in (11, 12, 13) else _ORDINALS.get(position % 10, "th")
    return f"{WAITING}: {position}{ending} of {place.waiting}"
