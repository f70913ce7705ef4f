"""What a person may do to a lease. All are wishes: the reply is the lease, the socket shows how it goes on."""

from __future__ import annotations

from tornado import web

from educloud_lab.server.base import RestHandler


class StartHandler(RestHandler):
    """``POST leases/<id>/start``."""

    @web.authenticated
    async def post(self, lease_id: str) -> None:
        """Want it running; repeatable."""
        broker = await self.desk.broker()
        self.reply(await broker.start(self.desk.person, lease_id))


class StopHandler(RestHandler):
    """``POST leases/<id>/stop``."""

    @web.authenticated
    async def post(self, lease_id: str) -> None:
        """Want it stopped; repeatable."""
        broker = await self.desk.broker()
        self.reply(await broker.stop(self.desk.person, lease_id))


class DeleteHandler(RestHandler):
    """``POST leases/<id>/delete``: a POST because it needs a body, the typed confirmation."""

    @web.authenticated
    async def post(self, lease_id: str) -> None:
        """Want its machine gone; the data volume stays."""
        from educloud_lab.wire.models import DeleteRequest

        request = self.read_body(DeleteRequest)
        broker = await self.desk.broker()
        self.reply(await broker.delete(self.desk.person, lease_id, confirm=request.confirm))


class ExtendHandler(RestHandler):
    """``POST leases/<id>/extend``."""

    @web.authenticated
    async def post(self, lease_id: str) -> None:
        """Keep it: the full time again from now."""
        broker = await self.desk.broker()
        self.reply(await broker.extend(self.desk.person, lease_id))
