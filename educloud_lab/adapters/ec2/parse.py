"""Answers of the cloud to what the ports see. Eucalyptus leaves many elements out, so nothing is taken for granted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from educloud_lab.ports.cloud import (
    AttachmentSeen,
    ImageSeen,
    InstanceSeen,
    InstanceState,
    SnapshotSeen,
    VolumeSeen,
    VolumeState,
)

GIB = 1024**3
NO_ADDRESS = "0.0.0.0"  # noqa: S104 - Eucalyptus's placeholder for "no address yet" (VmInstance), not a bind address


def _utc(moment: datetime | None) -> datetime | None:
    """Return an aware time in UTC; botocore gives the computer's own zone."""
    return moment.astimezone(UTC) if moment else None


def tags(items: Iterable[Mapping[str, Any]] | None) -> dict[str, str]:
    """Return a tag set as a dict."""
    return {item.get("Key", ""): item.get("Value", "") for item in items or ()}


def instance(item: Mapping[str, Any]) -> InstanceSeen:
    """Return one instance of DescribeInstances or RunInstances."""
    address = item.get("PrivateIpAddress") or None
    return InstanceSeen(
        instance_id=item["InstanceId"],
        state=InstanceState(item.get("State", {}).get("Name", "pending")),
        address=None if address == NO_ADDRESS else address,
        launched_at=_utc(item.get("LaunchTime")),
        image_id=item.get("ImageId", ""),
        instance_type=item.get("InstanceType", ""),
        root_device_type=item.get("RootDeviceType", ""),
        zone=item.get("Placement", {}).get("AvailabilityZone", ""),
        reason=item.get("StateTransitionReason", ""),
        client_token=item.get("ClientToken", ""),
        tags=tags(item.get("Tags")),
        root_volume_id=_root_volume(item),
        groups=tuple(group.get("GroupName", "") for group in item.get("SecurityGroups") or ()),
    )


def _root_volume(item: Mapping[str, Any]) -> str:
    """Return the id of the volume that is the instance's system disk, '' where none is told."""
    root = item.get("RootDeviceName")
    for mapping in item.get("BlockDeviceMappings") or ():
        if root and mapping.get("DeviceName") == root:
            return str(mapping.get("Ebs", {}).get("VolumeId") or "")
    return ""


def volume(item: Mapping[str, Any]) -> VolumeSeen:
    """Return one volume of DescribeVolumes or CreateVolume."""
    state = item.get("State", "creating")
    return VolumeSeen(
        volume_id=item["VolumeId"],
        # A state that EC2 does not have means that the volume must not be used now.
        state=VolumeState(state) if state in set(VolumeState) else VolumeState.UNAVAILABLE,
        size_bytes=int(item.get("Size") or 0) * GIB,
        zone=item.get("AvailabilityZone", ""),
        created_at=_utc(item.get("CreateTime")),
        snapshot_id=item.get("SnapshotId") or "",
        attachments=tuple(
            AttachmentSeen(
                volume_id=item["VolumeId"],
                instance_id=attachment.get("InstanceId", ""),
                device=attachment.get("Device", ""),
                state=attachment.get("State", ""),
            )
            for attachment in item.get("Attachments") or ()
        ),
        tags=tags(item.get("Tags")),
    )


def snapshot(item: Mapping[str, Any]) -> SnapshotSeen:
    """Return one snapshot of DescribeSnapshots or CreateSnapshot."""
    progress = str(item.get("Progress") or "").strip().rstrip("%")
    return SnapshotSeen(
        snapshot_id=item["SnapshotId"],
        volume_id=item.get("VolumeId") or "",
        state=str(item.get("State") or item.get("Status") or "pending"),
        progress_percent=int(progress) if progress.isdigit() else 0,
        size_bytes=int(item.get("VolumeSize") or 0) * GIB,
        created_at=_utc(item.get("StartTime")),
        description=item.get("Description") or "",
        tags=tags(item.get("Tags")),
    )


def image(item: Mapping[str, Any]) -> ImageSeen:
    """Return one image of DescribeImages."""
    return ImageSeen(
        image_id=item["ImageId"],
        name=item.get("Name") or item.get("ImageLocation") or "",
        state=item.get("State", ""),
        architecture=item.get("Architecture", ""),
        root_device_type=item.get("RootDeviceType", ""),
        virtualization_type=item.get("VirtualizationType", ""),
        tags=tags(item.get("Tags")),
    )
