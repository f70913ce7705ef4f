"""Jobs and volumes: the words for a recorded intent, its steps, and where a data volume and a host key stand.

The titles are what people read beside a step; the order is the order in which they are shown. Steps that do
not wait for each other run side by side (:data:`START_NEEDS`).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from educloud_lab.domain.lease import Status, Target


class JobKind(StrEnum):
    """What a job brings about."""

    START = "start"
    STOP = "stop"
    DELETE = "delete"
    SNAPSHOT = "snapshot"  # of the data volume, running or not
    RESTORE = "restore"  # a new data volume from a snapshot; the present one goes to the bin
    GROW = "grow"  # the data volume and its file system
    DISCARD = "discard"  # the data volume goes to the bin; the next Start begins with an empty one
    RETURN = "return"  # a volume comes back from the bin, in place of the present one (which goes there)
    EMPTY = "empty"  # a volume that was in the bin for its time is deleted, or a snapshot that a person deleted


VOLUME_KINDS: Final = frozenset(
    {JobKind.SNAPSHOT, JobKind.RESTORE, JobKind.GROW, JobKind.DISCARD, JobKind.RETURN, JobKind.EMPTY}
)
"""Jobs that leave the lease's target and status as they are; a failure of theirs is told and changes nothing else."""


class ShelfKind(StrEnum):
    """Why a volume of the cloud is kept that no machine uses."""

    BIN = "bin"  # a person's own delete or restore: comes back on request, deleted after its time
    QUARANTINE = "quarantine"  # nobody asked: duplicates, volumes without owner. Never deleted by inference (I2)


class SnapshotState(StrEnum):
    """Where a snapshot of a data volume stands."""

    PLANNED = "planned"  # recorded; the call may have been made
    PENDING = "pending"
    COMPLETED = "completed"
    FAILED = "failed"
    DELETED = "deleted"


class Consistency(StrEnum):
    """What a snapshot can be relied on for."""

    UNKNOWN = ""
    AT_REST = "at-rest"  # the volume was not mounted
    FROZEN = "frozen"  # the file system was frozen while it was taken
    CRASH = "crash"  # as after a power cut: the thaw came before the cloud answered


class OrphanState(StrEnum):
    """What became of something of ours in the cloud that the store does not know."""

    SEEN = "seen"  # reported; its grace time runs
    REAPING = "reaping"  # its end is recorded and being asked for
    REAPED = "reaped"
    QUARANTINED = "quarantined"
    KEPT = "kept"  # a person said so
    GONE = "gone"  # it vanished, or it got an owner


class StepState(StrEnum):
    """Where one step of a job stands."""

    TODO = "todo"
    DOING = "doing"
    DONE = "done"
    FAILED = "failed"


class Outcome(StrEnum):
    """How a job ended."""

    DONE = "done"
    FAILED = "failed"
    SUPERSEDED = "superseded"  # the person wanted something else before it was over


class VolumeStage(StrEnum):
    """Where a data volume stands."""

    PLANNED = "planned"
    CREATING = "creating"
    AVAILABLE = "available"
    ATTACHING = "attaching"
    ATTACHED = "attached"
    MOUNTED = "mounted"
    DETACHING = "detaching"
    TROUBLE = "trouble"


class HostKeyStage(StrEnum):
    """Which host key the machine may show (I8)."""

    NONE = "none"
    BOOTSTRAP = "bootstrap"  # ours, given at boot
    SWITCHING = "switching"  # the machine has its own, and is being told to show it: both are accepted
    PINNED = "pinned"  # its own and nothing else


START_STEPS: Final[dict[str, str]] = {
    "volume": "Prepare the data volume",
    "instance": "Boot the machine",
    "address": "Get an address",
    "connect": "Connect",
    "attach": "Attach the data volume",
    "disk": "Find the disk on the machine",
    "format": "Check the file system",
    "mount": "Mount the data volume",
    "ready": "Ready",
}
START_NEEDS: Final[dict[str, tuple[str, ...]]] = {
    "volume": (),
    "instance": (),
    "address": ("instance",),
    "connect": ("address",),
    "attach": ("volume", "instance"),
    "disk": ("attach", "connect"),
    "format": ("disk",),
    "mount": ("format",),
    "ready": ("mount", "connect"),
}
WITHOUT_VOLUME: Final = frozenset({"volume", "attach", "disk", "format", "mount", "sessions", "unmount", "detach"})
STOP_STEPS: Final[dict[str, str]] = {
    "sessions": "Close the sessions",
    "unmount": "Save and unmount the data volume",
    "detach": "Detach the data volume",
    "instance": "Stop the machine",
}
DELETE_STEPS: Final[dict[str, str]] = {**STOP_STEPS, "instance": "Delete the machine"}
# The volumes' own jobs run their steps one after another.
SNAPSHOT_STEPS: Final[dict[str, str]] = {
    "freeze": "Hold still what is written",
    "take": "Take the snapshot",
    "complete": "Wait until the cloud has copied it",
}
RESTORE_STEPS: Final[dict[str, str]] = {
    "copy": "Make a volume from the snapshot",
    "exchange": "Put it in the place of the present one",
}
GROW_STEPS: Final[dict[str, str]] = {"enlarge": "Enlarge the volume"}  # the next mount extends the file system
DISCARD_STEPS: Final[dict[str, str]] = {"shelve": "Put the volume into the bin"}
RETURN_STEPS: Final[dict[str, str]] = {"exchange": "Put the volume back"}
EMPTY_STEPS: Final[dict[str, str]] = {"erase": "Delete it in the cloud"}

TITLES: Final[dict[JobKind, dict[str, str]]] = {
    JobKind.START: START_STEPS,
    JobKind.STOP: STOP_STEPS,
    JobKind.DELETE: DELETE_STEPS,
    JobKind.SNAPSHOT: SNAPSHOT_STEPS,
    JobKind.RESTORE: RESTORE_STEPS,
    JobKind.GROW: GROW_STEPS,
    JobKind.DISCARD: DISCARD_STEPS,
    JobKind.RETURN: RETURN_STEPS,
    JobKind.EMPTY: EMPTY_STEPS,
}
BUSY_STATUS: Final[dict[JobKind, Status]] = {
    JobKind.START: Status.STARTING,
    JobKind.STOP: Status.STOPPING,
    JobKind.DELETE: Status.DELETING,
}
TARGET_OF: Final[dict[JobKind, Target]] = {
    JobKind.START: Target.RUNNING,
    JobKind.STOP: Target.STOPPED,
    JobKind.DELETE: Target.DELETED,
}
KIND_FOR: Final[dict[Target, JobKind]] = {target: kind for kind, target in TARGET_OF.items()}

_AT_TARGET: Final[dict[Target, frozenset[Status]]] = {
    Target.RUNNING: frozenset({Status.RUNNING}),
    Target.STOPPED: frozenset({Status.STOPPED, Status.NEW}),
    Target.DELETED: frozenset({Status.NEW}),
}


def wanted_job(target: Target, status: Status) -> JobKind | None:
    """Return the job that leads from a status to a target when nothing is in flight, or None when none is needed.

    A failed lease waits for a person: nothing is repeated behind their back.
    """
    if status is Status.FAILED or status in _AT_TARGET[target]:
        return None
    return KIND_FOR[target]


def step_names(kind: JobKind, *, has_volume: bool) -> tuple[str, ...]:
    """Return the steps of a job in the order in which they are shown."""
    return tuple(name for name in TITLES[kind] if has_volume or name == "sessions" or name not in WITHOUT_VOLUME)
