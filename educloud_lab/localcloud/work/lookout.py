"""Which machines have to be looked at: all of them where the hypervisor cannot tell, else those that changed."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from sqlalchemy import select
from sqlalchemy.orm import Session

from educloud_lab.localcloud.hypervisor.base import Hypervisor, MachineReport
from educloud_lab.localcloud.state.tables import Instance
from educloud_lab.localcloud.work.recovery import LIVE, report_of

_FEW = 1000  # beyond this one look at all is cheaper


class Lookout:
    """Finds machines that ended by themselves, at a cost that goes with what changed."""

    def __init__(self, hypervisor: Hypervisor) -> None:
        self._hypervisor = hypervisor
        self._tells = False
        self._suspects: set[str] | None = None  # None: all, as at the beginning, when nothing was looked at yet

    def listen(self) -> None:
        """Take in what the hypervisor says; call before the rows are read."""
        changed = self._hypervisor.changed()
        self._tells = changed is not None
        if changed is None:
            self._suspects = None
        elif self._suspects is not None:
            self._suspects |= changed

    def rows(self, session: Session) -> dict[str, str]:
        """Return those that have to be looked at and are running or about to be: id to state."""
        # A machine that was shut down with the cloud is away by intent until the cloud is back.
        query = select(Instance.id, Instance.state).where(Instance.resume.is_(False))
        everybody = query.where(Instance.state.in_(("pending", "running")))
        suspects = self._suspects
        if suspects is None:
            return {row.id: row.state for row in session.execute(everybody)}
        if not suspects:
            return {}
        if len(suspects) <= _FEW:
            everybody = everybody.where(Instance.id.in_(suspects))
        return {row.id: row.state for row in session.execute(everybody) if row.id in suspects}

    async def ended(self, rows: Mapping[str, str], busy: Collection[str]) -> list[MachineReport]:
        """Return the reports of running machines that are not there any more, except those that are worked on."""
        running = [instance_id for instance_id, state in rows.items() if state == "running"]
        reports: Mapping[str, MachineReport] = {}
        if len(running) > _FEW or (running and not self._tells):
            reports = await self._hypervisor.report_all()
        elif running:
            reports = {instance_id: await self._hypervisor.report(instance_id) for instance_id in running}
        dead = [report for key in running if (report := report_of(reports, key)).state not in LIVE]
        if self._tells:
            # Looked at again until their rows say so; one that is only about to run may have ended already.
            pending = {instance_id for instance_id, state in rows.items() if state == "pending"}
            before = self._suspects if self._suspects is not None else pending
            self._suspects = {report.instance_id for report in dead} | (pending & before)
        return [report for report in dead if report.instance_id not in busy]
