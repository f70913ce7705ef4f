"""What a person does with their data volume besides using it."""

from __future__ import annotations

from educloud_lab.broker.parts import Parts
from educloud_lab.wire import models as wire


class Volumes:
    """See :class:`educloud_lab.broker.api.VolumesApi`.

    Parameters
    ----------
    parts : the broker's ports.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def snapshot(self, person: str, lease_id: str, request: wire.SnapshotRequest) -> wire.Lease:
        """See the protocol."""
        raise NotImplementedError

    async def delete_snapshot(self, person: str, lease_id: str, snapshot_id: str) -> wire.Lease:
        """See the protocol."""
        raise NotImplementedError

    async def publish_snapshot(self, person: str, lease_id: str, snapshot_id: str, *, published: bool) -> wire.Lease:
        """See the protocol."""
        raise NotImplementedError

    async def restore(self, person: str, lease_id: str, snapshot_id: str) -> wire.Lease:
        """See the protocol."""
        raise NotImplementedError

    async def grow(self, person: str, lease_id: str, size_gib: int) -> wire.Lease:
        """See the protocol."""
        raise NotImplementedError

    async def discard(self, person: str, lease_id: str, *, confirm: str) -> wire.Lease:
        """See the protocol."""
        raise NotImplementedError

    async def return_from_bin(self, person: str, lease_id: str, shelf_id: str) -> wire.Lease:
        """See the protocol."""
        raise NotImplementedError
