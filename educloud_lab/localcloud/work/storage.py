"""What the supervisor does for snapshots and for images made of machines, and when space is given back."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from educloud_lab.localcloud import disks
from educloud_lab.localcloud.cloud import Cloud
from educloud_lab.localcloud.disks import DiskError
from educloud_lab.localcloud.hypervisor.base import Hypervisor
from educloud_lab.localcloud.state.tables import Attachment, Image, Instance, Snapshot, Volume
from educloud_lab.localcloud.work.compaction import Compaction
from educloud_lab.localcloud.work.diskroom import DiskMaker, volume_path
from educloud_lab.localcloud.work.holds import Holds
from educloud_lab.localcloud.work.images import ImageMaker
from educloud_lab.localcloud.work.snapshots import Snapshots
from educloud_lab.localcloud.work.supervisor import Spawn

log = logging.getLogger("educloud.cloud.storage")

_AGAIN_S = 5.0  # after somebody else wanted the disk


@dataclass(frozen=True, slots=True)
class _Work:
    """What the rows ask for."""

    snapshots: tuple[tuple[str, str], ...]  # id, and whose turn it is: the instance's or the volume's
    images: tuple[tuple[str, str], ...]
    layout: object  # what has to change before compaction can find something new to do; None: nothing is to be done


class Storage:
    """Snapshots, images of machines and compaction, as parts of the supervisor's rounds."""

    def __init__(self, cloud: Cloud, hypervisor: Hypervisor, maker: DiskMaker) -> None:
        self._cloud = cloud
        self._hypervisor = hypervisor
        self._disks = maker
        holds = Holds()
        self.snapshots = Snapshots(cloud, hypervisor, maker, holds)
        self.compaction = Compaction(cloud, hypervisor, maker, holds)
        self.images = ImageMaker(cloud, hypervisor, self.snapshots)
        self._work: _Work | None = None
        self._read_at = 0
        self._compacted: object = None
        self._not_before_s = 0.0

    async def recover(self) -> None:
        """Finish what an earlier process began; call it before disks are opened."""
        await self._disks.tidy(self._cloud.settings.folders.snapshots)
        await self.snapshots.recover()

    async def round(self, spawn: Spawn) -> None:
        """Start what the rows ask for."""
        work = await self._asked_for()
        for snapshot_id, key in work.snapshots:
            spawn(key, "snapshot", lambda snapshot_id=snapshot_id: self.snapshots.take(snapshot_id))  # type: ignore[misc]  # bound now
        for image_id, key in work.images:
            spawn(key, "image", lambda image_id=image_id: self.images.make(image_id))  # type: ignore[misc]  # bound now
        waits = self._cloud.clock.monotonic_s() < self._not_before_s
        if work.layout is not None and work.layout != self._compacted and not waits:
            spawn("compaction", "compaction", lambda: self._compact(work.layout))

    async def _asked_for(self) -> _Work:
        """Return what the rows ask for; they are read when anything was written since."""
        changes = self._cloud.database.changes
        if self._work is None or changes != self._read_at:
            self._work, self._read_at = await self._cloud.database.run(_read), changes
        return self._work

    async def grow(self, volume_id: str, size_gib: int) -> None:
        """Make a volume larger, in use or not. Raises HypervisorError: it is as it was."""
        path, size_bytes = volume_path(self._cloud.settings.folders, volume_id), size_gib << 30
        async with self.snapshots.held([volume_id]):
            at = await self._cloud.database.run(lambda session: session.get(Attachment, volume_id))
            if self._disks.header(path).virtual_bytes > size_bytes:
                raise DiskError(f"{volume_id} is never shrunk. Nothing changed.")
            disk_id = "root" if at is not None and at.is_root else volume_id
            if at is None or not await self._hypervisor.resize_disk(at.instance_id, disk_id, size_bytes):
                await self._disks.grow(path, size_bytes)
            await asyncio.to_thread(disks.flush, path)

    async def _compact(self, layout: object) -> None:
        try:
            await self.compaction.run()
            self._compacted = layout
        except asyncio.CancelledError:
            self._not_before_s = self._cloud.clock.monotonic_s() + _AGAIN_S
            raise
        except Exception:  # whatever it is, it is tried again when something has changed, not in every round
            self._compacted = layout
            log.exception("No space is given back")


def _read(session: Session) -> _Work:
    making = [
        (image.id, image.source_instance_id, {entry["SnapshotId"] for entry in image.mappings})
        for image in session.scalars(select(Image).where(Image.state == "pending", Image.registered))
    ]
    theirs = set().union(*(snapshots for _, _, snapshots in making))
    pending = session.execute(
        select(Snapshot.id, Snapshot.volume_id, Attachment.instance_id)
        .join(Attachment, Attachment.volume_id == Snapshot.volume_id, isouter=True)
        .where(Snapshot.state == "pending")
    )
    return _Work(
        tuple((key, instance or volume) for key, volume, instance in pending if key not in theirs),
        tuple((image, instance) for image, instance, _ in making),
        _layout(session),
    )


def _layout(session: Session) -> object:
    snapshots = list(session.execute(select(Snapshot.id, Snapshot.state).where(Snapshot.volume_id != "")))
    if not snapshots:
        return None
    volumes = session.execute(select(Volume.id, Volume.state).order_by(Volume.id))
    places = session.execute(
        select(Attachment.volume_id, Instance.id, Instance.state)
        .join(Instance, Instance.id == Attachment.instance_id)
        .order_by(Attachment.volume_id)
    )
    return tuple(sorted(map(tuple, snapshots))), tuple(map(tuple, volumes)), tuple(map(tuple, places))
