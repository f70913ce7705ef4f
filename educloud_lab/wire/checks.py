"""Checks: assertions about a machine or its cloud, told apart by the server, never by the student's kernel."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from educloud_lab.wire.base import Wire


class CheckState(StrEnum):
    """How a check came out."""

    PASSED = "passed"
    FAILED = "failed"
    UNKNOWN = "unknown"


class ChecksRequest(Wire):
    """Look whether these hold; one assertion a line, in the words of the reference of checks."""

    checks: Annotated[
        list[Annotated[str, StringConstraints(min_length=1, max_length=500)]], Field(min_length=1, max_length=50)
    ]


class CheckResult(Wire):
    """One assertion and what was found."""

    text: str = Field(description="The assertion as it was written")
    state: CheckState
    seen: str = Field("", description="What was found, for people")
    next_step: str = Field("", description="What to do when it does not hold")
    judged_from: str = Field(description="Where it was looked: the cloud, the gateway, or the machine itself")


class CheckReport(Wire):
    """What a list of checks came to, at one time."""

    lease_id: str
    lab: str
    person: str
    checked_at: datetime
    passed: int
    results: list[CheckResult]


class LabMachine(Wire):
    """One person's machine of a lab, for those who oversee the course."""

    lease_id: str
    person: str
    lab: str
    slot: str
    machine_profile: str
    phase: str = Field(description="As of a Lease: ready, asleep, off, ...")


class LabMachines(Wire):
    """Everybody's machines of a lab."""

    lab: str
    machines: list[LabMachine]
