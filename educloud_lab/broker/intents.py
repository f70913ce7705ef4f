"""Writing down what is wanted: the job row that commits before anything is done."""

from __future__ import annotations

import secrets
from dataclasses import replace

from educloud_lab.broker.auditing import audit
from educloud_lab.domain.job import BUSY_STATUS, KIND_FOR, StepState, step_names, wanted_job
from educloud_lab.domain.lease import Status, Target
from educloud_lab.ports.records import JobRecord, LeaseRecord, StepRecord
from educloud_lab.ports.store import Transaction

DIED = "died"
"""Why a lease is being stopped whose machine ended by itself: its problem stays to be read."""

STRAY = "stray"
"""Why a lease is being stopped whose machine was started past the broker, by the cloud's own means."""


def new_id() -> str:
    """Return a new id: unguessable, short enough for names of lines and principals."""
    return secrets.token_hex(6)


def ensure_job(tx: Transaction, lease: LeaseRecord, *, who: str = "") -> JobRecord | None:
    """Return the job in flight, made when the target needs one and none is there; None when nothing is needed."""
    job = tx.job_in_flight(lease.id)
    if job is not None:
        return job
    kind = wanted_job(lease.target, lease.status)
    if kind is None:
        return None
    volume = tx.volume_of(lease.id)
    now = tx.now()
    again = "again" if lease.instance_id is not None else "new"
    job = JobRecord(
        id=new_id(),
        lease_id=lease.id,
        volume_id=volume.id if volume is not None else None,
        kind=kind,
        scope=f"{kind}:{lease.profile.name}:{again}",
        created_at=now,
        next_attempt_at=now,
        asked_by=who,
    )
    names = step_names(kind, has_volume=volume is not None)
    tx.add_job(job, [StepRecord(job_id=job.id, position=i, name=name) for i, name in enumerate(names)])
    return job


def want(tx: Transaction, lease: LeaseRecord, target: Target, *, reason: str = "", who: str = "") -> LeaseRecord:
    """Set a lease's target and make sure that something leads there; a failed lease is taken up again.

    ``who`` is the person who asks, '' when the broker decides. A person's wish is audited when it changes something:
    pressing Start on what starts already is the same Start.
    """
    status = lease.status
    if status is Status.FAILED:
        # What is true is found out by the job's own steps; any status that needs the job will do.
        status = BUSY_STATUS[KIND_FOR[target]]
    changed = replace(lease, target=target, reason=reason, status=status)
    if target is Target.RUNNING and (lease.target is not target or lease.status is Status.FAILED):
        changed = replace(changed, problem=None)
    if changed != lease:
        tx.put_lease(changed)
        if who:
            audit(tx, who=who, what=f"lease.{KIND_FOR[target]}", lease=changed, subject=changed.instance_id or "")
    job = ensure_job(tx, changed, who=who)
    if job is not None:
        tx.hasten_job(job.id, leave_queue=target is not Target.RUNNING)
    return tx.lease(lease.id) or changed


def unfinished_to(tx: Transaction, job_id: str, state: StepState) -> None:
    """Mark the steps that were under way."""
    for step in tx.steps(job_id):
        if step.state is StepState.DOING:
            ended = tx.now() if state is StepState.FAILED else None
            tx.put_step(replace(step, state=state, ended_at=ended))
