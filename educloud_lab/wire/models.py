"""What the browser, the notebook and the command line see: one shape for all of them.

``API_VERSION`` counts incompatible changes; both halves compare it at their first meeting. Times are ISO 8601
in UTC. Fields named ``*_s`` are seconds, ``*_bytes`` bytes.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

API_VERSION = 1

Name = Annotated[str, StringConstraints(min_length=1, max_length=64, strip_whitespace=True)]


class Wire(BaseModel):
    """Base: unknown fields are refused on the way in, so that a typing error is not silently dropped."""

    model_config = ConfigDict(extra="forbid", frozen=True)


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


class Job(Wire):
    """A recorded intent and how far it is."""

    id: str
    kind: Literal["start", "stop", "delete"]
    created_at: datetime
    in_flight: bool
    attempts: int
    next_attempt_at: datetime | None = None
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
