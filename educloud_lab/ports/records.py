"""The rows of the store as plain frozen records: what the broker remembers, whoever keeps it.

All times are aware UTC. A record is changed with :func:`dataclasses.replace` and put back in the same
transaction that read it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from educloud_lab.domain.job import HostKeyStage, JobKind, Outcome, StepState, VolumeStage
from educloud_lab.domain.lease import LeaseKey, Problem, Status, Target
from educloud_lab.domain.profile import MachineProfile


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseRecord:
    """A lease. ``generation`` 0 means that there never was an instance."""

    id: str
    course: str
    lab: str
    person: str
    slot: str
    profile: MachineProfile
    created_at: datetime
    updated_at: datetime
    generation: int = 0
    target: Target = Target.STOPPED
    status: Status = Status.NEW
    reason: str = ""  # why the target is what it is, when no person asked: "time-limit", "died"
    problem: Problem | None = None
    instance_id: str | None = None
    instance_state: str = ""  # EC2's word as last seen
    address: str | None = None
    zone: str = ""
    image_id: str = ""
    root_device_type: str = ""
    launched_at: datetime | None = None
    client_token: str = ""
    token_at: datetime | None = None  # when this token was made; older than 30 minutes: looked up, never sent
    token_sent: bool = False  # it may have reached the cloud
    bootstrap_key: str = ""  # public half of the bootstrap host key
    host_key: str = ""  # the machine's own public host key
    host_key_stage: HostKeyStage = HostKeyStage.NONE
    started_at: datetime | None = None
    expires_at: datetime | None = None

    @property
    def key(self) -> LeaseKey:
        """Whose machine for what."""
        return LeaseKey(course=self.course, lab=self.lab, person=self.person, slot=self.slot)


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeRecord:
    """A data volume of a lease."""

    id: str
    lease_id: str
    size_bytes: int
    mount_point: str
    device: str
    cloud_id: str | None = None
    zone: str = ""
    stage: VolumeStage = VolumeStage.PLANNED
    nonce: int = 1  # grows when a volume that failed before it held anything is replaced
    create_sent: bool = False  # a create call may have reached the cloud
    file_system_uuid: str | None = None  # chosen by us before mkfs
    formatted_at: datetime | None = None  # None until mkfs is known to have ended well
    last_mounted_at: datetime | None = None
    may_be_mounted: bool = False  # set before every mount, cleared only after a verified unmount or a dead machine
    quarantined: tuple[str, ...] = ()  # volumes of the cloud that carry our tag and are not used; never deleted


@dataclass(frozen=True, slots=True, kw_only=True)
class PermitRecord:
    """One-time permission to format exactly one volume, seen under one serial, in one generation (I3)."""

    id: str
    lease_id: str
    volume_id: str  # the cloud's id
    serial: str
    generation: int
    file_system_uuid: str
    granted_at: datetime
    spent_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRecord:
    """One step of a job."""

    job_id: str
    position: int
    name: str
    state: StepState = StepState.TODO
    waiting_for: str = ""
    started_at: datetime | None = None
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRecord:
    """A recorded intent. In flight while ``ended_at`` is None."""

    id: str
    lease_id: str
    volume_id: str | None  # our volume record's id
    kind: JobKind
    scope: str  # which history its estimates come from
    created_at: datetime
    next_attempt_at: datetime
    ended_at: datetime | None = None
    outcome: Outcome | None = None
    attempts: int = 0
    strikes: int = 0  # attempts that ended in an error that may not be repeated for ever
    waiting_for: str = ""  # why the next attempt waits
    holder: str | None = None
    epoch: int = 0
    claimed_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to work on one job, as long as the epoch in the store is still this one."""

    job_id: str
    holder: str
    epoch: int
