"""Limits on time: activity, busy and exemption of one lease. Keep is ``extend``, among the actions."""

from __future__ import annotations

from tornado import web

from educloud_lab.server.base import RestHandler


class ActivityHandler(RestHandler):
    """``POST leases/<id>/activity``."""

    @web.authenticated
    async def post(self, lease_id: str) -> None:
        """Note that the person did something on their machine; answers 204."""
        from educloud_lab.wire.models import ActivityRequest

        request = self.read_body(ActivityRequest)
        broker = await self.desk.broker()
        await broker.limits.activity(self.desk.person, lease_id, request.kind)
        self.set_status(204)
        self.finish()


class BusyHandler(RestHandler):
    """``POST leases/<id>/busy``."""

    @web.authenticated
    async def post(self, lease_id: str) -> None:
        """Declare the machine busy until a time, or no longer."""
        from educloud_lab.wire.models import BusyRequest

        request = self.read_body(BusyRequest)
        broker = await self.desk.broker()
        self.reply(await broker.limits.busy(self.desk.person, lease_id, request.until))


class ExemptHandler(RestHandler):
    """``POST leases/<id>/exempt``."""

    @web.authenticated
    async def post(self, lease_id: str) -> None:
        """Turn the limits of a machine off, with a reason and an end."""
        from educloud_lab.wire.models import ExemptRequest

        request = self.read_body(ExemptRequest)
        broker = await self.desk.broker()
        self.reply(await broker.limits.exempt(self.desk.person, lease_id, request))


class EndExemptionHandler(RestHandler):
    """``POST leases/<id>/end-exemption``."""

    @web.authenticated
    async def post(self, lease_id: str) -> None:
        """Turn the limits on again: the full time from now."""
        broker = await self.desk.broker()
        self.reply(await broker.limits.end_exemption(self.desk.person, lease_id))
