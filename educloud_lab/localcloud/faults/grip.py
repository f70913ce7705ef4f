"""What faults do to instances, volumes and attachments: rows whose work is withheld, dropped or failed."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import select
from sqlalchemy.orm import Session

from educloud_lab.localcloud.faults.active import Active, Target
from educloud_lab.localcloud.state.tables import Attachment, Instance, Volume

if TYPE_CHECKING:
    from educloud_lab.localcloud.faults.faults import Faults

INSTANCE_FAULTS = frozenset({"pending-for-ever", "stop-sticks", "no-address", "node-dies"})


def about(row: Instance) -> Target:
    """Return an instance as a target."""
    return Target(row.owner, "", row.zone, frozenset({row.id, row.node}))


def hold(faults: Faults, session: Session, now: datetime, mend: bool) -> frozenset[str]:
    """Let the faults act on rows; return the ids of the instances and volumes whose work waits."""
    waiting: set[str] = set()
    if mend or any(True for kind in INSTANCE_FAULTS for _ in faults.of(kind)):
        for row in session.scalars(select(Instance).where(Instance.state.in_(("pending", "stopping", "running")))):
            if _instance_waits(faults, row, now):
                waiting.add(row.id)
    if any(True for _ in faults.of("volume-fails")):
        _fail_volumes(faults, session)
    if any(True for kind in ("attach-drops", "detach-sticks", "node-dies") for _ in faults.of(kind)):
        waiting |= _attachments(faults, session, now)
    return frozenset(waiting)


def _instance_waits(faults: Faults, row: Instance, now: datetime) -> bool:
    dead = faults.dead_since(row.node)
    if row.state == "pending":
        if dead is not None:
            return True
        for fault in faults.of("pending-for-ever"):
            if fault.holds(row.id, about(row), now):
                return not fault.held_longer_than(row.id, fault.number("give_up_s"), now)
        return False
    if row.state == "stopping":
        for fault in faults.of("stop-sticks"):
            if not row.force_stop and fault.holds(row.id, about(row), now):
                return not fault.held_longer_than(row.id, fault.number("give_up_s"), now)
        return False
    row.address_shown = shows_address(faults, row, now)
    # Its node's silence is not news until it lasted too long.
    return dead is not None and (now - dead[0]).total_seconds() < dead[1].number("expire_s")


def shows_address(faults: Faults, row: Instance, now: datetime) -> bool:
    """Whether callers see the address of a running instance."""
    return not any(fault.holds(row.id, about(row), now) for fault in faults.of("no-address"))


def _fail_volumes(faults: Faults, session: Session) -> None:
    roots = set(session.scalars(select(Attachment.volume_id).where(Attachment.is_root)))
    for row in session.scalars(select(Volume).where(Volume.state == "creating")):
        target = Target(row.owner, "", row.zone, frozenset({row.id}))
        if row.id not in roots and any(faults.strikes(fault, target) for fault in faults.of("volume-fails")):
            row.state = "failed"


def _attachments(faults: Faults, session: Session, now: datetime) -> set[str]:
    waiting = set()
    changing = select(Attachment).where(Attachment.state.in_(("attaching", "detaching")))
    for row in session.scalars(changing):
        volume = session.get(Volume, row.volume_id)
        if volume is None or (row.is_root and row.state == "attaching"):
            continue
        instance = session.get(Instance, row.instance_id)
        if instance is not None and instance.state == "running" and faults.dead_since(instance.node) is not None:
            waiting.add(row.volume_id)  # its node says nothing
            continue
        target = Target(volume.owner, "", volume.zone, frozenset({row.volume_id, row.instance_id}))
        if row.state == "attaching":
            if any(faults.strikes(fault, target) for fault in faults.of("attach-drops")):
                session.delete(row)
                volume.state = "available"
        elif _sticks(faults, row, target, now):
            waiting.add(row.volume_id)
    return waiting


def _sticks(faults: Faults, row: Attachment, target: Target, now: datetime) -> bool:
    for fault in faults.of("detach-sticks"):
        if fault.parameters["outcome"] == "reverts":
            if faults.strikes(fault, target):
                row.state = "attached"
                return False
        elif fault.holds(row.volume_id, target, now):
            return True
    return False


def forget_gone(faults: list[Active], session: Session) -> None:
    """Let go of resources whose state is not one that the fault keeps: they were ended or forced through."""
    states = {"pending-for-ever": "pending", "stop-sticks": "stopping", "no-address": "running"}
    for fault in faults:
        if not fault.held or fault.kind.name not in (*states, "detach-sticks"):
            continue
        if fault.kind.name == "detach-sticks":
            query = select(Attachment.volume_id).where(Attachment.state == "detaching")
        else:
            query = select(Instance.id).where(Instance.state == states[fault.kind.name])
        still = set(session.scalars(query))
        fault.let_go([key for key in fault.held if key not in still])
