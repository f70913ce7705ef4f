"""DescribeInstanceAttribute and ModifyInstanceAttribute, for the attributes that matter here."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from educloud_lab.localcloud.cloud import Caller, Cloud
from educloud_lab.localcloud.errors import ApiError, invalid, missing
from educloud_lab.localcloud.operations.common import find_instance, require
from educloud_lab.localcloud.operations.images import ROOT_DEVICE
from educloud_lab.localcloud.operations.instance_views import groups, instance_view
from educloud_lab.localcloud.operations.run_instances import check_user_data
from educloud_lab.localcloud.state.tables import Attachment, Instance

_VALUES: dict[str, Any] = {
    "instanceType": lambda row: ("InstanceType", {"Value": row.instance_type}),
    "kernel": lambda row: ("KernelId", {"Value": row.kernel_id}),
    "ramdisk": lambda row: ("RamdiskId", {"Value": row.ramdisk_id}),
    "userData": lambda row: ("UserData", {"Value": row.user_data}),
    "disableApiTermination": lambda row: ("DisableApiTermination", {"Value": row.disable_termination}),
    # Accepted at the start, then ignored: Eucalyptus always says stop.
    "instanceInitiatedShutdownBehavior": lambda _row: ("InstanceInitiatedShutdownBehavior", {"Value": "stop"}),
    "rootDeviceName": lambda _row: ("RootDeviceName", {"Value": ROOT_DEVICE}),
    "groupSet": lambda row: ("Groups", groups(row)),
}


async def describe_instance_attribute(cloud: Cloud, caller: Caller, params: dict[str, Any]) -> dict[str, Any]:
    """Return one attribute."""
    instance_id, attribute = require(params, "InstanceId"), require(params, "Attribute")
    if attribute != "blockDeviceMapping" and attribute not in _VALUES:
        raise invalid(f"Value ({attribute[:60]}) for parameter attribute is invalid.")

    def work(session: Session) -> dict[str, Any]:
        row = find_instance(session, caller, instance_id)
        if attribute == "blockDeviceMapping":
            attachments = list(session.scalars(select(Attachment).where(Attachment.instance_id == row.id)))
            view = instance_view(row, attachments, {}, "x86_64")
            return {"InstanceId": row.id, "BlockDeviceMappings": view["BlockDeviceMappings"]}
        name, value = _VALUES[attribute](row)
        return {"InstanceId": row.id, name: value}

    return await cloud.database.run(work)


async def modify_instance_attribute(cloud: Cloud, caller: Caller, params: dict[str, Any]) -> dict[str, Any]:
    """Change one attribute; type and user data only while the instance is stopped."""
    instance_id = require(params, "InstanceId")
    name, value = _wanted(params)

    def work(session: Session) -> None:
        row = find_instance(session, caller, instance_id)
        if name == "disableApiTermination":
            row.disable_termination = str(value).lower() in ("true", "1")
        elif name == "userData":
            _stopped(row)
            row.user_data = check_user_data(str(value))
        elif name == "instanceType":
            _stopped(row)
            if value not in cloud.types:
                raise invalid(f"Invalid instance type: {str(value)[:60]}")
            row.instance_type = str(value)
        elif name != "instanceInitiatedShutdownBehavior":
            raise invalid(f"Value ({name[:60]}) for parameter attribute is invalid.")

    await cloud.database.run(work)
    return {}


def _wanted(params: dict[str, Any]) -> tuple[str, Any]:
    if attribute := params.get("Attribute"):
        if "Value" not in params:
            raise missing("Value")
        return attribute, params["Value"]
    for member, name in (
        ("DisableApiTermination", "disableApiTermination"), ("UserData", "userData"),
        ("InstanceType", "instanceType"), ("InstanceInitiatedShutdownBehavior", "instanceInitiatedShutdownBehavior"),
    ):  # fmt: skip
        if member in params:
            return name, params[member].get("Value", "")
    raise missing("Attribute")


def _stopped(row: Instance) -> None:
    if row.state != "stopped":
        raise ApiError("IncorrectInstanceState", f"The instance '{row.id}' is not in the 'stopped' state.")
