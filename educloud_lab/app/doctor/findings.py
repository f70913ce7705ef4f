"""What one check of the doctor says."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class Verdict(StrEnum):
    """How a check ended."""

    OK = "ok"
    NOTE = "note"  # works, but slower or narrower than it could
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor's report.

    ``what`` says what was seen, ``todo`` what to do ('' when nothing).
    """

    verdict: Verdict
    name: str
    what: str
    todo: str = ""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where the doctor looks."""

    home: Path


Check = Callable[[Surroundings], Awaitable[Finding]]


def ok(name: str, what: str) -> Finding:
    """Return a finding that asks for nothing."""
    return Finding(Verdict.OK, name, what)


def note(name: str, what: str, todo: str = "") -> Finding:
    """Return a finding that says how it could be better."""
    return Finding(Verdict.NOTE, name, what, todo)


def fail(name: str, what: str, todo: str) -> Finding:
    """Return a finding that must be mended before a lab can run."""
    return Finding(Verdict.FAIL, name, what, todo)
