"""The rows of the store as plain frozen records: what the broker remembers, whoever keeps it.

All times are aware UTC. A record is changed with :func:`dataclasses.replace` and put back in the same
transaction that read it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from educloud_lab.domain.finding import Finding
from educloud_lab.domain.job import (
    Consistency,
    HostKeyStage,
    JobKind,
    OrphanState,
    Outcome,
    ShelfKind,
    SnapshotState,
    StepState,
    VolumeStage,
)
from educloud_lab.domain.lease import LeaseKey, Problem, Status, Target
from educloud_lab.domain.profile import MachineProfile
from educloud_lab.ports.calls import CallOutcome


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
    expires_at: datetime | None = None  # the hard limit of this session
    first_connected_at: datetime | None = None  # a person of this session, not the broker
    active_at: datetime | None = None  # last honest activity of this session
    active_by: str = ""  # what it was: "terminal", "cell", "desktop", "load", "connected"
    busy_until: datetime | None = None  # declared by the person
    told: str = ""  # the last warning that went to the machine's own terminals
    guard_until: datetime | None = None  # what the machine's dead-man's timer was last armed with
    exempt_since: datetime | None = None  # limits are off between these two
    exempt_until: datetime | None = None
    exempt_reason: str = ""
    exempt_by: str = ""
    finding: Finding | None = None  # the doctor's, while something hangs

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
    from_snapshot: str | None = None  # our snapshot record that it is made from: never formatted
    last_written_at: datetime | None = None  # the file system's own word at the last unmount or check
    mount_count: int | None = None  # at our last unmount; None: it was mounted since, nothing to compare
    growing_to_bytes: int | None = None  # a wish to enlarge it may have reached the cloud
    proof: str = ""  # at the last mount: "same" (written last when we unmounted it), "changed", "" (nothing to compare)
    proved_at: datetime | None = None
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
    asked_by: str = ""  # the person; '' when the broker decided
    arguments: Mapping[str, str] = field(default_factory=dict)  # what the kind needs: "snapshot", "size_bytes", "shelf"
    queue: str = ""  # waits for room of this kind (zone and instance type) in the cloud; '' when it does not
    queued_at: datetime | None = None  # its place in that queue: kept while it waits, first come first served


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotRecord:
    """A snapshot of a lease's data volume. It outlives the volume."""

    id: str
    lease_id: str
    course: str
    lab: str
    person: str  # whose data it is
    name: str
    volume_cloud_id: str  # the volume it was taken of
    size_bytes: int
    created_at: datetime
    created_by: str
    cloud_id: str | None = None
    nonce: int = 1
    create_sent: bool = False  # a create call may have reached the cloud
    state: SnapshotState = SnapshotState.PLANNED
    consistency: Consistency = Consistency.UNKNOWN
    progress_percent: int = 0
    completed_at: datetime | None = None
    file_system_uuid: str | None = None  # as the volume's was
    formatted_at: datetime | None = None
    published: bool = False  # new data volumes of this lab are made from it (the newest published one)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShelfRecord:
    """A volume of the cloud that is kept and that no machine uses: in the bin, or in quarantine."""

    id: str
    kind: ShelfKind
    cloud_id: str
    course: str
    lab: str = ""
    lease_id: str | None = None  # None: nobody's
    person: str = ""
    size_bytes: int = 0
    zone: str = ""
    created_at: datetime | None = None  # the volume itself
    shelved_at: datetime
    delete_after: datetime | None = None  # never in quarantine
    reason: str = ""  # "discarded", "restored", "duplicate", "orphan", "lost", ...
    file_system_uuid: str | None = None
    formatted_at: datetime | None = None
    last_mounted_at: datetime | None = None
    last_written_at: datetime | None = None
    mount_count: int | None = None
    from_snapshot: str | None = None
    ended_at: datetime | None = None
    end: str = ""  # "returned", "deleted", "released"


@dataclass(frozen=True, slots=True, kw_only=True)
class OrphanRecord:
    """Something in the cloud that carries our tags or token prefix and that no record explains."""

    cloud_id: str
    kind: str  # "instance", "volume" or "snapshot"
    first_seen_at: datetime
    last_seen_at: datetime
    state: OrphanState = OrphanState.SEEN
    reason: str = ""
    person: str = ""  # as its tags say
    lab: str = ""
    size_bytes: int = 0
    acted_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRecord:
    """Who did what, on whose, with which result. Appended, never changed. ``id`` 0 before it is stored."""

    id: int = 0
    at: datetime
    who: str  # a person, or "broker" when nobody asked
    what: str  # "lease.start", "volume.snapshot", "job.start.done", ...
    course: str
    lease_id: str | None = None
    whose: str = ""
    subject: str = ""  # the id in the cloud, where there is one
    result: str = "ok"  # "ok", or an error's code
    detail: str = ""  # for people; never a secret


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRecord:
    """One call to the cloud that a job made, or several looks that found the same. Holds no secret."""

    job_id: str
    number: int  # within the job, from 0
    lease_id: str
    at: datetime
    last_at: datetime  # of the last one of ``times``
    times: int = 1
    left_out: int = 0  # calls after this one that are not kept at all
    step: str = ""  # the step's name; '' before the first
    operation: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    duration_ms: int = 0  # of the last one
    outcome: CallOutcome
    answer: Mapping[str, str] = field(default_factory=dict)  # what concerns this lease, of the last one
    error_code: str = ""
    error: str = ""
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to work on one job, as long as the epoch in the store is still this one."""

    job_id: str
    holder: str
    epoch: int
