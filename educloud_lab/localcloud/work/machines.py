"""Starting, stopping and ending machines as their rows say. Every step may be repeated after a crash."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol

from sqlalchemy import select
from sqlalchemy.orm import Session

from educloud_lab.localcloud import events
from educloud_lab.localcloud.cloud import Cloud
from educloud_lab.localcloud.hypervisor.base import DiskSpec, Hypervisor, HypervisorError, MachineReport, MachineSpec
from educloud_lab.localcloud.state.tables import Attachment, Instance, Volume
from educloud_lab.localcloud.work.diskroom import DiskMaker, root_path, serial, volume_path
from educloud_lab.localcloud.work.plans import Plan, base_of, read_plan, spec_of
from educloud_lab.localcloud.work.snapshots import Snapshots

log = logging.getLogger("educloud.cloud.machines")


class Metadata(Protocol):
    """Serves metadata to machines, one unix socket each."""

    async def serve(self, instance_id: str, socket: Path) -> None:
        """Serve one instance. Repeatable."""

    async def withdraw(self, instance_id: str) -> None:
        """Stop serving it. Repeatable."""


class Machines:
    """The machines of one node, moved from state to state."""

    def __init__(
        self,
        cloud: Cloud,
        hypervisor: Hypervisor,
        disks: DiskMaker,
        metadata: Metadata | None,
        sockets: Path,
        published: Callable[[], Awaitable[None]],
        snapshots: Snapshots,
    ) -> None:
        self._cloud = cloud
        self._snapshots = snapshots
        self._folders = cloud.settings.folders
        self._hypervisor = hypervisor
        self._disks = disks
        self._metadata = metadata
        self._sockets = sockets
        self._published = published
        self._database = cloud.database

    async def start(self, instance_id: str) -> bool:
        """Take a pending instance to running; False when it has to be tried again later."""
        plan = await self._database.run(lambda session: read_plan(session, self._folders, instance_id))
        if plan is None:
            return True
        if message := self._cloud.faults.gave_up(instance_id):
            await self._failed(instance_id, message)
            return True
        try:
            root = await self._root(plan)
            await self.serve_metadata(instance_id)
            async with self._snapshots.held(plan.volume_ids()):
                await self._hypervisor.start(self._cloud.faults.boot(plan.row, self._spec(plan, root)))
        except (HypervisorError, OSError) as error:
            log.warning("%s did not start: %s", instance_id, error)
            if plan.row.resume:
                return False
            await self._failed(instance_id, str(error))
            return True
        # The gateway knows the way before anybody is told the address.
        template = (await self._hypervisor.report(instance_id)).template
        await self._database.run(lambda session: self._has_started(session, instance_id, template))
        await self._published()
        await self._database.run(lambda session: self._is_running(session, instance_id))
        return True

    async def stop(self, instance_id: str) -> None:
        """Take a stopping instance to stopped."""
        row = await self._database.run(lambda session: session.get(Instance, instance_id))
        if row is None or row.state != "stopping":
            return
        if row.force_stop:
            await self._hypervisor.kill(instance_id)
        else:
            await self._hypervisor.shut_down(instance_id, grace_s=self._cloud.settings.stop_grace_s)
        await self._gone(instance_id)
        await self._database.run(lambda session: self._to_stopped(session, instance_id, None))

    async def terminate(self, instance_id: str) -> None:
        """Take an instance that is shutting down to terminated."""
        await self._hypervisor.kill(instance_id)
        await self._gone(instance_id)
        await self._disks.delete(root_path(self._folders, instance_id))
        await self._database.run(lambda session: self._to_terminated(session, instance_id, None))

    async def ended(self, instance_id: str, report: MachineReport) -> None:
        """Record that a running machine is not there any more: EBS-backed stops, instance-store ends."""
        reason = {
            "guest-shutdown": "NORMAL:  -- [powered off from inside]",
            "host-stop": "NORMAL:  -- [shut down with the cloud]",
            "guest-reset": "FAILED: The instance failed on the NC. -- [the guest's kernel stopped]",
        }.get(report.reason, f"EXPIRED: Instance expired after not being reported. -- [{report.reason or 'host'}]")
        log.warning("%s ended: %s", instance_id, report.reason or report.state.value)
        await self._gone(instance_id)

        def work(session: Session) -> bool:
            row = session.get(Instance, instance_id)
            if row is None or row.state != "running":
                return False
            # Eucalyptus ignores what was asked for at the start; profile aws keeps it in the row.
            ends = row.shutdown_behavior == "terminate" and report.reason == "guest-shutdown"
            if row.root_device_type == "ebs" and not ends:
                self._to_stopped(session, instance_id, reason)
                return False
            self._to_terminated(session, instance_id, reason)
            return True

        if await self._database.run(work):
            await self._disks.delete(root_path(self._folders, instance_id))

    async def serve_metadata(self, instance_id: str) -> None:
        """Serve the instance's metadata at its socket. Repeatable."""
        if self._metadata is not None:
            await self._metadata.serve(instance_id, self.socket(instance_id))

    def socket(self, instance_id: str) -> Path:
        """Return where the instance's metadata is served."""
        return self._sockets / f"{instance_id}.md"

    async def _gone(self, instance_id: str) -> None:
        await self._hypervisor.forget(instance_id)
        if self._metadata is not None:
            await self._metadata.withdraw(instance_id)

    async def _root(self, plan: Plan) -> DiskSpec:
        """Make the root disk unless an earlier attempt made it."""
        if plan.root_volume is None:
            path = root_path(self._folders, plan.row.id)
            if not await asyncio.to_thread(path.exists):
                await self._disks.create_overlay(path, base_of(plan), None)
            return DiskSpec("root", path, "euca-root")
        path = volume_path(self._folders, plan.root_volume.id)
        if plan.root_volume.state == "creating" and not await asyncio.to_thread(path.exists):
            async with self._snapshots.held([plan.root_volume.id], plan.layer):
                await self._disks.create_overlay(path, base_of(plan), plan.root_volume.size_gib << 30)
        return DiskSpec("root", path, serial(plan.root_volume.id, "/dev/sda"))

    def _spec(self, plan: Plan, root: DiskSpec) -> MachineSpec:
        row = plan.row
        kind = self._cloud.types[row.instance_type]
        return spec_of(plan, self._folders, kind, root, self.socket(row.id), self._cloud.console_path(row.id))

    def _has_started(self, session: Session, instance_id: str, template: str) -> None:
        row = session.get(Instance, instance_id)
        if row is not None and row.state == "pending":
            row.started_at, row.template = self._cloud.now(), template

    def _is_running(self, session: Session, instance_id: str) -> None:
        row = session.get(Instance, instance_id)
        if row is None:
            return
        for attachment, volume in _root_of(session, instance_id):
            attachment.state, volume.state = "attached", "in-use"
        row.ever_ran, row.resume = True, False
        # A stop or a termination that came meanwhile stays: the next round carries it out.
        if row.state == "pending":
            events.record(session, self._cloud.now(), "instance", row.id, f"runs at {row.address}", owner=row.owner)
            row.state, row.address_shown = "running", self._cloud.faults.shows_address(row)

    async def _failed(self, instance_id: str, message: str) -> None:
        reason = f"FAILED: The instance failed to start on the NC. -- [{message}]"
        await self._gone(instance_id)

        def work(session: Session) -> bool:
            row = session.get(Instance, instance_id)
            if row is None or row.state != "pending":
                return False
            if row.ever_ran and row.root_device_type == "ebs":
                self._to_stopped(session, instance_id, reason)
                return False
            self._to_terminated(session, instance_id, reason)
            return True

        if await self._database.run(work):
            await self._disks.delete(root_path(self._folders, instance_id))

    def _tell(self, session: Session, row: Instance, what: str) -> None:
        why = _because(row.reason)
        text = f"{what}: {why}" if why else what
        events.record(session, self._cloud.now(), "instance", row.id, text, owner=row.owner)

    def _to_stopped(self, session: Session, instance_id: str, reason: str | None) -> None:
        row = session.get(Instance, instance_id)
        if row is None or row.state in ("shutting-down", "terminated"):
            return
        row.state, row.force_stop, row.resume = "stopped", False, False
        row.address, row.address_shown, row.started_at, row.ended_at = "", False, None, self._cloud.now()
        row.reason = row.reason if reason is None else reason
        self._tell(session, row, "stopped")
        for attachment, volume in _root_of(session, instance_id):
            if volume.state == "creating":  # stopped before the disk was made: it is made at the next start
                continue
            attachment.state, volume.state = "attached", "in-use"

    def _to_terminated(self, session: Session, instance_id: str, reason: str | None) -> None:
        row = session.get(Instance, instance_id)
        if row is None or row.state == "terminated":
            return
        row.state, row.address, row.address_shown, row.ended_at = "terminated", "", False, self._cloud.now()
        row.reason = row.reason if reason is None else reason
        self._tell(session, row, "terminated")
        query = select(Attachment, Volume).join(Volume, Volume.id == Attachment.volume_id, isouter=True)
        for attachment, volume in session.execute(query.where(Attachment.instance_id == instance_id)):
            if volume is not None:
                if attachment.delete_on_termination:
                    volume.state = "deleting"
                elif volume.state not in ("creating", "failed"):  # one is still to be made, one never was
                    volume.state = "available"
            session.delete(attachment)


def _because(reason: str) -> str:
    """Return the part of a reason (``NAME: text -- [details]``) that people understand best."""
    text, _, details = reason.partition(" -- ")
    name, _, words = text.partition(":")
    return details.strip("[]") or words.strip() or name.lower().replace("_", " ")


def _root_of(session: Session, instance_id: str) -> list[tuple[Attachment, Volume]]:
    query = select(Attachment, Volume).join(Volume, Volume.id == Attachment.volume_id)
    return [
        (attachment, volume)
        for attachment, volume in session.execute(
            query.where(Attachment.instance_id == instance_id, Attachment.is_root)
        )
    ]
