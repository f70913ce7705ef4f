"""Attributes of instances, one at a time: told, changed and set back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from educloud_lab.localcloud.cloud import Caller, Cloud
from educloud_lab.localcloud.errors import ApiError, invalid, missing
from educloud_lab.localcloud.operations.common import find_instance, require
from educloud_lab.localcloud.operations.images import ROOT_DEVICE
from educloud_lab.localcloud.operations.instance_views import groups, instance_view
from educloud_lab.localcloud.operations.run_instances import check_shutdown_behaviour, check_user_data, find_groups
from educloud_lab.localcloud.state.tables import Attachment, Instance

Change = Callable[[Session, Cloud, Instance, Any], None]

_VALUES: dict[str, Callable[[Instance], tuple[str, Any]]] = {
    "instanceType": lambda row: ("InstanceType", {"Value": row.instance_type}),
    "kernel": lambda row: ("KernelId", {"Value": row.kernel_id}),
    "ramdisk": lambda row: ("RamdiskId", {"Value": row.ramdisk_id}),
    "userData": lambda row: ("UserData", {"Value": row.user_data}),
    "disableApiTermination": lambda row: ("DisableApiTermination", {"Value": row.disable_termination}),
    # Accepted at the start, then ignored: Eucalyptus always says stop, and so does the row.
    "instanceInitiatedShutdownBehavior": lambda row: (
        "InstanceInitiatedShutdownBehavior",
        {"Value": row.shutdown_behavior},
    ),
    "rootDeviceName": lambda _row: ("RootDeviceName", {"Value": ROOT_DEVICE}),
    "groupSet": lambda row: ("Groups", groups(row)),
    "productCodes": lambda _row: ("ProductCodes", []),
    "ebsOptimized": lambda _row: ("EbsOptimized", {"Value": False}),
    "sourceDestCheck": lambda _row: ("SourceDestCheck", {"Value": True}),
}


async def describe_instance_attribute(cloud: Cloud, caller: Caller, params: dict[str, Any]) -> dict[str, Any]:
    """Return one attribute."""
    instance_id, attribute = require(params, "InstanceId"), require(params, "Attribute")
    if attribute != "blockDeviceMapping" and attribute not in _VALUES:
        # With a leading space, as some of Eucalyptus's codes have it.
        raise ApiError(" InvalidParameterValue", f"Invalid value for attribute ({attribute[:60]})")

    def work(session: Session) -> dict[str, Any]:
        row = find_instance(session, caller, instance_id)
        if attribute == "blockDeviceMapping":
            view = instance_view(row, _attachments(session, row), {}, "x86_64")
            return {"InstanceId": row.id, "BlockDeviceMappings": view["BlockDeviceMappings"]}
        name, value = _VALUES[attribute](row)
        return {"InstanceId": row.id, name: value}

    return await cloud.database.run(work)


async def modify_instance_attribute(cloud: Cloud, caller: Caller, params: dict[str, Any]) -> dict[str, Any]:
    """Change one attribute; what a machine boots with only while the instance is stopped."""
    instance_id = require(params, "InstanceId")
    name, value = _wanted(cloud, params)

    def work(session: Session) -> None:
        _CHANGES[name](session, cloud, find_instance(session, caller, instance_id), value)

    await cloud.database.run(work)
    cloud.wake()
    return {}


async def reset_instance_attribute(cloud: Cloud, caller: Caller, params: dict[str, Any]) -> dict[str, Any]:
    """Set kernel or ramdisk back to the image's: an instance's are never others here, so it only looks."""
    instance_id, attribute = require(params, "InstanceId"), require(params, "Attribute")
    if attribute not in ("kernel", "ramdisk"):
        raise invalid(f"Value ({attribute[:60]}) for parameter attribute is invalid.")
    await cloud.database.run(lambda session: _stopped(find_instance(session, caller, instance_id)))
    return {}


def _attachments(session: Session, row: Instance) -> list[Attachment]:
    query = select(Attachment).where(Attachment.instance_id == row.id).order_by(Attachment.device)
    return list(session.scalars(query))


def _stopped(row: Instance) -> None:
    if row.state != "stopped":
        raise ApiError("IncorrectInstanceState", f"The instance '{row.id}' is not in the 'stopped' state.")


def _type(_session: Session, cloud: Cloud, row: Instance, value: Any) -> None:
    _stopped(row)
    if value not in cloud.types or value not in cloud.model.behaviour.types:
        raise ApiError("InvalidInstanceAttributeValue", f"The instanceType '{str(value)[:60]}' is invalid.")
    row.instance_type = str(value)


def _boot_file(name: str) -> Change:
    def change(_session: Session, _cloud: Cloud, row: Instance, value: Any) -> None:
        _stopped(row)
        if str(value).lower() != getattr(row, f"{name}_id"):
            raise ApiError(
                "UnsupportedOperation",
                f"The {name} of instance '{row.id}' belongs to its image; register an image with another one.",
            )

    return change


def _user_data(_session: Session, _cloud: Cloud, row: Instance, value: Any) -> None:
    _stopped(row)
    row.user_data = check_user_data(str(value))


def _termination(_session: Session, _cloud: Cloud, row: Instance, value: Any) -> None:
    row.disable_termination = str(value).lower() in ("true", "1")


def _at_power_off(_session: Session, _cloud: Cloud, row: Instance, value: Any) -> None:
    row.shutdown_behavior = check_shutdown_behaviour(str(value))


def _devices(session: Session, _cloud: Cloud, row: Instance, value: Any) -> None:
    present = {attachment.device: attachment for attachment in _attachments(session, row)}
    for entry in value:
        device, ebs = entry.get("DeviceName", ""), entry.get("Ebs") or {}
        attachment = present.get(device)
        if attachment is None or ebs.get("VolumeId", attachment.volume_id).lower() != attachment.volume_id:
            raise ApiError("InvalidInstanceAttributeValue", f"No device is currently mapped at {device[:60]}")
        if "DeleteOnTermination" in ebs:
            attachment.delete_on_termination = bool(ebs["DeleteOnTermination"])


def _groups(session: Session, cloud: Cloud, row: Instance, value: Any) -> None:
    if not cloud.model.behaviour.changes_groups:
        message = f"Security groups of instance '{row.id}' cannot be changed: it is not in a VPC."
        raise ApiError("InvalidParameterCombination", message)
    row.groups = find_groups(session, row.owner, value)


def _nothing(_session: Session, _cloud: Cloud, _row: Instance, _value: Any) -> None:
    """Accept what has no meaning here."""


_CHANGES: Mapping[str, Change] = {
    "instanceType": _type,
    "kernel": _boot_file("kernel"),
    "ramdisk": _boot_file("ramdisk"),
    "userData": _user_data,
    "disableApiTermination": _termination,
    "instanceInitiatedShutdownBehavior": _at_power_off,
    "blockDeviceMapping": _devices,
    "groupSet": _groups,
    "": _nothing,
}
_MEMBERS = (
    ("DisableApiTermination", "disableApiTermination"),
    ("UserData", "userData"),
    ("InstanceType", "instanceType"),
    ("Kernel", "kernel"),
    ("Ramdisk", "ramdisk"),
)


def _wanted(cloud: Cloud, params: dict[str, Any]) -> tuple[str, Any]:
    """Return the attribute that is to change and its new value; '' for one that has no meaning here."""
    for member, name in _MEMBERS:
        if (given := params.get(member)) is not None:
            return name, given.get("Value", "")
    if devices := params.get("BlockDeviceMappings"):
        return "blockDeviceMapping", devices
    if wanted := params.get("Groups"):
        return "groupSet", wanted
    ignored = cloud.model.ignored.get("ModifyInstanceAttribute", ())
    behaviour = "InstanceInitiatedShutdownBehavior"
    if behaviour not in ignored and (given := params.get(behaviour)) is not None:
        return "instanceInitiatedShutdownBehavior", given.get("Value", "")
    if older := params.get("Attribute"):  # AWS's older form
        if older not in _CHANGES:
            raise invalid(f"Value ({older[:60]}) for parameter attribute is invalid.")
        if (value := params.get("Value")) is None:
            raise missing("Value")
        return older, value
    if any(key in ignored for key in params):
        return "", None
    raise missing("Attribute")
