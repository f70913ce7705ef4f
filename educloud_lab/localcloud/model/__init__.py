"""The EC2 interface as data: shapes taken from botocore's model, and one overlay for each profile."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources

from educloud_lab.localcloud.model.compiled import CompiledModel, compile_profile
from educloud_lab.localcloud.model.profile import PROFILES, Behaviour, load_overlay

__all__ = ["PROFILES", "Behaviour", "CompiledModel", "InstanceType", "instance_types", "load_overlay", "load_profile"]


@dataclass(frozen=True, slots=True)
class InstanceType:
    """What a machine of one type has."""

    name: str
    cpus: int
    memory_mib: int
    disk_gib: int

    @property
    def memory_bytes(self) -> int:
        """Memory in bytes."""
        return self.memory_mib << 20


@cache
def load_profile(profile: str) -> CompiledModel:
    """Compile a profile's parsers and writers; raises ``FileNotFoundError`` for an unknown one."""
    folder = resources.files(__name__)
    model = json.loads((folder / "ec2.json").read_text())
    return compile_profile(model, load_overlay(profile))


@cache
def instance_types() -> tuple[str, dict[str, InstanceType]]:
    """Return the name of the usual default type and all types that any profile has (a machine keeps its own)."""
    data = json.loads((resources.files(__name__) / "instance_types.json").read_text())
    return data["default"], {name: InstanceType(name, **values) for name, values in data["types"].items()}
