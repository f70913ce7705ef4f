"""Snapshots: taken, shown, shared, deleted. The supervisor makes the layers."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from educloud_lab.localcloud import events
from educloud_lab.localcloud.accounts import ADMINISTRATOR
from educloud_lab.localcloud.cloud import Caller, Cloud
from educloud_lab.localcloud.errors import ApiError, invalid
from educloud_lab.localcloud.ids import check_id
from educloud_lab.localcloud.model.scalars import format_time
from educloud_lab.localcloud.operations import filters
from educloud_lab.localcloud.operations.common import (
    find_volume,
    may_use,
    put_tags,
    require,
    specified_tags,
    split_verbose,
    tag_list,
    tags_of,
)
from educloud_lab.localcloud.operations.permissions import groups_and_users, share, unshare, users
from educloud_lab.localcloud.operations.space import check_snapshot
from educloud_lab.localcloud.state.tables import Image, Snapshot, SnapshotPermission, Volume
from educloud_lab.localcloud.work.diskroom import snapshot_file

_NO_VOLUME = "vol-ffffffff"  # what clouds show for a snapshot that no volume of theirs was the source of

_FILTERS: dict[str, filters.Values[Snapshot]] = {
    "snapshot-id": lambda row: [row.id],
    "status": lambda row: [row.state],
    "volume-id": lambda row: [row.volume_id],
    "volume-size": lambda row: [row.size_gib],
    "owner-id": lambda row: [row.owner],
    "description": lambda row: [row.description],
    "progress": lambda row: [f"{row.progress_percent}%"],
    "start-time": lambda row: [format_time(row.created_at)],
}


def find_snapshot(session: Session, caller: Caller, text: str, *, shared: bool = False) -> Snapshot:
    """Return a snapshot of the caller's, or one that they may use; anybody else's does not exist for them.

    Parameters
    ----------
    shared : whether a snapshot that others share with the caller will do.
    """
    snapshot_id = check_id(text, "snap")
    row = session.get(Snapshot, snapshot_id)
    if (
        row is None
        or row.state == "deleted"
        or not (may_use(caller, row.owner) or (shared and _open(session, caller, row)))
    ):
        raise ApiError("InvalidSnapshot.NotFound", f"The snapshot '{snapshot_id}' does not exist.")
    return row


async def create_snapshot(cloud: Cloud, caller: Caller, params: dict[str, Any]) -> dict[str, Any]:
    """Keep a volume as it is at one moment soon, whether or not an instance writes to it."""
    volume_id = require(params, "VolumeId")
    tags = specified_tags(params, ("snapshot",)).get("snapshot", {})

    def work(session: Session) -> dict[str, Any]:
        volume = find_volume(session, caller, volume_id)
        if volume.state not in ("available", "in-use"):
            raise ApiError("IncorrectState", f"Volume {volume.id} is not ready: {volume.state}")
        check_snapshot(session, cloud, volume)
        row = begin_snapshot(session, cloud, volume, params.get("Description", "")[:255])
        put_tags(session, row.owner, "snapshot", row.id, tags)
        return snapshot_view(row, tags)

    view = await cloud.database.run(work)
    cloud.wake()
    return view


def begin_snapshot(session: Session, cloud: Cloud, volume: Volume, description: str) -> Snapshot:
    """Add the row of a snapshot that is to be taken."""
    snapshot_id = cloud.new_id("snap")
    row = Snapshot(
        id=snapshot_id, owner=volume.owner, volume_id=volume.id, size_gib=volume.size_gib, state="pending",
        description=description, file=snapshot_file(snapshot_id), created_at=cloud.now(), progress_percent=0,
        boots_like=boots_like(session, volume),
    )  # fmt: skip
    session.add(row)
    session.flush()
    events.record(session, cloud.now(), "snapshot", row.id, f"asked for, of {volume.id}", owner=row.owner)
    return row


def boots_like(session: Session, volume: Volume) -> str:
    """Return the image whose system disk a volume began as, '' for none."""
    if volume.boots_like or not volume.snapshot_id:
        return volume.boots_like
    source = session.get(Snapshot, volume.snapshot_id)
    return source.boots_like if source is not None else ""


async def describe_snapshots(cloud: Cloud, caller: Caller, params: dict[str, Any]) -> dict[str, Any]:
    """List the caller's snapshots and those that they may use."""
    texts, verbose = split_verbose(params.get("SnapshotIds", ()), caller)
    ids = [check_id(text, "snap", what="snapshots") for text in texts]
    owner = caller.account.account_id

    def work(session: Session) -> tuple[list[Snapshot], set[str], dict[str, dict[str, str]]]:
        rows = list(session.scalars(select(Snapshot).where(Snapshot.state != "deleted").order_by(Snapshot.id)))
        shared = select(SnapshotPermission.snapshot_id).where(SnapshotPermission.account_id == owner)
        return rows, set(session.scalars(shared)), tags_of(session, owner, "snapshot")

    rows, shared, tags = await cloud.database.run(work)
    seen = [row for row in rows if verbose or row.owner == owner or row.public or row.id in shared]
    for snapshot_id in ids:
        if all(row.id != snapshot_id for row in seen):
            raise ApiError("InvalidSnapshot.NotFound", f"The snapshot '{snapshot_id}' does not exist.")
    owners = {owner if text == "self" else text for text in params.get("OwnerIds", ())}
    kept = [row for row in seen if (not ids or row.id in ids) and (not owners or row.owner in owners)]
    if restorable := params.get("RestorableByUserIds"):
        kept = [row for row in kept if _restorable(row, shared, set(restorable), owner)]
    kept = filters.apply(kept, params.get("Filters"), _FILTERS, lambda row: tags.get(row.id, {}))
    return {"Snapshots": [snapshot_view(row, tags.get(row.id, {})) for row in kept]}


async def delete_snapshot(cloud: Cloud, caller: Caller, params: dict[str, Any]) -> dict[str, Any]:
    """Delete a snapshot; its layer stays on the disk for as long as something is built on it."""
    text = require(params, "SnapshotId")

    def work(session: Session) -> None:
        row = find_snapshot(session, caller, text)
        if row.state == "pending":
            raise ApiError("IncorrectState", f"Snapshot {row.id} is still being taken")
        # A built image's own snapshot is a part of the image, also while the image is not listed.
        if not row.volume_id or any(row.id in snapshots_of(image) for image in _images(session)):
            message = f"Snapshot {row.id} is in use, deletion not permitted"
            raise ApiError("InvalidSnapshot.InUse", message)
        row.state, row.deleted_at = "deleted", cloud.now()
        events.record(session, cloud.now(), "snapshot", row.id, "deleted", owner=row.owner)

    await cloud.database.run(work)
    cloud.wake()
    return {}


async def describe_snapshot_attribute(cloud: Cloud, caller: Caller, params: dict[str, Any]) -> dict[str, Any]:
    """Tell who may make volumes from a snapshot."""
    text, attribute = require(params, "SnapshotId"), _attribute(params)

    def work(session: Session) -> dict[str, Any]:
        row = find_snapshot(session, caller, text)
        if attribute == "productCodes":
            return {"SnapshotId": row.id, "ProductCodes": []}
        found = [{"Group": "all"}] if row.public else []
        return {
            "SnapshotId": row.id,
            "CreateVolumePermissions": found + [{"UserId": user} for user in users(session, row)],
        }

    return await cloud.database.run(work)


async def modify_snapshot_attribute(cloud: Cloud, caller: Caller, params: dict[str, Any]) -> dict[str, Any]:
    """Let other accounts make volumes from a snapshot, or no longer."""
    text = require(params, "SnapshotId")
    _attribute(params)
    add, remove = groups_and_users(params, "CreateVolumePermission", "GroupNames")

    def work(session: Session) -> None:
        row = find_snapshot(session, caller, text)
        share(session, row, add, remove)

    await cloud.database.run(work)
    return {}


async def reset_snapshot_attribute(cloud: Cloud, caller: Caller, params: dict[str, Any]) -> dict[str, Any]:
    """Let nobody else make volumes from a snapshot."""
    text = require(params, "SnapshotId")
    _attribute(params)

    def work(session: Session) -> None:
        unshare(session, find_snapshot(session, caller, text))

    await cloud.database.run(work)
    return {}


def snapshots_of(image: Image) -> set[str]:
    """Return the snapshots from which machines of an image get their disks."""
    return {image.snapshot_id, *(str(entry.get("SnapshotId", "")) for entry in image.mappings)} - {""}


def snapshot_view(row: Snapshot, tags: dict[str, str]) -> dict[str, Any]:
    """Return a snapshot in the model's shape."""
    view: dict[str, Any] = {
        "SnapshotId": row.id, "VolumeId": row.volume_id or _NO_VOLUME, "State": row.state,
        "StartTime": row.created_at, "Progress": f"{row.progress_percent}%", "OwnerId": row.owner,
        "VolumeSize": row.size_gib, "Description": row.description, "Tags": tag_list(tags),
    }  # fmt: skip
    if not row.volume_id:
        view["OwnerAlias"] = ADMINISTRATOR
    return view


def _images(session: Session) -> list[Image]:
    gone = ("deregistered", "failed")
    return list(session.scalars(select(Image).where(Image.state.not_in(gone), Image.kind == "machine")))


def _open(session: Session, caller: Caller, row: Snapshot) -> bool:
    return row.public or session.get(SnapshotPermission, (row.id, caller.account.account_id)) is not None


def _restorable(row: Snapshot, shared: set[str], wanted: set[str], owner: str) -> bool:
    mine = row.owner == owner or row.id in shared
    return ("all" in wanted and row.public) or (mine and bool(wanted & {"self", owner}))


def _attribute(params: dict[str, Any]) -> str:
    attribute = params.get("Attribute", "createVolumePermission")
    if attribute not in ("createVolumePermission", "productCodes"):
        raise invalid(f"Value ({str(attribute)[:60]}) for parameter attribute is invalid.")
    return str(attribute)
