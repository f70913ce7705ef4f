"""Calls to the cloud as whoever made them can tell of them: for "What just happened".

An adapter of :class:`educloud_lab.ports.cloud.Cloud` hands every call that it makes to :data:`CALLS`, in whichever
thread it makes it, and does nothing where nobody listens. What it hands over is the call as it was: with secrets in its
parameters and with other people's things in its answer. Whoever listens keeps only what may be kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final


class CallOutcome(StrEnum):
    """How a call ended."""

    OK = "ok"
    REFUSED = "refused"  # the cloud answered with an error
    LOST = "lost"  # no answer that can be used: what was asked may have happened


@dataclass(slots=True, kw_only=True, eq=False)
class CallSeen:
    """One call. Several listeners may get the same object, from several threads: it is not changed.

    ``parameters`` are those of EC2's Query protocol (``Filter.1.Name``), without the signature; ``answer`` is nested
    as botocore nests it, and empty unless the call went well.
    """

    at: datetime
    operation: str
    parameters: Mapping[str, str]
    duration_ms: int
    outcome: CallOutcome
    answer: Mapping[str, Any] = field(default_factory=dict)
    error_code: str = ""
    error: str = ""
    request_id: str = ""


Recorder = Callable[[CallSeen], None]
"""Takes a call; may be called in any thread, never raises."""

CALLS: Final[ContextVar[Recorder | None]] = ContextVar("calls", default=None)
"""Who listens to the calls that are made in this context; None: nobody."""
