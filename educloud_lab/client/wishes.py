"""A data volume's wishes, seen through: what is asked, and how long it is looked at until it is done."""

from __future__ import annotations

from collections.abc import Callable

from educloud_lab.client import requests, rules
from educloud_lab.client.errors import WaitTimeoutError
from educloud_lab.client.plans import Ask, Plan
from educloud_lab.domain.errors import EducloudError, NotFoundError
from educloud_lab.wire import models as wire


def take_snapshot(
    lease_id: str, name: str, timeout_s: float, progress: rules.Progress | None
) -> Plan[wire.VolumeSnapshot]:
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
                rules.problem_error(problem)
                if problem is not None
                else EducloudError(
                    f"The cloud could not take the snapshot '{name}'.",
                    kept="The volume is as it was.",
                    next_step="Look at the machine's card, then try again.",
                )
            )
        return taken.state is wire.SnapshotState.COMPLETED

    yield from rules.until(
        lease_id, there, _late(f"The snapshot '{name}' is not complete", timeout_s), timeout_s, progress
    )
    return taken


def restore(lease_id: str, name: str, timeout_s: float, progress: rules.Progress | None) -> Plan[wire.Lease]:
    """Make a new data volume from the snapshot of a name or an id, and see it through."""
    found = yield from rules.lease(lease_id)
    chosen = named_snapshot(found, name)
    return (yield from _seen_through(requests.restore(lease_id, chosen.id), "restored", timeout_s, progress))


def delete_snapshot(lease_id: str, name: str, timeout_s: float, progress: rules.Progress | None) -> Plan[wire.Lease]:
    """Delete the snapshot of a name or an id, and see it through."""
    found = yield from rules.lease(lease_id)
    chosen = named_snapshot(found, name)
    return (
        yield from _seen_through(
            requests.delete_snapshot(lease_id, chosen.id), "rid of that snapshot", timeout_s, progress
        )
    )


def grow(lease_id: str, size_gib: int, timeout_s: float, progress: rules.Progress | None) -> Plan[wire.Lease]:
    """Enlarge the data volume, and see it through."""
    return (yield from _seen_through(requests.grow(lease_id, size_gib), "enlarged", timeout_s, progress))


def volume(lease_id: str) -> Plan[wire.Volume]:
    """Return the data volume as it is now.

    Raises
    ------
    NotFoundError
        Its machine profile has none.
    """
    found = yield from rules.lease(lease_id)
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


def _seen_through(
    ask: Ask[wire.Lease], done: str, timeout_s: float, progress: rules.Progress | None
) -> Plan[wire.Lease]:
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
                rules.problem_error(found.problem)
                if found.problem is not None
                else EducloudError(
                    f"The data volume of '{found.lab}' was not {done}.", next_step="Look at the machine's card."
                )
            )
        return True

    late = _late(f"The data volume is not {done}", timeout_s)
    return (yield from rules.until(asked.id, there, late, timeout_s, progress))


def _late(what: str, timeout_s: float) -> Callable[[wire.Lease], WaitTimeoutError]:
    def late(found: wire.Lease) -> WaitTimeoutError:
        return WaitTimeoutError(
            f"{what} after {timeout_s:g} s: {found.headline}.",
            kept="It goes on by itself.",
            next_step="Wait longer, or look at the machine's card.",
        )

    return late
