"""RegisterImage, CreateImage and DeregisterImage."""

from __future__ import annotations

import os.path
import re
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from educloud_lab.localcloud import events
from educloud_lab.localcloud.cloud import Caller, Cloud
from educloud_lab.localcloud.errors import ApiError, invalid
from educloud_lab.localcloud.imagestore import DEREGISTERED
from educloud_lab.localcloud.operations.common import find_instance, put_tags, require, specified_tags
from educloud_lab.localcloud.operations.images import ROOT_DEVICE, find_image, location
from educloud_lab.localcloud.operations.snapshots import begin_snapshot, boots_like, find_snapshot
from educloud_lab.localcloud.operations.space import check_snapshot
from educloud_lab.localcloud.state.tables import Attachment, Image, Instance, LaunchPermission, Snapshot, Volume

_NAME = re.compile(r"[A-Za-z0-9()\[\]. ./\-'@_]{3,128}", re.ASCII)
_ARCHITECTURES = ("i386", "x86_64")


@dataclass(frozen=True, slots=True)
class _Source:
    """What a new image takes from one that is there: files, and how its machines boot."""

    folder: str = ""
    files: tuple[tuple[str, str], ...] = ()
    kernel_id: str = ""
    ramdisk_id: str = ""
    kernel_args: str = ""
    min_memory_bytes: int = 0
    architecture: str = "x86_64"
    virtualization_type: str = "hvm"
    root_size_bytes: int = 0


async def register_image(cloud: Cloud, caller: Caller, params: dict[str, Any]) -> dict[str, Any]:
    """Register a machine image: of a snapshot (EBS-backed), or of the files of one that was built (instance-store).

    What is wrong with it is not seen here, as on a real cloud: without its ramdisk or with the wrong architecture
    machines of it run and do not boot.
    """
    tags = specified_tags(params, ("image",)).get("image", {})
    mappings = params.get("BlockDeviceMappings", ())
    place = params.get("ImageLocation", "")
    name = params.get("Name") or (place.rpartition("/")[0] or place if not mappings else "")
    _check_name(name)

    def work(session: Session) -> str:
        _check_free(session, caller, name)
        if mappings or not place:
            row = _of_snapshot(session, cloud, caller, params)
        else:
            row = _of_files(session, cloud, caller, params, place)
        row.name, row.description = name, params.get("Description", "")[:255]
        session.add(row)
        session.flush()
        put_tags(session, row.owner, "image", row.id, tags)
        events.record(session, cloud.now(), "image", row.id, f"registered: {name}", owner=row.owner)
        return row.id

    return {"ImageId": await cloud.database.run(work)}


async def create_image(cloud: Cloud, caller: Caller, params: dict[str, Any]) -> dict[str, Any]:
    """Make an image of an EBS-backed machine with all its volumes; a running one restarts unless ``NoReboot``."""
    instance_id, name = require(params, "InstanceId"), require(params, "Name")
    tags = specified_tags(params, ("image", "snapshot"))
    _check_name(name)
    left_out = {entry.get("DeviceName", "") for entry in params.get("BlockDeviceMappings", ()) if "NoDevice" in entry}

    def work(session: Session) -> str:
        instance = find_instance(session, caller, instance_id)
        if instance.root_device_type != "ebs":
            # Generic errors of Eucalyptus's back end arrive as its internal failure.
            message = "Cannot create an image from an instance which is not booted from an EBS volume"
            raise ApiError("InternalFailure", message, 500)
        if instance.state not in ("running", "stopped"):
            message = (
                "Cannot create an image from an instance which is not in either the 'running' or 'stopped' state: "
            )
            raise ApiError("InternalFailure", f"{message}{instance.id} is in state {instance.state}", 500)
        _check_free(session, caller, name)
        row = _of_machine(
            session, cloud, instance, not params.get("NoReboot", False), left_out, tags.get("snapshot", {})
        )
        row.name, row.description = name, params.get("Description", "")[:255]
        session.add(row)
        session.flush()
        put_tags(session, row.owner, "image", row.id, tags.get("image", {}))
        events.record(session, cloud.now(), "image", row.id, f"asked for, of {instance.id}", owner=row.owner)
        return row.id

    image_id = await cloud.database.run(work)
    cloud.wake()
    return {"ImageId": image_id}


async def deregister_image(cloud: Cloud, caller: Caller, params: dict[str, Any]) -> dict[str, Any]:
    """Take an image off the list; its snapshots, and machines of it, stay."""
    text = require(params, "ImageId")

    def work(session: Session) -> None:
        image = find_image(session, cloud, caller, text)
        if image.state == "pending":
            raise ApiError("InvalidAMIID.Unavailable", f"The image ID '{image.id}' is still being made")
        image.state, image.message = "deregistered", DEREGISTERED
        for permission in session.scalars(select(LaunchPermission).where(LaunchPermission.image_id == image.id)):
            session.delete(permission)
        events.record(session, cloud.now(), "image", image.id, "deregistered", owner=image.owner)

    await cloud.database.run(work)
    cloud.wake()
    return {"Return": True}


def _of_snapshot(session: Session, cloud: Cloud, caller: Caller, params: dict[str, Any]) -> Image:
    root_name = params.get("RootDeviceName") or ROOT_DEVICE
    root: Snapshot | None = None
    size_gib, more = 0, []
    for entry in params.get("BlockDeviceMappings", ()):
        device, ebs = entry.get("DeviceName", ""), entry.get("Ebs")
        if ebs is None:
            continue  # a part of the instance's own disk, which machines here do not have
        is_root = device in (root_name, ROOT_DEVICE, "/dev/sda1")
        snapshot = (
            find_snapshot(session, caller, ebs["SnapshotId"], shared=not is_root) if "SnapshotId" in ebs else None
        )
        if snapshot is not None and snapshot.state != "completed":
            raise ApiError("IncorrectState", f"Snapshot {snapshot.id} is not completed: {snapshot.state}")
        least = snapshot.size_gib if snapshot is not None else 1
        size = ebs.get("VolumeSize", least)
        if not least <= size <= 1024:
            raise ApiError("InvalidBlockDeviceMapping", f"Volume size {size} must be between {least} and 1024")
        if is_root:
            root, size_gib = snapshot, size
        else:
            more.append(
                {
                    "DeviceName": device, "SnapshotId": snapshot.id if snapshot is not None else "",
                    "VolumeSize": size, "DeleteOnTermination": ebs.get("DeleteOnTermination", True),
                }
            )  # fmt: skip
    if root is None:
        raise ApiError("InvalidBlockDeviceMapping", f"A snapshot is required for the root device {root_name}")
    source = _boot(session, cloud, caller, params, _source(session.get(Image, root.boots_like), root=False))
    row = _row(cloud, caller.account.account_id, source, "ebs")
    row.snapshot_id, row.root_size_bytes, row.mappings = root.id, size_gib << 30, more
    return row


def _of_files(session: Session, cloud: Cloud, caller: Caller, params: dict[str, Any], place: str) -> Image:
    stored = Image.kind == "machine", Image.root_device_type == "instance-store", Image.registered.is_(False)
    found = next(
        (row for row in session.scalars(select(Image).where(*stored)) if location(row) == place.lstrip("/")), None
    )
    if found is None or not found.folder or not (cloud.settings.folders.cloud / found.folder).is_dir():
        raise ApiError("InvalidManifest", f"The manifest {place[:200]} was not found")
    source = _boot(session, cloud, caller, params, _source(found, root=True))
    row = _row(cloud, caller.account.account_id, source, "instance-store")
    row.location = place
    return row


def _of_machine(
    session: Session, cloud: Cloud, instance: Instance, reboot: bool, left_out: set[str], tags: dict[str, str]
) -> Image:
    image = session.get(Image, instance.image_id)
    mappings = []
    like = ""
    at_instance = select(Attachment).where(Attachment.instance_id == instance.id).order_by(Attachment.device)
    for attachment in session.scalars(at_instance):
        volume = session.get_one(Volume, attachment.volume_id)
        if attachment.state != "attached" or (attachment.device in left_out and not attachment.is_root):
            continue
        check_snapshot(session, cloud, volume)
        snapshot = begin_snapshot(session, cloud, volume, f"Created by CreateImage({instance.id})")
        put_tags(session, snapshot.owner, "snapshot", snapshot.id, tags)
        mappings.append(
            {
                "DeviceName": attachment.device, "SnapshotId": snapshot.id, "VolumeSize": volume.size_gib,
                "DeleteOnTermination": True if attachment.is_root else attachment.delete_on_termination,
                "Root": attachment.is_root, "Reboot": reboot,
            }
        )  # fmt: skip
        if attachment.is_root:
            like = boots_like(session, volume)
    root = next((entry for entry in mappings if entry["Root"]), None)
    if root is None:
        raise ApiError("IncorrectInstanceState", f"The instance '{instance.id}' has no root volume")
    # The kernel is the image's of which the machine was started, as long as that has one: that is what it runs with.
    source = _source(image if image is not None and image.files else session.get(Image, like), root=False)
    row = _row(cloud, instance.owner, source, "ebs")
    row.state, row.source_instance_id, row.mappings = "pending", instance.id, mappings
    row.root_size_bytes = int(str(root["VolumeSize"])) << 30
    return row


def _source(image: Image | None, *, root: bool) -> _Source:
    if image is None:
        return _Source()
    files = {role: name for role, name in image.files.items() if root or role != "root"}
    return _Source(
        image.folder, tuple(files.items()), image.kernel_id, image.ramdisk_id, image.kernel_args,
        image.min_memory_bytes, image.architecture, image.virtualization_type, image.root_size_bytes,
    )  # fmt: skip


def _boot(session: Session, cloud: Cloud, caller: Caller, params: dict[str, Any], source: _Source) -> _Source:
    """Return the source with the kernel, ramdisk and architecture that the caller names.

    A caller who names a kernel has to name the ramdisk too, or there is none; one who names neither gets those that the
    manifest names or that the system disk came with.
    """
    architecture = params.get("Architecture") or source.architecture
    if architecture not in _ARCHITECTURES:
        raise invalid(f"Value ({str(architecture)[:40]}) for parameter architecture is invalid.")
    kind = params.get("VirtualizationType") or source.virtualization_type
    if kind not in ("hvm", "paravirtual"):
        raise invalid(f"Value ({str(kind)[:40]}) for parameter virtualizationType is invalid.")
    kernel_text, ramdisk_text = params.get("KernelId", ""), params.get("RamdiskId", "")
    files = dict(source.files)
    kernel_id, ramdisk_id, arguments = source.kernel_id, source.ramdisk_id, source.kernel_args
    folder = source.folder
    if kernel_text or ramdisk_text:
        files = {role: name for role, name in files.items() if role == "root"}
        kernel_id = ramdisk_id = ""
        for role, text in (("kernel", kernel_text), ("ramdisk", ramdisk_text)):
            if not text:
                continue
            part = find_image(session, cloud, caller, text, launch=True)
            whole = _whole_of(session, part) if part.kind == role else None
            if whole is None:
                raise ApiError("InvalidAMIID.NotFound", f"The {role} image ID '{text[:40]}' does not exist")
            folder = folder or whole.folder
            files[role] = os.path.relpath(os.path.join(whole.folder, whole.files[role]), folder)  # noqa: PTH118 - of names
            if role == "kernel":
                kernel_id, arguments = part.id, whole.kernel_args
            else:
                ramdisk_id = part.id
    return _Source(
        folder, tuple(files.items()), kernel_id, ramdisk_id, arguments, source.min_memory_bytes, architecture, kind,
        source.root_size_bytes,
    )  # fmt: skip


def _whole_of(session: Session, part: Image) -> Image | None:
    """Return the machine image with which a kernel or ramdisk was built: it knows the file."""
    built = Image.folder == part.folder, Image.kind == "machine", Image.registered.is_(False)
    found = session.scalar(select(Image).where(*built).limit(1))
    return found if found is not None and part.kind in found.files else None


def _row(cloud: Cloud, owner: str, source: _Source, root_device_type: str) -> Image:
    image_id = cloud.new_id(cloud.model.id_prefixes["machine"])
    return Image(
        id=image_id, key=f"registered:{image_id}", kind="machine", name="", version="", owner=owner,
        state="available", architecture=source.architecture, virtualization_type=source.virtualization_type,
        root_device_type=root_device_type, kernel_id=source.kernel_id, ramdisk_id=source.ramdisk_id,
        kernel_args=source.kernel_args, min_memory_bytes=source.min_memory_bytes, folder=source.folder,
        files=dict(source.files), root_size_bytes=source.root_size_bytes, created_at=cloud.now(), public=False,
        registered=True, mappings=[],
    )  # fmt: skip


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise ApiError(
            "InvalidAMIName.Malformed",
            "AMI names must be between 3 and 128 characters long, and may contain letters, numbers, '(', ')', '.',"
            " '-', '/' and '_'",
        )


def _check_free(session: Session, caller: Caller, name: str) -> None:
    taken = Image.owner == caller.account.account_id, Image.name == name, Image.state.in_(("available", "pending"))
    row = session.scalar(select(Image).where(*taken, Image.registered).limit(1))
    if row is not None:
        raise ApiError("InvalidAMIName.Duplicate", f"AMI name {name} is already in use by AMI {row.id}")
