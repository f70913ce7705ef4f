"""A lease as the rules of limits see it, what begins and ends with a session, and how its limits end it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from educloud_lab.broker.auditing import BROKER, audit
from educloud_lab.broker.config import BrokerConfig
from educloud_lab.broker.intents import want
from educloud_lab.domain import limits
from educloud_lab.domain.lease import Status, Target
from educloud_lab.domain.limits import LimitKind, Session
from educloud_lab.ports.records import LeaseRecord
from educloud_lab.ports.store import Transaction


def session_of(lease: LeaseRecord) -> Session:
    """Return what the rules need of a lease."""
    profile = lease.profile
    return Session(
        time_limit_s=profile.time_limit_s,
        idle_limit_s=profile.idle_limit_s,
        first_connection_limit_s=profile.first_connection_limit_s,
        warn_before_s=profile.warn_before_s,
        started_at=lease.started_at,
        expires_at=lease.expires_at,
        first_connected_at=lease.first_connected_at,
        active_at=lease.active_at,
        active_by=lease.active_by,
        busy_until=lease.busy_until,
        exempt_until=lease.exempt_until,
        told=lease.told,
    )


def with_session(lease: LeaseRecord, session: Session) -> LeaseRecord:
    """Return the lease with what a session's rules have changed."""
    return replace(
        lease,
        started_at=session.started_at,
        expires_at=session.expires_at,
        first_connected_at=session.first_connected_at,
        active_at=session.active_at,
        active_by=session.active_by,
        busy_until=session.busy_until,
        told=session.told,
    )


def is_running(lease: LeaseRecord) -> bool:
    """Say whether limits count: it runs and is meant to."""
    return lease.status is Status.RUNNING and lease.target is Target.RUNNING


def begun(lease: LeaseRecord, now: datetime) -> LeaseRecord:
    """Return the lease with a session that begins now; what its machine's own timer is armed with stays."""
    fresh = replace(
        session_of(lease),
        started_at=now,
        expires_at=limits.hard_end(session_of(lease), now),
        first_connected_at=None,
        active_at=None,
        active_by="",
        busy_until=None,
        told="",
    )
    return with_session(lease, fresh)


def ended(lease: LeaseRecord) -> LeaseRecord:
    """Return the lease without a session."""
    return replace(
        lease,
        started_at=None,
        expires_at=None,
        first_connected_at=None,
        active_at=None,
        active_by="",
        busy_until=None,
        told="",
        guard_until=None,
    )


def without_exemption(lease: LeaseRecord) -> LeaseRecord:
    """Return the lease with its limits on: they were turned off for a machine that was deleted, not for the next."""
    return replace(lease, exempt_since=None, exempt_until=None, exempt_reason="", exempt_by="")


def guard_wish(lease: LeaseRecord, config: BrokerConfig) -> datetime | None:
    """Return what the machine's own timer should be armed with now: the hard end plus a grace."""
    return lease.expires_at + timedelta(seconds=config.guard_grace_s) if lease.expires_at is not None else None


def guard_differs(lease: LeaseRecord, config: BrokerConfig) -> bool:
    """Say whether the machine's own timer has to be armed anew."""
    wish = guard_wish(lease, config)
    if wish is None:
        return False
    return lease.guard_until is None or abs((wish - lease.guard_until).total_seconds()) > config.guard_slack_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Chore:
    """What is to be done at a running machine, besides the store."""

    lease: LeaseRecord
    tell: str = ""  # to its terminals, once
    probe: bool = False  # ask for its load
    guard: bool = False  # arm its own timer anew

    @property
    def is_any(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.tell) or self.probe or self.guard


@dataclass(frozen=True, slots=True)
class Looked:
    """What a look at one running lease has led to."""

    changed: bool
    chore: Chore
    noted: bool = False  # the activity that was kept in memory is in the row now


def look_at(
    tx: Transaction, lease: LeaseRecord, config: BrokerConfig, *, pending: tuple[str, datetime] | None, asked: bool
) -> Looked:
    """Do what a running lease's limits ask for now, in the transaction that has read it.

    Parameters
    ----------
    lease : as listed; read again, locked, before anything is decided.
    pending : activity that is not in the row yet: what it was, and when.
    asked : the machine itself was asked lately whether it works (or did not answer).
    """
    now = tx.now()
    quiet = _decide(lease, config, now, pending, asked=asked)
    if quiet.lease == lease and quiet.stop is None:
        return Looked(False, _chore(lease, config, now))
    current = tx.lease(lease.id)
    if current is None or not is_running(current):
        return Looked(False, Chore(lease=lease))
    decision = _decide(current, config, now, pending, asked=asked)
    if decision.stop is not None:
        audit(tx, who=BROKER, what="lease.suspend", lease=current, detail=limits.REASONS[decision.stop])
        want(tx, decision.lease, Target.STOPPED, reason=limits.REASONS[decision.stop])
        return Looked(True, Chore(lease=decision.lease), decision.noted)
    if decision.lease != current:
        tx.put_lease(decision.lease)
    chore = replace(_chore(decision.lease, config, now), tell=decision.tell)
    return Looked(decision.lease != current, chore, decision.noted)


@dataclass(frozen=True, slots=True)
class _Decision:
    lease: LeaseRecord
    stop: LimitKind | None = None
    tell: str = ""
    noted: bool = False


def _decide(
    lease: LeaseRecord,
    config: BrokerConfig,
    now: datetime,
    pending: tuple[str, datetime] | None,
    *,
    asked: bool,
) -> _Decision:
    session = limits.mended(session_of(lease), now)
    noted = False
    if pending is not None and _is_due(session, pending[1], config, now):
        session = active(session, pending[0], min(pending[1], now))
        noted = True
    verdict = limits.judge(session, now)
    stop = verdict.stop
    if stop is LimitKind.IDLE and not asked:
        stop = None  # the machine has the last word, if it answers
    tell = ""
    if verdict.warn is not None:
        session = replace(session, told=verdict.told)
        tell = terminal_text(lease, verdict.warn, now)
    return _Decision(with_session(lease, session), stop, tell, noted)


def _is_due(session: Session, at: datetime, config: BrokerConfig, now: datetime) -> bool:
    old = session.active_at is None or at - session.active_at >= timedelta(seconds=config.activity_s)
    return session.first_connected_at is None or old or limits.idle_end_near(session, now, within_s=config.activity_s)


def active(session: Session, kind: str, at: datetime) -> Session:
    """Return the session after an honest activity; a machine that works by itself has not been connected to."""
    connected = session.first_connected_at or (at if kind != "load" else None)
    if session.active_at is not None and session.active_at > at:
        return replace(session, first_connected_at=connected)
    return replace(session, active_at=at, active_by=kind, first_connected_at=connected)


def _chore(lease: LeaseRecord, config: BrokerConfig, now: datetime) -> Chore:
    near = limits.idle_end_near(session_of(lease), now, within_s=2 * config.load_probe_s)
    return Chore(lease=lease, probe=near, guard=guard_differs(lease, config))


def next_look_at(lease: LeaseRecord, config: BrokerConfig, now: datetime) -> datetime:
    """Return when something may follow from a running lease's limits again, if its row stays as it is."""
    session = limits.mended(session_of(lease), now)
    if session.exempt_until is not None and limits.is_exempt(session, now):
        return session.exempt_until
    found = limits.limits(session, now)
    if not found:
        return now + timedelta(seconds=config.load_probe_s)
    if found[0].ends_at <= now:
        return now
    times = [limit.ends_at for limit in found]
    for limit in found:
        warnings = limits.warning_times(session, limit)
        times += [limit.ends_at - timedelta(seconds=before_s) for before_s in warnings]
        if limit.kind is LimitKind.IDLE:
            first_s = (warnings[0] if warnings else 0) + 2 * config.load_probe_s
            times.append(limit.ends_at - timedelta(seconds=first_s))
    chore = _chore(lease, config, now)
    if chore.probe or chore.guard:
        times.append(now + timedelta(seconds=config.load_probe_s / 4))
    return min(time for time in times if time > now)


def why(kind: LimitKind) -> str:
    """Return why a limit ends a session, for people."""
    return {
        LimitKind.HARD: "its time is over",
        LimitKind.IDLE: "nothing happens on it",
        LimitKind.FIRST_CONNECTION: "nobody has connected to it",
    }[kind]


def loses(lease: LeaseRecord) -> str:
    """Return what suspending loses, for people; '' when nothing."""
    if lease.root_device_type != "instance-store":
        return ""
    volume = lease.profile.volume
    if volume is None:
        return "Everything on this machine is lost: it has no data volume."
    return f"Everything outside {volume.mount_point} is lost: the system disk goes with the machine."


def terminal_text(lease: LeaseRecord, warning: limits.Warning_, now: datetime) -> str:
    """Return what the machine's own terminals say: what happens, when, what is lost, and how to keep it."""
    left = duration((warning.ends_at - now).total_seconds())
    text = f"educloud: this machine is put to sleep in {left} ({warning.ends_at:%H:%M:%S} UTC): {why(warning.kind)}."
    volume = lease.profile.volume
    kept = loses(lease) or "Everything on it is kept."
    if loses(lease) and volume is not None:
        kept += f" Files in {volume.mount_point} are saved."
    how = "To keep it: press Keep in the notebook or the sidebar"
    if warning.kind is LimitKind.IDLE:
        how += ", or go on working"
    return f"{text} {kept} {how}."


def duration(seconds: float) -> str:
    """Return a time span for people: minutes, or seconds when it is short."""
    whole = max(0, round(seconds))
    if whole < 120:
        return f"{whole} s"
    minutes = round(whole / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02d} min"
