"""Why a machine hangs."""

from __future__ import annotations

from educloud_lab.broker.parts import Parts
from educloud_lab.wire import models as wire


class Doctor:
    """See :class:`educloud_lab.broker.api.DoctorApi`.

    Parameters
    ----------
    parts : the broker's ports.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def why(self, person: str, lease_id: str) -> wire.Why:
        """See the protocol."""
        raise NotImplementedError
