"""From records to what people see: the wire's shapes, built in one transaction."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from datetime import datetime

from educloud_lab.broker import queue
from educloud_lab.broker.finding_view import wire_finding
from educloud_lab.broker.headlines import actions, headline
from educloud_lab.broker.limits_view import wire_limits
from educloud_lab.broker.parts import Parts
from educloud_lab.broker.volumes_view import reasons as volume_reasons
from educloud_lab.broker.volumes_view import wire_bin, wire_snapshots, wire_volume
from educloud_lab.domain.errors import EducloudError
from educloud_lab.domain.job import TITLES, HostKeyStage, StepState
from educloud_lab.domain.lease import PHASES, Phase, Problem
from educloud_lab.domain.profile import MachineProfile
from educloud_lab.ports.records import JobRecord, LeaseRecord, StepRecord
from educloud_lab.ports.store import Transaction
from educloud_lab.wire import models as wire

_GIB = 1024**3
_MOST = 0.97  # a job that takes longer than it used to is never shown as over


def _typical(rows: Sequence[float] | None) -> float | None:
    return round(statistics.median(rows), 2) if rows else None


def wire_problem(problem: Problem | None) -> wire.Problem | None:
    """Return a recorded problem for people."""
    if problem is None:
        return None
    return wire.Problem(
        code=problem.code, what=problem.what, kept=problem.kept, next_step=problem.next_step, at=problem.at
    )


def error_problem(error: EducloudError, at: datetime | None = None) -> wire.Problem:
    """Return an error for people."""
    return wire.Problem(code=error.code, what=error.what, kept=error.kept, next_step=error.next_step, at=at)


def wire_profile(profile: MachineProfile) -> wire.MachineProfile:
    """Return a machine profile for people."""
    return wire.MachineProfile(
        name=profile.name,
        revision=profile.revision,
        title=profile.title,
        description=profile.description,
        image=profile.image,
        instance_type=profile.instance_type,
        volume_size_bytes=profile.volume.size_gib * _GIB if profile.volume else None,
        mount_point=profile.volume.mount_point if profile.volume else None,
        time_limit_s=profile.time_limit_s,
        idle_limit_s=profile.idle_limit_s,
        first_connection_limit_s=profile.first_connection_limit_s,
        ports=list(profile.ports),
        retired=profile.retired,
    )


def wire_job(
    job: JobRecord,
    steps: Sequence[StepRecord],
    history: Mapping[str, Sequence[float]],
    now: datetime,
    place: wire.QueuePlace | None = None,
) -> wire.Job:
    """Return a job with its steps, estimates and progress."""
    in_flight = job.ended_at is None
    done = sum(step.state is StepState.DONE for step in steps) / max(1, len(steps))
    total_s = _typical(history.get(""))
    elapsed_s = ((job.ended_at or now) - job.created_at).total_seconds()
    left_s: float | None = None
    if not in_flight:
        progress = done
    elif total_s:
        progress = min(_MOST, max(0.0, elapsed_s / total_s))
        left_s = round(max(0.0, total_s - elapsed_s), 1)
    else:
        progress = min(_MOST, done)
    return wire.Job(
        id=job.id,
        kind=wire.JobKind(job.kind.value),
        outcome=job.outcome.value if job.outcome is not None else None,
        created_at=job.created_at,
        in_flight=in_flight,
        attempts=job.attempts,
        next_attempt_at=job.next_attempt_at if in_flight and job.waiting_for else None,
        steps=[
            wire.Step(
                name=step.name,
                title=TITLES[job.kind][step.name],
                state=wire.StepState(step.state.value),
                waiting_for=step.waiting_for,
                started_at=step.started_at,
                ended_at=step.ended_at,
                estimate_s=_typical(history.get(step.name)),
            )
            for step in steps
        ],
        queue=place,
        progress=progress,
        estimate_s=left_s,
    )


def _wire_instance(lease: LeaseRecord, *, visible: bool) -> wire.Instance | None:
    if lease.instance_id is None:
        return None
    return wire.Instance(
        id=lease.instance_id,
        state=lease.instance_state if visible and lease.instance_state else "unknown",
        address=lease.address,
        instance_type=lease.profile.instance_type,
        image_id=lease.image_id,
        zone=lease.zone,
        launched_at=lease.launched_at,
    )


def wire_lease(tx: Transaction, parts: Parts, lease: LeaseRecord) -> wire.Lease:
    """Return a lease for people."""
    now = tx.now()
    job, volume = tx.last_job(lease.id), tx.volume_of(lease.id)
    place = queue.place(tx, job) if job is not None else None
    shown_job = wire_job(job, tx.steps(job.id), tx.durations(job.scope), now, place) if job is not None else None
    on_its_way = PHASES[lease.target, lease.status] is Phase.STARTING
    pinned = lease.host_key_stage is HostKeyStage.PINNED
    key = lease.host_key if pinned else lease.bootstrap_key
    source = "pinned" if pinned else ("none" if lease.host_key_stage is HostKeyStage.NONE else "bootstrap")
    return wire.Lease(
        id=lease.id,
        course=lease.course,
        lab=lease.lab,
        slot=lease.slot,
        person=lease.person,
        machine_profile=wire.ProfileRef(
            name=lease.profile.name, revision=lease.profile.revision, title=lease.profile.title
        ),
        generation=lease.generation,
        target=lease.target.value,
        status=lease.status.value,
        phase=wire.Phase(PHASES[lease.target, lease.status].value),
        headline=queue.headline(place) if place is not None and on_its_way else headline(lease, job, volume),
        problem=wire_problem(lease.problem),
        job=shown_job,
        instance=_wire_instance(lease, visible=parts.sight.problem is None),
        volumes=[wire_volume(tx, volume)] if volume is not None else [],
        system_disk="lost" if lease.root_device_type == "instance-store" else "kept",
        host_key_source=source,  # type: ignore[arg-type]  # one of the literal's three words by construction
        host_key_fingerprint=parts.authority.fingerprint(key) if key and source != "none" else None,
        login=f"{lease.profile.login_user}@{lease.address}" if lease.address else None,
        started_at=lease.started_at,
        expires_at=lease.expires_at,
        limits=wire_limits(lease, now),
        finding=wire_finding(lease.finding),
        snapshots=wire_snapshots(tx, lease),
        bin=wire_bin(tx, lease),
        actions=actions(lease, now, volume_reasons(tx, lease, volume)),
        updated_at=lease.updated_at,
    )


def build(
    tx: Transaction,
    parts: Parts,
    person: str,
    profiles: Sequence[MachineProfile],
    profile_problems: Sequence[EducloudError],
) -> wire.Snapshot:
    """Return everything that one person may see."""
    sight = parts.sight
    return wire.Snapshot(
        version=tx.version(),
        server_time=tx.now(),
        person=person,
        course=parts.course,
        cloud=wire.Cloud(
            kind=parts.config.cloud_kind,
            name=parts.config.cloud_name,
            reachable=sight.problem is None,
            problem=error_problem(sight.problem) if sight.problem is not None else None,
            checked_at=sight.checked_at,
        ),
        profiles=[wire_profile(profile) for profile in profiles],
        profile_problems=[error_problem(error) for error in profile_problems],
        leases=[wire_lease(tx, parts, lease) for lease in tx.leases(course=parts.course, person=person)],
    )
