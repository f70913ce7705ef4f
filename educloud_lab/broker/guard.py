"""The dead-man's timer: armed at contact, moved only when the hard limit moves, so that it holds when we do not run."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from educloud_lab.broker import contact
from educloud_lab.broker.run import Run
from educloud_lab.broker.scripts import guard as scripts
from educloud_lab.broker.scripts.grammar import read_answer
from educloud_lab.broker.sessions import begun, guard_wish
from educloud_lab.domain.errors import ShellError
from educloud_lab.ports.records import LeaseRecord
from educloud_lab.ports.shell import Connection

_log = logging.getLogger(__name__)
_ARM_S = 30.0


async def finish(run: Run) -> None:
    """Last step of a start: arm the timer while the machine's own host key is being proved; nobody is let in before."""
    connection: Connection = run.notes["connection"]
    now, sequence = await run.parts.store.transact(lambda tx: (tx.now(), tx.version()))
    until = guard_wish(begun(run.lease, now), run.parts.config)
    assert until is not None
    try:
        armed = await run.outside(
            "arm-guard",
            lambda: arm(connection, run.lease, until, now=now, sequence=sequence, newest=run.parts.store.version),
        )
    except ShellError as error:
        # The limits hold without it; it is tried again while the machine runs.
        _log.warning("the timer of lease %s could not be armed: %s", run.lease.id, error)
        armed = None
    await run.put_lease("guard", guard_until=armed)
    await contact.verified(run)


async def arm(
    connection: Connection,
    lease: LeaseRecord,
    until: datetime,
    *,
    now: datetime,
    sequence: int,
    newest: Callable[[], Awaitable[int]],
) -> datetime:
    """Arm a machine's timer and return what it is armed with: the newer wish, when another broker was faster.

    Parameters
    ----------
    until : when it fires, by the store's clock.
    now : the store's time; the machine counts the difference too, and takes the later of the two.
    sequence : the store's version when this was wished; a later wish has a higher one.
    newest : asks for the store's version now: no wish of ours is newer than that.

    Raises
    ------
    ShellError
        The machine did not do it.
    """
    armed, by = await _arm(connection, lease, until, now=now, sequence=sequence)
    if by > sequence and by > await newest():
        # Of another history: the store was brought back from a backup, or the disk is a copy of another's. That
        # wish would outlive every Keep of ours.
        armed, _ = await _arm(connection, lease, until, now=now, sequence=by + 1)
    return armed


async def _arm(
    connection: Connection, lease: LeaseRecord, until: datetime, *, now: datetime, sequence: int
) -> tuple[datetime, int]:
    """Arm it, unless it follows a later wish; return what it is armed with, and by which wish."""
    volume = lease.profile.volume
    arguments = [
        str(sequence),
        str(round(until.timestamp())),
        str(max(0, round((until - now).total_seconds()))),
        str(scripts.BOOT_GRACE_S),
        volume.mount_point if volume is not None else "",
    ]
    completed = await connection.run(scripts.ARM, arguments=arguments, timeout_s=_ARM_S)
    answer = read_answer("guard", completed, scripts.ARM_FORMS, required=("until", "sequence", "survives"))
    if answer["survives"] == "no":
        _log.info(
            "the timer of lease %s does not survive a reboot: its machine has an init that we do not know", lease.id
        )
    return datetime.fromtimestamp(int(answer["until"]), UTC), int(answer["sequence"])
