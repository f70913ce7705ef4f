"""The person's leases: one for each lab and slot, made when first asked for."""

from __future__ import annotations

from tornado import web

from educloud_lab.server.base import RestHandler


class LeasesHandler(RestHandler):
    """``POST leases``: the lease of a lab."""

    @web.authenticated
    async def post(self) -> None:
        """Return the ``Lease`` that a ``LeaseRequest`` asks for."""
        from educloud_lab.wire.models import LeaseRequest

        request = self.read_body(LeaseRequest)
        broker = await self.desk.broker()
        self.reply(await broker.ensure_lease(self.desk.person, request))
