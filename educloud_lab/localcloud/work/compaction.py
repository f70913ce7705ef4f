"""Giving space back: layers of deleted snapshots are removed, or taken up by the one layer that lies on them.

What is needed is told by the headers of all disk files together with the rows, never by a guess: a file of a snapshot
that no row calls deleted stays. All of this waits for everything else: it is one task, and it ends when somebody wants
one of the disks that it works on (:class:`Holds`).
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from educloud_lab.localcloud import disklayers
from educloud_lab.localcloud.cloud import Cloud
from educloud_lab.localcloud.disks import DiskError
from educloud_lab.localcloud.hypervisor.base import Hypervisor, HypervisorError
from educloud_lab.localcloud.operations.common import drop_tags
from educloud_lab.localcloud.state.tables import Attachment, Instance, Snapshot, SnapshotPermission, Volume
from educloud_lab.localcloud.work.diskroom import DiskMaker, volume_path
from educloud_lab.localcloud.work.holds import Holds

log = logging.getLogger("educloud.cloud.compaction")

MOST_LAYERS = 16
"""Layers that a volume may lie on; with more, it takes up all but the image's."""

_AWAY = ("stopped", "terminated")


@dataclass(frozen=True, slots=True)
class _Disk:
    """A volume's file and where it is in use: instance, the disk's name there, the instance's state."""

    volume_id: str
    machine: tuple[str, str] | None = None
    in_use: bool = False


@dataclass(frozen=True, slots=True)
class _Merge:
    """``top`` is to take up the layers under it as far as ``base``."""

    top: Path
    taken: tuple[Path, ...]
    base: Path | None


@dataclass(slots=True)
class _View:
    """All layers, and what the rows say of them, at one time."""

    deleted: dict[Path, str] = field(default_factory=dict)
    wanted: set[str] = field(default_factory=set)  # snapshots from which volumes are being made
    snapshots: dict[Path, str] = field(default_factory=dict)
    volumes: dict[Path, _Disk] = field(default_factory=dict)
    bases: dict[Path, Path | None] = field(default_factory=dict)
    children: dict[Path, list[Path]] = field(default_factory=dict)

    def below(self, path: Path) -> list[Path]:
        """Return the layers under a file, the nearest first."""
        found: list[Path] = []
        while (base := self.bases.get(path)) is not None:
            found.append(base)
            path = base
        return found

    def over(self, path: Path) -> Iterator[Path]:
        """Return the file and all that lie on it."""
        yield path
        for child in self.children.get(path, ()):
            yield from self.over(child)

    def unused(self) -> list[Path]:
        """Return files of deleted snapshots on which nothing lies."""
        return [path for path, key in self.deleted.items() if key not in self.wanted and not self.children.get(path)]

    def merges(self) -> Iterator[_Merge]:
        """Return what can be merged."""
        for path, key in self.deleted.items():
            children = self.children.get(path, [])
            if key not in self.wanted and len(children) == 1:
                yield _Merge(children[0], (path,), self.bases.get(path))
        for path in self.volumes:
            below = self.below(path)
            if len(below) > MOST_LAYERS:
                rest = [layer for layer in below if layer not in self.snapshots]  # an image's own file stays
                taken = tuple(layer for layer in below if layer in self.snapshots)
                yield _Merge(path, taken, rest[0] if rest else None)


class Compaction:
    """Removes and merges layers, one at a time, for as long as nobody wants the disks."""

    def __init__(self, cloud: Cloud, hypervisor: Hypervisor, disks: DiskMaker, holds: Holds) -> None:
        self._cloud = cloud
        self._database = cloud.database
        self._folders = cloud.settings.folders
        self._hypervisor = hypervisor
        self._disks = disks
        self._holds = holds

    async def run(self) -> None:
        """Do all that can be done now."""
        while await self._step():
            pass

    async def _step(self) -> bool:
        view = await self._view()
        for path in view.unused():
            await self._remove(path, view.deleted[path])
            return True
        for merge in view.merges():
            try:
                if await self._merge(merge, view):
                    return True
            except (HypervisorError, OSError) as error:
                log.info("%s stays as it is for now: %s", merge.top.name, error)
        return False

    async def _remove(self, path: Path, snapshot_id: str) -> None:
        await asyncio.to_thread(disklayers.remove, path)

        def work(session: Session) -> None:
            row = session.get(Snapshot, snapshot_id)
            if row is not None and row.state == "deleted":
                forget(session, row)

        await self._database.run(work)

    async def _merge(self, merge: _Merge, view: _View) -> bool:
        """Make one merge; False when it has to wait until a disk is not in use."""
        ids = {view.volumes[path].volume_id for path in view.over(merge.top) if path in view.volumes}
        ids |= {view.snapshots[path] for path in (merge.top, *merge.taken) if path in view.snapshots}
        async with self._holds.hold_in_background(ids):
            view = await self._view()
            if merge not in view.merges():
                return True  # it was otherwise by the time that it could begin: look again
            size_bytes = sum(disklayers.used_bytes(path) for path in merge.taken)
            await self._disks.check_room(merge.top.parent, size_bytes)
            disk = view.volumes.get(merge.top)
            done = False
            if disk is not None and disk.machine is not None and disk.in_use:
                instance_id, disk_id = disk.machine
                layers = view.below(merge.top)
                done = await self._hypervisor.take_up_layers(instance_id, disk_id, layers, merge.base)
            if not done:
                others = [view.volumes[path] for path in view.over(merge.top) if path in view.volumes]
                if any(other.in_use and other is not disk for other in others):
                    return False  # machines read it
                await self._disks.rebase(merge.top, merge.base)
            base = self._disks.header(merge.top).base
            if base != merge.base:
                raise HypervisorError(f"{merge.top.name} lies on {base}, not on {merge.base}.")
            log.info("%s took up %s", merge.top.name, ", ".join(path.name for path in merge.taken))
            return True

    async def _view(self) -> _View:
        view = await self._database.run(self._rows)
        await asyncio.to_thread(self._read_headers, view)
        return view

    def _rows(self, session: Session) -> _View:
        view = _View()
        for row in session.scalars(select(Snapshot).where(Snapshot.volume_id != "")):
            path = _real(self._folders.cloud / row.file)
            if row.state == "deleted":
                view.deleted[path] = row.id
            view.snapshots[path] = row.id
        making = select(Volume.snapshot_id).where(Volume.state == "creating")
        view.wanted = set(session.scalars(making))
        attachments = {row.volume_id: row for row in session.scalars(select(Attachment))}
        states = {key: str(state) for key, state in session.execute(select(Instance.id, Instance.state))}
        for volume_id in session.scalars(select(Volume.id).where(Volume.state != "deleted")):
            at = attachments.get(volume_id)
            disk = _Disk(volume_id)
            if at is not None:
                machine = (at.instance_id, "root" if at.is_root else volume_id)
                disk = _Disk(volume_id, machine, states.get(at.instance_id, "terminated") not in _AWAY)
            view.volumes[_real(volume_path(self._folders, volume_id))] = disk
        return view

    def _read_headers(self, view: _View) -> None:
        folders = (self._folders.volumes, self._folders.snapshots, self._folders.roots)
        for path in (_real(path) for folder in folders for path in folder.glob("*.qcow2")):
            try:
                base = self._disks.header(path).base
            except HypervisorError:
                if path.exists():  # what lies under a damaged file is not known: nothing is removed while it is there
                    raise
                continue
            if base is not None:
                base = _real(base)
                if not base.exists() and path.exists() and ".next-" not in path.name:
                    raise DiskError(f"{path} lies on {base}, which is missing: no layer is removed while that is so.")
                view.children.setdefault(base, []).append(path)
            view.bases[path] = base
        view.volumes = {path: disk for path, disk in view.volumes.items() if path in view.bases}


def _real(path: Path) -> Path:
    """Return the path without links: the home may be reached by several names."""
    return Path(os.path.realpath(path))


def forget(session: Session, row: Snapshot) -> None:
    """Drop the row of a snapshot whose file is gone, and what belongs to it."""
    drop_tags(session, row.id)
    for permission in session.scalars(select(SnapshotPermission).where(SnapshotPermission.snapshot_id == row.id)):
        session.delete(permission)
    session.delete(row)
