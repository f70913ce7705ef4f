"""First meeting of the two halves: versions, and why the server half cannot work when it cannot."""

from __future__ import annotations

from tornado import web

from educloud_lab.server.base import RestHandler


class HelloHandler(RestHandler):
    """``GET hello``: answers at once, before a broker exists."""

    _track_activity = False  # a page that looks is not a person who works

    @web.authenticated
    async def get(self) -> None:
        """Return a ``Hello``."""
        self.reply(self.desk.hello())
