"""What the doctor found out about a machine that hangs: its evidence, whose fault it most likely is, what helps.

A finding never suggests anything that destroys data: that is for a person who was told, in words, what goes.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Component(StrEnum):
    """Which part of the cloud (or of us) a fault most likely lies in (Eucalyptus's parts, DESIGN.md section 2)."""

    CLC = "CLC"  # cloud controller: the API and what it decides
    CC = "CC"  # cluster controller: one zone
    NC = "NC"  # node controller: the host that runs the instance
    SC = "SC"  # storage controller: volumes and snapshots
    WALRUS = "Walrus"  # object store: where images live
    IMAGE = "image"
    NETWORK = "network"
    MACHINE = "machine"  # what runs inside the guest
    BROKER = "broker"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Evidence:
    """One thing that was looked at."""

    what: str  # "state", "age", "console", ...
    seen: str
    means: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """One diagnosis. ``hidden`` is what this cloud's API does not let us see."""

    code: str
    what: str
    component: Component
    sure: str  # "certain", "likely", "possible"
    at: datetime
    evidence: tuple[Evidence, ...] = ()
    by_itself: str = ""  # what the broker does, or did, by itself
    student_can: str = ""
    instructor_can: str = ""
    hidden: str = ""
