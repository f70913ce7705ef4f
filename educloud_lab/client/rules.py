"""What clients do beyond a single request: waiting for a broker, finding a lab's machine, waiting for its phase."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime

from educloud_lab.client import requests
from educloud_lab.client.errors import ServerUnreachableError, WaitTimeoutError, error_of
from educloud_lab.client.plans import Pause, Plan
from educloud_lab.domain.errors import BadInputError, ConflictError, EducloudError, NotFoundError
from educloud_lab.wire import models as wire

Progress = Callable[[wire.Lease], object]
"""Told each look of a wait: the lease as it is, with the job's steps, its share done and the estimate of the rest."""

POLL_S = 0.5
_POLLS_S = (0.25, 2.0)
BROKER_S = 120.0
"""A broker that is being started may have to start its cloud first."""
UNREACHABLE_S = 30.0
"""A wait goes on for so long although the server does not answer: it may be starting again."""


def settled() -> Plan[wire.Snapshot]:
    """Return a snapshot of the broker itself; while it is being started, wait for it.

    Raises
    ------
    EducloudError
        There is no broker: why, and what to do.
    """
    end = time.monotonic() + BROKER_S
    while True:
        snapshot: wire.Snapshot = yield requests.snapshot()
        problem = snapshot.cloud.problem
        if snapshot.version > 0 or problem is None:
            return snapshot
        if problem.code != "starting" or time.monotonic() >= end:
            raise error_of(problem.code, problem.what, problem.kept, problem.next_step)
        yield Pause(POLL_S)


def lease(lease_id: str) -> Plan[wire.Lease]:
    """Return one lease as it is now.

    Raises
    ------
    NotFoundError
        There is none of that id.
    """
    found, _ = yield from lease_and_time(lease_id)
    return found


def lease_and_time(lease_id: str) -> Plan[tuple[wire.Lease, datetime]]:
    """Return one lease and the server's time."""
    snapshot = yield from settled()
    for found in snapshot.leases:
        if found.id == lease_id:
            return found, snapshot.server_time
    raise NotFoundError("There is no such machine, or it is not yours.")


def time_left_s(lease_id: str) -> Plan[int | None]:
    """Return the seconds until its nearest limit; None while nothing ends it."""
    found, now = yield from lease_and_time(lease_id)
    if found.limits is None or not found.limits.limits:
        return None
    return max(0, round((found.limits.limits[0].ends_at - now).total_seconds()))


def machine(needs: wire.LabNeeds | None, lab: str | None, machine_profile: str | None, slot: str) -> Plan[wire.Lease]:
    """Return the lease of a lab, made when it does not exist.

    Parameters
    ----------
    needs : what a notebook says, where it was asked.
    lab, machine_profile, slot : what was given; without ``needs`` the lab is.
    """
    snapshot = yield from settled()
    if needs is not None:
        if needs.course and needs.course != snapshot.course:
            raise BadInputError(
                f"This notebook belongs to the course '{needs.course}'; your machines are of '{snapshot.course}'.",
                kept="Nothing was made.",
                next_step="Open it where that course is, or name a lab: machine(lab, machine_profile).",
            )
        lab, machine_profile = needs.lab, machine_profile or needs.machine_profile
    assert lab is not None
    if not machine_profile:
        for found in snapshot.leases:
            if (found.lab, found.slot) == (lab, slot):
                return found
        labs = ", ".join(dict.fromkeys(found.lab for found in snapshot.leases)) or "none yet"
        known = ", ".join(profile.name for profile in snapshot.profiles if not profile.retired) or "none"
        where = f"'{lab}'" if slot == "main" else f"'{lab}' in the slot '{slot}'"
        raise BadInputError(
            f"You have no machine for the lab {where}. Your labs: {labs}.",
            kept="Nothing was made.",
            next_step=(
                "Is the name right? Then make it by naming what it is made from, in connect().machine(LAB, PROFILE)"
                f" or educloud start LAB --profile=PROFILE; there are: {known}."
            ),
        )
    made: wire.Lease = yield requests.ensure(lab, machine_profile, slot)
    return made


def wait(lease_id: str, phase: str, timeout_s: float, progress: Progress | None) -> Plan[wire.Lease]:
    """Return the lease once it is in a phase; one that is off is as good as asleep: nothing runs.

    Raises
    ------
    WaitTimeoutError
        Not within ``timeout_s`` seconds.
    ConflictError
        Something else was wanted of it meanwhile.
    EducloudError
        It came into trouble instead: the lease's own problem.
    """
    wanted = wire.Phase(phase)
    was_wanted = False

    def there(found: wire.Lease) -> bool:
        nonlocal was_wanted
        if found.phase is wanted or (wanted is wire.Phase.ASLEEP and found.phase is wire.Phase.OFF):
            return True  # where there is no machine (any more), none is going to be asleep
        _no_trouble(found)
        heads_for = _heads_for(wanted, found)
        if was_wanted and not heads_for:
            raise ConflictError(
                f"The machine of '{found.lab}' is not going to be {wanted} any more: {found.headline}.",
                kept="Somebody, or a limit on time, wanted something else of it while you waited.",
                next_step="Look at its card, then ask again.",
            )
        was_wanted = was_wanted or heads_for
        return False

    def late(found: wire.Lease) -> WaitTimeoutError:
        off = wanted is wire.Phase.READY and found.target != "running"
        return WaitTimeoutError(
            f"The machine of '{found.lab}' is not {wanted} after {timeout_s:g} s: {found.headline}.",
            kept="Nobody has started it." if off else "It goes on by itself.",
            next_step="Start it, then wait." if off else "Wait longer, or look at its card.",
        )

    return (yield from until(lease_id, there, late, timeout_s, progress))


def until(
    lease_id: str,
    there: Callable[[wire.Lease], bool],
    late: Callable[[wire.Lease], EducloudError],
    timeout_s: float,
    progress: Progress | None,
) -> Plan[wire.Lease]:
    """Look until something is so; how often depends on how long the job will probably take."""
    end = time.monotonic() + timeout_s
    answered = time.monotonic()
    found: wire.Lease | None = None
    while True:
        try:
            found = yield from lease(lease_id)
            answered = time.monotonic()
        except ServerUnreachableError:
            if found is None or time.monotonic() - answered > UNREACHABLE_S:
                raise
        else:
            if progress is not None:
                progress(found)
            if there(found):
                return found
        left_s = end - time.monotonic()
        if left_s <= 0:
            raise late(found)
        yield Pause(min(_pause_s(found), left_s))


def _pause_s(found: wire.Lease) -> float:
    job = found.job
    if job is None or not job.in_flight or job.estimate_s is None:
        return POLL_S
    shortest, longest = _POLLS_S
    return min(longest, max(shortest, job.estimate_s / 10))


def _heads_for(wanted: wire.Phase, found: wire.Lease) -> bool:
    if wanted is wire.Phase.READY:
        return found.target == "running"
    if wanted in (wire.Phase.ASLEEP, wire.Phase.OFF):
        return found.target != "running"
    return False


def _no_trouble(found: wire.Lease) -> None:
    if found.phase is wire.Phase.TROUBLE and found.problem is not None:
        raise problem_error(found.problem)


def problem_error(problem: wire.Problem) -> EducloudError:
    """Return a problem on the wire as the error that it was."""
    return error_of(problem.code, problem.what, problem.kept, problem.next_step)
