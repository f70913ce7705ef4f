"""DescribeImageAttribute, ModifyImageAttribute and ResetImageAttribute: description, launch permissions, disks."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from educloud_lab.localcloud.cloud import Caller, Cloud
from educloud_lab.localcloud.errors import invalid, missing
from educloud_lab.localcloud.operations.common import require
from educloud_lab.localcloud.operations.images import find_image, mapping_views
from educloud_lab.localcloud.operations.permissions import groups_and_users, share, unshare, users
from educloud_lab.localcloud.state.tables import Snapshot

_ATTRIBUTES = ("description", "kernel", "ramdisk", "launchPermission", "productCodes", "blockDeviceMapping")


async def describe_image_attribute(cloud: Cloud, caller: Caller, params: dict[str, Any]) -> dict[str, Any]:
    """Return one attribute of an image of the caller's."""
    text, attribute = require(params, "ImageId"), require(params, "Attribute")
    if attribute not in _ATTRIBUTES:
        raise invalid(f"Value ({attribute[:60]}) for parameter attribute is invalid.")

    def work(session: Session) -> dict[str, Any]:
        image = find_image(session, cloud, caller, text)
        answer: dict[str, Any] = {"ImageId": image.id}
        if attribute == "launchPermission":
            groups = [{"Group": "all"}] if image.public else []
            answer["LaunchPermissions"] = groups + [{"UserId": user} for user in sorted(users(session, image))]
        elif attribute == "blockDeviceMapping":
            sizes = {row.id: row.size_gib for row in session.scalars(select(Snapshot))}
            answer["BlockDeviceMappings"] = mapping_views(image, sizes)
        elif attribute == "productCodes":
            answer["ProductCodes"] = []
        else:
            member, value = {
                "description": ("Description", image.description),
                "kernel": ("KernelId", image.kernel_id),
                "ramdisk": ("RamdiskId", image.ramdisk_id),
            }[attribute]
            answer[member] = {"Value": value}
        return answer

    return await cloud.database.run(work)


async def modify_image_attribute(cloud: Cloud, caller: Caller, params: dict[str, Any]) -> dict[str, Any]:
    """Change who may run an image, or its description."""
    text = require(params, "ImageId")
    description = params.get("Description")
    if params.get("ProductCodes") or params.get("Attribute") not in (None, "launchPermission", "description"):
        raise invalid(
            f"Value ({str(params.get('Attribute', 'productCodes'))[:60]}) for parameter attribute is invalid."
        )
    named = any(params.get(name) for name in ("LaunchPermission", "UserIds", "UserGroups"))
    if description is None and not named:
        raise missing("Attribute")
    add, remove = groups_and_users(params, "LaunchPermission", "UserGroups")

    def work(session: Session) -> None:
        image = find_image(session, cloud, caller, text)
        if description is not None:
            image.description = str(description.get("Value", ""))[:255]
        share(session, image, add, remove)

    await cloud.database.run(work)
    return {}


async def reset_image_attribute(cloud: Cloud, caller: Caller, params: dict[str, Any]) -> dict[str, Any]:
    """Make an image private again."""
    text, attribute = require(params, "ImageId"), require(params, "Attribute")
    if attribute != "launchPermission":
        raise invalid(f"Value ({attribute[:60]}) for parameter attribute is invalid.")

    def work(session: Session) -> None:
        unshare(session, find_image(session, cloud, caller, text))

    await cloud.database.run(work)
    return {}
