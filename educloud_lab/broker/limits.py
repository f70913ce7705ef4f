"""Limits on time: activity, Keep, busy, exemption; and the sweep that keeps the limits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from educloud_lab.broker import snapshot
from educloud_lab.broker.attendant import Attendant
from educloud_lab.broker.auditing import audit
from educloud_lab.broker.owning import overseen_lease, own_lease
from educloud_lab.broker.parts import Parts
from educloud_lab.broker.sessions import Looked, active, is_running, look_at, session_of, with_session
from educloud_lab.domain import limits
from educloud_lab.domain.errors import BadInputError, ConflictError
from educloud_lab.ports.records import LeaseRecord
from educloud_lab.ports.store import Transaction
from educloud_lab.wire import models as wire

LONGEST_EXEMPTION = timedelta(days=180)
"""Eucalyptus ends instances of its own after so long (``cloud.vmstate.instance_timeout``)."""


@dataclass(slots=True)
class _Noted:
    """Activity of one lease: when its row was written last, and what came since (by the monotonic clock)."""

    person: str
    written_s: float
    kind: str = ""
    latest_s: float | None = None


class Limits:
    """See :class:`educloud_lab.broker.api.LimitsApi`.

    Parameters
    ----------
    parts : the broker's ports.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._noted: dict[str, _Noted] = {}
        self.attendant = Attendant(parts)

    async def keep(self, person: str, lease_id: str) -> wire.Lease:
        """See the protocol."""

        def change(tx: Transaction) -> LeaseRecord:
            lease = _running(own_lease(tx, self._parts, person, lease_id))
            now = tx.now()
            audit(tx, who=person, what="lease.keep", lease=lease)
            return with_session(lease, limits.renewed(limits.mended(session_of(lease), now), now))

        return await self._change(change)

    async def activity(self, person: str, lease_id: str, kind: str) -> None:
        """See the protocol. Most calls touch neither store nor database."""
        noted, now_s = self._noted.get(lease_id), self._parts.clock.monotonic_s()
        if noted is not None and noted.person == person and now_s - noted.written_s < self._parts.config.activity_s:
            noted.kind, noted.latest_s = kind, now_s
            return

        def note(tx: Transaction) -> LeaseRecord | None:
            lease = own_lease(tx, self._parts, person, lease_id)
            if not is_running(lease):
                return None
            tx.put_lease(with_session(lease, active(session_of(lease), kind, tx.now())))
            return lease

        lease = await self._parts.transact(note)
        # A short idle limit is near at once: then the row is written each time. None at all never is.
        if lease is not None and not 0 < lease.profile.idle_limit_s < 10 * self._parts.config.activity_s:
            self._noted[lease_id] = _Noted(person, now_s)

    async def busy(self, person: str, lease_id: str, until: datetime | None) -> wire.Lease:
        """See the protocol."""

        def change(tx: Transaction) -> LeaseRecord:
            lease = _running(own_lease(tx, self._parts, person, lease_id))
            now = tx.now()
            at_most = _utc(until) if until is not None else None
            if at_most is not None and at_most <= now:
                raise BadInputError("That time is over already.", kept="Nothing was changed.")
            session = limits.mended(session_of(lease), now)
            if at_most is not None and session.expires_at is not None:
                at_most = min(at_most, session.expires_at)
            audit(tx, who=person, what="lease.busy", lease=lease, detail=_until_text(at_most))
            return with_session(lease, replace(active(session, "busy", now), busy_until=at_most))

        return await self._change(change)

    async def exempt(self, person: str, lease_id: str, request: wire.ExemptRequest) -> wire.Lease:
        """See the protocol."""

        def change(tx: Transaction) -> LeaseRecord:
            lease = overseen_lease(tx, self._parts, person, lease_id)
            now, until = tx.now(), _utc(request.until)
            reason = request.reason.strip()
            if until <= now or until > now + LONGEST_EXEMPTION:
                raise BadInputError(
                    f"The limits can be turned off until a time within the next {LONGEST_EXEMPTION.days} days.",
                    kept="Nothing was changed.",
                )
            if len(reason) < 3:
                raise BadInputError("Turning the limits off needs a reason.", kept="Nothing was changed.")
            audit(tx, who=person, what="lease.exempt", lease=lease, detail=f"{_until_text(until)}: {reason}")
            lease = replace(lease, exempt_since=now, exempt_until=until, exempt_reason=reason, exempt_by=person)
            return _anew(lease, now) if lease.expires_at is not None else lease

        return await self._change(change)

    async def end_exemption(self, person: str, lease_id: str) -> wire.Lease:
        """See the protocol."""

        def change(tx: Transaction) -> LeaseRecord:
            lease = overseen_lease(tx, self._parts, person, lease_id)
            now = tx.now()
            if not limits.is_exempt(session_of(lease), now):
                raise ConflictError("The limits of this machine are on.", kept="Nothing was changed.")
            audit(tx, who=person, what="lease.end-exemption", lease=lease)
            lease = replace(lease, exempt_until=now)
            return _anew(lease, now) if lease.expires_at is not None else lease

        return await self._change(change)

    async def _change(self, function: Callable[[Transaction], LeaseRecord]) -> wire.Lease:
        def change(tx: Transaction) -> wire.Lease:
            lease = function(tx)
            tx.put_lease(lease)
            return snapshot.wire_lease(tx, self._parts, tx.lease(lease.id) or lease)

        shown = await self._parts.transact(change)
        self._noted.pop(shown.id, None)  # what was noted before is older than this
        self._parts.kick.ring()
        return shown

    # What the timekeeper asks of it.

    def unwritten(self) -> bool:
        """Say whether activity was kept in memory for long enough."""
        now_s, pause_s = self._parts.clock.monotonic_s(), self._parts.config.activity_s
        return any(n.latest_s is not None and now_s - n.written_s >= pause_s for n in list(self._noted.values()))

    def look(self, tx: Transaction, lease: LeaseRecord) -> Looked:
        """Keep a running lease's limits, in a transaction; it may be run again, so nothing is remembered here."""
        noted, pending = self._noted.get(lease.id), None
        if noted is not None and noted.latest_s is not None:
            # Counted back from now: a computer that slept meanwhile makes it later than it was, never earlier.
            ago_s = max(0.0, self._parts.clock.monotonic_s() - noted.latest_s)
            pending = (noted.kind, tx.now() - timedelta(seconds=ago_s))
        return look_at(tx, lease, self._parts.config, pending=pending, asked=self.attendant.asked(lease))

    def looked(self, everything: list[Looked]) -> None:
        """Go on after the transaction: visit machines, and forget what was written down."""
        now_s = self._parts.clock.monotonic_s()
        for looked in everything:
            lease_id = looked.chore.lease.id
            noted = self._noted.get(lease_id)
            if looked.noted and noted is not None:
                self._noted[lease_id] = _Noted(noted.person, now_s)
            self.attendant.consider(looked.chore)
        running = {looked.chore.lease.id for looked in everything}
        self.attendant.forget_others(running)
        for lease_id in self._noted.keys() - running:
            del self._noted[lease_id]


def _running(lease: LeaseRecord) -> LeaseRecord:
    if not is_running(lease):
        raise ConflictError("The machine is not running.", next_step="Press Start.")
    return lease


def _anew(lease: LeaseRecord, now: datetime) -> LeaseRecord:
    """Return the lease with the full time again, from the exemption's end or from now."""
    return replace(lease, expires_at=limits.hard_end(session_of(lease), now), told="")


def _utc(at: datetime) -> datetime:
    if at.tzinfo is None:
        raise BadInputError("A time needs its zone, as in 2026-03-02T18:00:00Z.", kept="Nothing was changed.")
    try:
        return at.astimezone(UTC)
    except OverflowError as exc:
        raise BadInputError("There is no such time.", kept="Nothing was changed.") from exc


def _until_text(until: datetime | None) -> str:
    return f"until {until:%Y-%m-%d %H:%M} UTC" if until is not None else "no longer"
