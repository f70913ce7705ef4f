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

TITLES: Final[dict[JobKind, dict[str, str]]] = {
    JobKind.START: START_STEPS,
    JobKind.STOP: STOP_STEPS,
    JobKind.DELETE: DELETE_STEPS,
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
