"""Taking snapshots: a volume's file becomes a layer that nobody writes to, and a fresh layer takes over its name.

The steps, each of which may be the last one of this process or of the computer; :meth:`Snapshots.recover` and
:meth:`Snapshots.held` go on from wherever it was, always forward:

1. the row, ``pending``
2. ``volumes/VOL.next-TAG.qcow2``: an empty layer on ``snapshots/SNAP.qcow2``, which does not exist yet
3. ``snapshots/SNAP.qcow2``: a second name of the volume's file
4. a machine that has the disk writes to the empty layer from one moment on
5. the layer takes over the name ``volumes/VOL.qcow2``
6. the row, ``completed``

Between 3 and 5 both names are one file: nothing may open the volume before that is over, which ``held`` sees to.
Where the machine ended in between, step 5 is right whether or not it got as far as 4: an unused layer is empty.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from educloud_lab.localcloud import disklayers, events
from educloud_lab.localcloud.cloud import Cloud
from educloud_lab.localcloud.disks import DiskError
from educloud_lab.localcloud.hypervisor.base import DiskRefusedError, Hypervisor, HypervisorError, NotEnoughRoomError
from educloud_lab.localcloud.state.tables import Attachment, Snapshot, Volume
from educloud_lab.localcloud.work.diskroom import DiskMaker, next_path, snapshot_file, tag_of, volume_path
from educloud_lab.localcloud.work.holds import Holds

log = logging.getLogger("educloud.cloud.snapshots")


@dataclass(frozen=True, slots=True)
class _Pending:
    """A snapshot to be taken: its files, and who may be writing."""

    snapshot_id: str
    volume_id: str
    layer: Path
    overlay: Path
    machine: tuple[str, str] | None  # instance, and the disk's name there


class Snapshots:
    """Takes snapshots, and holds volumes so that nobody opens one in the middle of it."""

    def __init__(self, cloud: Cloud, hypervisor: Hypervisor, disks: DiskMaker, holds: Holds) -> None:
        self._cloud = cloud
        self._database = cloud.database
        self._folders = cloud.settings.folders
        self._hypervisor = hypervisor
        self._disks = disks
        self._holds = holds

    @contextlib.asynccontextmanager
    async def held(self, volume_ids: Iterable[str], *more: str) -> AsyncIterator[None]:
        """Hold volumes (and ``more``) for changing or opening their files; snapshots under way are finished first.

        Parameters
        ----------
        more : snapshots on which a layer is to be put; '' is none.

        Raises
        ------
        HypervisorError, OSError
            A snapshot can neither be finished nor given up now; nothing is held.
        """
        wanted = frozenset(volume_ids)
        async with self._holds.hold(wanted | frozenset(filter(None, more))):
            for pending in await self._database.run(lambda session: self._pending(session, wanted)):
                await self._take(pending)
            yield

    async def take(self, snapshot_id: str) -> None:
        """Take a pending snapshot, with all others of its volume. Raises HypervisorError, OSError: try again."""
        row = await self._database.run(lambda session: session.get(Snapshot, snapshot_id))
        if row is not None and row.state == "pending":
            async with self.held([row.volume_id]):
                pass

    async def recover(self) -> None:
        """Finish what an earlier process began, also where the host's crash took the newest rows with it.

        Call it before any disk is opened.
        """
        for path in sorted(self._folders.volumes.glob("*.next-*.qcow2")):
            try:
                await self._recover(path)
            except (HypervisorError, OSError) as error:
                log.warning("A snapshot that was being taken waits: %s", error)  # held() tries again

    async def _recover(self, path: Path) -> None:
        volume_id, _, rest = path.name.partition(".next-")
        volume = volume_path(self._folders, volume_id)
        if await asyncio.to_thread(disklayers.has_other_names, path) or not volume.exists():
            # A name that QEMU needed for a moment, or a layer for a volume that went before it was used.
            await asyncio.to_thread(disklayers.remove, path)
            return
        tag = rest.removesuffix(".qcow2")
        rows = await self._database.run(lambda session: self._pending(session, {volume_id}))
        if any(tag_of(row.snapshot_id) == tag for row in rows):
            async with self.held([volume_id]):
                return
        layer = self._disks.header(path).base
        if layer is None or not layer.exists():
            await asyncio.to_thread(disklayers.remove, path)  # nobody can have switched to it: step 3 was not made
            return
        machine = await self._database.run(lambda session: _machine(session, volume_id))
        pending = _Pending(layer.stem, volume_id, layer, path, machine)
        async with self._holds.hold([volume_id]):
            await self._put_on_top(pending)
            await self._database.run(lambda session: self._restore(session, pending))

    def _pending(self, session: Session, volume_ids: Iterable[str]) -> list[_Pending]:
        query = select(Snapshot).where(Snapshot.state == "pending", Snapshot.volume_id.in_(list(volume_ids)))
        return [
            _Pending(
                row.id,
                row.volume_id,
                self._folders.cloud / row.file,
                next_path(self._folders, row.volume_id, tag_of(row.id)),
                _machine(session, row.volume_id),
            )
            for row in session.scalars(query.order_by(Snapshot.created_at, Snapshot.id))
        ]

    async def _take(self, pending: _Pending) -> None:
        volume = volume_path(self._folders, pending.volume_id)
        try:
            if pending.overlay.exists() or not self._is_on_top(pending, volume):
                await self._make(pending, volume)
                await self._put_on_top(pending)
        except (NotEnoughRoomError, DiskError, DiskRefusedError) as error:
            log.warning("%s was not taken: %s", pending.snapshot_id, error)
            await self._give_up(pending, volume)
            return
        await self._database.run(lambda session: self._completed(session, pending.snapshot_id))

    def _is_on_top(self, pending: _Pending, volume: Path) -> bool:
        return pending.layer.exists() and not disklayers.same_file(pending.layer, volume)

    async def _make(self, pending: _Pending, volume: Path) -> None:
        if pending.overlay.exists():
            return
        if disklayers.same_file(pending.layer, volume):
            # Only somebody who removes files can have taken it: whether a machine writes there is to be asked first.
            log.warning("The layer %s went; it is made anew", pending.overlay.name)
        size_bytes = self._disks.header(volume).virtual_bytes
        await self._disks.check_room(self._folders.volumes, 0)
        await self._disks.create_next(pending.overlay, pending.layer, size_bytes)

    async def _put_on_top(self, pending: _Pending) -> None:
        """Steps 3 to 5."""
        volume = volume_path(self._folders, pending.volume_id)
        await asyncio.to_thread(disklayers.link, volume, pending.layer)
        switched = False
        if pending.machine is not None:
            instance_id, disk_id = pending.machine
            tag = tag_of(pending.snapshot_id)
            switched = await self._hypervisor.switch_disk(instance_id, disk_id, pending.overlay, tag)
        if not switched:
            await self._nobody_writes(volume)
        await asyncio.to_thread(disklayers.replace, pending.overlay, volume)

    async def _nobody_writes(self, volume: Path) -> None:
        try:
            await self._disks.check_unused(volume)
        except DiskError as error:
            # A machine that is not known here: its writes must not go into a snapshot's file. Later, perhaps.
            raise HypervisorError(f"Some program has {volume.name} open: {error}") from error

    async def _give_up(self, pending: _Pending, volume: Path) -> None:
        """Undo steps 2 and 3: no machine writes to the layer."""
        if disklayers.same_file(pending.layer, volume):
            await asyncio.to_thread(disklayers.remove, pending.layer)
        await asyncio.to_thread(disklayers.remove, pending.overlay)

        def work(session: Session) -> None:
            row = session.get(Snapshot, pending.snapshot_id)
            if row is not None and row.state == "pending":
                row.state = "failed"
                self._record(session, row, "failed")

        await self._database.run(work)

    def _completed(self, session: Session, snapshot_id: str) -> None:
        row = session.get(Snapshot, snapshot_id)
        if row is not None and row.state == "pending":
            row.state, row.progress_percent, row.completed_at = "completed", 100, self._cloud.now()
            self._record(session, row, f"completed, of {row.volume_id}")

    def _restore(self, session: Session, pending: _Pending) -> None:
        """Give a snapshot whose row a crash of the host took its row again."""
        volume = session.get(Volume, pending.volume_id)
        if volume is None or session.get(Snapshot, pending.snapshot_id) is not None:
            return
        now = self._cloud.now()
        row = Snapshot(
            id=pending.snapshot_id, owner=volume.owner, volume_id=volume.id, size_gib=volume.size_gib,
            state="completed", file=snapshot_file(pending.snapshot_id), created_at=now, completed_at=now,
            boots_like=volume.boots_like,
        )  # fmt: skip
        session.add(row)
        self._record(session, row, "found again after a crash of the computer")

    def _record(self, session: Session, row: Snapshot, text: str) -> None:
        events.record(session, self._cloud.now(), "snapshot", row.id, text, owner=row.owner)


def layer_id(snapshot: Snapshot | None) -> str:
    """Return the id by which a snapshot's layer is held, '' for an image's own, which is never merged."""
    return snapshot.id if snapshot is not None and snapshot.volume_id else ""


def _machine(session: Session, volume_id: str) -> tuple[str, str] | None:
    attachment = session.get(Attachment, volume_id)
    if attachment is None:
        return None
    return attachment.instance_id, "root" if attachment.is_root else volume_id
