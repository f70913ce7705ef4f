"""The use case: who may check what, all lines judged side by side in bounded time, and one report."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final

from educloud_lab.broker.auditing import DETAIL_LENGTH, audit
from educloud_lab.broker.checks import by_hand, groups, machine, own, ports
from educloud_lab.broker.checks.outcome import EVALUATORS, Outcome, shown, without_addresses
from educloud_lab.broker.checks.scene import Records, Scene, read_records
from educloud_lab.broker.owning import overseen_lease, oversees, own_lease
from educloud_lab.broker.parts import Parts
from educloud_lab.domain.checks import Assertion, Unclear, parse
from educloud_lab.domain.errors import EducloudError, NotFoundError
from educloud_lab.domain.lease import PHASES
from educloud_lab.ports.records import LeaseRecord
from educloud_lab.ports.store import Transaction
from educloud_lab.wire import models as wire

_log = logging.getLogger(__name__)
LIMIT_S: Final = 20.0
AT_ONCE: Final = 32  # lists of checks of one broker; a whole class presses at the same time
MOST_MACHINES: Final = 2000
ROOMS: Final = (by_hand, groups, machine, own, ports)
"""Loaded for the evaluators that they register."""
_REFERENCE: Final = "docs/reference/checks.md lists what can be checked."


class Checks:
    """See :class:`educloud_lab.broker.api.ChecksApi`.

    Parameters
    ----------
    parts : the broker's ports.
    limit_s : when what has not been found out by then is left open.
    """

    def __init__(self, parts: Parts, *, limit_s: float = LIMIT_S) -> None:
        self._parts = parts
        self._limit_s = limit_s
        self._room = asyncio.Semaphore(AT_ONCE)

    async def check(self, person: str, lease_id: str, checks: list[str]) -> wire.CheckReport:
        """Judge assertions about a machine.

        Raises
        ------
        NotFoundError
            There is no such lease, or the person neither owns nor oversees it.
        """
        parts = self._parts

        def begin(tx: Transaction) -> Records:
            lease = self._may_check(tx, person, lease_id)
            if lease.person != person:
                what = "; ".join(" ".join(line.split()) for line in checks)[:DETAIL_LENGTH]
                audit(tx, who=person, what="machine.checked", lease=lease, subject=lease.instance_id or "", detail=what)
            return read_records(tx, lease)

        records = await parts.store.transact(begin)
        said = [parse(line) for line in checks]
        scene = Scene(parts, records)
        async with self._room:
            try:
                results = await self._judge(scene, said)
            finally:
                await scene.close()
        return wire.CheckReport(
            lease_id=lease_id,
            lab=records.lease.lab,
            person=records.lease.person,
            checked_at=records.now,
            passed=sum(result.state is wire.CheckState.PASSED for result in results),
            results=results,
        )

    async def machines(self, person: str, lab: str) -> wire.LabMachines:
        """List everybody's machines of a lab, for those who oversee the course.

        Raises
        ------
        NotFoundError
            The person does not oversee the course.
        """

        def read(tx: Transaction) -> list[LeaseRecord]:
            if not oversees(tx, self._parts, person):
                raise NotFoundError("There is no such list, or you may not see it.")
            return [lease for lease in tx.leases(course=self._parts.course) if lease.lab == lab]

        rows = await self._parts.store.transact(read)
        machines = [
            wire.LabMachine(
                lease_id=row.id,
                person=row.person,
                lab=row.lab,
                slot=row.slot,
                machine_profile=row.profile.name,
                phase=str(PHASES[row.target, row.status]),
            )
            for row in sorted(rows, key=lambda row: (row.person, row.slot))[:MOST_MACHINES]
        ]
        return wire.LabMachines(lab=lab, machines=machines)

    def _may_check(self, tx: Transaction, person: str, lease_id: str) -> LeaseRecord:
        lease = tx.lease(lease_id)
        if lease is not None and lease.person != person and oversees(tx, self._parts, person):
            return overseen_lease(tx, self._parts, person, lease_id)
        return own_lease(tx, self._parts, person, lease_id)

    async def _judge(self, scene: Scene, said: list[Assertion | Unclear]) -> list[wire.CheckResult]:
        """Judge all side by side; what is not known in time stays unknown."""
        tasks = [asyncio.ensure_future(self._one(scene, item)) for item in said]
        pause = asyncio.ensure_future(self._parts.clock.sleep(self._limit_s))
        every = asyncio.ensure_future(asyncio.wait(tasks))
        waiting: set[asyncio.Future[Any]] = {pause, every}
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            results = [task.result() if task.done() and not task.cancelled() else None for task in tasks]
            for task in (pause, every, *tasks):
                task.cancel()
            await asyncio.gather(pause, every, *tasks, return_exceptions=True)
        late = Outcome(None, f"It was not found out within {self._limit_s:.0f} s.", "Check again, with fewer lines.")
        return [result or _result(item, late) for result, item in zip(results, said, strict=True)]

    async def _one(self, scene: Scene, said: Assertion | Unclear) -> wire.CheckResult:
        if isinstance(said, Unclear):
            nearest = f"Did you mean: {said.nearest}" if said.nearest else _REFERENCE
            return _result(said, Outcome(None, f"Not understood. {said.why}", nearest))
        try:
            outcome = await EVALUATORS[said.form.name](scene, said)
        except EducloudError as error:
            what = shown(without_addresses(error.what))
            outcome = Outcome(None, what, shown(error.next_step) or "Check again in a moment.")
        except Exception:  # noqa: BLE001 - one evaluator's bug must not take the other lines' results away
            _log.exception("the check %r broke", said.form.name)
            outcome = Outcome(None, "This check broke; the server's log says how.", "Report it.")
        return _result(said, outcome)


def _result(said: Assertion | Unclear, outcome: Outcome) -> wire.CheckResult:
    """Return an outcome for people, with the line's own yes or no."""
    denied = isinstance(said, Assertion) and said.denied
    place = outcome.place or (said.form.place if isinstance(said, Assertion) else None)
    if outcome.holds is None:
        state, next_step = wire.CheckState.UNKNOWN, outcome.next_step
    elif outcome.holds is not denied:
        state, next_step = wire.CheckState.PASSED, ""
    else:
        state = wire.CheckState.FAILED
        next_step = (outcome.undo or "Undo it, then check again.") if denied else outcome.next_step
    judged_from = "the words alone" if place is None else str(place)
    return wire.CheckResult(
        text=said.text.strip(), state=state, seen=outcome.seen, next_step=next_step, judged_from=judged_from
    )
