"""What the start of a machine needs, read from its rows in one transaction, and what the hypervisor is told of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from educloud_lab.localcloud.hypervisor.base import DiskSpec, HypervisorError, MachineSpec
from educloud_lab.localcloud.model import InstanceType
from educloud_lab.localcloud.settings import Folders
from educloud_lab.localcloud.state.tables import Attachment, Image, Instance, Snapshot, Volume
from educloud_lab.localcloud.work.boots import boot_of
from educloud_lab.localcloud.work.diskroom import serial, volume_path
from educloud_lab.localcloud.work.snapshots import layer_id


@dataclass(frozen=True, slots=True)
class Plan:
    """What a start needs, read in one transaction."""

    row: Instance
    image: Image
    root_volume: Volume | None
    base: Path | None
    layer: str  # the snapshot that has to be held while a root is put on it
    disks: tuple[DiskSpec, ...]

    def volume_ids(self) -> list[str]:
        """Return the volumes whose files the start opens."""
        root = [] if self.root_volume is None else [self.root_volume.id]
        return [*root, *(disk.disk_id for disk in self.disks)]


def read_plan(session: Session, folders: Folders, instance_id: str) -> Plan | None:
    """Return what the start of a pending instance needs; None when it is not pending (any more)."""
    row = session.get(Instance, instance_id)
    if row is None or row.state != "pending":
        return None
    image = session.get(Image, row.image_id)
    assert image is not None  # images are deregistered, never deleted
    root_volume = None
    disks: list[DiskSpec] = []
    query = select(Attachment, Volume).join(Volume, Volume.id == Attachment.volume_id, isouter=True)
    for attachment, volume in session.execute(
        query.where(Attachment.instance_id == instance_id).order_by(Attachment.device)
    ):
        if attachment.is_root:
            root_volume = volume
        elif attachment.state == "attached":
            path = volume_path(folders, attachment.volume_id)
            disks.append(DiskSpec(attachment.volume_id, path, serial(attachment.volume_id, attachment.device)))
    base = folders.cloud / image.folder / image.files["root"] if "root" in image.files else None
    snapshot = None
    if root_volume is not None and root_volume.snapshot_id:
        snapshot = session.get(Snapshot, root_volume.snapshot_id)
        base = folders.cloud / snapshot.file if snapshot is not None else base
    return Plan(row, image, root_volume, base, layer_id(snapshot), tuple(disks))


def base_of(plan: Plan) -> Path:
    """Return the file that the root disk begins with; raises HypervisorError when it is gone."""
    if plan.base is None:
        raise HypervisorError(f"The disk that {plan.image.id} begins with is gone. Nothing was started.")
    return plan.base


def spec_of(
    plan: Plan, folders: Folders, kind: InstanceType, root: DiskSpec, metadata_socket: Path, console_path: Path
) -> MachineSpec:
    """Return what the hypervisor is to start."""
    boot = boot_of(plan.image, folders)
    return MachineSpec(
        instance_id=plan.row.id,
        architecture=boot.architecture,
        cpus=kind.cpus,
        memory_bytes=kind.memory_bytes,
        root=root,
        kernel=boot.kernel,
        ramdisk=boot.ramdisk,
        kernel_args=boot.kernel_args,
        mac=plan.row.mac,
        address=plan.row.address,
        metadata_socket=metadata_socket,
        console_path=console_path,
        disks=plan.disks,
    )
