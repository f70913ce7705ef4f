"""Why a machine hangs, looked up now."""

from __future__ import annotations

from tornado import web

from educloud_lab.server.base import RestHandler


class WhyHandler(RestHandler):
    """``GET leases/<id>/why``."""

    _track_activity = False  # a page that looks is not a person who works

    @web.authenticated
    async def get(self, lease_id: str) -> None:
        """Return a ``Why``. Its lines from consoles are shown as text, never as markup."""
        broker = await self.desk.broker()
        self.reply(await broker.doctor.why(self.desk.person, lease_id))
