"""Copying one file to or from a machine, over the copy socket.

Control is JSON text; content is binary frames of at most 128 KiB, each after one byte (`CONTENT`). One copy at a time:
after ``done`` or ``failed`` the next may be asked for.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, TypeAdapter

from educloud_lab.wire.base import Wire
from educloud_lab.wire.run import Path, RunProblem

CONTENT = 1
FRAME_BYTES = 128 * 1024
AHEAD_BYTES = 1024 * 1024
"""How much may be sent before an acknowledgement."""

Sha256 = Annotated[str, StringConstraints(pattern=r"^[a-f0-9]{64}$")]
FileName = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"^[^/\x00\r\n]+$")]


class UploadRequest(Wire):
    """Put a file on the machine; its content follows after ``ready``."""

    type: Literal["upload"] = "upload"
    path: Path = Field(description="Where to: a file, or a folder that is there or ends in /; relative to home")
    name: FileName = Field(description="The file's name, for when the path is a folder")
    size_bytes: int = Field(ge=0)
    sha256: Sha256
    mode: int = Field(0o644, ge=0, le=0o777)


class DownloadRequest(Wire):
    """Get a file of the machine."""

    type: Literal["download"] = "download"
    path: Path = Field(description="A file; relative to home")


class CopyReady(Wire):
    """The machine's side is there: content may follow."""

    type: Literal["ready"] = "ready"
    path: str = Field("", description="The file on the machine")
    size_bytes: int
    mode: int


class CopyAck(Wire):
    """So many bytes have been taken since the last time; at most 1 MiB is sent ahead of that. In both directions."""

    type: Literal["ack"] = "ack"
    size_bytes: int = Field(ge=0)


class CopyDone(Wire):
    """Size and checksum are right, and the file has its name."""

    type: Literal["done"] = "done"
    path: str = Field(description="The file on the machine")
    size_bytes: int
    sha256: str
    mode: int


class CopyFailed(Wire):
    """It was refused or broke off; what was copied so far is gone."""

    type: Literal["failed"] = "failed"
    error: RunProblem


FromKernel = UploadRequest | DownloadRequest | CopyAck
ToKernel = CopyReady | CopyAck | CopyDone | CopyFailed
FROM_KERNEL: TypeAdapter[FromKernel] = TypeAdapter(Annotated[FromKernel, Field(discriminator="type")])
TO_KERNEL: TypeAdapter[ToKernel] = TypeAdapter(Annotated[ToKernel, Field(discriminator="type")])
