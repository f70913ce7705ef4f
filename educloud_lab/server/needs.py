"""Whether what a notebook needs is here."""

from __future__ import annotations

from tornado import web

from educloud_lab.server.base import RestHandler


class NeedsHandler(RestHandler):
    """``POST needs``: changes nothing; a notebook's metadata is too long for an address."""

    _track_activity = False  # a page that looks is not a person who works

    @web.authenticated
    async def post(self) -> None:
        """Return the ``NeedsReport`` on a ``NeedsRequest``."""
        from educloud_lab.broker.needs import report
        from educloud_lab.wire.models import NeedsRequest

        request = self.read_body(NeedsRequest)
        broker = await self.desk.broker()
        self.reply(report(await broker.snapshot(self.desk.person), request.metadata))
