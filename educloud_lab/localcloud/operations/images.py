"""Images as callers see them: those found in ``images/`` (public, the administrator's) and those that accounts made."""

from __future__ import annotations

import math
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from educloud_lab.localcloud.accounts import ADMINISTRATOR
from educloud_lab.localcloud.cloud import Caller, Cloud
from educloud_lab.localcloud.errors import ApiError
from educloud_lab.localcloud.ids import check_image_id
from educloud_lab.localcloud.operations import filters
from educloud_lab.localcloud.operations.common import may_use, split_verbose, tag_list, tags_of
from educloud_lab.localcloud.state.tables import Image, LaunchPermission, Snapshot

ROOT_DEVICE = "/dev/sda"

_FILTERS: dict[str, filters.Values[Image]] = {
    "image-id": lambda image: [image.id],
    "name": lambda image: [shown_name(image)],
    "state": lambda image: [image.state],
    "image-type": lambda image: [image.kind],
    "architecture": lambda image: [image.architecture],
    "virtualization-type": lambda image: [image.virtualization_type],
    "root-device-type": lambda image: [image.root_device_type],
    "root-device-name": lambda _image: [ROOT_DEVICE],
    "description": lambda image: [image.description],
    "owner-id": lambda image: [image.owner],
    "owner-alias": lambda image: [] if image.registered else [ADMINISTRATOR],
    "is-public": lambda image: [image.public],
    "kernel-id": lambda image: [image.kernel_id] if image.kernel_id else [],
    "ramdisk-id": lambda image: [image.ramdisk_id] if image.ramdisk_id else [],
    "manifest-location": lambda image: [location(image)],
    "block-device-mapping.snapshot-id": lambda image: [key for key in _snapshot_ids(image) if key],
    "block-device-mapping.device-name": lambda image: [
        *([ROOT_DEVICE] if image.snapshot_id else []),
        *(entry["DeviceName"] for entry in image.mappings),
    ],
}


def location(image: Image) -> str:
    """Return where the image says that it lies, as a bucket and a manifest."""
    return image.location or f"{image.name}/{image.version}/{image.kind}.manifest.xml"


def shown_name(image: Image) -> str:
    """Return the name that callers see; kernels and ramdisks of a built image have names of their own."""
    return image.name if image.kind == "machine" else f"{image.name}-{image.kind}"


def find_image(session: Session, cloud: Cloud, caller: Caller, text: str, *, launch: bool = False) -> Image:
    """Return an image of the caller's, or (``launch``) one that they may run; others do not exist for them.

    Raises
    ------
    ApiError
        ``InvalidAMIID.NotFound``, ``InvalidParameterValue``.
    """
    image_id = check_image_id(text, cloud.model.id_prefixes)
    image = session.get(Image, image_id)
    if image is None or image.state == "deregistered":
        allowed = False
    else:
        allowed = may_use(caller, image.owner) or (launch and may_launch(session, caller, image))
    if image is not None and allowed:
        return image
    raise ApiError("InvalidAMIID.NotFound", f"The image ID '{image_id}' does not exist")


def may_launch(session: Session, caller: Caller, image: Image) -> bool:
    """Whether the caller sees the image and may run it."""
    if image.public or may_use(caller, image.owner):
        return True
    return session.get(LaunchPermission, (image.id, caller.account.account_id)) is not None


async def describe_images(cloud: Cloud, caller: Caller, params: dict[str, Any]) -> dict[str, Any]:
    """List the images that the caller may run; the administrator sees private ones of others by ``verbose``."""
    texts, verbose = split_verbose(params.get("ImageIds", ()), caller)
    ids = [check_image_id(text, cloud.model.id_prefixes) for text in texts]
    owners, users = set(params.get("Owners", ())), set(params.get("ExecutableUsers", ()))
    account = caller.account.account_id

    def work(session: Session) -> tuple[list[Image], dict[str, set[str]], dict[str, int], dict[str, dict[str, str]]]:
        images = list(session.scalars(select(Image).where(Image.state != "deregistered").order_by(Image.key)))
        permissions: dict[str, set[str]] = {}
        for entry in session.scalars(select(LaunchPermission)):
            permissions.setdefault(entry.image_id, set()).add(entry.account_id)
        sizes = {row.id: row.size_gib for row in session.scalars(select(Snapshot))}
        return images, permissions, sizes, tags_of(session, account, "image")

    images, permissions, sizes, tags = await cloud.database.run(work)
    seen = [
        image
        for image in images
        if image.public or image.owner == account or verbose or account in permissions.get(image.id, ())
    ]
    for image_id in ids:
        if all(image.id != image_id for image in seen):
            raise ApiError("InvalidAMIID.NotFound", f"The image ID '{image_id}' does not exist")
    kept = [image for image in seen if (not ids or image.id in ids) and (not owners or _owned(image, owners, caller))]
    if users:
        kept = [image for image in kept if _executable(image, users, permissions.get(image.id, set()), account)]
    kept = filters.apply(kept, params.get("Filters"), _FILTERS, lambda image: tags.get(image.id, {}))
    return {"Images": [_image_view(image, sizes, tags.get(image.id, {})) for image in kept]}


def _executable(image: Image, users: set[str], permitted: set[str], account: str) -> bool:
    if "all" in users and image.public:
        return True
    wanted = {account if user == "self" else user for user in users}
    return bool(wanted & permitted) or ("self" in users and image.owner == account)


def _account(owner: str, caller: Caller) -> str:
    return caller.account.account_id if owner == "self" else owner


def _owned(image: Image, owners: set[str], caller: Caller) -> bool:
    built = not image.registered and bool(owners & {ADMINISTRATOR, "amazon"})
    return built or image.owner in {_account(owner, caller) for owner in owners}


def _snapshot_ids(image: Image) -> list[str]:
    return [image.snapshot_id, *(str(entry.get("SnapshotId", "")) for entry in image.mappings)]


def _image_view(image: Image, sizes: dict[str, int], tags: dict[str, str]) -> dict[str, Any]:
    view: dict[str, Any] = {
        "ImageId": image.id,
        "ImageLocation": location(image),
        "State": image.state,
        "OwnerId": image.owner,
        "Public": image.public,
        "ProductCodes": [],
        "Architecture": image.architecture,
        "ImageType": image.kind,
        "Name": shown_name(image),
        "Description": image.description,
        "RootDeviceType": image.root_device_type,
        "Tags": tag_list(tags),
        "CreationDate": image.created_at,
    }
    if not image.registered:
        view["ImageOwnerAlias"] = ADMINISTRATOR
    if image.kind == "machine":
        view["RootDeviceName"] = ROOT_DEVICE
        view["VirtualizationType"] = image.virtualization_type
        view["BlockDeviceMappings"] = mapping_views(image, sizes)
    if image.kernel_id:
        view["KernelId"] = image.kernel_id
    if image.ramdisk_id:
        view["RamdiskId"] = image.ramdisk_id
    return view


def mapping_views(image: Image, sizes: dict[str, int]) -> list[dict[str, Any]]:
    """Return an image's disks in the model's shape; while it is being made, none."""
    if not image.snapshot_id:
        return []
    root_gib = max(sizes.get(image.snapshot_id, 1), math.ceil(image.root_size_bytes / 2**30))
    root = {"SnapshotId": image.snapshot_id, "VolumeSize": root_gib, "DeleteOnTermination": True}
    return [
        {"DeviceName": ROOT_DEVICE, "Ebs": root},
        *(
            {
                "DeviceName": entry["DeviceName"],
                "Ebs": {
                    **({"SnapshotId": entry["SnapshotId"]} if entry.get("SnapshotId") else {}),
                    "VolumeSize": entry["VolumeSize"],
                    "DeleteOnTermination": entry["DeleteOnTermination"],
                },
            }
            for entry in image.mappings
        ),
    ]
