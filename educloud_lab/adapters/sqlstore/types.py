"""Column types that turn records' values into what SQLite and PostgreSQL both keep."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import DateTime, Dialect, String, Text, TypeDecorator

from educloud_lab.domain.finding import Component, Evidence, Finding
from educloud_lab.domain.lease import Problem
from educloud_lab.domain.profile import MachineProfile, VolumeSpec


class UtcTime(TypeDecorator[datetime]):
    """Aware UTC. SQLite keeps no zone, so it is put back on reading."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse naive times."""
        if value is None:
            return None
        if value.tzinfo is None:
            msg = "a time without zone cannot be stored"
            raise ValueError(msg)
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return aware UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Word(TypeDecorator[StrEnum]):
    """A word of an enumeration, kept as text."""

    impl = String(32)
    cache_ok = True

    def __init__(self, words: type[StrEnum]) -> None:
        super().__init__()
        self.words = words

    def process_bind_param(self, value: StrEnum | None, dialect: Dialect) -> str | None:
        """Return the text."""
        return None if value is None else str(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> StrEnum | None:
        """Return the word; one that this version does not know is an error, not a guess."""
        return None if value is None else self.words(value)


class Words(TypeDecorator[tuple[str, ...]]):
    """A tuple of texts, kept as JSON."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: tuple[str, ...] | None, dialect: Dialect) -> str:
        """Return JSON."""
        return json.dumps(list(value or ()))

    def process_result_value(self, value: str | None, dialect: Dialect) -> tuple[str, ...]:
        """Return the tuple."""
        return tuple(json.loads(value or "[]"))


class ProblemJson(TypeDecorator[Problem]):
    """A problem, kept as JSON."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Problem | None, dialect: Dialect) -> str | None:
        """Return JSON."""
        return None if value is None else json.dumps({**asdict(value), "at": value.at.isoformat()})

    def process_result_value(self, value: str | None, dialect: Dialect) -> Problem | None:
        """Return the problem."""
        if value is None:
            return None
        fields: dict[str, Any] = json.loads(value)
        return Problem(**{**fields, "at": datetime.fromisoformat(fields["at"])})


class ProfileJson(TypeDecorator[MachineProfile]):
    """A machine profile as it was when the lease took it, kept as JSON."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: MachineProfile | None, dialect: Dialect) -> str | None:
        """Return JSON."""
        return None if value is None else json.dumps(asdict(value))

    def process_result_value(self, value: str | None, dialect: Dialect) -> MachineProfile | None:
        """Return the profile."""
        if value is None:
            return None
        fields: dict[str, Any] = json.loads(value)
        volume = fields.pop("volume")
        for name in ("warn_before_s", "ports"):  # JSON has no tuples, and a profile is compared
            if name in fields:
                fields[name] = tuple(fields[name])
        return MachineProfile(**fields, volume=VolumeSpec(**volume) if volume else None)


class Texts(TypeDecorator[dict[str, str]]):
    """Texts by name, kept as JSON."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Mapping[str, str] | None, dialect: Dialect) -> str:
        """Return JSON."""
        return json.dumps(dict(value or {}))

    def process_result_value(self, value: str | None, dialect: Dialect) -> dict[str, str]:
        """Return the texts."""
        found: dict[str, str] = json.loads(value or "{}")
        return found


class FindingJson(TypeDecorator[Finding]):
    """The doctor's finding, kept as JSON."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Finding | None, dialect: Dialect) -> str | None:
        """Return JSON."""
        return None if value is None else json.dumps({**asdict(value), "at": value.at.isoformat()})

    def process_result_value(self, value: str | None, dialect: Dialect) -> Finding | None:
        """Return the finding."""
        if value is None:
            return None
        fields: dict[str, Any] = json.loads(value)
        fields["at"] = datetime.fromisoformat(fields["at"])
        fields["component"] = Component(fields["component"])
        fields["evidence"] = tuple(Evidence(**row) for row in fields["evidence"])
        return Finding(**fields)
