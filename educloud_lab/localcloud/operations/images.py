"""DescribeImages and DescribeSnapshots: what the cloud has registered from the built images."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from educloud_lab.localcloud.accounts import ADMINISTRATOR
from educloud_lab.localcloud.cloud import Caller, Cloud
from educloud_lab.localcloud.errors import ApiError
from educloud_lab.localcloud.ids import check_id
from educloud_lab.localcloud.operations import filters
from educloud_lab.localcloud.operations.common import split_verbose, tag_list, tags_of
from educloud_lab.localcloud.state.tables import Image, Snapshot

ROOT_DEVICE = "/dev/sda"

_IMAGE_FILTERS: dict[str, filters.Values[Image]] = {
    "image-id": lambda image: [image.id],
    "name": lambda image: [image.name],
    "state": lambda image: [image.state],
    "image-type": lambda image: [image.kind],
    "architecture": lambda image: [image.architecture],
    "virtualization-type": lambda image: [image.virtualization_type],
    "root-device-type": lambda image: [image.root_device_type],
    "root-device-name": lambda _image: [ROOT_DEVICE],
    "description": lambda image: [image.description],
    "owner-id": lambda image: [image.owner],
    "owner-alias": lambda _image: [ADMINISTRATOR],
    "is-public": lambda _image: [True],
    "kernel-id": lambda image: [image.kernel_id] if image.kernel_id else [],
    "ramdisk-id": lambda image: [image.ramdisk_id] if image.ramdisk_id else [],
    "manifest-location": lambda image: [location(image)],
}
_SNAPSHOT_FILTERS: dict[str, filters.Values[Snapshot]] = {
    "snapshot-id": lambda snapshot: [snapshot.id],
    "status": lambda snapshot: [snapshot.state],
    "volume-id": lambda snapshot: [snapshot.volume_id],
    "volume-size": lambda snapshot: [snapshot.size_gib],
    "owner-id": lambda snapshot: [snapshot.owner],
    "description": lambda snapshot: [snapshot.description],
}


def location(image: Image) -> str:
    """Return where the image says that it lies, as a bucket and a manifest."""
    return f"{image.name}/{image.version}/{image.kind}.manifest.xml"


async def describe_images(cloud: Cloud, caller: Caller, params: dict[str, Any]) -> dict[str, Any]:
    """List registered images; all of them are public and belong to the administrator."""
    texts, _verbose = split_verbose(params.get("ImageIds", ()), caller)
    ids = [check_id(text, "emi", "eki", "eri", "ami", "aki", "ari") for text in texts]
    owners = set(params.get("Owners", ()))

    def work(session: Session) -> tuple[list[Image], dict[str, int], dict[str, dict[str, str]]]:
        images = list(session.scalars(select(Image).where(Image.state != "deregistered").order_by(Image.key)))
        sizes = {snapshot.id: snapshot.size_gib for snapshot in session.scalars(select(Snapshot))}
        return images, sizes, tags_of(session, caller.account.account_id, "image")

    images, sizes, tags = await cloud.database.run(work)
    for image_id in ids:
        if all(image.id != image_id for image in images):
            raise ApiError("InvalidAMIID.NotFound", f"The image ID '{image_id}' does not exist")
    kept = [image for image in images if (not ids or image.id in ids) and (not owners or _owned(image, owners, caller))]
    kept = filters.apply(kept, params.get("Filters"), _IMAGE_FILTERS, lambda image: tags.get(image.id, {}))
    return {"Images": [_image_view(image, sizes, tags.get(image.id, {})) for image in kept]}


async def describe_snapshots(cloud: Cloud, caller: Caller, params: dict[str, Any]) -> dict[str, Any]:
    """List snapshots: those of the registered images, for now."""
    texts, verbose = split_verbose(params.get("SnapshotIds", ()), caller)
    ids = [check_id(text, "snap") for text in texts]

    def work(session: Session) -> tuple[list[Snapshot], dict[str, dict[str, str]]]:
        return list(session.scalars(select(Snapshot).order_by(Snapshot.id))), tags_of(
            session, caller.account.account_id, "snapshot"
        )

    rows, tags = await cloud.database.run(work)
    seen = [row for row in rows if verbose or row.owner == caller.account.account_id or row.volume_id == ""]
    for snapshot_id in ids:
        if all(row.id != snapshot_id for row in seen):
            raise ApiError("InvalidSnapshot.NotFound", f"The snapshot '{snapshot_id}' does not exist.")
    owners = {_account(owner, caller) for owner in params.get("OwnerIds", ())}
    kept = [row for row in seen if (not ids or row.id in ids) and (not owners or row.owner in owners)]
    kept = filters.apply(kept, params.get("Filters"), _SNAPSHOT_FILTERS, lambda row: tags.get(row.id, {}))
    return {
        "Snapshots": [
            {
                "SnapshotId": row.id, "VolumeId": row.volume_id or "vol-ffffffff", "State": row.state,
                "StartTime": row.created_at, "Progress": "100%", "OwnerId": row.owner,
                "VolumeSize": row.size_gib, "Description": row.description, "Tags": tag_list(tags.get(row.id, {})),
            }
            for row in kept
        ]
    }  # fmt: skip


def _account(owner: str, caller: Caller) -> str:
    return caller.account.account_id if owner == "self" else owner


def _owned(image: Image, owners: set[str], caller: Caller) -> bool:
    return image.owner in {_account(owner, caller) for owner in owners} or ADMINISTRATOR in owners


def _image_view(image: Image, sizes: dict[str, int], tags: dict[str, str]) -> dict[str, Any]:
    view: dict[str, Any] = {
        "ImageId": image.id,
        "ImageLocation": location(image),
        "State": image.state,
        "OwnerId": image.owner,
        "Public": True,
        "ProductCodes": [],
        "Architecture": image.architecture,
        "ImageType": image.kind,
        "ImageOwnerAlias": ADMINISTRATOR,
        "Name": image.name if image.kind == "machine" else f"{image.name}-{image.kind}",
        "Description": image.description,
        "RootDeviceType": image.root_device_type,
        "Tags": tag_list(tags),
        "CreationDate": image.created_at,
    }
    if image.kind == "machine":
        view["RootDeviceName"] = ROOT_DEVICE
        view["VirtualizationType"] = image.virtualization_type
        view["BlockDeviceMappings"] = []
    if image.kernel_id:
        view["KernelId"], view["RamdiskId"] = image.kernel_id, image.ramdisk_id
    if image.snapshot_id:
        ebs = {
            "SnapshotId": image.snapshot_id,
            "VolumeSize": sizes.get(image.snapshot_id, 1),
            "DeleteOnTermination": True,
        }
        view["BlockDeviceMappings"] = [{"DeviceName": ROOT_DEVICE, "Ebs": ebs}]
    return view
