"""Making, plugging, unplugging and deleting volumes as their rows say. Every step may be repeated after a crash."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from sqlalchemy.orm import Session

from educloud_lab.localcloud import events
from educloud_lab.localcloud.cloud import Cloud
from educloud_lab.localcloud.hypervisor.base import DiskSpec, Hypervisor, HypervisorError
from educloud_lab.localcloud.operations.common import drop_tags
from educloud_lab.localcloud.state.tables import Attachment, Instance, Snapshot, Volume
from educloud_lab.localcloud.work.diskroom import DiskMaker, serial, volume_path
from educloud_lab.localcloud.work.recovery import LIVE
from educloud_lab.localcloud.work.snapshots import Snapshots, layer_id

log = logging.getLogger("educloud.cloud.volumes")


class Volumes:
    """The volumes of one zone, moved from state to state."""

    def __init__(self, cloud: Cloud, hypervisor: Hypervisor, disks: DiskMaker, snapshots: Snapshots) -> None:
        self._database = cloud.database
        self._cloud = cloud
        self._folders = cloud.settings.folders
        self._hypervisor = hypervisor
        self._disks = disks
        self._snapshots = snapshots

    async def create(self, volume_id: str) -> None:
        """Take a volume from creating to available, or to failed with nothing left behind."""

        def read(session: Session) -> tuple[Volume, str, str] | None:
            row = session.get(Volume, volume_id)
            if row is None or row.state != "creating":
                return None
            snapshot = session.get(Snapshot, row.snapshot_id) if row.snapshot_id else None
            return row, snapshot.file if snapshot is not None else "", layer_id(snapshot)

        found = await self._database.run(read)
        if found is None:
            return
        row, base, layer = found
        outcome, why = "available", ""
        try:
            # The snapshot is held too: its layer must not be merged while another is put on it.
            async with self._snapshots.held([volume_id], layer):
                await self._make(row, base)
        except (HypervisorError, OSError) as error:
            log.warning("%s was not made: %s", volume_id, error)
            outcome, why = "failed", str(error)

        def write(session: Session) -> None:
            volume = session.get(Volume, volume_id)
            if volume is not None and volume.state == "creating":
                attached = session.get(Attachment, volume_id) is not None  # made for a machine (see RunInstances)
                volume.state = "in-use" if attached and outcome == "available" else outcome
                self._record(session, volume, outcome if not why else f"failed: {why}")

        await self._database.run(write)

    async def _make(self, row: Volume, base: str) -> None:
        path, size_bytes = volume_path(self._folders, row.id), row.size_gib << 30
        if await asyncio.to_thread(path.exists):
            return
        if row.snapshot_id and not base:
            raise HypervisorError(f"The snapshot {row.snapshot_id} is gone.")
        await self._disks.check_room(self._folders.volumes, 0)  # what is promised was counted when it was asked for
        if base:
            await self._disks.create_overlay(path, self._folders.cloud / base, size_bytes)
        else:
            await self._disks.create_blank(path, size_bytes)

    def _record(self, session: Session, row: Volume, text: str) -> None:
        events.record(session, self._cloud.now(), "volume", row.id, text, owner=row.owner)

    async def delete(self, volume_id: str) -> None:
        """Remove a deleting volume's file; snapshots that were asked for before are taken first."""
        async with self._snapshots.held([volume_id]):
            await self._disks.delete(volume_path(self._folders, volume_id))

        def write(session: Session) -> None:
            volume = session.get(Volume, volume_id)
            if volume is not None and volume.state == "deleting":
                volume.state, volume.deleted_at = "deleted", self._cloud.now()
                drop_tags(session, volume_id)
                self._record(session, volume, "deleted")

        await self._database.run(write)

    async def attach(self, volume_id: str) -> None:
        """Plug a volume; when that fails the attachment vanishes and the volume is available, as in Eucalyptus."""
        found = await self._database.run(lambda session: _attachment(session, volume_id, "attaching"))
        if found is None:
            return
        attachment, state = found
        if state not in ("running", "stopped"):
            return  # the instance is on its way; its own end settles this
        plugged = True
        if state == "running":
            path: Path = volume_path(self._folders, volume_id)
            disk = DiskSpec(volume_id, path, serial(volume_id, attachment.device))
            try:
                async with self._snapshots.held([volume_id]):
                    await self._hypervisor.attach(attachment.instance_id, disk)
            except HypervisorError as error:
                if await self._is_gone(attachment.instance_id):
                    return  # it is plugged when the machine starts again, or let go when that is ended
                log.warning("%s was not attached to %s: %s", volume_id, attachment.instance_id, error)
                plugged = False

        def write(session: Session) -> None:
            _attached(session, volume_id, plugged)
            if (row := session.get(Volume, volume_id)) is not None:
                where = attachment.instance_id
                self._record(session, row, f"attached to {where}" if plugged else f"could not be attached to {where}")

        await self._database.run(write)

    async def _is_gone(self, instance_id: str) -> bool:
        """Whether the machine of a running instance is not there any more, which the supervisor will record."""
        return (await self._hypervisor.report(instance_id)).state not in LIVE

    async def detach(self, volume_id: str) -> None:
        """Unplug a volume; when that fails it stays attached."""
        found = await self._database.run(lambda session: _attachment(session, volume_id, "detaching"))
        if found is None:
            return
        attachment, state = found
        if state not in ("running", "stopped"):
            return
        try:
            if state == "running":
                async with self._snapshots.held([volume_id]):
                    await self._hypervisor.detach(attachment.instance_id, volume_id)
        except HypervisorError as error:
            if await self._is_gone(attachment.instance_id):
                return
            log.warning("%s stays at %s: %s", volume_id, attachment.instance_id, error)
            await self._database.run(lambda session: _attached(session, volume_id, True, "detaching"))
            return

        def write(session: Session) -> None:
            row, volume = session.get(Attachment, volume_id), session.get(Volume, volume_id)
            if row is not None and row.state == "detaching":
                session.delete(row)
                if volume is not None:
                    volume.state = "available"
                    self._record(session, volume, f"detached from {attachment.instance_id}")

        await self._database.run(write)


def _attachment(session: Session, volume_id: str, state: str) -> tuple[Attachment, str] | None:
    row = session.get(Attachment, volume_id)
    if row is None or row.state != state:
        return None
    instance = session.get(Instance, row.instance_id)
    return row, instance.state if instance is not None else "terminated"


def _attached(session: Session, volume_id: str, plugged: bool, before: str = "attaching") -> None:
    row, volume = session.get(Attachment, volume_id), session.get(Volume, volume_id)
    if row is None or row.state != before:
        return
    if plugged:
        row.state = "attached"
    else:
        session.delete(row)
        if volume is not None:
            volume.state = "available"
