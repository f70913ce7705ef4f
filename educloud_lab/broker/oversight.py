"""What those who answer for a course see and do: audit, orphans, bin and quarantine."""

from __future__ import annotations

from educloud_lab.broker.parts import Parts
from educloud_lab.wire import models as wire


class Oversight:
    """See :class:`educloud_lab.broker.api.OversightApi`.

    Parameters
    ----------
    parts : the broker's ports.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def audit(
        self, person: str, *, lease_id: str | None = None, before_id: int | None = None, limit: int = 100
    ) -> wire.AuditPage:
        """See the protocol."""
        raise NotImplementedError

    async def orphans(self, person: str) -> wire.OrphanReport:
        """See the protocol."""
        raise NotImplementedError

    async def reap(self, person: str, *, dry_run: bool) -> wire.OrphanReport:
        """See the protocol."""
        raise NotImplementedError

    async def shelf(self, person: str) -> wire.Shelf:
        """See the protocol."""
        raise NotImplementedError
