"""The doctor's rounds: findings on the cards of machines that hang, written when they change, cleared when it is over.

The calls that a round makes do not grow with the number of machines: it uses the look at the cloud that the broker has
anyway, the zones at most once a minute, and one machine's console at a time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from educloud_lab.broker.diagnosis.facts import Facts
from educloud_lab.broker.diagnosis.gather import Gatherer, Rows, as_problem, read_rows
from educloud_lab.broker.diagnosis.rules import diagnose, hangs
from educloud_lab.broker.parts import Parts
from educloud_lab.domain.errors import CloudError, StoreError
from educloud_lab.domain.finding import Finding
from educloud_lab.domain.job import StepState
from educloud_lab.domain.lease import Status
from educloud_lab.ports.cloud import InstanceState
from educloud_lab.ports.records import LeaseRecord
from educloud_lab.ports.store import Transaction

_log = logging.getLogger(__name__)
PERIOD_S: Final = 5.0
_ZONES_S: Final = 60.0
_CONSOLE_S: Final = 15.0  # between two looks at consoles, whosesoever


@dataclass(slots=True)
class _Seen:
    """A console as it was last looked at."""

    text: str
    at_s: float


class Rounds:
    """Keeps the findings of all leases of the course.

    Parameters
    ----------
    parts : the broker's ports.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._task: asyncio.Task[None] | None = None
        self._next_s = float("-inf")
        self._zones: Mapping[str, str] | None = None
        self._zones_s = self._console_s = float("-inf")
        self._consoles: dict[str, _Seen] = {}

    def begin_if_due(self) -> None:
        """Begin a round when it is time and none is under way."""
        now_s = self._parts.clock.monotonic_s()
        if now_s >= self._next_s and (self._task is None or self._task.done()):
            self._next_s = now_s + PERIOD_S
            self._task = asyncio.ensure_future(self._round())

    async def close(self) -> None:
        """Give up a round that is under way."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _round(self) -> None:
        try:
            hanging, over = await self._parts.store.transact(self._who)
            for lease in over:
                await self._put(lease, None)
            if not hanging:
                self._consoles.clear()
                return
            await self._look(hanging)
            for rows in hanging:
                found = diagnose(self._facts(rows))
                first = found[0] if hangs(found) else None
                if _differs(first, rows.lease.finding):
                    await self._put(rows.lease, first)
        except StoreError:
            _log.exception("the findings could not be recorded; the next round follows")

    def _who(self, tx: Transaction) -> tuple[list[Rows], list[LeaseRecord]]:
        """Return the leases that may hang, and those whose finding is over."""
        hanging, over = [], []
        for lease in tx.leases_to_watch(course=self._parts.course):
            job = tx.job_in_flight(lease.id)
            if job is None and lease.status is not Status.FAILED:
                if lease.finding is not None:
                    over.append(lease)
                continue
            rows = read_rows(tx, lease)
            if lease.status is Status.FAILED or lease.finding is not None or lease.problem is not None or _late(rows):
                hanging.append(rows)
        return hanging, over

    async def _look(self, hanging: list[Rows]) -> None:
        """Look at the zones and at one console, when it is time."""
        parts, now_s = self._parts, self._parts.clock.monotonic_s()
        if parts.sight.problem is not None:
            return
        try:
            if now_s - self._zones_s >= _ZONES_S:
                self._zones_s = now_s
                self._zones = await parts.cloud.zone_states()
            if now_s - self._console_s >= _CONSOLE_S:
                wanted = [rows for rows in hanging if _console_matters(rows)]
                if wanted:
                    self._console_s = now_s
                    key = min((self._last_s(rows), rows.lease.instance_id or "") for rows in wanted)[1]
                    self._consoles[key] = _Seen(await parts.cloud.console_output(key), now_s)
        except CloudError as error:
            _log.info("a round of the doctor could not look: %s", error.what)

    def _last_s(self, rows: Rows) -> float:
        seen = self._consoles.get(rows.lease.instance_id or "")
        return seen.at_s if seen is not None else float("-inf")

    def _facts(self, rows: Rows) -> Facts:
        sight = self._parts.sight
        problem = as_problem(self._parts, sight.problem) if sight.problem is not None else None
        view = sight.view if problem is None else None
        facts = Gatherer(self._parts, rows, view, problem).passive()
        seen = self._consoles.get(rows.lease.instance_id or "")
        return replace(facts, zones=self._zones, console=seen.text if seen is not None else None)

    async def _put(self, before: LeaseRecord, found: Finding | None) -> None:
        def put(tx: Transaction) -> None:
            lease = tx.lease(before.id)
            if lease is not None and (lease.status, lease.target) == (before.status, before.target):
                tx.put_lease(replace(lease, finding=found))

        await self._parts.transact(put)


def _late(rows: Rows) -> bool:
    facts = Facts(now=rows.now, lease=rows.lease, job=rows.job, steps=rows.steps, usual_s=rows.usual_s)
    return any(step.state is StepState.DOING and facts.too_long(step.name) for step in rows.steps)


def _console_matters(rows: Rows) -> bool:
    step = next((step for step in rows.steps if step.name == "connect"), None)
    waits = step is not None and step.state in (StepState.DOING, StepState.FAILED)
    return waits and rows.lease.instance_id is not None and rows.lease.instance_state == InstanceState.RUNNING


def _differs(new: Finding | None, old: Finding | None) -> bool:
    """Whether a card has to change: ages alone are no reason."""
    if new is None or old is None:
        return new is not old
    return (new.code, new.sure, new.component) != (old.code, old.sure, old.component)
