"""What just happened: the calls that a lease's latest actions made."""

from __future__ import annotations

from tornado import web

from educloud_lab.domain.errors import BadInputError
from educloud_lab.server.base import RestHandler


class CallsHandler(RestHandler):
    """``GET leases/<id>/calls?limit=``."""

    _track_activity = False  # a page that looks is not a person who works

    @web.authenticated
    async def get(self, lease_id: str) -> None:
        """Return ``Accounts``, the newest action first."""
        text = self.get_query_argument("limit", "5")
        if not (text.isascii() and text.isdigit() and len(text) <= 4):
            raise BadInputError("'limit' is a whole number.", kept="Nothing was changed.")
        broker = await self.desk.broker()
        self.reply(await broker.accounts.latest(self.desk.person, lease_id, limit=int(text)))
