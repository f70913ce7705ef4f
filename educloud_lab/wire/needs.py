"""What a lab's notebook needs, as it stands in the notebook's metadata under ``educloud``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, JsonValue, StringConstraints

from educloud_lab.wire.base import Name, Wire

Port = Annotated[int, Field(ge=1, le=65535)]


class VolumeNeed(Wire):
    """A data volume that the lab counts on."""

    mount_point: Annotated[str, StringConstraints(pattern=r"^/[A-Za-z0-9][A-Za-z0-9_./-]*$", max_length=100)] = "/data"
    size_gib: int = Field(1, ge=1, le=1024)


class LabNeeds(Wire):
    """The whole of ``metadata.educloud``."""

    course: Annotated[str, StringConstraints(max_length=64)] = Field("", description="Empty: any course")
    lab: Name
    machine_profile: Name
    revision: int | None = Field(None, ge=1, description="The least revision of the profile that will do")
    slot: Name = "main"
    volumes: Annotated[list[VolumeNeed], Field(max_length=4)] = []
    ports: Annotated[list[Port], Field(max_length=16)] = []
    minutes: int | None = Field(None, ge=1, le=10080, description="How long the lab takes")
    show_calls: bool = Field(False, description="Show what each action did, whatever the person's setting")


class NeedsRequest(Wire):
    """Say whether what a notebook needs is here. Anything may stand in its metadata."""

    metadata: JsonValue = Field(None, description="The notebook's `metadata.educloud`, whatever it is")


class NeedsRemark(Wire):
    """One thing that is not as the lab needs it."""

    code: str
    weight: Literal["refusal", "warning", "note"] = Field(
        description="refusal: it cannot work; warning: something of the lab will not; note: good to know"
    )
    field: str = Field("", description="Of the metadata; empty: the whole")
    what: str
    next_step: str


class NeedsReport(Wire):
    """What could be read of a notebook's needs, and what is not as it needs it; the worst first."""

    needs: LabNeeds | None = Field(None, description="Null when it names no lab or no machine profile")
    can_start: bool = Field(description="Whether a machine may be offered: nothing was refused")
    remarks: list[NeedsRemark]
