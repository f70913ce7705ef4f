"""Console output of a lease's instance: what the machine says before anybody can log in."""

from __future__ import annotations

from tornado import web

from educloud_lab.server.base import RestHandler


class ConsoleHandler(RestHandler):
    """``GET leases/<id>/console``."""

    _track_activity = False  # a page that looks is not a person who works

    @web.authenticated
    async def get(self, lease_id: str) -> None:
        """Return a ``Console``. Its text comes from the machine: shown as text, never as markup."""
        broker = await self.desk.broker()
        self.reply(await broker.console(self.desk.person, lease_id))
