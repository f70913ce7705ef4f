"""One fault that was asked for, and whether it concerns what happens."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from educloud_lab.localcloud.faults.catalogue import KINDS
from educloud_lab.localcloud.faults.kinds import Kind, Value
from educloud_lab.localcloud.state.tables import Fault

TAG = "tag:"


@dataclass(frozen=True, slots=True)
class Target:
    """What happens: a request, or a step of the cloud's own work.

    Parameters
    ----------
    ids : the resources that it is about (of an attachment: the volume and the instance).
    tags : ``KEY=VALUE`` of the tags that the request brings along.
    """

    account_id: str = ""
    operation: str = ""
    zone: str = ""
    ids: frozenset[str] = frozenset()
    tags: frozenset[str] = frozenset()


@dataclass(slots=True)
class Active:
    """A fault in the memory of the cloud's process; the row in the state follows it."""

    id: str
    kind: Kind
    account_id: str
    operation: str
    resource: str
    zone: str
    parameters: dict[str, Value]
    remaining: int | None
    struck: int
    held: dict[str, str]  # resource to the time since when, as ISO 8601
    created_at: datetime
    until: datetime | None
    tagged: frozenset[str] = frozenset()  # the resources that carry the tag of ``resource``
    changed: bool = False
    let_through: deque[datetime] = field(default_factory=deque)
    _dice: random.Random | None = None

    @classmethod
    def from_row(cls, row: Fault) -> Active:
        """Return the fault of a row; parameters that a later version added get their defaults."""
        kind = KINDS[row.kind]
        defaults = {parameter.name: parameter.default for parameter in kind.parameters}
        return cls(
            row.id, kind, row.account_id, row.operation, row.resource, row.zone, {**defaults, **row.parameters},
            row.remaining, row.struck, dict(row.held), row.created_at, row.until,
        )  # fmt: skip

    def row(self) -> Fault:
        """Return a row for the state."""
        return Fault(
            id=self.id, kind=self.kind.name, account_id=self.account_id, operation=self.operation,
            resource=self.resource, zone=self.zone, parameters=dict(self.parameters), remaining=self.remaining,
            struck=self.struck, held=dict(self.held), created_at=self.created_at, until=self.until,
        )  # fmt: skip

    def write(self, row: Fault) -> None:
        """Bring the state's row up to date."""
        row.remaining, row.struck, row.held = self.remaining, self.struck, dict(self.held)
        self.changed = False

    def live(self, now: datetime) -> bool:
        """Whether its time is not over."""
        return self.until is None or now < self.until

    @property
    def spent(self) -> bool:
        """Whether it will not do anything any more: its strikes are used up and nothing is in its grip."""
        return self.remaining == 0 and not self.held

    @property
    def tag(self) -> tuple[str, str] | None:
        """The tag by which its resources are chosen."""
        if not self.resource.startswith(TAG):
            return None
        key, _, value = self.resource.removeprefix(TAG).partition("=")
        return key, value

    def concerns(self, target: Target) -> bool:
        """Whether the target lies within the limits that the administrator gave."""
        return (
            self.account_id in ("", target.account_id)
            and self.operation in ("", target.operation)
            and self.zone in ("", target.zone)
            and (not self.resource or self._is_about(target))
        )

    def _is_about(self, target: Target) -> bool:
        if self.tag is None:
            return self.resource in target.ids
        return self.resource.removeprefix(TAG) in target.tags or not self.tagged.isdisjoint(target.ids)

    def strikes(self, target: Target) -> bool:
        """Decide, and count it when it does."""
        if self.remaining == 0 or not self.concerns(target) or not self._chance():
            return False
        self.count()
        return True

    def count(self) -> None:
        """Count one strike."""
        self.struck += 1
        self.remaining = None if self.remaining is None else self.remaining - 1
        self.changed = True

    def holds(self, key: str, target: Target, now: datetime) -> bool:
        """Whether the resource is in its grip; once it is, it stays so for as long as the fault lasts."""
        if key in self.held:
            return True
        if not self.strikes(target):
            return False
        self.held[key] = now.isoformat()
        return True

    def held_longer_than(self, key: str, seconds: float, now: datetime) -> bool:
        """Whether the resource has been in its grip for longer than this."""
        since = self.held.get(key)
        return since is not None and now - datetime.fromisoformat(since) >= timedelta(seconds=seconds)

    def let_go(self, keys: Iterable[str]) -> None:
        """Forget resources."""
        for key in keys:
            if self.held.pop(key, None) is not None:
                self.changed = True

    def number(self, name: str) -> float:
        """Return a parameter that is a number."""
        value = self.parameters[name]
        assert isinstance(value, int | float)
        return value

    def _chance(self) -> bool:
        percent = self.parameters.get("chance_percent", 100)
        if percent == 100:
            return True
        if self._dice is None:
            self._dice = random.Random(str(self.parameters["seed"]))  # noqa: S311 (to be repeated, not to be secret)
        return self._dice.random() * 100 < float(percent)
