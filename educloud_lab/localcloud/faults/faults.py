"""The faults that are set: kept in the state, held in memory, asked at the places where the cloud may fail.

With none set, every question is answered from one empty dictionary.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from educloud_lab.localcloud import events
from educloud_lab.localcloud.errors import ApiError
from educloud_lab.localcloud.faults import boot, grip, refusals
from educloud_lab.localcloud.faults.active import Active, Target
from educloud_lab.localcloud.faults.catalogue import KINDS
from educloud_lab.localcloud.faults.door import REQUEST_FAULTS, Passage, target_of
from educloud_lab.localcloud.faults.older import OlderStates
from educloud_lab.localcloud.faults.wanted import Wanted, checked
from educloud_lab.localcloud.hypervisor.base import Hypervisor, MachineSpec, MachineState
from educloud_lab.localcloud.state.tables import Fault, Instance, Node, Tag

if TYPE_CHECKING:
    from educloud_lab.localcloud.cloud import Caller, Cloud

__all__ = ["MAX_FAULTS", "Faults", "Wanted"]

log = logging.getLogger("educloud.cloud.faults")

MAX_FAULTS = 100
_NONE: frozenset[str] = frozenset()
_LIVE = (MachineState.RUNNING, MachineState.PAUSED)


class Faults:
    """The faults of one cloud."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self._all: dict[str, Active] = {}
        self._lock = threading.RLock()
        self._nodes: dict[str, str] = {}
        self._older = OlderStates()
        self._tagged_anew = False
        self._mend = True  # what a fault that ended left behind, also before a restart
        self._happened: list[tuple[datetime, str, str]] = []

    # What the administrator does.

    async def create(self, wanted: Wanted) -> Active:
        """Set a fault; it acts from now on.

        Raises
        ------
        ApiError
            ``InvalidParameterValue``: no such kind, a limit or a scope that it does not have.
        """
        fault = checked(wanted, self.cloud.model.operations, self.cloud.now())

        def work(session: Session) -> None:
            self._sweep(session)
            if len(self._all) >= MAX_FAULTS:
                raise ApiError("ResourceLimitExceeded", f"At most {MAX_FAULTS} faults may be set; clear some.")
            session.add(fault.row())
            events.record(session, fault.created_at, "fault", fault.id, f"{fault.kind.title}: fault {fault.kind.name}")
            with self._lock:
                self._look_at_tags(session, [fault])
                self._nodes = {node.name: node.zone for node in session.scalars(select(Node))}

        await self.cloud.database.run(work)
        with self._lock:
            self._all[fault.id] = fault
        self._observe()
        if self.cloud.database.after_commit is not None:
            await self.cloud.database.run(lambda _session: None)  # what is so now is the oldest that is shown
        log.warning("Fault %s is set: %s", fault.id, fault.kind.name)
        self.cloud.wake()
        return fault

    async def delete(self, ids: list[str] | None = None) -> list[str]:
        """End faults, all of them when ``ids`` is None; return those that were there. What they kept goes on."""

        def work(session: Session) -> list[str]:
            found = [key for key in (self._all if ids is None else ids) if key in self._all]
            self._drop(session, found, "was cleared")
            return found

        found = await self.cloud.database.run(work)
        self._observe()
        self.cloud.wake()
        return found

    def all(self) -> list[Active]:
        """Return every fault that is set, oldest first."""
        now = self.cloud.now()
        with self._lock:
            return sorted((fault for fault in self._all.values() if fault.live(now)), key=lambda f: f.created_at)

    def load(self, session: Session) -> None:
        """Read the faults that an earlier process left; call once, when the state is open."""
        with self._lock:
            self._all = {row.id: Active.from_row(row) for row in session.scalars(select(Fault)) if row.kind in KINDS}
            self._nodes = {node.name: node.zone for node in session.scalars(select(Node))}
            self._look_at_tags(session, self._all.values())
            self._mend = True
        self._observe()

    # What the cloud asks.

    @property
    def any(self) -> bool:
        """Whether any fault is set."""
        return bool(self._all)

    def of(self, kind: str) -> Iterator[Active]:
        """Go through the faults of one kind whose time is not over."""
        if self._all:
            now = self.cloud.now()
            yield from [fault for fault in self._all.values() if fault.kind.name == kind and fault.live(now)]

    def strikes(self, fault: Active, target: Target) -> bool:
        """Decide whether a fault strikes, and count it."""
        with self._lock:
            return fault.strikes(target)

    def api_now(self, now: datetime) -> datetime:
        """Return the time that the front end takes it to be."""
        return now + timedelta(seconds=sum(fault.number("offset_s") for fault in self.of("clock-skew")))

    async def enter(self, caller: Caller, action: str, parameters: Mapping[str, str]) -> Passage | None:
        """Let a request in; None when no fault can strike it any more.

        Raises
        ------
        ApiError, ConnectionCut
            What it meets instead.
        """
        if not self._all or not any(fault.kind.name in REQUEST_FAULTS for fault in self._all.values()):
            return None
        if self._by_tag():
            await self.cloud.database.run(lambda session: self._look_at_tags(session, self._all.values()))
        passage = Passage(self, target_of(caller, action, parameters), caller.request_id)
        await passage.enter()
        return passage

    def seen_by(self, caller: Caller, action: str) -> Cloud:
        """Return the cloud as the caller's request sees it: for Describe it may be an older one."""
        if not self._all or not action.startswith("Describe"):
            return self.cloud
        target = Target(caller.account.account_id, action)
        delays = [f.number("delay_s") for f in self.of("delayed-visibility") if f.concerns(target)]
        older = self._older.at(self.cloud.now() - timedelta(seconds=max(delays))) if delays else None
        if older is None:
            return self.cloud
        copy = replace(self.cloud, database=older)  # type: ignore[arg-type]  # all that Describe does is run()
        copy.faults = self
        return copy

    def refuse(self, session: Session, account_id: str, operation: str, zone: str, **more: Any) -> None:
        """Raise the refusal of a request for an instance or volume; see :func:`refusals.refuse`."""
        if self._all:
            with self._lock:
                self._look_at_tags(session, self._all.values())
                refusals.refuse(self, account_id, operation, zone, **more)

    def hold(self, session: Session) -> frozenset[str]:
        """Act on rows; return the ids of instances and volumes that the supervisor leaves alone for now."""
        if not self._all and not self._mend:
            return _NONE
        with self._lock:
            mend, self._mend = self._mend, False
            self._sweep(session)
            self._look_at_tags(session, self._all.values())
            grip.forget_gone(list(self._all.values()), session)
            waiting = grip.hold(self, session, self.cloud.now(), mend or self._mend)
            self._write(session)
            return waiting

    async def enforce(self, hypervisor: Hypervisor) -> None:
        """Cut the power of the machines whose node is dead."""
        if not any(True for _ in self.of("node-dies")):
            return

        def work(session: Session) -> list[str]:
            rows = session.scalars(select(Instance).where(Instance.state.in_(("running", "stopping"))))
            return [row.id for row in rows if self.dead_since(row.node) is not None]

        for instance_id in await self.cloud.database.run(work):
            if (await hypervisor.report(instance_id)).state in _LIVE:
                await hypervisor.kill(instance_id)
                await hypervisor.forget(instance_id)

    def shows_address(self, row: Instance) -> bool:
        """Whether callers see the address of an instance that begins to run."""
        if not self._all:
            return True
        with self._lock:
            return grip.shows_address(self, row, self.cloud.now())

    def gave_up(self, instance_id: str) -> str:
        """Return why the cloud gives a pending instance up, '' when it does not."""
        now = self.cloud.now()
        for fault in self.of("pending-for-ever"):
            if fault.held_longer_than(instance_id, fault.number("give_up_s"), now):
                return "pending for too long"
        return ""

    def boot(self, row: Instance, spec: MachineSpec) -> MachineSpec:
        """Return what really starts; raises ``BootRefusedError``."""
        if not self._all:
            return spec
        with self._lock:
            return boot.spoil(self, row, spec)

    def dead_since(self, node: str) -> tuple[datetime, Active] | None:
        """Return since when a node is dead and by which fault, None when it lives."""
        target = Target("", "", self._nodes.get(node, ""), frozenset({node}))
        found = [(fault.created_at, fault) for fault in self.of("node-dies") if fault.concerns(target)]
        return min(found, key=lambda pair: pair[0]) if found else None

    def is_zone_dead(self, zone: str) -> bool:
        """Whether no node of the zone lives."""
        if not self._all:
            return False
        nodes = [name for name, its_zone in self._nodes.items() if its_zone == zone]
        return bool(nodes) and all(self.dead_since(name) is not None for name in nodes)

    def is_impaired(self, node: str) -> bool:
        """Whether a node has been silent for so long that its instances' systemStatus is impaired."""
        if not self._all:
            return False
        dead = self.dead_since(node)
        return dead is not None and (self.cloud.now() - dead[0]).total_seconds() >= dead[1].number("impaired_s")

    async def flush(self) -> None:
        """Write counts that changed."""
        if any(fault.changed for fault in self._all.values()):
            await self.cloud.database.run(self._write)

    # Inside.

    def _sweep(self, session: Session) -> None:
        """Drop faults whose time is over, and spent ones when there are too many."""
        now = self.cloud.now()
        with self._lock:
            self._drop(session, [key for key, fault in self._all.items() if not fault.live(now)], "is over")
            spent = [key for key, fault in self._all.items() if fault.spent]
            self._drop(session, spent[: max(0, len(self._all) - MAX_FAULTS + 1)], "is used up")

    def _drop(self, session: Session, ids: list[str], why: str) -> None:
        with self._lock:
            for key in ids:
                fault = self._all.pop(key)
                row = session.get(Fault, key)
                if row is not None:
                    session.delete(row)
                events.record(session, self.cloud.now(), "fault", key, f"fault {fault.kind.name} {why}")
                self._mend = True
            if ids:
                self._observe()

    def _by_tag(self) -> bool:
        return any(fault.tag for fault in self._all.values())

    def _look_at_tags(self, session: Session, faults: Any) -> None:
        for fault in faults:
            if fault.tag is not None:
                query = select(Tag.resource_id).where(Tag.key == fault.tag[0], Tag.value == fault.tag[1])
                fault.tagged = frozenset(session.scalars(query))

    def _write(self, session: Session) -> None:
        with self._lock:
            for fault in self._all.values():
                row = session.get(Fault, fault.id) if fault.changed else None
                if row is not None:
                    fault.write(row)

    def _observe(self) -> None:
        """Have the database keep older states for as long as a fault shows them."""
        reach = max((fault.number("delay_s") for fault in self.of("delayed-visibility")), default=None)
        if reach is None:
            self.cloud.database.after_commit = None
            self._older.forget()
        else:
            self.cloud.database.after_commit = lambda raw: self._older.remember(raw, self.cloud.now(), reach)
