"""What a process of the cloud does first: machines that an earlier one left are matched with the rows.

Nothing here decides that a machine is gone because nothing is known of it: rows of running machines without one are
left to the supervisor's watch, which tells by the hypervisor's reports how they ended.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from educloud_lab.localcloud import events
from educloud_lab.localcloud.cloud import Cloud
from educloud_lab.localcloud.hypervisor.base import DiskSpec, Hypervisor, HypervisorError, MachineReport, MachineState
from educloud_lab.localcloud.state.tables import Attachment, Instance
from educloud_lab.localcloud.work.diskroom import DiskMaker, root_path, serial, volume_path
from educloud_lab.localcloud.work.machines import Machines

log = logging.getLogger("educloud.cloud.recovery")

LIVE = (MachineState.RUNNING, MachineState.PAUSED)
LOST = "lost"
"""The hypervisor's word for a machine that it had to end because nothing could reach it any more."""


def report_of(reports: Mapping[str, MachineReport], instance_id: str) -> MachineReport:
    """Return what is reported of a machine, absent when nothing is."""
    return reports.get(instance_id, MachineReport(instance_id, MachineState.ABSENT))


class Recovery:
    """Brings machines and rows together once, after the hypervisor's ``open`` and before the first round."""

    def __init__(self, cloud: Cloud, hypervisor: Hypervisor, machines: Machines, disks: DiskMaker) -> None:
        self._cloud = cloud
        self._hypervisor = hypervisor
        self._machines = machines
        self._disks = disks

    async def run(self) -> None:
        """Do it. Repeatable."""
        reports = await self._hypervisor.report_all()
        rows = {row.id: row for row in await self._cloud.database.run(lambda s: list(s.scalars(select(Instance))))}
        # All at once, and below only what is there: thousands of machines may have been left.
        attachments = await self._cloud.database.run(_attachments)
        folders = self._cloud.settings.folders
        roots = await asyncio.to_thread(_names, folders.roots)
        for instance_id, report in reports.items():
            row = rows.get(instance_id)
            if row is None or row.state in ("stopped", "terminated"):
                log.warning("%s runs without being wanted: it is ended", instance_id)
                await self._hypervisor.kill(instance_id)
                await self._hypervisor.forget(instance_id)
            elif row.state == "running" and report.state in LIVE:
                if row.resume:  # the process was killed while it shut machines down; this one did not go yet
                    await self._cloud.database.run(lambda session, key=row.id: _goes_on(session, key))  # type: ignore[misc]  # bound now
                await self._machines.serve_metadata(instance_id)
                await self._match_disks(instance_id, report, attachments.get(instance_id, {}))
        for row in rows.values():
            report = report_of(reports, row.id)
            if row.state == "running" and report.state not in LIVE and (row.resume or report.reason == LOST):
                await self._hypervisor.forget(row.id)
                reason = "" if row.resume else "the cloud had lost hold of it, so it was switched off and on"
                await self._cloud.database.run(lambda session, key=row.id, r=reason: self._resume(session, key, r))  # type: ignore[misc]  # bound now
            elif row.state == "terminated" and (root := root_path(folders, row.id)).name in roots:
                await self._disks.delete(root)  # it outlived the process that recorded its machine's end

    def _resume(self, session: Session, instance_id: str, why: str) -> None:
        row = session.get(Instance, instance_id)
        if row is not None and row.state == "running":
            row.state, row.started_at, row.address_shown, row.resume = "pending", None, False, True
            text = "starts again with the cloud" if not why else f"starts again: {why}"
            events.record(session, self._cloud.now(), "instance", row.id, text, owner=row.owner)

    async def _match_disks(self, instance_id: str, report: MachineReport, wanted: Mapping[str, Attachment]) -> None:
        """Plug what the rows say is attached, unplug what they do not know."""
        folders = self._cloud.settings.folders
        try:
            for volume_id, row in wanted.items():
                if row.state == "attached" and volume_id not in report.disk_ids:
                    disk = DiskSpec(volume_id, volume_path(folders, volume_id), serial(volume_id, row.device))
                    await self._hypervisor.attach(instance_id, disk)
            for volume_id in report.disk_ids:
                if volume_id not in wanted:
                    await self._hypervisor.detach(instance_id, volume_id)
        except (HypervisorError, OSError) as error:
            log.warning("Volumes of %s are not as recorded: %s", instance_id, error)


def _attachments(session: Session) -> dict[str, dict[str, Attachment]]:
    """Return what is attached besides system disks: by machine, then by volume."""
    found: dict[str, dict[str, Attachment]] = {}
    for row in session.scalars(select(Attachment).where(Attachment.is_root.is_(False))):
        found.setdefault(row.instance_id, {})[row.volume_id] = row
    return found


def _names(folder: Path) -> frozenset[str]:
    return frozenset(path.name for path in folder.iterdir()) if folder.exists() else frozenset()


def _goes_on(session: Session, instance_id: str) -> None:
    row = session.get(Instance, instance_id)
    if row is not None and row.state == "running":
        row.resume = False
