"""What is done at machines that run: warnings to their terminals, questions about their load, their own timers.

All of it is beside the point when a machine does not answer: nothing here may keep a limit from being kept, and nothing
is recorded before the machine has said it.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, replace
from datetime import datetime

from educloud_lab.broker import grants
from educloud_lab.broker.guard import arm
from educloud_lab.broker.parts import Parts
from educloud_lab.broker.scripts import presence
from educloud_lab.broker.scripts.grammar import read_answer
from educloud_lab.broker.sessions import Chore, active, guard_differs, guard_wish, is_running, session_of, with_session
from educloud_lab.domain.errors import EducloudError, ShellError
from educloud_lab.ports.records import LeaseRecord
from educloud_lab.ports.shell import Connection
from educloud_lab.ports.store import Transaction

_log = logging.getLogger(__name__)
_AT_ONCE = 8
_TICKS_A_SECOND = 100  # USER_HZ: the same on every Linux that we meet
_GUARD_RETRY_S = (15.0, 60.0, 300.0, 900.0)


@dataclass(slots=True)
class _Known:
    """What is remembered of one machine (one generation of a lease)."""

    generation: int
    asked_s: float = float("-inf")  # when the last question about its load was over, answered or not
    ticks: tuple[int, float] | None = None  # processor time of its people, and the machine's uptime then
    guard_tries: int = 0
    guard_again_s: float = float("-inf")


class Attendant:
    """Visits machines, a few at a time and each by one visitor at a time.

    Parameters
    ----------
    parts : the broker's ports.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._known: dict[str, _Known] = {}
        self._waiting: dict[str, Chore] = {}
        self._visits: dict[str, asyncio.Task[None]] = {}
        self._room = asyncio.Semaphore(_AT_ONCE)

    def asked(self, lease: LeaseRecord) -> bool:
        """Say whether the machine was asked for its load lately: an answer, or none in time."""
        known = self._known.get(lease.id)
        if known is None or known.generation != lease.generation:
            return False
        return self._parts.clock.monotonic_s() - known.asked_s < 3 * self._parts.config.load_probe_s

    def consider(self, chore: Chore) -> None:
        """Begin a visit when there is something to do and it is time for it."""
        chore = self._timely(chore)
        if not chore.is_any:
            return
        lease_id = chore.lease.id
        waiting = self._waiting.get(lease_id)
        if waiting is not None and not chore.tell:
            chore = replace(chore, tell=waiting.tell)
        self._waiting[lease_id] = chore
        if lease_id not in self._visits:
            self._visits[lease_id] = asyncio.ensure_future(self._visit(lease_id))

    def forget_others(self, lease_ids: set[str]) -> None:
        """Forget machines that do not run any more."""
        for lease_id in self._known.keys() - lease_ids:
            del self._known[lease_id]

    async def close(self) -> None:
        """Break off all visits."""
        visits = list(self._visits.values())
        for visit in visits:
            visit.cancel()
        await asyncio.gather(*visits, return_exceptions=True)

    def _of(self, lease: LeaseRecord) -> _Known:
        known = self._known.get(lease.id)
        if known is None or known.generation != lease.generation:
            known = self._known[lease.id] = _Known(lease.generation)
        return known

    def _timely(self, chore: Chore) -> Chore:
        if not chore.is_any:
            return chore
        known, now_s = self._of(chore.lease), self._parts.clock.monotonic_s()
        return replace(
            chore,
            probe=chore.probe and now_s - known.asked_s >= self._parts.config.load_probe_s,
            guard=chore.guard and now_s >= known.guard_again_s,
        )

    async def _visit(self, lease_id: str) -> None:
        async with self._room:
            while (chore := self._waiting.pop(lease_id, None)) is not None:
                try:
                    await self._do(chore)
                except EducloudError as error:
                    _log.info("the machine of lease %s could not be attended: %s", lease_id, error)
                except Exception:  # noqa: BLE001 - a visitor's bug must not end the others' visits
                    _log.exception("attending the machine of lease %s broke", lease_id)
                self._after(chore)
            del self._visits[lease_id]  # here, not in a callback: what is to be done before that would wait for ever

    def _after(self, chore: Chore) -> None:
        """Count the tries, whatever came of them."""
        known, now_s = self._of(chore.lease), self._parts.clock.monotonic_s()
        if chore.probe:
            known.asked_s = now_s
        if chore.guard:
            known.guard_again_s = now_s + _GUARD_RETRY_S[min(known.guard_tries, len(_GUARD_RETRY_S) - 1)]
            known.guard_tries += 1

    async def _do(self, chore: Chore) -> None:
        parts, lease = self._parts, chore.lease
        grant = await grants.broker_grant(parts, lease)
        connection = await parts.shell.connect(grant, timeout_s=parts.config.connect_timeout_s)
        try:
            if chore.tell:
                completed = await connection.run(presence.TELL, arguments=[chore.tell])
                read_answer("tell", completed, presence.TELL_FORMS)
            if chore.probe:
                await self._probe(connection, lease)
            if chore.guard:
                await self._guard(connection, lease)
        finally:
            await connection.close()

    async def _probe(self, connection: Connection, lease: LeaseRecord) -> None:
        try:
            completed = await connection.run(presence.LOAD, arguments=[lease.profile.login_user])
            answer = read_answer("load", completed, presence.LOAD_FORMS, required=tuple(presence.LOAD_FORMS))
        except ShellError as error:
            _log.info("the machine of lease %s did not say how busy it is: %s", lease.id, error)
            return
        known, config = self._of(lease), self._parts.config
        ticks, uptime_s = int(answer["ticks"]), float(answer["uptime"])
        before, known.ticks = known.ticks, (ticks, uptime_s)
        works = float(answer["load"]) >= config.load_per_core * max(1, int(answer["cores"]))
        if before is not None and uptime_s > before[1]:
            used = (ticks - before[0]) / _TICKS_A_SECOND / (uptime_s - before[1])
            works = works or used >= config.processor_share
        if works:
            await self._parts.transact(lambda tx: self._note_load(tx, lease))

    def _note_load(self, tx: Transaction, lease: LeaseRecord) -> None:
        current = tx.lease(lease.id)
        if current is not None and is_running(current) and current.generation == lease.generation:
            tx.put_lease(with_session(current, active(session_of(current), "load", tx.now())))

    async def _guard(self, connection: Connection, lease: LeaseRecord) -> None:
        parts = self._parts

        def wish(tx: Transaction) -> tuple[LeaseRecord | None, datetime, int]:
            return tx.lease(lease.id), tx.now(), tx.version()

        current, now, sequence = await parts.store.transact(wish)
        if current is None or not is_running(current) or current.generation != lease.generation:
            return
        until = guard_wish(current, parts.config)
        if until is None or not guard_differs(current, parts.config):
            return
        armed = await arm(connection, current, until, now=now, sequence=sequence, newest=parts.store.version)

        def record(tx: Transaction) -> None:
            row = tx.lease(lease.id)
            if row is not None and row.generation == lease.generation and row.started_at is not None:
                tx.put_lease(replace(row, guard_until=armed))

        await parts.transact(record)
        known = self._of(lease)
        known.guard_tries = 0
