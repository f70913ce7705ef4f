"""What an evaluator gives back, and the table of evaluators by the name of their form."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from educloud_lab.broker.diagnosis.redact import redact
from educloud_lab.domain.check_forms import Place
from educloud_lab.domain.checks import Assertion

if TYPE_CHECKING:
    from educloud_lab.broker.checks.scene import Scene

_ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
_SHOWN_LENGTH: Final = 200
_WHERE = re.compile(r"\b[a-z]+://\S+|\(?'?\b\d{1,3}(?:\.\d{1,3}){3}\b'?(?:[:,]\s?\d{1,5})?\)?")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was found.

    Parameters
    ----------
    holds : whether the thing is so; None when it could not be seen, which is not the same as "not so" (I5).
    seen : what was found, for people. What comes from the machine goes through :func:`shown` first.
    next_step : what to do when it does not hold.
    undo : what to do when it holds and the line says that it should not.
    place : where it was judged, when that is not the form's usual place.
    """

    holds: bool | None
    seen: str
    next_step: str = ""
    undo: str = ""
    place: Place | None = None


Evaluator = Callable[["Scene", Assertion], Awaitable[Outcome]]
EVALUATORS: dict[str, Evaluator] = {}
"""One for each form of :mod:`educloud_lab.domain.check_forms`."""


def judges(*names: str) -> Callable[[Evaluator], Evaluator]:
    """Register an evaluator for the forms of these names."""

    def register(evaluator: Evaluator) -> Evaluator:
        for name in names:
            if name in EVALUATORS:
                msg = f"two evaluators for {name}"
                raise ValueError(msg)
            EVALUATORS[name] = evaluator
        return evaluator

    return register


def without_addresses(text: str) -> str:
    """Return an error's words without addresses: results are saved with notebooks, which are handed on."""
    return _WHERE.sub("(address left out)", text)


def shown(text: str, length: int = _SHOWN_LENGTH) -> str:
    """Return what a machine said as one line that may be shown: no secrets, no terminal escapes, cut to a length."""
    return named(redact(text), length)


def named(text: str, length: int = 80) -> str:
    """Return the name of something, which is no secret however long it is, as it may be shown."""
    plain = _ESCAPE.sub("", text)
    line = " ".join("".join(sign if sign.isprintable() else " " for sign in plain).split())
    return line if len(line) <= length else line[: length - 1] + "\u2026"
