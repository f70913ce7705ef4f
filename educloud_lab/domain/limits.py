"""Limits on time: when a running machine is put to sleep, what its person is told before, and what moves the end.

Three limits may apply to a session. The *hard* limit ends it at a time, whatever happens, unless it is renewed
(Keep) or the machine is exempt. The *idle* limit ends it so long after the last honest activity. The
*first-connection* limit ends it when nobody came. The nearest one counts.

Two promises hold for every session. It is never ended before the end that is on record; and it is never ended with
less notice than the last warning's time, so that a broker that was down, a computer that slept or a clock that jumped
costs the person no work: who was not warned is warned first. A warning that had to be given after the end is given
once, so that no session goes on for ever.

Everything here is a function of the record and the time. All times are aware UTC and the store's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

KEPT: Final = "keep"
"""What the last activity is called when it was Keep itself."""
_FORWARD_S: Final = 5.0  # what lies further in the future than this was written before the clock was put back


class LimitKind(StrEnum):
    """Which limit."""

    HARD = "hard"
    IDLE = "idle"
    FIRST_CONNECTION = "first-connection"


REASONS: Final[dict[LimitKind, str]] = {
    LimitKind.HARD: "time-limit",
    LimitKind.IDLE: "idle-limit",
    LimitKind.FIRST_CONNECTION: "never-connected",
}
"""What the lease's ``reason`` says after a limit has ended its session."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """What a running machine's limits depend on: a lease's record and its machine profile's limits, in seconds."""

    time_limit_s: int
    idle_limit_s: int = 0  # 0: no such limit
    first_connection_limit_s: int = 0  # 0: no such limit
    warn_before_s: Sequence[int] = ()
    started_at: datetime | None = None
    expires_at: datetime | None = None
    first_connected_at: datetime | None = None
    active_at: datetime | None = None
    active_by: str = ""
    busy_until: datetime | None = None
    exempt_until: datetime | None = None
    told: str = ""


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit and when it ends the session."""

    kind: LimitKind
    ends_at: datetime
    length_s: int


@dataclass(frozen=True, slots=True)
class Warned:
    """What somebody was told: which limit, its end, how long before, and when it was said."""

    kind: LimitKind
    ends_at: datetime
    before_s: int
    at: datetime

    def text(self) -> str:
        """Return it as it is recorded (at most 64 characters)."""
        return f"{self.kind} {_microseconds(self.ends_at)} {self.before_s} {_microseconds(self.at)}"


@dataclass(frozen=True, slots=True)
class Warning_:  # noqa: N801 - the language has a Warning of its own
    """A warning that is due.

    ``ends_at`` is when the machine is put to sleep if nothing happens: the limit's end, or later when the warning
    itself came late. ``id`` changes with each warning.
    """

    kind: LimitKind
    id: str
    ends_at: datetime
    before_s: int
    urgent: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """What follows from a record at a time: end the session, or say a warning that was not said yet, or neither."""

    stop: LimitKind | None = None
    warn: Warning_ | None = None
    told: str = ""  # what to record when `warn` is said


def _microseconds(at: datetime) -> int:
    return round(at.timestamp() * 1_000_000)


def read_told(text: str) -> Warned | None:
    """Read what :meth:`Warned.text` wrote; None when there is nothing that can be read."""
    words = text.split()
    try:
        kind, end, before, at = words
        return Warned(LimitKind(kind), _from_microseconds(end), int(before), _from_microseconds(at))
    except (ValueError, OverflowError):
        return None


def _from_microseconds(text: str) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=int(text))


def is_exempt(session: Session, now: datetime) -> bool:
    """Say whether the limits are off now."""
    return session.exempt_until is not None and now < session.exempt_until


def hard_end(session: Session, now: datetime) -> datetime:
    """Return the end of a session that gets its full time now: counted from the exemption's end while there is one."""
    since = session.exempt_until if session.exempt_until is not None and is_exempt(session, now) else now
    return since + timedelta(seconds=session.time_limit_s)


def mended(session: Session, now: datetime) -> Session:
    """Return the session without times that no clock of ours can have written: it always ends.

    A session without an end gets one. After the clock was put back, an end is at most the full time away, and what
    "happened" in the future happened now.
    """
    latest = hard_end(session, now)
    expires_at = session.expires_at
    if expires_at is None or expires_at > latest + timedelta(seconds=_FORWARD_S):
        expires_at = latest
    return replace(
        session,
        expires_at=expires_at,
        started_at=_not_future(session.started_at, now),
        active_at=_not_future(session.active_at, now),
        busy_until=min(session.busy_until, expires_at) if session.busy_until is not None else None,
    )


def _not_future(at: datetime | None, now: datetime) -> datetime | None:
    return now if at is not None and at > now + timedelta(seconds=_FORWARD_S) else at


def limits(session: Session, now: datetime) -> list[Limit]:
    """Return the limits that apply, the nearest first; none while the machine is exempt."""
    if is_exempt(session, now):
        return []
    found: list[Limit] = []
    if session.expires_at is not None:
        found.append(Limit(LimitKind.HARD, session.expires_at, session.time_limit_s))
    if session.idle_limit_s > 0:
        # Declaring it busy counts as activity up to then.
        since = _latest(session.started_at, session.active_at, session.exempt_until, session.busy_until)
        if since is not None:
            found.append(_counted(LimitKind.IDLE, since, session.idle_limit_s))
    if session.first_connection_limit_s > 0 and session.first_connected_at is None:
        kept = session.active_at if session.active_by == KEPT else None
        # A machine at work by itself may have been active since Keep; the hard end still tells when that was.
        full = session.expires_at - timedelta(seconds=session.time_limit_s) if session.expires_at is not None else None
        since = _latest(session.started_at, kept, full, session.exempt_until)
        if since is not None:
            found.append(_counted(LimitKind.FIRST_CONNECTION, since, session.first_connection_limit_s))
    return sorted(found, key=lambda limit: (limit.ends_at, limit.kind != LimitKind.HARD))


def _latest(*times: datetime | None) -> datetime | None:
    return max((time for time in times if time is not None), default=None)


def _counted(kind: LimitKind, since: datetime, length_s: int) -> Limit:
    return Limit(kind, since + timedelta(seconds=length_s), length_s)


def warning_times(session: Session, limit: Limit) -> list[int]:
    """Return how long before a limit's end its warnings are, longest first; none that would be there from the start."""
    return sorted({w for w in session.warn_before_s if 0 < w < limit.length_s}, reverse=True)


def judge(session: Session, now: datetime) -> Verdict:
    """Decide what follows now. To be called in the transaction that read the session and will record the outcome.

    Returns
    -------
    Verdict
        ``stop`` when the nearest limit is over and its last warning was given at least that warning's time ago (or
        there is none to give); ``warn`` when a warning is due that ``told`` does not name.
    """
    found = limits(session, now)
    if not found:
        return Verdict()
    limit = found[0]
    times = warning_times(session, limit)
    over = now >= limit.ends_at
    if not times:
        return Verdict(stop=limit.kind) if over else Verdict()
    told = _told_of(session, limit, now)
    if over:
        return _judge_end(limit, times[-1], told, now)
    due = [before_s for before_s in times if now >= limit.ends_at - timedelta(seconds=before_s)]
    if not due or (told is not None and told.before_s <= due[-1]):
        return Verdict()
    return _say(limit, due[-1], times, now)


def _judge_end(limit: Limit, last_s: int, told: Warned | None, now: datetime) -> Verdict:
    last = timedelta(seconds=last_s)
    if told is None or told.before_s != last_s:
        return _say(limit, last_s, [last_s], now)
    if now < told.at + last:
        return Verdict()
    if told.at < limit.ends_at and now > limit.ends_at + last:
        # Nobody was there to end it at its end, so nobody may have been there to read the warning either.
        return _say(limit, last_s, [last_s], now)
    return Verdict(stop=limit.kind)


def _told_of(session: Session, limit: Limit, now: datetime) -> Warned | None:
    """Return what was said about exactly this end; what was said in the future was said before the clock went back."""
    told = read_told(session.told)
    same = told is not None and (told.kind, told.ends_at) == (limit.kind, limit.ends_at) and told.at <= now
    return told if same else None


def _say(limit: Limit, before_s: int, times: Sequence[int], now: datetime) -> Verdict:
    told = Warned(limit.kind, limit.ends_at, before_s, now)
    return Verdict(warn=_warning(told, times), told=told.text())


def _warning(told: Warned, times: Sequence[int]) -> Warning_:
    late = told.at >= told.ends_at
    ends_at = max(told.ends_at, told.at + timedelta(seconds=told.before_s)) if told.before_s == times[-1] else None
    name = f"{told.kind}:{_microseconds(told.ends_at)}:{told.before_s}{':late' if late else ''}"
    return Warning_(told.kind, name, ends_at or told.ends_at, told.before_s, urgent=told.before_s == times[-1])


def current_warning(session: Session, now: datetime) -> Warning_ | None:
    """Return the warning that a person should see now: the one that was last said, or that is being said."""
    verdict = judge(session, now)
    if verdict.warn is not None:
        return verdict.warn
    found = limits(session, now)
    told = _told_of(session, found[0], now) if found else None
    return _warning(told, warning_times(session, found[0]) or [told.before_s]) if told is not None else None


def next_warning_at(session: Session, now: datetime) -> datetime | None:
    """Return when the next warning of the nearest limit comes; None when the last one was given or none will be."""
    for limit in limits(session, now)[:1]:
        for before_s in warning_times(session, limit):
            at = limit.ends_at - timedelta(seconds=before_s)
            if at > now:
                return at
    return None


def keep_until(session: Session, now: datetime) -> datetime | None:
    """Return until when Keep would let it run; None when it changes nothing."""
    if is_exempt(session, now):
        return None
    end = hard_end(session, now)
    return end if session.expires_at is None or end > session.expires_at else None


def renewed(session: Session, now: datetime) -> Session:
    """Return the session after Keep: the full time from now, counted as activity; nothing is ever shortened."""
    end = hard_end(session, now)
    if session.expires_at is not None:
        end = max(end, session.expires_at)
    return replace(session, expires_at=end, active_at=now, active_by=KEPT, told="")


def idle_end_near(session: Session, now: datetime, *, within_s: float) -> bool:
    """Say whether the first idle warning comes within so many seconds, or came already: time to ask the machine."""
    for limit in limits(session, now):
        if limit.kind is LimitKind.IDLE:
            times = warning_times(session, limit)
            return now >= limit.ends_at - timedelta(seconds=(times[0] if times else 0) + within_s)
    return False
