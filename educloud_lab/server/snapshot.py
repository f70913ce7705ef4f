"""Everything that the person may see, once."""

from __future__ import annotations

from tornado import web

from educloud_lab.server.base import RestHandler


class SnapshotHandler(RestHandler):
    """``GET snapshot``: also answers, with version 0 and a problem, while there is no broker."""

    _track_activity = False  # a page that looks is not a person who works

    @web.authenticated
    async def get(self) -> None:
        """Return a ``Snapshot``."""
        if not self.desk.ready():
            self.reply(self.desk.stand_in())
            return
        broker = await self.desk.broker()
        self.reply(await broker.snapshot(self.desk.person))
