"""What just happened: the calls that an action made to the cloud, without secrets."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from educloud_lab.wire.base import Wire


class CloudCall(Wire):
    """One call to the cloud."""

    at: datetime
    last_at: datetime = Field(description="Of the last one of `times`")
    times: int = Field(1, ge=1, description="How often it was made: looks that found the same are one entry")
    step: str = Field("", description="Title of the job's step that made it")
    operation: str = Field(description="EC2's name of the API action")
    parameters: dict[str, str] = Field(
        description="As they were sent (`Filter.1.Name`); secrets are replaced by a word in brackets"
    )
    duration_ms: int = Field(description="Of the last one of `times`")
    outcome: Literal["ok", "refused", "lost"]
    answer: dict[str, str] = Field({}, description="The telling part of the answer, by path; long lists are cut")
    error_code: str = ""
    error: str = ""
    request_id: str = ""
    aws: str = Field("", description="The same as a command line of `aws`")
    euca: str = Field("", description="The same as a command line of euca2ools; empty where there is none")
    parts: list[str] = Field([], description="Components that the request passes, in order: CLC, CC, NC, SC, Walrus")
    way: str = Field("", description="The same in words")


class Account(Wire):
    """All calls of one action."""

    job_id: str
    lease_id: str
    kind: str = Field(description="What the action was, as JobKind")
    started_at: datetime
    ended_at: datetime | None
    outcome: str = ""
    calls: list[CloudCall]
    left_out: int = Field(0, description="Calls beyond the limit that are not kept")


class CloudPart(Wire):
    """A component of the cloud."""

    part: str = Field(description="As in `CloudCall.parts`")
    name: str
    does: str = Field(description="What it does in a cloud, for people")
    here: str = Field("", description="What plays this part in the bundled cloud; empty on another cloud")


class Accounts(Wire):
    """The accounts of one lease's latest actions, newest first."""

    lease_id: str
    lab: str
    recording: bool = Field(True, description="Whether calls are kept at all: a setting")
    components: list[CloudPart] = []
    accounts: list[Account]
