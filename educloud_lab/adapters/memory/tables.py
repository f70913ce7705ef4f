"""The memory store's rows: dictionaries that remember how to undo what one transaction wrote.

A transaction costs what it writes and not what there is: nothing is copied, and a transaction that raises is undone row
by row, the last change first.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

from educloud_lab.domain.lease import LeaseKey
from educloud_lab.ports.records import (
    AuditRecord,
    CallRecord,
    JobRecord,
    LeaseRecord,
    OrphanRecord,
    PermitRecord,
    ShelfRecord,
    SnapshotRecord,
    StepRecord,
    VolumeRecord,
)
from educloud_lab.ports.shell import KeyPairText

K = TypeVar("K")
V = TypeVar("V")
_NOTHING = object()


class Rows(dict[K, V]):
    """One table. It is changed by setting, deleting and popping single rows only."""

    def __init__(self, journal: list[Callable[[], None]]) -> None:
        super().__init__()
        self._journal = journal

    def __setitem__(self, key: K, row: V) -> None:
        before: Any = self.get(key, _NOTHING)
        if before is _NOTHING:
            self._journal.append(lambda: dict.__delitem__(self, key))
        else:
            self._journal.append(lambda: dict.__setitem__(self, key, before))
        super().__setitem__(key, row)

    def __delitem__(self, key: K) -> None:
        before = self[key]
        self._journal.append(lambda: dict.__setitem__(self, key, before))
        super().__delitem__(key)

    def discard(self, key: K) -> None:
        """Delete a row if it is there."""
        if key in self:
            del self[key]


class Tables:
    """All rows, and what finds them without looking through all."""

    def __init__(self) -> None:
        self.journal: list[Callable[[], None]] = []
        self.meta: Rows[str, str] = Rows(self.journal)
        self.leases: Rows[str, LeaseRecord] = Rows(self.journal)
        self.volumes: Rows[str, VolumeRecord] = Rows(self.journal)
        self.jobs: Rows[str, JobRecord] = Rows(self.journal)
        self.steps: Rows[tuple[str, int], StepRecord] = Rows(self.journal)
        self.permits: Rows[str, PermitRecord] = Rows(self.journal)
        self.secrets: Rows[str, KeyPairText] = Rows(self.journal)
        self.durations: Rows[tuple[str, str], tuple[float, ...]] = Rows(self.journal)
        self.snapshots: Rows[str, SnapshotRecord] = Rows(self.journal)
        self.shelf: Rows[str, ShelfRecord] = Rows(self.journal)
        self.orphans: Rows[str, OrphanRecord] = Rows(self.journal)
        self.audits: Rows[int, AuditRecord] = Rows(self.journal)
        self.calls: Rows[str, tuple[CallRecord, ...]] = Rows(self.journal)  # by job
        self.buckets: Rows[str, tuple[float, datetime]] = Rows(self.journal)
        # Indexes.
        self.lease_of_key: Rows[LeaseKey, str] = Rows(self.journal)
        self.volume_of_lease: Rows[str, str] = Rows(self.journal)
        self.job_of_lease: Rows[str, str] = Rows(self.journal)  # in flight
        self.job_of_volume: Rows[str, str] = Rows(self.journal)  # in flight
        self.last_job_of_lease: Rows[str, str] = Rows(self.journal)

    def undo(self) -> None:
        """Take back what was written since the last :meth:`keep`."""
        while self.journal:
            self.journal.pop()()

    def keep(self) -> None:
        """Make what was written stay."""
        self.journal.clear()

    def copy(self) -> Tables:
        """Return a copy, as a backup of a database is one. Records are frozen, so they are shared."""
        other = Tables()
        for name, rows in vars(self).items():
            if isinstance(rows, Rows):
                dict.update(getattr(other, name), rows)
        return other
