"""A person's claim on a machine: what is wanted, what is so, and what a person sees of the two.

Words: a lease's *target* is what the person wants; its *status* is what the broker last made sure of; its
*phase* is what is shown, looked up in a table of the two. A new instance is a new *generation*.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Target(StrEnum):
    """What is wanted."""

    RUNNING = "running"
    STOPPED = "stopped"
    DELETED = "deleted"  # no instance and no system disk; the data volume stays


class Status(StrEnum):
    """What the broker last made sure of."""

    NEW = "new"  # no instance exists (never started, or the machine was deleted)
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    DELETING = "deleting"
    FAILED = "failed"  # the last job ended without reaching its target; nothing is in flight


ON_THE_WAY = frozenset({Status.STARTING, Status.STOPPING, Status.DELETING, Status.FAILED})
"""What does not rest: something is under way, or it failed and waits for a person."""


class Phase(StrEnum):
    """What a person sees."""

    OFF = "off"
    STARTING = "starting"
    READY = "ready"
    STOPPING = "stopping"
    ASLEEP = "asleep"
    DELETING = "deleting"
    WAITING = "waiting"  # wanted something else while a job is still in flight: it follows
    TROUBLE = "trouble"


PHASES: dict[tuple[Target, Status], Phase] = {
    (Target.RUNNING, Status.NEW): Phase.STARTING,
    (Target.RUNNING, Status.STARTING): Phase.STARTING,
    (Target.RUNNING, Status.RUNNING): Phase.READY,
    (Target.RUNNING, Status.STOPPING): Phase.WAITING,
    (Target.RUNNING, Status.STOPPED): Phase.STARTING,
    (Target.RUNNING, Status.DELETING): Phase.WAITING,
    (Target.RUNNING, Status.FAILED): Phase.TROUBLE,
    (Target.STOPPED, Status.NEW): Phase.OFF,
    (Target.STOPPED, Status.STARTING): Phase.WAITING,
    (Target.STOPPED, Status.RUNNING): Phase.STOPPING,
    (Target.STOPPED, Status.STOPPING): Phase.STOPPING,
    (Target.STOPPED, Status.STOPPED): Phase.ASLEEP,
    (Target.STOPPED, Status.DELETING): Phase.WAITING,
    (Target.STOPPED, Status.FAILED): Phase.TROUBLE,
    (Target.DELETED, Status.NEW): Phase.OFF,
    (Target.DELETED, Status.STARTING): Phase.WAITING,
    (Target.DELETED, Status.RUNNING): Phase.DELETING,
    (Target.DELETED, Status.STOPPING): Phase.WAITING,
    (Target.DELETED, Status.STOPPED): Phase.DELETING,
    (Target.DELETED, Status.DELETING): Phase.DELETING,
    (Target.DELETED, Status.FAILED): Phase.TROUBLE,
}
"""Every pair is named; a test walks the full product."""


@dataclass(frozen=True, slots=True)
class LeaseKey:
    """Whose machine for what: at most one live instance each (I1)."""

    course: str
    lab: str
    person: str
    slot: str


@dataclass(frozen=True, slots=True)
class Problem:
    """What went wrong, in the three sentences a person needs."""

    code: str
    what: str
    kept: str
    next_step: str
    at: datetime
