"""Making images of machines (CreateImage): the guest is off for a moment, and all its disks are kept as of then."""

from __future__ import annotations

import logging

from sqlalchemy.orm import Session

from educloud_lab.localcloud import events
from educloud_lab.localcloud.cloud import Cloud
from educloud_lab.localcloud.hypervisor.base import Hypervisor, HypervisorError
from educloud_lab.localcloud.state.tables import Image, Instance, Snapshot
from educloud_lab.localcloud.work.snapshots import Snapshots

log = logging.getLogger("educloud.cloud.images")


class ImageMaker:
    """Takes images that callers asked for from pending to available."""

    def __init__(self, cloud: Cloud, hypervisor: Hypervisor, snapshots: Snapshots) -> None:
        self._cloud = cloud
        self._database = cloud.database
        self._hypervisor = hypervisor
        self._snapshots = snapshots

    async def make(self, image_id: str) -> None:
        """Take the snapshots of a pending image; after a crash, go on with those that are left."""

        def read(session: Session) -> tuple[list[dict[str, object]], str, str] | None:
            image = session.get(Image, image_id)
            if image is None or image.state != "pending":
                return None
            instance = session.get(Instance, image.source_instance_id)
            return image.mappings, image.source_instance_id, instance.state if instance is not None else "terminated"

        found = await self._database.run(read)
        if found is None:
            return
        mappings, instance_id, state = found
        ids = [str(entry["SnapshotId"]) for entry in mappings]

        async def take() -> None:
            for snapshot_id in ids:
                await self._snapshots.take(snapshot_id)

        reboot = any(entry.get("Reboot") for entry in mappings) and state == "running"
        if reboot and await self._database.run(lambda session: _any_pending(session, ids)):
            try:
                await self._hypervisor.reboot(instance_id, between=take)
            except HypervisorError as error:
                log.info("%s was not restarted for its image: %s", instance_id, error)
        await take()
        await self._database.run(lambda session: self._made(session, image_id))

    def _made(self, session: Session, image_id: str) -> None:
        image = session.get(Image, image_id)
        if image is None or image.state != "pending":
            return
        rows = [session.get(Snapshot, str(entry["SnapshotId"])) for entry in image.mappings]
        if any(row is not None and row.state == "pending" for row in rows):
            return  # tried again
        whole = all(row is not None and row.state == "completed" for row in rows)
        root = next(entry for entry in image.mappings if entry.get("Root"))
        image.snapshot_id = str(root["SnapshotId"])
        image.mappings = [
            {key: value for key, value in entry.items() if key not in ("Root", "Reboot", "VolumeId")}
            for entry in image.mappings
            if not entry.get("Root")
        ]
        image.state = "available" if whole else "failed"
        image.message = "" if whole else "A snapshot of its disks could not be taken."
        text = f"{image.state}, made of {image.source_instance_id}"
        events.record(session, self._cloud.now(), "image", image.id, text, owner=image.owner)


def _any_pending(session: Session, ids: list[str]) -> bool:
    rows = (session.get(Snapshot, snapshot_id) for snapshot_id in ids)
    return any(row is not None and row.state == "pending" for row in rows)
