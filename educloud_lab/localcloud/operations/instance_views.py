"""How instances look to callers: states, addresses and the filters of DescribeInstances."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from educloud_lab.localcloud.model.scalars import format_time
from educloud_lab.localcloud.operations import filters
from educloud_lab.localcloud.operations.common import tag_list, tags_of
from educloud_lab.localcloud.operations.images import ROOT_DEVICE
from educloud_lab.localcloud.state.tables import Attachment, Image, Instance

CODES = {"pending": 0, "running": 16, "shutting-down": 32, "terminated": 48, "stopping": 64, "stopped": 80}
NO_ADDRESS = "0.0.0.0"  # noqa: S104 (Eucalyptus's placeholder for "no address yet", not a socket)


def state(name: str) -> dict[str, Any]:
    """Return a state in the model's shape."""
    return {"Code": CODES[name], "Name": name}


def state_reason(row: Instance) -> dict[str, str] | None:
    """Return AWS's code for why an instance is not running; Eucalyptus has only the text."""
    if row.state not in ("stopping", "stopped", "shutting-down", "terminated"):
        return None
    code, message = "Server.InternalError", "Internal error on launch"
    if row.reason.startswith("USER_"):
        code, message = "Client.UserInitiatedShutdown", "User initiated shutdown"
    elif row.reason.startswith("NORMAL"):
        code, message = "Client.InstanceInitiatedShutdown", "Instance initiated shutdown"
    return {"Code": code, "Message": f"{code}: {message}"}


def address(row: Instance) -> str:
    """Return the address that callers see."""
    return row.address if row.address_shown and row.address else NO_ADDRESS


def groups(row: Instance) -> list[dict[str, str]]:
    """Return an instance's groups in the model's shape."""
    return [{"GroupId": group[0], "GroupName": group[1]} for group in row.groups]


def instance_view(
    row: Instance, attachments: Sequence[Attachment], tags: dict[str, str], architecture: str
) -> dict[str, Any]:
    """Return one instance in the model's shape, with what Eucalyptus leaves out left out."""
    shown = address(row)
    view: dict[str, Any] = {
        "InstanceId": row.id,
        "ImageId": row.image_id,
        "State": state(row.state),
        "PrivateDnsName": shown,
        "PublicDnsName": shown,
        "StateTransitionReason": row.reason,
        "KeyName": row.key_name,
        "AmiLaunchIndex": row.launch_index,
        "ProductCodes": [],
        "InstanceType": row.instance_type,
        "LaunchTime": row.launched_at,
        "Placement": {"AvailabilityZone": row.zone},
        "Monitoring": {"State": "disabled"},
        "PrivateIpAddress": shown,
        "PublicIpAddress": shown,
        "SecurityGroups": groups(row),
        "Architecture": architecture,
        "RootDeviceType": row.root_device_type,
        "RootDeviceName": ROOT_DEVICE,
        "BlockDeviceMappings": [
            {
                "DeviceName": a.device,
                "Ebs": {
                    "VolumeId": a.volume_id,
                    "Status": a.state,
                    "AttachTime": a.attached_at,
                    "DeleteOnTermination": a.delete_on_termination,
                },
            }
            for a in attachments
        ],
        "VirtualizationType": "hvm",
        "Tags": tag_list(tags),
        # Not of every kind of cloud: the profile's members say what is told.
        "Hypervisor": "xen",
        "EbsOptimized": False,
        "StateReason": state_reason(row),
    }
    if row.kernel_id:
        view["KernelId"], view["RamdiskId"] = row.kernel_id, row.ramdisk_id
    if row.client_token:
        view["ClientToken"] = row.client_token
    return view


class Views:
    """Builds views of instances in one transaction.

    Parameters
    ----------
    only : the instances that it is for, where they are few; default all.
    """

    def __init__(self, session: Session, tags: dict[str, dict[str, str]], only: Collection[str] | None = None) -> None:
        self.tags = tags
        self.attachments: dict[str, list[Attachment]] = {}
        query = select(Attachment).order_by(Attachment.device)
        if only is not None:
            query = query.where(Attachment.instance_id.in_(only))
        for attachment in session.scalars(query):
            self.attachments.setdefault(attachment.instance_id, []).append(attachment)
        self.architectures = {row.id: row.architecture for row in session.execute(select(Image.id, Image.architecture))}

    def instance(self, row: Instance) -> dict[str, Any]:
        """Return one instance's view."""
        architecture = self.architectures.get(row.image_id, "x86_64")
        return instance_view(row, self.attachments.get(row.id, ()), self.tags.get(row.id, {}), architecture)

    def reservations(self, rows: Sequence[Instance]) -> list[dict[str, Any]]:
        """Return the instances grouped as they were started together."""
        found: dict[str, dict[str, Any]] = {}
        for row in rows:
            entry = found.setdefault(
                row.reservation_id,
                {"ReservationId": row.reservation_id, "OwnerId": row.owner, "Groups": groups(row), "Instances": []},
            )
            entry["Instances"].append(self.instance(row))
        return list(found.values())


def views_of(session: Session, owner: str | None, rows: Sequence[Instance]) -> Views:
    """Return the views for a few rows, with the tags that their owner (None: anybody) gave them."""
    only = [row.id for row in rows]
    return Views(session, tags_of(session, owner, "instance", only), only)


def row_filters(views: Views) -> dict[str, filters.Values[Instance]]:
    """Return the supported filters (Eucalyptus has neither hypervisor, product-code nor state-reason-*)."""

    def attached(row: Instance) -> list[Attachment]:
        return views.attachments.get(row.id, [])

    return {
        "architecture": lambda row: [views.architectures.get(row.image_id, "x86_64")],
        "availability-zone": lambda row: [row.zone],
        "block-device-mapping.volume-id": lambda row: [a.volume_id for a in attached(row)],
        "block-device-mapping.device-name": lambda row: [a.device for a in attached(row)],
        "block-device-mapping.attach-time": lambda row: [format_time(a.attached_at) for a in attached(row)],
        "block-device-mapping.delete-on-termination": lambda row: [a.delete_on_termination for a in attached(row)],
        "block-device-mapping.status": lambda row: [a.state for a in attached(row)],
        "client-token": lambda row: [row.client_token] if row.client_token else [],
        "dns-name": lambda row: [address(row)],
        "group-id": lambda row: [group[0] for group in row.groups],
        "group-name": lambda row: [group[1] for group in row.groups],
        "image-id": lambda row: [row.image_id],
        "instance-id": lambda row: [row.id],
        "instance-state-code": lambda row: [CODES[row.state]],
        "instance-state-name": lambda row: [row.state],
        "instance-type": lambda row: [row.instance_type],
        "instance.group-id": lambda row: [group[0] for group in row.groups],
        "instance.group-name": lambda row: [group[1] for group in row.groups],
        "ip-address": lambda row: [address(row)],
        "kernel-id": lambda row: [row.kernel_id] if row.kernel_id else [],
        "key-name": lambda row: [row.key_name] if row.key_name else [],
        "launch-index": lambda row: [row.launch_index],
        "launch-time": lambda row: [format_time(row.launched_at)],
        "monitoring-state": lambda _row: ["disabled"],
        "owner-id": lambda row: [row.owner],
        "private-dns-name": lambda row: [address(row)],
        "private-ip-address": lambda row: [address(row)],
        "ramdisk-id": lambda row: [row.ramdisk_id] if row.ramdisk_id else [],
        "reason": lambda row: [row.reason],
        "reservation-id": lambda row: [row.reservation_id],
        "root-device-name": lambda _row: [ROOT_DEVICE],
        "root-device-type": lambda row: [row.root_device_type],
        "subnet-id": lambda _row: [],
        "virtualization-type": lambda _row: ["hvm"],
        "vpc-id": lambda _row: [],
    }
