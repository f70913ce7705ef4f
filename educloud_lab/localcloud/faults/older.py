"""What the state was some time ago: delayed visibility answers Describe from copies of the whole state.

Copies are made only while such a fault is set: one after each transaction that changed something, kept for as
long as any fault looks that far back.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

from sqlalchemy import create_engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import StaticPool

T = TypeVar("T")
MAX_BYTES = 256 << 20
"""Memory of all copies. More changes within the delay than fit are shown less far back: the oldest copies go first."""


@dataclass(frozen=True, slots=True)
class _Copy:
    since: datetime
    state: sqlite3.Connection
    size_bytes: int


class Copy:
    """A copy of the state that answers transactions as the database does; what they change is forgotten."""

    def __init__(self, state: sqlite3.Connection) -> None:
        self._state = state

    async def run(self, work: Callable[[Session], T]) -> T:
        """Run one transaction."""
        return await asyncio.to_thread(self._run, work)

    def _run(self, work: Callable[[Session], T]) -> T:
        # On a copy of the copy: two requests may read at once, and some answers write (a default group).
        private = _copied(self._state)
        engine = create_engine("sqlite://", poolclass=StaticPool, creator=lambda: private)
        try:
            with Session(engine, expire_on_commit=False) as session, session.begin():
                return work(session)
        finally:
            engine.dispose()
            private.close()


class OlderStates:
    """The states of the last seconds. Used from the database's thread, read from everywhere."""

    def __init__(self) -> None:
        self._copies: list[_Copy] = []
        self._changes = -1

    def remember(self, raw: Any, now: datetime, reach_s: float) -> None:
        """Keep the state as it is now if it changed since the last look.

        Parameters
        ----------
        raw : the ``sqlite3`` connection, with no transaction open.
        reach_s : how far anybody looks back; older copies are dropped.
        """
        if raw.total_changes != self._changes:
            self._changes = raw.total_changes
            # One a moment; but the first of all stays: it is what was before the fault. None is closed here, since
            # somebody may be reading it.
            kept = self._copies[:-1] if len(self._copies) > 1 and self._copies[-1].since == now else self._copies
            self._copies = [*kept, _Copy(now, _copied(raw), _size(raw))]
        needed = [i for i, copy in enumerate(self._copies) if copy.since <= now - timedelta(seconds=reach_s)]
        self._copies = self._copies[needed[-1] if needed else 0 :]
        while len(self._copies) > 2 and sum(copy.size_bytes for copy in self._copies) > MAX_BYTES:
            self._copies = self._copies[1:]

    def at(self, moment: datetime) -> Copy | None:
        """Return the state of that moment, else the oldest that is known; None when there is none."""
        copies = self._copies
        found = next((copy for copy in reversed(copies) if copy.since <= moment), copies[0] if copies else None)
        return Copy(found.state) if found is not None else None

    def forget(self) -> None:
        """Drop everything."""
        self._copies, self._changes = [], -1


def _size(raw: Any) -> int:
    pages, page_bytes = (int(raw.execute(f"PRAGMA {name}").fetchone()[0]) for name in ("page_count", "page_size"))
    return pages * page_bytes


def _copied(source: Any) -> sqlite3.Connection:
    target = sqlite3.connect(":memory:", check_same_thread=False)
    source.backup(target)
    return target
