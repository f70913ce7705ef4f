"""Volumes: made, shown, attached, detached, deleted. The supervisor moves the bytes."""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from educloud_lab.localcloud import events
from educloud_lab.localcloud.cloud import Caller, Cloud
from educloud_lab.localcloud.errors import ApiError, invalid
from educloud_lab.localcloud.hypervisor.base import HypervisorError
from educloud_lab.localcloud.ids import check_id
from educloud_lab.localcloud.model.scalars import format_time
from educloud_lab.localcloud.operations import filters
from educloud_lab.localcloud.operations.common import (
    find_instance,
    find_volume,
    put_tags,
    require,
    specified_tags,
    split_verbose,
    tag_list,
    tags_of,
)
from educloud_lab.localcloud.operations.images import ROOT_DEVICE
from educloud_lab.localcloud.operations.snapshots import find_snapshot
from educloud_lab.localcloud.operations.space import check_volume
from educloud_lab.localcloud.state.tables import Attachment, Node, Volume

MAX_SIZE_GIB = 1024
_DEVICE = re.compile(r"[a-zA-Z\d/]{3,10}", re.ASCII)


async def create_volume(cloud: Cloud, caller: Caller, params: dict[str, Any]) -> dict[str, Any]:
    """Make a blank volume, or one from a snapshot."""
    zone = require(params, "AvailabilityZone")
    tags = specified_tags(params, ("volume",)).get("volume", {})
    owner = caller.account.account_id
    token = params.get("ClientToken", "") if cloud.model.behaviour.volume_tokens else ""

    def work(session: Session) -> dict[str, Any]:
        if token and (made := _made_before(session, owner, token, zone, params)) is not None:
            found = tags_of(session, owner, "volume", [made.id]).get(made.id, {})
            return volume_view(made, session.get(Attachment, made.id), found)
        if session.scalar(select(Node).where(Node.zone == zone, Node.enabled)) is None:
            raise ApiError("InvalidZone.NotFound", f"The zone '{zone[:100]}' does not exist.")
        size, snapshot_id = params.get("Size"), ""
        like = ""
        if text := params.get("SnapshotId"):
            snapshot = find_snapshot(session, caller, text, shared=True)
            if snapshot.state != "completed":
                raise ApiError("IncorrectState", f"Snapshot {snapshot.id} is not completed: {snapshot.state}")
            like = snapshot.boots_like
            snapshot_id, size = snapshot.id, size if size is not None else snapshot.size_gib
            if size < snapshot.size_gib:
                raise invalid("Volume size cannot be less than snapshot size")
        if size is None:
            raise ApiError(" MissingParameter", "One of size or snapshotId is required as a parameter.")
        if not 1 <= size <= MAX_SIZE_GIB:
            raise invalid(f"Volume size {size} must be between 1 and {MAX_SIZE_GIB} GiB")
        cloud.faults.refuse(session, owner, "CreateVolume", zone, tags=tags.items())
        check_volume(session, cloud, size)
        row = Volume(
            id=cloud.new_id("vol"), owner=owner, zone=zone, size_gib=size, snapshot_id=snapshot_id, state="creating",
            created_at=cloud.now(), boots_like=like, client_token=token,
        )  # fmt: skip
        session.add(row)
        source = f" from {snapshot_id}" if snapshot_id else ""
        events.record(session, cloud.now(), "volume", row.id, f"asked for: {size} GiB{source}", owner=owner)
        put_tags(session, owner, "volume", row.id, tags)
        return volume_view(row, None, tags)

    view = await cloud.database.run(work)
    cloud.wake()
    return view


def _made_before(session: Session, owner: str, token: str, zone: str, params: dict[str, Any]) -> Volume | None:
    made = session.scalar(select(Volume).where(Volume.owner == owner, Volume.client_token == token))
    if made is None:
        return None
    same = made.zone == zone and params.get("Size", made.size_gib) == made.size_gib
    if not same or params.get("SnapshotId", made.snapshot_id).lower() != made.snapshot_id:
        raise ApiError("IdempotentParameterMismatch", "The client token was used before with other parameters.")
    return made


async def modify_volume(cloud: Cloud, caller: Caller, params: dict[str, Any]) -> dict[str, Any]:
    """Make a volume larger; never smaller. Eucalyptus grows available volumes only."""
    volume_id, size = require(params, "VolumeId"), params.get("Size")

    def work(session: Session) -> tuple[str, int, int]:
        volume = find_volume(session, caller, volume_id)
        in_use_too = cloud.model.profile == "aws"
        if volume.state != "available" and not (in_use_too and volume.state == "in-use"):
            raise ApiError("IncorrectState", f"Volume {volume.id} is not available: {volume.state}")
        wanted = volume.size_gib if size is None else int(size)
        if wanted < volume.size_gib:
            raise invalid(f"New size cannot be smaller than existing size {volume.size_gib}")
        if wanted > MAX_SIZE_GIB:
            raise invalid(f"Volume size {wanted} must be between 1 and {MAX_SIZE_GIB} GiB")
        if wanted > volume.size_gib:
            check_volume(session, cloud, wanted - volume.size_gib)
        return volume.id, volume.size_gib, wanted

    begun = cloud.now()
    key, before, wanted = await cloud.database.run(work)
    if wanted > before:
        # File first: a crash in between leaves a disk that is larger than it is said to be, which harms nothing.
        try:
            await cloud.grow(key, wanted)
        except HypervisorError as error:
            raise ApiError("InternalFailure", f"The volume {key} could not be modified: {error}", 500) from error

        def write(session: Session) -> None:
            volume = find_volume(session, caller, key)
            volume.size_gib = max(volume.size_gib, wanted)
            text = f"grown from {before} to {wanted} GiB"
            events.record(session, cloud.now(), "volume", volume.id, text, owner=volume.owner)

        await cloud.database.run(write)
    return {
        "VolumeModification": {
            "VolumeId": key, "ModificationState": "completed", "TargetSize": wanted, "TargetVolumeType": "standard",
            "OriginalSize": before, "OriginalVolumeType": "standard", "Progress": 100, "StartTime": begun,
            "EndTime": cloud.now(),
        }
    }  # fmt: skip


async def describe_volumes(cloud: Cloud, caller: Caller, params: dict[str, Any]) -> dict[str, Any]:
    """List volumes; a deleted one stays listed for a while."""
    ids, everybody = split_verbose(params.get("VolumeIds", ()), caller)
    owner = caller.account.account_id

    def work(session: Session) -> list[dict[str, Any]]:
        if ids:
            rows = [find_volume(session, caller, text, what="volumes") for text in ids]
        else:
            query = select(Volume).order_by(Volume.created_at, Volume.id)
            rows = list(session.scalars(query if everybody else query.where(Volume.owner == owner)))
        attachments = {a.volume_id: a for a in session.scalars(select(Attachment))}
        tags = tags_of(session, None if everybody else owner, "volume")
        known = _filters(attachments)
        kept = filters.apply(rows, params.get("Filters"), known, lambda row: tags.get(row.id, {}))
        return [volume_view(row, attachments.get(row.id), tags.get(row.id, {})) for row in kept]

    return {"Volumes": await cloud.database.run(work)}


async def attach_volume(cloud: Cloud, caller: Caller, params: dict[str, Any]) -> dict[str, Any]:
    """Give an available volume to a running or stopped instance. Never idempotent, as in Eucalyptus."""
    volume_id, instance_id = require(params, "VolumeId"), require(params, "InstanceId")
    device = params.get("Device") or ""
    # In the order of VolumeManager.AttachVolume, so that a request with several faults is told the same one.
    check_id(volume_id, "vol")
    check_id(instance_id, "i")
    if not _DEVICE.fullmatch(device):
        raise invalid(f"Value ({device[:60]}) for parameter device is invalid.")

    def work(session: Session) -> dict[str, Any]:
        instance = find_instance(session, caller, instance_id)
        volume = find_volume(session, caller, volume_id)
        if instance.owner != volume.owner:
            raise ApiError("InvalidVolume.NotFound", f"The volume '{volume.id}' does not exist")
        for other in session.scalars(select(Attachment).where(Attachment.instance_id == instance.id)):
            if _letters(other.device) == _letters(device):
                raise invalid(f"Already have a device attached to: {device}")
        root = instance.root_device_type == "ebs" and _letters(device) == _letters(ROOT_DEVICE)
        if instance.root_device_type != "ebs" and _letters(device) == _letters(ROOT_DEVICE):
            raise invalid(f"Already have a device attached to: {device}")
        if root and instance.state == "running":
            raise invalid(f"Already have a device attached to: {device}")
        if session.get(Attachment, volume.id) is not None:
            raise ApiError("VolumeInUse", f"Volume already attached: {volume.id}")
        if instance.state not in ("running", "stopped"):
            raise ApiError("IncorrectState", f"Instance '{instance.id}' is not 'running'")
        if volume.state != "available":
            raise ApiError("IncorrectState", f"Volume {volume.id} is not available: {volume.state}")
        attachment = Attachment(
            volume_id=volume.id, instance_id=instance.id, device=device, state="attaching", is_root=root,
            delete_on_termination=False, attached_at=cloud.now(),
        )  # fmt: skip
        volume.state = "in-use"
        session.add(attachment)
        return attachment_view(attachment)

    view = await cloud.database.run(work)
    cloud.wake()
    return view


async def detach_volume(cloud: Cloud, caller: Caller, params: dict[str, Any]) -> dict[str, Any]:
    """Take a volume from its instance. Nothing asks the guest first: that is the caller's duty."""
    volume_id, instance_id, device = require(params, "VolumeId"), params.get("InstanceId"), params.get("Device")
    instance_id = check_id(instance_id, "i") if instance_id else ""

    def work(session: Session) -> dict[str, Any]:
        volume = find_volume(session, caller, volume_id)
        attachment = session.get(Attachment, volume.id)
        if attachment is None:
            raise ApiError("IncorrectState", f"Volume is not attached: {volume.id}")
        instance = find_instance(session, caller, attachment.instance_id)
        if attachment.is_root and instance.state != "stopped":
            message = (
                f"Cannot detach root volume {volume.id} from EBS backed instance {instance.id} when instance state is"
                f" {instance.state}"
            )
            raise ApiError("IncorrectState", message)
        if instance_id and instance_id != attachment.instance_id:
            raise ApiError("InvalidAttachment.NotFound", f"Volume is not attached to instance: {instance_id}")
        if device and device != attachment.device:
            raise ApiError("InvalidAttachment.NotFound", f"Volume is not attached to device: {device[:60]}")
        if attachment.state == "attaching":
            raise ApiError("IncorrectState", f"Volume is still attaching: {volume.id}")
        attachment.state = "detaching"
        return attachment_view(attachment)

    view = await cloud.database.run(work)
    cloud.wake()
    return view


async def delete_volume(cloud: Cloud, caller: Caller, params: dict[str, Any]) -> dict[str, Any]:
    """Delete a volume that no instance has."""
    volume_id = require(params, "VolumeId")

    def work(session: Session) -> None:
        volume = find_volume(session, caller, volume_id)
        attachment = session.get(Attachment, volume.id)
        if attachment is not None:
            raise ApiError("VolumeInUse", f"Volume is currently attached to: {attachment.instance_id}")
        if volume.state == "creating":
            raise ApiError("IncorrectState", f"Volume is still being created: {volume.id}")
        volume.state = "deleting"

    await cloud.database.run(work)
    cloud.wake()
    return {}


def attachment_view(row: Attachment) -> dict[str, Any]:
    """Return an attachment in the model's shape."""
    return {
        "VolumeId": row.volume_id, "InstanceId": row.instance_id, "Device": row.device, "State": row.state,
        "AttachTime": row.attached_at,
    }  # fmt: skip


def volume_view(row: Volume, attachment: Attachment | None, tags: dict[str, str]) -> dict[str, Any]:
    """Return a volume in the model's shape."""
    view: dict[str, Any] = {
        "VolumeId": row.id,
        "Size": row.size_gib,
        "AvailabilityZone": row.zone,
        "State": row.state,
        "CreateTime": row.created_at,
        "Attachments": [attachment_view(attachment)] if attachment else [],
        "Tags": tag_list(tags),
        "VolumeType": "standard",
        "Encrypted": False,
    }
    if row.snapshot_id:
        view["SnapshotId"] = row.snapshot_id
    return view


def _letters(device: str) -> str:
    return re.sub(r"^(?:xvd|vd|hd)", "sd", device.removeprefix("/dev/"))


def _filters(attachments: dict[str, Attachment]) -> dict[str, filters.Values[Volume]]:
    def at(row: Volume) -> list[Attachment]:
        return [attachments[row.id]] if row.id in attachments else []

    return {
        "attachment.attach-time": lambda row: [format_time(a.attached_at) for a in at(row)],
        "attachment.delete-on-termination": lambda row: [a.delete_on_termination for a in at(row)],
        "attachment.device": lambda row: [a.device for a in at(row)],
        "attachment.instance-id": lambda row: [a.instance_id for a in at(row)],
        "attachment.status": lambda row: [a.state for a in at(row)],
        "availability-zone": lambda row: [row.zone],
        "create-time": lambda row: [format_time(row.created_at)],
        "size": lambda row: [row.size_gib],
        "snapshot-id": lambda row: [row.snapshot_id] if row.snapshot_id else [],
        "status": lambda row: [row.state],
        "volume-id": lambda row: [row.id],
        "volume-type": lambda _row: ["standard"],
    }
