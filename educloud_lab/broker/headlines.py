"""The sentences that people read about a lease, and why they may or may not press a button."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from educloud_lab.broker.intents import DIED, STRAY
from educloud_lab.broker.limits_view import action_reasons
from educloud_lab.broker.sessions import duration
from educloud_lab.domain.job import JobKind
from educloud_lab.domain.lease import PHASES, Phase, Status, Target
from educloud_lab.ports.records import JobRecord, LeaseRecord, VolumeRecord
from educloud_lab.wire import models as wire

_WORDS = {JobKind.START: "starting", JobKind.STOP: "going to sleep", JobKind.DELETE: "being deleted"}
_VOLUME_WORDS = {
    JobKind.SNAPSHOT: "A snapshot is being taken",
    JobKind.RESTORE: "A snapshot is being restored",
    JobKind.GROW: "The data volume is being enlarged",
    JobKind.DISCARD: "The data volume is put into the bin",
    JobKind.RETURN: "A data volume is taken out of the bin",
    JobKind.EMPTY: "Something is being deleted",
}
_LIMITS = {
    "time-limit": "Its time is over",
    "idle-limit": "Nothing happens on it",
    "never-connected": "Nobody has connected to it",
}
_NEXT = {Target.RUNNING: "starts", Target.STOPPED: "is put to sleep", Target.DELETED: "is deleted"}


def headline(lease: LeaseRecord, job: JobRecord | None, volume: VolumeRecord | None = None) -> str:
    """Return one line that says where a lease stands."""
    phase = PHASES[lease.target, lease.status]
    waiting = job.waiting_for if job is not None and job.ended_at is None else ""
    if phase is Phase.TROUBLE:
        return lease.problem.what if lease.problem is not None else "Something went wrong"
    if phase is Phase.READY:
        return "Ready"
    if phase is Phase.ASLEEP:
        return _asleep(lease)
    if phase is Phase.OFF:
        if lease.reason == DIED and lease.problem is not None:
            return lease.problem.what
        return "No machine yet: press Start" if lease.generation == 0 else f"No machine; {_volume(volume)}"
    if phase is Phase.WAITING:
        now = _WORDS.get(job.kind, str(lease.status)) if job is not None else str(lease.status)
        return f"The machine is {now}; then it {_NEXT[lease.target]}"
    if waiting:
        return waiting
    if job is not None and job.ended_at is None and job.kind in _VOLUME_WORDS:
        return f"{_VOLUME_WORDS[job.kind]}; then the machine {_NEXT[lease.target]}"
    if phase is Phase.STARTING:
        return "Starting the machine"
    if phase is Phase.DELETING:
        return f"Deleting the machine; {_volume(volume)}"
    if lease.reason in _LIMITS:
        return f"{_LIMITS[lease.reason]}: the machine is being put to sleep"
    if lease.reason == DIED:
        return "The machine stopped by itself; putting things in order"
    if lease.reason == STRAY:
        return "The machine was started past this page: it is put to sleep again (press Start to use it)"
    return "Putting the machine to sleep"


def _volume(volume: VolumeRecord | None) -> str:
    """Return what there is of a data volume, as the end of a sentence."""
    if volume is None:
        return "it has no data volume"
    return "the data volume is kept" if volume.cloud_id is not None else "the next Start makes a new data volume"


def _asleep(lease: LeaseRecord) -> str:
    if lease.reason == "time-limit":
        return "Asleep: its time limit was reached"
    if lease.reason == "idle-limit":
        return f"Asleep: nothing happened on it for {duration(lease.profile.idle_limit_s)}"
    if lease.reason == "never-connected":
        return f"Asleep: nobody connected to it within {duration(lease.profile.first_connection_limit_s)}"
    if lease.reason == DIED:
        return "The machine stopped by itself; Start brings it back"
    return "Asleep"


def actions(lease: LeaseRecord, now: datetime, volume: Mapping[wire.Action, str]) -> list[wire.ActionState]:
    """Return every action with whether it can be asked for now, and why not; ``volume`` is what its module says."""
    phase = PHASES[lease.target, lease.status]
    ready = phase is Phase.READY
    nothing = lease.status is Status.NEW
    reasons: dict[wire.Action, str] = dict.fromkeys(wire.Action, "")
    if ready:
        reasons[wire.Action.START] = "It is running."
    elif lease.target is Target.RUNNING and phase is not Phase.TROUBLE:
        reasons[wire.Action.START] = "It is already on its way."
    if lease.target is Target.STOPPED and phase is not Phase.TROUBLE:
        reasons[wire.Action.STOP] = "It is not running." if phase in _RESTING else "It is already on its way."
    elif lease.target is Target.DELETED and phase is not Phase.TROUBLE:
        reasons[wire.Action.STOP] = "There is no machine." if nothing else "It is being deleted."
    if lease.target is Target.DELETED and phase is not Phase.TROUBLE and not nothing:
        reasons[wire.Action.DELETE] = "It is already on its way."
    elif nothing and phase in _RESTING:
        reasons[wire.Action.DELETE] = "There is no machine."
    if not ready:
        reasons[wire.Action.TERMINAL] = "Possible when the machine is ready."
    reasons |= action_reasons(lease, now)
    if phase is Phase.OFF and lease.problem is None and not lease.reason:
        reasons[wire.Action.WHY] = "There is no machine."
    reasons |= volume
    if lease.instance_id is None:
        reasons[wire.Action.CONSOLE] = "There is no machine."
    elif lease.instance_state not in ("running", "pending"):
        reasons[wire.Action.CONSOLE] = "The cloud shows the console of running machines only."
    return [wire.ActionState(action=action, enabled=not reason, reason=reason) for action, reason in reasons.items()]


_RESTING = (Phase.OFF, Phase.ASLEEP)
