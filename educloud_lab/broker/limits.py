"""Limits on time: activity, Keep, busy, exemption."""

from __future__ import annotations

from datetime import datetime

from educloud_lab.broker.parts import Parts
from educloud_lab.wire import models as wire


class Limits:
    """See :class:`educloud_lab.broker.api.LimitsApi`.

    Parameters
    ----------
    parts : the broker's ports.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def keep(self, person: str, lease_id: str) -> wire.Lease:
        """See the protocol."""
        raise NotImplementedError

    async def activity(self, person: str, lease_id: str, kind: str) -> None:
        """See the protocol."""
        raise NotImplementedError

    async def busy(self, person: str, lease_id: str, until: datetime | None) -> wire.Lease:
        """See the protocol."""
        raise NotImplementedError

    async def exempt(self, person: str, lease_id: str, request: wire.ExemptRequest) -> wire.Lease:
        """See the protocol."""
        raise NotImplementedError

    async def end_exemption(self, person: str, lease_id: str) -> wire.Lease:
        """See the protocol."""
        raise NotImplementedError
