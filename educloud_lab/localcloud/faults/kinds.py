"""What a kind of fault is made of, and how the values of its parameters are read."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

Value = bool | int | float | str


class Scope(StrEnum):
    """How a fault may be narrowed."""

    ACCOUNT = "account"
    OPERATION = "operation"
    RESOURCE = "resource"
    ZONE = "zone"


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a kind.

    Parameters
    ----------
    kind : ``seconds`` (may have a fraction), ``count`` (a whole number), ``percent``, ``choice``, ``boolean``.
    least, most : limits, both allowed.
    choices : the allowed words of a ``choice``.
    """

    name: str
    kind: str
    default: Value
    text: str
    least: float = 0
    most: float = 30 * 86400
    choices: tuple[str, ...] = ()

    @property
    def limits(self) -> str:
        """The allowed values, for people."""
        if self.kind == "choice":
            return " or ".join(self.choices)
        if self.kind == "boolean":
            return "true or false"
        unit = {"seconds": " s", "percent": " %"}.get(self.kind, "")
        return f"{self.least:.10g} to {self.most:.10g}{unit}"

    def read(self, text: str) -> Value:
        """Return the value; raises ``ValueError`` with what would have been right."""
        wrong = ValueError(f"Parameter {self.name} must be {self.limits}, not {text[:60]!r}")
        if self.kind == "choice":
            if text not in self.choices:
                raise wrong
            return text
        if self.kind == "boolean":
            if text.lower() not in ("true", "false"):
                raise wrong
            return text.lower() == "true"
        try:
            number = float(text) if self.kind == "seconds" else int(text)
        except (ValueError, OverflowError):
            raise wrong from None
        if not math.isfinite(number) or not self.least <= number <= self.most:
            raise wrong
        return number


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of fault.

    Parameters
    ----------
    component : the part of a real cloud in which it happens (CLC, CC, NC, SC, Walrus, network).
    cause : what typically causes it there.
    shown : how Eucalyptus shows it.
    source : where in the collected facts about Eucalyptus this is said, or that it is our own addition.
    seen : what a student sees.
    ends : how it ends, and what then is still to be done by hand.
    scopes : how it may be narrowed.
    counted : whether it can be limited to a number of strikes.
    """

    name: str
    title: str
    component: str
    cause: str
    shown: str
    source: str
    seen: str
    ends: str
    scopes: tuple[Scope, ...]
    parameters: tuple[Parameter, ...] = ()
    counted: bool = True

    def read(self, given: Mapping[str, str]) -> dict[str, Value]:
        """Return the values of all parameters, defaults filled in; raises ``ValueError``."""
        known = {parameter.name: parameter for parameter in self.parameters}
        for name in given:
            if name not in known:
                names = ", ".join(known) or "none"
                raise ValueError(f"{self.name} has no parameter {name[:60]!r}; it has: {names}")
        values: dict[str, Value] = {name: parameter.default for name, parameter in known.items()}
        values.update({name: known[name].read(text) for name, text in given.items()})
        return values
