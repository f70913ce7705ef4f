"""What those who answer for a course look at: the audit log, what nobody owns, bin and quarantine."""

from __future__ import annotations

from tornado import web

from educloud_lab.domain.errors import BadInputError
from educloud_lab.server.base import RestHandler


class _AuditHandler(RestHandler):
    """What both ways to read the audit log share."""

    _track_activity = False  # a page that looks is not a person who works

    async def _answer(self, lease_id: str | None) -> None:
        before, limit = self._number("before"), self._number("limit")
        broker = await self.desk.broker()
        page = await broker.oversight.audit(
            self.desk.person, lease_id=lease_id, before_id=before, limit=100 if limit is None else limit
        )
        self.reply(page)

    def _number(self, name: str) -> int | None:
        text = self.get_query_argument(name, None)
        if text is None:
            return None
        if not (text.isascii() and text.isdigit() and len(text) <= 15):
            raise BadInputError(f"'{name}' is a whole number.", kept="Nothing was changed.")
        return int(text)


class LeaseAuditHandler(_AuditHandler):
    """``GET leases/<id>/audit?before=&limit=``."""

    @web.authenticated
    async def get(self, lease_id: str) -> None:
        """Return an ``AuditPage`` of one lease, newest first."""
        await self._answer(lease_id)


class AuditHandler(_AuditHandler):
    """``GET audit?before=&limit=``."""

    @web.authenticated
    async def get(self) -> None:
        """Return an ``AuditPage`` of the course, newest first."""
        await self._answer(None)


class OrphansHandler(RestHandler):
    """``GET orphans``."""

    _track_activity = False  # likewise

    @web.authenticated
    async def get(self) -> None:
        """Return an ``OrphanReport``: what the last sweeps found."""
        broker = await self.desk.broker()
        self.reply(await broker.oversight.orphans(self.desk.person))


class ReapHandler(RestHandler):
    """``POST orphans/reap``."""

    @web.authenticated
    async def post(self) -> None:
        """Look now; say what would be done (the default), or do it. Return an ``OrphanReport``."""
        from educloud_lab.wire.models import ReapRequest

        request = self.read_body(ReapRequest)
        broker = await self.desk.broker()
        only = None if request.only is None else frozenset(request.only)
        self.reply(await broker.oversight.reap(self.desk.person, dry_run=request.dry_run, only=only))


class ShelfHandler(RestHandler):
    """``GET shelf``."""

    _track_activity = False  # likewise

    @web.authenticated
    async def get(self) -> None:
        """Return a ``Shelf``: bin and quarantine of the course."""
        broker = await self.desk.broker()
        self.reply(await broker.oversight.shelf(self.desk.person))
