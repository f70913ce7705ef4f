"""What the browser, the notebook and the command line see: one shape for all of them.

``API_VERSION`` counts incompatible changes; both halves compare it at their first meeting. Times are ISO 8601
in UTC. Fields named ``*_s`` are seconds, ``*_bytes`` bytes.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from educloud_lab.wire.base import Name as Name
from educloud_lab.wire.base import Wire as Wire
from educloud_lab.wire.calls import Account as Account
from educloud_lab.wire.calls import Accounts as Accounts
from educloud_lab.wire.calls import CloudCall as CloudCall
from educloud_lab.wire.calls import CloudPart as CloudPart
from educloud_lab.wire.checks import CheckReport as CheckReport
from educloud_lab.wire.checks import CheckResult as CheckResult
from educloud_lab.wire.checks import ChecksRequest as ChecksRequest
from educloud_lab.wire.checks import CheckState as CheckState
from educloud_lab.wire.checks import LabMachine as LabMachine
from educloud_lab.wire.checks import LabMachines as LabMachines
from educloud_lab.wire.copying import CopyAck as CopyAck
from educloud_lab.wire.copying import CopyDone as CopyDone
from educloud_lab.wire.copying import CopyFailed as CopyFailed
from educloud_lab.wire.copying import CopyReady as CopyReady
from educloud_lab.wire.copying import DownloadRequest as DownloadRequest
from educloud_lab.wire.copying import UploadRequest as UploadRequest
from educloud_lab.wire.needs import LabNeeds as LabNeeds
from educloud_lab.wire.needs import NeedsRemark as NeedsRemark
from educloud_lab.wire.needs import NeedsReport as NeedsReport
from educloud_lab.wire.needs import NeedsRequest as NeedsRequest
from educloud_lab.wire.needs import VolumeNeed as VolumeNeed
from educloud_lab.wire.run import BackgroundOutput as BackgroundOutput
from educloud_lab.wire.run import BackgroundRun as BackgroundRun
from educloud_lab.wire.run import BackgroundRuns as BackgroundRuns
from educloud_lab.wire.run import RunAck as RunAck
from educloud_lab.wire.run import RunEnded as RunEnded
from educloud_lab.wire.run import RunFailed as RunFailed
from educloud_lab.wire.run import RunProblem as RunProblem
from educloud_lab.wire.run import RunRequest as RunRequest
from educloud_lab.wire.run import RunSignal as RunSignal
from educloud_lab.wire.run import RunStarted as RunStarted

API_VERSION = 1


class Phase(StrEnum):
    """What a person sees of a lease (the domain's table decides which)."""

    OFF = "off"
    STARTING = "starting"
    READY = "ready"
    STOPPING = "stopping"
    ASLEEP = "asleep"
    DELETING = "deleting"
    WAITING = "waiting"
    TROUBLE = "trouble"


class StepState(StrEnum):
    """Where one step of a job stands."""

    TODO = "todo"
    DOING = "doing"
    DONE = "done"
    FAILED = "failed"


class Action(StrEnum):
    """What a person may ask of a lease."""

    START = "start"
    STOP = "stop"
    DELETE = "delete"
    EXTEND = "extend"
    TERMINAL = "terminal"
    CONSOLE = "console"
    BUSY = "busy"
    EXEMPT = "exempt"
    END_EXEMPTION = "end-exemption"
    SNAPSHOT = "snapshot"
    RESTORE = "restore"
    GROW = "grow"
    DISCARD = "discard"
    RETURN = "return"
    WHY = "why"


class JobKind(StrEnum):
    """What a job brings about."""

    START = "start"
    STOP = "stop"
    DELETE = "delete"
    SNAPSHOT = "snapshot"
    RESTORE = "restore"
    GROW = "grow"
    DISCARD = "discard"
    RETURN = "return"
    EMPTY = "empty"


class Problem(Wire):
    """What went wrong: the three sentences a person needs, and a code for programs."""

    code: str
    what: str
    kept: str = ""
    next_step: str = ""
    at: datetime | None = None


class Step(Wire):
    """One step of the job in flight (or of the last one)."""

    name: str
    title: str
    state: StepState
    waiting_for: str = ""
    started_at: datetime | None = None
    ended_at: datetime | None = None
    estimate_s: float | None = Field(None, description="How long this step took lately; null when unknown")


class QueuePlace(Wire):
    """A place in the queue for room in the cloud: first come, first served."""

    position: int = Field(ge=1)
    waiting: int = Field(ge=1, description="How many wait in the same queue")
    since: datetime
    what: str = Field(description="What the cloud has no room for, for people")
    next_try_at: datetime | None = None


class Job(Wire):
    """A recorded intent and how far it is."""

    id: str
    kind: JobKind
    created_at: datetime
    in_flight: bool
    attempts: int
    next_attempt_at: datetime | None = None
    queue: QueuePlace | None = Field(None, description="Its place while it waits for room in the cloud")
    outcome: Literal["done", "failed", "superseded"] | None = None
    steps: list[Step]
    progress: float = Field(ge=0, le=1, description="Share of the estimated time that is over")
    estimate_s: float | None = Field(None, description="Seconds the rest will probably take")


class ProfileRef(Wire):
    """Which machine profile a lease was made from."""

    name: str
    revision: int
    title: str


class MachineProfile(ProfileRef):
    """A machine profile that may be started."""

    description: str
    image: str
    instance_type: str
    volume_size_bytes: int | None
    mount_point: str | None
    time_limit_s: int
    idle_limit_s: int = Field(0, description="0: no such limit")
    first_connection_limit_s: int = Field(0, description="0: no such limit")
    ports: list[int] = Field([], description="Reachable on the machine from the front end, besides SSH")
    retired: str = Field("", description="Why it should not be used for new machines any more, and what instead")


class LimitKind(StrEnum):
    """Which limit ends a session."""

    HARD = "hard"
    IDLE = "idle"
    FIRST_CONNECTION = "first-connection"


class Limit(Wire):
    """One limit of a running machine."""

    kind: LimitKind
    ends_at: datetime
    text: str = Field(description="What it is, for people")


class LimitWarning(Wire):
    """What a person is told before their machine is suspended."""

    id: str = Field(description="Changes with each warning, so that each is shown once: kind, end, and how long before")
    kind: LimitKind
    text: str
    loses: str = Field("", description="What is lost by it, when anything is")
    ends_at: datetime
    urgent: bool = Field(description="The last warning before it happens")


class Exemption(Wire):
    """Limits are off for this machine, until then, for a reason, by somebody."""

    since: datetime
    until: datetime
    reason: str
    by: str


class Limits(Wire):
    """The limits of a running machine; the nearest first."""

    limits: list[Limit] = []
    warning: LimitWarning | None = None
    next_warning_at: datetime | None = None
    active_at: datetime | None = None
    active_by: str = Field("", description="What the last activity was, for people")
    busy_until: datetime | None = None
    exemption: Exemption | None = None
    keep_until: datetime | None = Field(
        None, description="Until when Keep would let it run; null: Keep changes nothing"
    )
    guarded: bool = Field(False, description="The machine carries a timer of its own that suspends it without us")


class SnapshotState(StrEnum):
    """Where a snapshot of the data volume stands."""

    PLANNED = "planned"
    PENDING = "pending"
    COMPLETED = "completed"
    FAILED = "failed"
    DELETED = "deleted"


class VolumeSnapshot(Wire):
    """A snapshot of the data volume."""

    id: str
    name: str
    cloud_id: str | None
    state: SnapshotState
    progress_percent: int
    size_bytes: int
    created_at: datetime
    created_by: str
    completed_at: datetime | None = None
    consistency: str = Field("", description="What it can be relied on for, for people")
    published: bool = Field(False, description="New data volumes of this lab are made from it")
    restorable: bool = False


class BinItem(Wire):
    """A data volume that no machine uses and that is kept."""

    id: str
    cloud_id: str
    quarantined: bool = Field(description="Kept until a person decides; in the bin otherwise")
    size_bytes: int
    reason: str = Field(description="Why it is there, for people")
    owner: str = ""
    lab: str = ""
    created_at: datetime | None = None
    shelved_at: datetime
    delete_after: datetime | None = None
    last_mounted_at: datetime | None = None
    returnable: bool = False


class Evidence(Wire):
    """One thing that the doctor looked at."""

    what: str
    seen: str
    means: str = ""


class Finding(Wire):
    """Why a machine hangs, as well as can be known from outside the cloud."""

    code: str
    what: str
    component: str = Field(description="CLC, CC, NC, SC, Walrus, image, network, machine, broker or unknown")
    component_name: str = Field("", description="The component in words")
    sure: Literal["certain", "likely", "possible"]
    at: datetime
    evidence: list[Evidence] = []
    by_itself: str = ""
    student_can: str = ""
    instructor_can: str = ""
    hidden: str = ""


class Why(Wire):
    """The doctor's answer about one lease, looked up now."""

    lease_id: str
    healthy: bool
    findings: list[Finding]
    text: str = Field(description="The same as text to paste to an administrator; no secrets, no names but the owner's")
    console_tail: str = ""


class Instance(Wire):
    """The instance of the lease's present generation."""

    id: str
    state: str = Field(description="EC2's word, or 'unknown' while the cloud cannot be seen")
    address: str | None
    instance_type: str
    image_id: str
    zone: str
    launched_at: datetime | None


class VolumeStage(StrEnum):
    """Where the data volume stands."""

    PLANNED = "planned"
    CREATING = "creating"
    AVAILABLE = "available"
    ATTACHING = "attaching"
    ATTACHED = "attached"
    MOUNTED = "mounted"
    DETACHING = "detaching"
    TROUBLE = "trouble"


class Volume(Wire):
    """A data volume that outlives the machine."""

    id: str | None
    size_bytes: int
    mount_point: str
    stage: VolumeStage
    file_system_uuid: str | None = None
    formatted_at: datetime | None = None
    last_mounted_at: datetime | None = None
    last_written_at: datetime | None = None
    proof: str = Field("", description="What the last mount proved, for people: same disk, last written at ...")
    from_snapshot: str | None = Field(None, description="Name of the snapshot that it was made from")


class ActionState(Wire):
    """Whether an action can be asked for now, and if not, why not."""

    action: Action
    enabled: bool
    reason: str = ""


class Lease(Wire):
    """A person's claim on a machine."""

    id: str
    course: str
    lab: str
    slot: str
    person: str
    machine_profile: ProfileRef
    generation: int
    target: Literal["running", "stopped", "deleted"]
    status: Literal["new", "starting", "running", "stopping", "stopped", "deleting", "failed"]
    phase: Phase
    headline: str = Field(description="One line that says where it stands")
    problem: Problem | None = None
    job: Job | None = None
    instance: Instance | None = None
    volumes: list[Volume] = []
    system_disk: Literal["kept", "lost"] = Field(description="What stopping does to the system disk")
    host_key_source: Literal["none", "bootstrap", "pinned", "console"] = "none"
    host_key_fingerprint: str | None = None
    login: str | None = Field(None, description="user@address once it is reachable")
    started_at: datetime | None = None
    expires_at: datetime | None = Field(None, description="When it is put to sleep; null when not running")
    limits: Limits | None = Field(None, description="Null when it is not running")
    finding: Finding | None = Field(None, description="What the doctor thinks, while something hangs")
    snapshots: list[VolumeSnapshot] = []
    bin: list[BinItem] = []
    actions: list[ActionState] = []
    updated_at: datetime


class Cloud(Wire):
    """The cloud behind the broker, as far as people need to know."""

    kind: Literal["local", "remote"]
    name: str
    reachable: bool
    problem: Problem | None = None
    checked_at: datetime | None = None


class Snapshot(Wire):
    """Everything that one person may see, at one version. Versions only grow."""

    version: int
    server_time: datetime
    person: str
    course: str
    cloud: Cloud
    profiles: list[MachineProfile]
    profile_problems: list[Problem] = []
    leases: list[Lease]


class Hello(Wire):
    """First meeting of the two halves."""

    api_version: int
    package_version: str
    problem: Problem | None = Field(None, description="Why the server half cannot work, when it cannot")


class LeaseRequest(Wire):
    """Ask for the lease of a lab: made when it does not exist, the same one otherwise."""

    lab: Name
    machine_profile: Name
    slot: Name = "main"
    start: bool = False


class DeleteRequest(Wire):
    """Delete the machine (never its data volume)."""

    confirm: str = Field(max_length=200, description="The lab's name, typed by the person")


class ActivityRequest(Wire):
    """The person did something on the machine. Output and pings are not activity."""

    kind: Literal["terminal", "cell", "desktop", "page", "connected"]


class BusyRequest(Wire):
    """Declare the machine busy until then, or no longer (null)."""

    until: datetime | None


class ExemptRequest(Wire):
    """Turn the limits off for one machine."""

    reason: Annotated[str, StringConstraints(min_length=3, max_length=500)]
    until: datetime


class SnapshotRequest(Wire):
    """Take a snapshot of the data volume."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=100)]


class PublishRequest(Wire):
    """Make new data volumes of this lab from this snapshot, or no longer."""

    published: bool


class GrowRequest(Wire):
    """Enlarge the data volume. It never shrinks."""

    size_gib: int = Field(ge=1, le=16384)


class AuditEntry(Wire):
    """One line of the audit log."""

    id: int
    at: datetime
    who: str
    what: str
    course: str
    lease_id: str | None = None
    whose: str = ""
    subject: str = ""
    result: str = "ok"
    detail: str = ""


class AuditPage(Wire):
    """Entries of the audit log, newest first."""

    entries: list[AuditEntry]
    older: int | None = Field(None, description="Ask for entries before this id; null at the end")


class Orphan(Wire):
    """Something of ours in the cloud that the store does not know."""

    cloud_id: str
    kind: Literal["instance", "volume", "snapshot"]
    state: Literal["seen", "reaping", "reaped", "quarantined", "kept", "gone"]
    reason: str
    owner: str = ""
    lab: str = ""
    size_bytes: int = 0
    first_seen_at: datetime
    last_seen_at: datetime
    acts_at: datetime | None = Field(None, description="When its grace time is over; null when nothing will be done")


class OrphanReport(Wire):
    """What was found without owner, and what would be (or was) done."""

    dry_run: bool
    halted: str = Field("", description="Why nothing is done now, for people: too many at once, the cloud unseen")
    orphans: list[Orphan]
    acted: list[str] = Field([], description="Ids in the cloud that were ended or put into quarantine now")


class ReapRequest(Wire):
    """Act on orphans whose grace time is over, or say what would be done."""

    dry_run: bool = True
    only: Annotated[list[Annotated[str, StringConstraints(max_length=64)]], Field(max_length=1000)] | None = Field(
        None, description="Ids that a person saw and wants gone, more than the cap allows too"
    )


class Shelf(Wire):
    """Everything in bin and quarantine of a course."""

    items: list[BinItem]


class Console(Wire):
    """Console output of the present instance."""

    lease_id: str
    text: str
    read_at: datetime


class ErrorReply(Wire):
    """What every refusal looks like."""

    error: Problem
    request_id: str


class SnapshotMessage(Wire):
    """Server to browser over the socket: the whole snapshot, whenever its version grew."""

    type: Literal["snapshot"] = "snapshot"
    snapshot: Snapshot


class PongMessage(Wire):
    """Answer to a ping."""

    type: Literal["pong"] = "pong"
    version: int


class PingMessage(Wire):
    """Browser to server: asks whether anybody is there."""

    type: Literal["ping"] = "ping"
