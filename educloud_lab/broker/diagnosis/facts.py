"""What a diagnosis is made from: our records, what the cloud shows, and what the machine says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

from educloud_lab.domain.finding import Evidence
from educloud_lab.domain.job import JobKind, StepState
from educloud_lab.domain.lease import Problem, Status, Target
from educloud_lab.ports.cloud import ImageSeen, InstanceHealth, InstanceSeen, InstanceState, VolumeSeen
from educloud_lab.ports.records import JobRecord, LeaseRecord, StepRecord, VolumeRecord

USUAL_S: Final[Mapping[str, float]] = {
    "volume": 10.0,
    "instance": 20.0,
    "address": 10.0,
    "connect": 40.0,  # a boot in software emulation
    "attach": 10.0,
    "disk": 10.0,
    "format": 20.0,
    "mount": 20.0,
    "ready": 10.0,
    "sessions": 5.0,
    "unmount": 20.0,
    "detach": 20.0,
}
"""How long a step takes where nothing was measured yet, in seconds."""
_FACTOR = 3.0  # a step that takes this many times its usual time waits too long
_MARGIN_S = 15.0


class Knock(StrEnum):
    """What a look at the machine's SSH door showed."""

    OPEN = "open"  # the expected host key was proved
    REFUSED = "refused"  # somebody is there and nobody listens
    SILENT = "silent"
    GATEWAY_SILENT = "gateway-silent"
    GATEWAY_REFUSES = "gateway-refuses"
    OTHER_KEY = "other-key"


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Everything that is known. None means: not looked at, or it could not be seen (I5)."""

    now: datetime
    lease: LeaseRecord
    volume: VolumeRecord | None = None
    job: JobRecord | None = None
    steps: tuple[StepRecord, ...] = ()
    usual_s: Mapping[str, float] = field(default_factory=dict)  # by step, as measured
    cloud_name: str = ""
    local: bool = False
    cloud_problem: Problem | None = None  # why the last look at the cloud failed
    seen: bool = False  # there is a view of the cloud
    instance: InstanceSeen | None = None
    disk: VolumeSeen | None = None
    root_disk: VolumeSeen | None = None
    zones: Mapping[str, str] | None = None
    health: InstanceHealth | None = None
    console: str | None = None
    knock: Knock | None = None
    knock_text: str = ""
    port_open: bool | None = None
    image: ImageSeen | None = None
    clock_offset_s: float | None = None  # the cloud's clock minus ours
    unseen: tuple[str, ...] = ()  # what could not be looked at, and why

    @property
    def starting(self) -> bool:
        """Whether a start is under way or has failed."""
        return self.lease.target is Target.RUNNING and self.lease.status in (
            Status.STARTING,
            Status.FAILED,
            Status.NEW,
            Status.STOPPED,
        )

    @property
    def in_flight(self) -> bool:
        """Whether a job is under way."""
        return self.job is not None and self.job.ended_at is None

    @property
    def is_start(self) -> bool:
        """Whether the last job is a start."""
        return self.job is not None and self.job.kind is JobKind.START

    def step(self, name: str) -> StepRecord | None:
        """Return a step of the last job."""
        return next((step for step in self.steps if step.name == name), None)

    def hangs_at(self, name: str) -> bool:
        """Whether the last job stands at this step, or failed there."""
        step = self.step(name)
        return step is not None and step.state in (StepState.DOING, StepState.FAILED)

    def waited_s(self, name: str) -> float:
        """Return how long a step has been under way, 0 when it has not begun."""
        step = self.step(name)
        if step is None or step.started_at is None:
            return 0.0
        return max(0.0, ((step.ended_at or self.now) - step.started_at).total_seconds())

    def limit_s(self, name: str) -> float:
        """Return how long a step may take before it is said to wait."""
        usual_s = max(self.usual_s.get(name, 0.0), USUAL_S.get(name, 20.0))
        return _FACTOR * usual_s + _MARGIN_S

    def too_long(self, name: str) -> bool:
        """Whether the last job waits at a step for longer than usual, or gave up there."""
        step = self.step(name)
        if step is None:
            return False
        if step.state is StepState.FAILED:
            return True
        return step.state is StepState.DOING and self.waited_s(name) > self.limit_s(name)

    @property
    def problem(self) -> Problem | None:
        """What went wrong last, by our records."""
        return self.lease.problem

    @property
    def problem_code(self) -> str:
        """Code of what went wrong last."""
        return self.lease.problem.code if self.lease.problem is not None else ""

    @property
    def problem_text(self) -> str:
        """The sentence of what went wrong last, in which the cloud's own words stand."""
        return self.lease.problem.what if self.lease.problem is not None else ""

    @property
    def state(self) -> InstanceState | None:
        """The instance's state as the cloud shows it."""
        return self.instance.state if self.instance is not None else None

    @property
    def launched_s(self) -> float | None:
        """Age of the instance since its launch, in seconds."""
        launched = self.instance.launched_at if self.instance is not None else None
        return max(0.0, (self.now - launched).total_seconds()) if launched is not None else None


def ago(seconds: float) -> str:
    """Return a length of time for people."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def standing(facts: Facts) -> list[Evidence]:
    """Return the evidence that belongs to every finding: states and ages."""
    lease, found = facts.lease, []
    job = facts.job
    if job is not None:
        until = job.ended_at or facts.now
        state = "under way" if job.ended_at is None else f"ended ({job.outcome})"
        found.append(
            Evidence(
                "job", f"{job.kind}, {state}, {ago((until - job.created_at).total_seconds())}, attempt {job.attempts}"
            )
        )
    for step in facts.steps:
        if step.state in (StepState.DOING, StepState.FAILED) and step.started_at is not None:
            usual = max(facts.usual_s.get(step.name, 0.0), USUAL_S.get(step.name, 20.0))
            waited = f"{step.state} for {ago(facts.waited_s(step.name))}, usually {ago(usual)}"
            found.append(Evidence(f"step {step.name}", waited, step.waiting_for))
    if facts.instance is not None:
        seen = facts.instance
        age = f", launched {ago(facts.launched_s)} ago" if facts.launched_s is not None else ""
        found.append(Evidence("instance", f"{seen.instance_id} {seen.state}{age}", seen.reason))
        if seen.state in (InstanceState.PENDING, InstanceState.RUNNING):
            found.append(Evidence("address", seen.address or "none (the cloud shows 0.0.0.0)"))
    elif lease.instance_id is not None:
        found.append(Evidence("instance", f"{lease.instance_id} is not in the cloud's list"))
    if facts.disk is not None:
        there = ", ".join(f"{a.state} at {a.instance_id}" for a in facts.disk.attachments) or "not attached"
        found.append(Evidence("data volume", f"{facts.disk.volume_id} {facts.disk.state}, {there}"))
    if facts.zones is not None and lease.zone:
        found.append(Evidence("zone", f"{lease.zone} {facts.zones.get(lease.zone, 'is not listed')}"))
    if facts.health is not None:
        found.append(Evidence("system status", facts.health.system))
    return found
