"""What a lab's notebook needs, as it stands in the notebook's metadata under ``educloud``."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

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
