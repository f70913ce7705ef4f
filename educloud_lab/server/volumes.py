"""The data volume: snapshots, restore, growth, bin. All are wishes: the reply is the lease, the rest follows."""

from __future__ import annotations

from tornado import web

from educloud_lab.server.base import RestHandler


class SnapshotsHandler(RestHandler):
    """``POST leases/<id>/snapshots``."""

    @web.authenticated
    async def post(self, lease_id: str) -> None:
        """Want a snapshot of the data volume."""
        from educloud_lab.wire.models import SnapshotRequest

        request = self.read_body(SnapshotRequest)
        broker = await self.desk.broker()
        self.reply(await broker.volumes.snapshot(self.desk.person, lease_id, request))


class DeleteSnapshotHandler(RestHandler):
    """``POST leases/<id>/snapshots/<id>/delete``."""

    @web.authenticated
    async def post(self, lease_id: str, snapshot_id: str) -> None:
        """Want a snapshot deleted, for ever."""
        broker = await self.desk.broker()
        self.reply(await broker.volumes.delete_snapshot(self.desk.person, lease_id, snapshot_id))


class RestoreHandler(RestHandler):
    """``POST leases/<id>/snapshots/<id>/restore``."""

    @web.authenticated
    async def post(self, lease_id: str, snapshot_id: str) -> None:
        """Want a new data volume from a snapshot; the present one goes to the bin."""
        broker = await self.desk.broker()
        self.reply(await broker.volumes.restore(self.desk.person, lease_id, snapshot_id))


class PublishHandler(RestHandler):
    """``POST leases/<id>/snapshots/<id>/publish``."""

    @web.authenticated
    async def post(self, lease_id: str, snapshot_id: str) -> None:
        """Make new data volumes of the lab from a snapshot, or no longer."""
        from educloud_lab.wire.models import PublishRequest

        request = self.read_body(PublishRequest)
        broker = await self.desk.broker()
        person = self.desk.person
        self.reply(await broker.volumes.publish_snapshot(person, lease_id, snapshot_id, published=request.published))


class GrowHandler(RestHandler):
    """``POST leases/<id>/volume/grow``."""

    @web.authenticated
    async def post(self, lease_id: str) -> None:
        """Want a larger data volume."""
        from educloud_lab.wire.models import GrowRequest

        request = self.read_body(GrowRequest)
        broker = await self.desk.broker()
        self.reply(await broker.volumes.grow(self.desk.person, lease_id, request.size_gib))


class DiscardHandler(RestHandler):
    """``POST leases/<id>/volume/discard``."""

    @web.authenticated
    async def post(self, lease_id: str) -> None:
        """Want the data volume in the bin (typed confirmation)."""
        from educloud_lab.wire.models import DeleteRequest

        request = self.read_body(DeleteRequest)
        broker = await self.desk.broker()
        self.reply(await broker.volumes.discard(self.desk.person, lease_id, confirm=request.confirm))


class ReturnHandler(RestHandler):
    """``POST leases/<id>/bin/<id>/return``."""

    @web.authenticated
    async def post(self, lease_id: str, shelf_id: str) -> None:
        """Want a volume back from the bin."""
        broker = await self.desk.broker()
        self.reply(await broker.volumes.return_from_bin(self.desk.person, lease_id, shelf_id))
