"""What the server, the command line and the tests ask of a broker.

Every method takes the person who asks and never shows or changes what is somebody else's: a lease of another
person is a :class:`~educloud_lab.domain.errors.NotFoundError`, as one that does not exist (I6).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from educloud_lab.ports.shell import Grant
from educloud_lab.wire import models as wire


class BrokerApi(Protocol):
    """The broker's use cases."""

    async def open(self) -> None:
        """Open the store (upgrading it), make the authority, start reconciling."""

    async def close(self) -> None:
        """Stop reconciling; jobs in flight stay recorded and are taken up by the next broker."""

    async def snapshot(self, person: str) -> wire.Snapshot:
        """Return everything that the person may see."""

    def watch(self, person: str) -> AsyncIterator[wire.Snapshot]:
        """Yield the snapshot now and whenever it changed, whoever changed it (another server too, within a second)."""

    async def ensure_lease(self, person: str, request: wire.LeaseRequest) -> wire.Lease:
        """Return the lease of (course, lab, person, slot), made when it does not exist; starts it when asked to.

        Raises
        ------
        ProfileError, NotFoundError
            No such machine profile, or its file is wrong.
        ConflictError
            The lease exists with another machine profile and its machine still exists.
        """

    async def start(self, person: str, lease_id: str) -> wire.Lease:
        """Want it running. A second Start is the same Start; while stopping it follows the stop."""

    async def stop(self, person: str, lease_id: str) -> wire.Lease:
        """Want it stopped: the volume is unmounted and detached first."""

    async def delete(self, person: str, lease_id: str, *, confirm: str) -> wire.Lease:
        """Want its machine gone; the data volume stays.

        Raises
        ------
        ConfirmationError
            ``confirm`` is not the lab's name.
        """

    async def extend(self, person: str, lease_id: str) -> wire.Lease:
        """Keep: give a running lease its profile's full time again from now."""

    async def console(self, person: str, lease_id: str) -> wire.Console:
        """Return the console output of the present instance."""

    async def grant(self, person: str, lease_id: str) -> Grant:
        """Give a ten-minute permission to connect to the person's own running machine.

        Raises
        ------
        ConflictError
            It is not running.
        """
