"""Snapshots and the rarer acts on volumes: grown, deleted.

Eucalyptus grows volumes from its version 6 on, and only while nothing has them; what an older one answers to a call
that it does not know is told apart from a refusal.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar

from educloud_lab.adapters.ec2 import parse
from educloud_lab.adapters.ec2.errors import code_of
from educloud_lab.domain.errors import CannotGrowError, CloudError, CloudNotFoundError, CloudStateError
from educloud_lab.ports.cloud import SnapshotSeen, VolumeState

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from mypy_boto3_ec2.client import EC2Client

T = TypeVar("T")
Call = Callable[[Callable[["EC2Client"], T]], "Coroutine[Any, Any, T]"]
_UNKNOWN_ACTIONS: Final = frozenset({"InvalidAction", "UnknownOperation", "400 Bad Request", "404 Not Found"})
"""What clouds answer to an operation that they do not have."""


async def observe(call: Any, pages: Callable[..., list[Any]]) -> Mapping[str, SnapshotSeen]:
    """Return all snapshots that the account owns, by id.

    Parameters
    ----------
    call : runs a function of the client in a thread.
    pages : collects the pages of a listing.
    """
    items = await call(lambda ec2: pages(lambda **more: ec2.describe_snapshots(OwnerIds=["self"], **more), "Snapshots"))
    seen = [parse.snapshot(item) for item in items]
    return {item.snapshot_id: item for item in seen}


async def delete_snapshot(call: Any, snapshot_id: str) -> None:
    """Delete a snapshot; one that is gone is success."""
    try:
        await call(lambda ec2: ec2.delete_snapshot(SnapshotId=snapshot_id))
    except CloudNotFoundError:
        return


async def delete_volume(call: Any, volume_id: str) -> None:
    """Delete a volume; one that is gone, or on its way, is success."""
    try:
        await call(lambda ec2: ec2.delete_volume(VolumeId=volume_id))
    except CloudNotFoundError:
        return
    except CloudStateError:
        if await _state(call, volume_id) not in (None, VolumeState.DELETING, VolumeState.DELETED):
            raise


async def grow_volume(call: Callable[..., Awaitable[Any]], volume_id: str, size_gib: int) -> None:
    """Enlarge a volume."""
    try:
        await call(lambda ec2: ec2.modify_volume(VolumeId=volume_id, Size=size_gib))
    except CloudError as error:
        if code_of(error) in _UNKNOWN_ACTIONS:
            raise CannotGrowError(
                "This cloud cannot enlarge volumes (Eucalyptus can from its version 6 on).",
                kept="Your data volume is as it was.",
                next_step="Ask whoever runs the course: a larger volume can be made from a snapshot of this one.",
            ) from error
        raise


async def _state(call: Any, volume_id: str) -> VolumeState | None:
    try:
        answer = await call(lambda ec2: ec2.describe_volumes(VolumeIds=[volume_id]))
    except CloudNotFoundError:
        return None
    items = answer.get("Volumes", [])
    return parse.volume(items[0]).state if items else None
