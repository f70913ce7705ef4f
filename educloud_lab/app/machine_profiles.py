"""Machine profiles from TOML files: those that come with the package, and a folder of one's own.

A file that is wrong is reported by file and field and never hides the others. A file of one's own replaces the one
of the same name that comes with the package.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from educloud_lab.domain.errors import ProfileError
from educloud_lab.domain.profile import MachineProfile, VolumeSpec

SHIPPED = Path(__file__).with_name("profiles")
MAX_FILE_BYTES = 64 * 1024
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class VolumeTable(_Table):
    """The ``[volume]`` table."""

    size_gib: Annotated[int, Field(ge=1, le=1024)]
    mount_point: Annotated[str, Field(pattern=r"^/[A-Za-z0-9][A-Za-z0-9_.-]*(/[A-Za-z0-9][A-Za-z0-9_.-]*)*$")] = "/data"
    device: Annotated[str, Field(pattern=r"^/dev/(vd|sd|xvd)[b-z]$")] = "/dev/vdf"


class ProfileFile(_Table):
    """A whole file."""

    title: Annotated[str, Field(min_length=1, max_length=100)]
    description: Annotated[str, Field(max_length=2000)] = ""
    revision: Annotated[int, Field(ge=1)]
    image: Annotated[str, Field(min_length=1, max_length=200)]
    instance_type: Annotated[str, Field(pattern=r"^[a-z0-9]+\.[a-z0-9-]+$")]
    login_user: Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_-]{0,31}$")] = "student"
    time_limit_h: Annotated[float, Field(gt=0, le=720, allow_inf_nan=False)]
    idle_limit_min: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0
    first_connection_limit_min: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0
    warn_before_min: Annotated[
        list[Annotated[float, Field(gt=0, le=1440, allow_inf_nan=False)]], Field(max_length=8)
    ] = [15, 5, 1]
    ports: Annotated[list[Annotated[int, Field(ge=1, le=65535)]], Field(max_length=16)] = []
    retired: Annotated[str, Field(max_length=500)] = ""
    volume: VolumeTable | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """What the folders hold: the good ones, and what is wrong with the others."""

    profiles: tuple[MachineProfile, ...]
    problems: tuple[ProfileError, ...]


def read_profile(path: Path, *, longest_s: int | None = None) -> MachineProfile:
    """Read one file.

    Parameters
    ----------
    longest_s : the longest session in seconds that this deployment allows.

    Raises
    ------
    ProfileError
        Names the file, the field and what is allowed.
    """
    name = path.stem
    if not _NAME.fullmatch(name):
        raise _problem(path, "its name may hold small letters, digits and '-' (at most 64), and ends in .toml")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise _problem(path, f"it cannot be read: {error.strerror or error}") from error
    if len(data) > MAX_FILE_BYTES:
        raise _problem(path, f"it is larger than {MAX_FILE_BYTES // 1024} KiB")
    try:
        table = ProfileFile.model_validate(tomllib.loads(data.decode()))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise _problem(path, f"it is not TOML: {error}") from error
    except ValidationError as error:
        raise _problem(path, "; ".join(_faults(error))) from error
    limit_s = round(table.time_limit_h * 3600)
    if longest_s is not None and limit_s > longest_s:
        raise _problem(path, f"time_limit_h: at most {longest_s / 3600:g} here (Educloud.time_limit_s)")
    for name_of, minutes in (
        ("idle_limit_min", table.idle_limit_min),
        ("first_connection_limit_min", table.first_connection_limit_min),
    ):
        if minutes * 60 > limit_s:
            most = f"at most time_limit_h, which is {limit_s / 60:g} minutes"
            raise _problem(path, f"{name_of}: {most} (it is {minutes:g})")
    volume = table.volume
    return MachineProfile(
        name=name,
        revision=table.revision,
        title=table.title,
        description=table.description,
        image=table.image,
        instance_type=table.instance_type,
        login_user=table.login_user,
        volume=VolumeSpec(volume.size_gib, volume.mount_point, volume.device) if volume else None,
        time_limit_s=limit_s,
        idle_limit_s=round(table.idle_limit_min * 60),
        first_connection_limit_s=round(table.first_connection_limit_min * 60),
        warn_before_s=tuple(sorted({max(1, round(minutes * 60)) for minutes in table.warn_before_min}, reverse=True)),
        ports=tuple(sorted(set(table.ports))),
        retired=table.retired.strip(),
        sha256=hashlib.sha256(data).hexdigest(),
    )


def load_profiles(own: Path, *, shipped: Path = SHIPPED, longest_s: int | None = None) -> Found:
    """Read both folders; ``own`` need not exist."""
    good: dict[str, MachineProfile] = {}
    problems: list[ProfileError] = []
    for folder in (shipped, own):
        for path in sorted(folder.glob("*.toml")) if folder.is_dir() else ():
            try:
                good[path.stem] = read_profile(path, longest_s=longest_s)
            except ProfileError as error:
                problems.append(error)
    return Found(tuple(good[name] for name in sorted(good)), tuple(problems))


def _problem(path: Path, what: str) -> ProfileError:
    return ProfileError(
        f"The machine profile '{path.stem[:80]}' ({path}) is wrong: {what}.",
        kept="The other profiles can be used.",
        next_step="Correct the file and restart the Jupyter server.",
    )


def _faults(error: ValidationError) -> Iterator[str]:
    for fault in error.errors(include_url=False, include_context=False)[:5]:
        where = ".".join(str(part) for part in fault["loc"])
        given = repr(fault["input"])[:60] if fault["type"] not in {"missing", "extra_forbidden"} else ""
        told = {"missing": "it is missing", "extra_forbidden": "there is no such field"}.get(fault["type"])
        yield f"{where}: {told or fault['msg'].lower()}" + (f" (it is {given})" if given else "")
