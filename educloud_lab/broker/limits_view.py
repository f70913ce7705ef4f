"""The limits of a running machine as people see them, and why they may or may not press the buttons for them."""

from __future__ import annotations

from datetime import datetime

from educloud_lab.broker.sessions import duration, is_running, loses, session_of, why
from educloud_lab.domain import limits
from educloud_lab.domain.lease import Status
from educloud_lab.domain.limits import LimitKind
from educloud_lab.ports.records import LeaseRecord
from educloud_lab.wire import models as wire

_TEXTS = {
    LimitKind.HARD: "It is put to sleep when its time is over",
    LimitKind.IDLE: "It is put to sleep when nothing happens on it for {length}",
    LimitKind.FIRST_CONNECTION: "It is put to sleep when nobody connects to it within {length}",
}
_ACTIVITIES = {
    "terminal": "typing in a terminal",
    "cell": "a cell that ran on it",
    "desktop": "its desktop",
    "page": "one of its pages",
    "connected": "somebody connected",
    "load": "programs at work on it",
    "busy": "it was declared busy",
    limits.KEPT: "Keep",
}


def wire_limits(lease: LeaseRecord, now: datetime) -> wire.Limits | None:
    """Return the limits for people, None while it does not run."""
    if not is_running(lease):
        return None
    session = limits.mended(session_of(lease), now)
    busy = session.busy_until is not None and session.busy_until > now
    return wire.Limits(
        limits=[_limit(limit) for limit in limits.limits(session, now)],
        warning=_warning(lease, session, now),
        next_warning_at=limits.next_warning_at(session, now),
        active_at=session.active_at,
        active_by=_ACTIVITIES.get(session.active_by, session.active_by),
        busy_until=session.busy_until if busy else None,
        exemption=wire_exemption(lease, now),
        keep_until=limits.keep_until(session, now),
        guarded=lease.guard_until is not None and lease.guard_until > now,
    )


def _limit(limit: limits.Limit) -> wire.Limit:
    text = _TEXTS[limit.kind].format(length=duration(limit.length_s))
    return wire.Limit(kind=wire.LimitKind(limit.kind.value), ends_at=limit.ends_at, text=text)


def _warning(lease: LeaseRecord, session: limits.Session, now: datetime) -> wire.LimitWarning | None:
    warning = limits.current_warning(session, now)
    if warning is None:
        return None
    how = "Keep gives it its full time again."
    if warning.kind is LimitKind.IDLE:
        how = "Go on working, or press Keep."
    # The browser counts the seconds; the text holds as long as the warning does.
    text = f"The machine is put to sleep at {warning.ends_at:%H:%M} UTC: {why(warning.kind)}. {how}"
    return wire.LimitWarning(
        id=warning.id,
        kind=wire.LimitKind(warning.kind.value),
        text=text,
        loses=loses(lease),
        ends_at=warning.ends_at,
        urgent=warning.urgent,
    )


def wire_exemption(lease: LeaseRecord, now: datetime) -> wire.Exemption | None:
    """Return the exemption that is in force now."""
    if lease.exempt_until is None or lease.exempt_since is None or not limits.is_exempt(session_of(lease), now):
        return None
    return wire.Exemption(
        since=lease.exempt_since, until=lease.exempt_until, reason=lease.exempt_reason, by=lease.exempt_by
    )


def action_reasons(lease: LeaseRecord, now: datetime) -> dict[wire.Action, str]:
    """Return why each action on limits cannot be asked for now; '' where it can."""
    running, exempt = is_running(lease), limits.is_exempt(session_of(lease), now)
    off = "" if running else "It is not running."
    none = "There is no machine." if lease.status is Status.NEW else ""
    no_idle = "" if lease.profile.idle_limit_s else "It has no idle limit."
    return {
        wire.Action.EXTEND: off or ("Its limits are off." if exempt else ""),
        wire.Action.BUSY: off or ("Its limits are off." if exempt else no_idle),
        wire.Action.EXEMPT: none or ("Its limits are off already." if exempt else ""),
        wire.Action.END_EXEMPTION: "" if exempt else "Its limits are on.",
    }
