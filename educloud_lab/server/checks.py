"""Checks: assertions about a machine, judged by the broker; and whose machines of a lab there are."""

from __future__ import annotations

from tornado import web

from educloud_lab.domain.errors import BadInputError
from educloud_lab.server.base import RestHandler

_MOST_CHARACTERS = 200


class ChecksHandler(RestHandler):
    """``POST leases/<id>/checks``."""

    @web.authenticated
    async def post(self, lease_id: str) -> None:
        """Return a ``CheckReport``. What it says of the machine is text, never markup."""
        from educloud_lab.wire.models import ChecksRequest

        request = self.read_body(ChecksRequest)
        broker = await self.desk.broker()
        self.reply(await broker.checks.check(self.desk.person, lease_id, request.checks))


class LabMachinesHandler(RestHandler):
    """``GET lab-machines?lab=``."""

    _track_activity = False  # a page that looks is not a person who works

    @web.authenticated
    async def get(self) -> None:
        """Return a ``LabMachines``."""
        lab = self.get_query_argument("lab", "")
        if not lab or len(lab) > _MOST_CHARACTERS:
            raise BadInputError("'lab' is the name of a lab.", kept="Nothing was changed.")
        broker = await self.desk.broker()
        self.reply(await broker.checks.machines(self.desk.person, lab))
