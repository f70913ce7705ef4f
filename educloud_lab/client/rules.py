"""What clients do beyond a single request: waiting, finding a lab's machine, seeing a volume's wish through."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

from educloud_lab.client import requests
from educloud_lab.client.errors import ServerUnreachableError, WaitTimeoutError, error_of
from educloud_lab.client.plans import Ask, Pause, Plan
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

_GIB = 1024**3


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
        known = ", ".join(profile.name for profile in snapshot.profiles if not profile.retired) or "none"
        raise BadInputError(
            f"There is no machine for the lab '{lab}' yet, so it has to be said what it is made from.",
            kept="Nothing was made.",
            next_step=f"Name a machine profile as well; there are: {known}.",
        )
    made: wire.Lease = yield requests.ensure(lab, machine_profile, slot)
    return made


def wait(lease_id: str, phase: str, timeout_s: float, progress: Progress | None) -> Plan[wire.Lease]:
    """Return the lease once it is in a phase.

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
        if found.phase is wanted:
            return True
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

    return (yield from _until(lease_id, there, late, timeout_s, progress))


def take_snapshot(lease_id: str, name: str, timeout_s: float, progress: Progress | None) -> Plan[wire.VolumeSnapshot]:
    """Take a snapshot of the data volume and return it once it is complete (``timeout_s`` 0: at once)."""
    name = " ".join(name.split())
    asked: wire.Lease = yield requests.take_snapshot(lease_id, name)
    taken = named_snapshot(asked, name)
    if timeout_s <= 0:
        return taken

    def there(found: wire.Lease) -> bool:
        nonlocal taken
        taken = next((item for item in found.snapshots if item.id == taken.id), taken)
        if taken.state is wire.SnapshotState.FAILED:
            problem = found.problem
            raise (
                _error(problem)
                if problem is not None
                else EducloudError(
                    f"The cloud could not take the snapshot '{name}'.",
                    kept="The volume is as it was.",
                    next_step="Look at the machine's card, then try again.",
                )
            )
        return taken.state is wire.SnapshotState.COMPLETED

    yield from _until(lease_id, there, _late(f"The snapshot '{name}' is not complete", timeout_s), timeout_s, progress)
    return taken


def restore(lease_id: str, name: str, timeout_s: float, progress: Progress | None) -> Plan[wire.Lease]:
    """Make a new data volume from the snapshot of a name or an id, and see it through."""
    found = yield from lease(lease_id)
    chosen = named_snapshot(found, name)
    return (yield from _seen_through(requests.restore(lease_id, chosen.id), "restored", timeout_s, progress))


def delete_snapshot(lease_id: str, name: str, timeout_s: float, progress: Progress | None) -> Plan[wire.Lease]:
    """Delete the snapshot of a name or an id, and see it through."""
    found = yield from lease(lease_id)
    chosen = named_snapshot(found, name)
    return (
        yield from _seen_through(
            requests.delete_snapshot(lease_id, chosen.id), "rid of that snapshot", timeout_s, progress
        )
    )


def grow(lease_id: str, size_gib: int, timeout_s: float, progress: Progress | None) -> Plan[wire.Lease]:
    """Enlarge the data volume, and see it through."""
    return (yield from _seen_through(requests.grow(lease_id, size_gib), "enlarged", timeout_s, progress))


def volume(lease_id: str) -> Plan[wire.Volume]:
    """Return the data volume as it is now.

    Raises
    ------
    NotFoundError
        Its machine profile has none.
    """
    found = yield from lease(lease_id)
    if not found.volumes:
        raise NotFoundError(
            f"The machine of '{found.lab}' has no data volume.",
            next_step="Its machine profile decides that; choose another one for what should be kept.",
        )
    return found.volumes[0]


def named_snapshot(found: wire.Lease, wanted: str) -> wire.VolumeSnapshot:
    """Return the newest snapshot of a name, or the one of an id.

    Raises
    ------
    NotFoundError
        There is none; says which there are.
    """
    wanted = " ".join(wanted.split())
    there = [item for item in found.snapshots if item.state is not wire.SnapshotState.DELETED]
    named = [item for item in there if wanted in (item.id, item.name)]
    if not named:
        known = ", ".join(f"'{item.name}'" for item in there) or "none"
        raise NotFoundError(f"There is no snapshot '{wanted}'.", kept="Nothing was done.", next_step=f"Known: {known}.")
    # A failed one may have the name of one that was taken afterwards.
    return max(named, key=lambda item: (item.state is not wire.SnapshotState.FAILED, item.created_at))


def _seen_through(ask: Ask[wire.Lease], done: str, timeout_s: float, progress: Progress | None) -> Plan[wire.Lease]:
    asked: wire.Lease = yield ask
    job = asked.job
    if timeout_s <= 0 or job is None:
        return asked

    def there(found: wire.Lease) -> bool:
        last = found.job
        if last is None or last.id != job.id:
            return True  # over, and something else came after it
        if last.in_flight:
            return False
        if last.outcome == "failed":
            raise (
                _error(found.problem)
                if found.problem is not None
                else EducloudError(
                    f"The data volume of '{found.lab}' was not {done}.", next_step="Look at the machine's card."
                )
            )
        return True

    late = _late(f"The data volume is not {done}", timeout_s)
    return (yield from _until(asked.id, there, late, timeout_s, progress))


def _until(
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


def _late(what: str, timeout_s: float) -> Callable[[Any], WaitTimeoutError]:
    def late(found: wire.Lease) -> WaitTimeoutError:
        return WaitTimeoutError(
            f"{what} after {timeout_s:g} s: {found.headline}.",
            kept="It goes on by itself.",
            next_step="Wait longer, or look at the machine's card.",
        )

    return late


def _heads_for(wanted: wire.Phase, found: wire.Lease) -> bool:
    if wanted is wire.Phase.READY:
        return found.target == "running"
    if wanted in (wire.Phase.ASLEEP, wire.Phase.OFF):
        return found.target != "running"
    return False


def _no_trouble(found: wire.Lease) -> None:
    if found.phase is wire.Phase.TROUBLE and found.problem is not None:
        raise _error(found.problem)


def _error(problem: wire.Problem) -> EducloudError:
    return error_of(problem.code, problem.what, problem.kept, problem.next_step)
