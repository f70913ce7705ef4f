"""What the handlers ask of the room that wires everything together.

The handlers know neither cloud nor store nor configuration: they know a desk, where the broker is fetched when
it is first needed. The desk is put into the web application's settings under :data:`SETTING`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:  # pydantic is loaded at first use, not with the extension (PERFORMANCE.md, note 9)
    from educloud_lab.broker.api import BrokerApi
    from educloud_lab.wire import models as wire

SETTING = "educloud_desk"


class Desk(Protocol):
    """Where handlers get a broker from."""

    @property
    def person(self) -> str:
        """Whose server this is: the broker's name for the person, never taken from a request."""

    async def broker(self) -> BrokerApi:
        """Return the open broker, built at the first call.

        Raises
        ------
        EducloudError
            It cannot be built now; says what to do. A later call tries again.
        """

    def ready(self) -> bool:
        """Whether :meth:`broker` answers at once."""

    async def soon(self) -> BrokerApi | None:
        """Return the broker when it can be had in about a second, else None: a page should not wait unanswered."""

    def hello(self) -> wire.Hello:
        """Return the versions and, when the last attempt to build the broker failed, why. Starts an attempt."""

    def stand_in(self) -> wire.Snapshot:
        """Return a snapshot of version 0 that says why there is no broker (yet)."""
