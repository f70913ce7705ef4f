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
        broker = await self.desk.soon()
        self.reply(await broker.snapshot(self.desk.person) if broker else self.desk.stand_in())
