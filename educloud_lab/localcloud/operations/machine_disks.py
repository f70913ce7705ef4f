"""The disks that a machine begins with: what its image says, changed by what the caller asks for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from educloud_lab.localcloud.cloud import Caller, Cloud
from educloud_lab.localcloud.errors import ApiError
from educloud_lab.localcloud.operations.common import put_tags
from educloud_lab.localcloud.operations.images import ROOT_DEVICE
from educloud_lab.localcloud.operations.snapshots import find_snapshot
from educloud_lab.localcloud.state.tables import Attachment, Image, Instance, Snapshot, Volume

_MOST_GIB = 1024


@dataclass(frozen=True, slots=True)
class Disk:
    """A volume to be made for a machine."""

    device: str
    size_gib: int
    snapshot_id: str
    delete_on_termination: bool
    boots_like: str = ""


def disks_of(session: Session, caller: Caller, image: Image, params: Mapping[str, Any]) -> list[Disk]:
    """Return the volumes of an EBS-backed machine, its root first; none for an instance-store one.

    Raises
    ------
    ApiError
        ``InvalidBlockDeviceMapping`` for a mapping that the image cannot have, and what ``find_snapshot`` raises.
    """
    disks: dict[str, Disk] = {}
    least = max(1, math.ceil(image.root_size_bytes / 2**30))
    if image.root_device_type == "ebs":
        source = session.get(Snapshot, image.snapshot_id)
        like = source.boots_like if source is not None else image.id
        disks[ROOT_DEVICE] = Disk(ROOT_DEVICE, least, image.snapshot_id, True, like)
        for entry in image.mappings:
            disks[entry["DeviceName"]] = Disk(
                entry["DeviceName"], entry["VolumeSize"], entry["SnapshotId"], entry["DeleteOnTermination"]
            )
    for mapping in params.get("BlockDeviceMappings", ()):
        device, ebs = mapping.get("DeviceName", ""), mapping.get("Ebs")
        if "NoDevice" in mapping and device != ROOT_DEVICE:
            disks.pop(device, None)
        if mapping.get("VirtualName") or "NoDevice" in mapping:
            continue
        if image.root_device_type != "ebs" or ebs is None or not device:
            raise ApiError("InvalidBlockDeviceMapping", "Only devices of an EBS image can be mapped")
        disks[device] = _changed(session, caller, disks.get(device), device, ebs)
    return list(disks.values())


def add_disks(session: Session, cloud: Cloud, instance: Instance, disks: list[Disk], tags: Mapping[str, str]) -> None:
    """Add the rows of a machine's volumes: its root is made with it, the others are plugged once it runs."""
    for disk in disks:
        volume_id = cloud.new_id("vol")
        session.add(
            Volume(
                id=volume_id, owner=instance.owner, zone=instance.zone, size_gib=disk.size_gib,
                snapshot_id=disk.snapshot_id, state="creating", created_at=instance.launched_at,
                boots_like=disk.boots_like,
            )
        )  # fmt: skip
        session.add(
            Attachment(
                volume_id=volume_id, instance_id=instance.id, device=disk.device, state="attaching",
                is_root=disk.device == ROOT_DEVICE, delete_on_termination=disk.delete_on_termination,
                attached_at=instance.launched_at,
            )
        )  # fmt: skip
        put_tags(session, instance.owner, "volume", volume_id, tags)


def _changed(session: Session, caller: Caller, disk: Disk | None, device: str, ebs: Mapping[str, Any]) -> Disk:
    snapshot_id = disk.snapshot_id if disk is not None else ""
    least = disk.size_gib if disk is not None else 0
    if wanted := ebs.get("SnapshotId"):
        if device == ROOT_DEVICE and wanted != snapshot_id:
            raise ApiError("InvalidBlockDeviceMapping", "Snapshot of the root device cannot be changed")
        if wanted != snapshot_id:
            snapshot = find_snapshot(session, caller, wanted, shared=True)
            if snapshot.state != "completed":
                raise ApiError("IncorrectState", f"Snapshot {snapshot.id} is not completed: {snapshot.state}")
            snapshot_id, least = snapshot.id, snapshot.size_gib
    size = ebs.get("VolumeSize", least)
    if not max(1, least) <= size <= _MOST_GIB:
        raise ApiError(
            "InvalidBlockDeviceMapping", f"Volume size {size} must be between {max(1, least)} and {_MOST_GIB}"
        )
    delete = ebs.get("DeleteOnTermination", disk.delete_on_termination if disk is not None else True)
    return Disk(device, size, snapshot_id, delete, disk.boots_like if disk is not None else "")
