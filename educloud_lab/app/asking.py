"""What commands share that ask the running Jupyter server: the way to it, what failed, and machines by name."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, ClassVar

from educloud_lab.app.command import INTERRUPTED, StrictCommand, complain

if TYPE_CHECKING:
    from educloud_lab.client.client import Client
    from educloud_lab.client.find import Server
    from educloud_lab.wire import models as wire


class AskingCommand(StrictCommand):
    """A command that asks the running Jupyter server; exits with 1 and one paragraph when it cannot."""

    starts_broker: ClassVar[bool] = False
    """Whether a broker for scripts is started where nothing runs: for what does something, not for what looks."""

    @property
    def typed(self) -> str:
        """What the person typed to get this command."""
        return self.name.replace("-", " ")

    def start(self) -> None:
        """Ask."""
        from educloud_lab.client import connect
        from educloud_lab.domain.errors import EducloudError

        try:
            with connect(self.find()) as client:
                self.ask(client)
        except EducloudError as error:
            complain(f"{self.typed}: {error}")
            self.exit(1)
        except KeyboardInterrupt:
            complain(f"{self.typed}: interrupted. What was asked before goes on by itself; `educloud status` shows it.")
            self.exit(INTERRUPTED)

    def find(self) -> Server:
        """Return the server to ask.

        Raises
        ------
        ServerNotFoundError
            There is none.
        """
        from educloud_lab.client import headless
        from educloud_lab.client.errors import ServerNotFoundError, SeveralServersError
        from educloud_lab.client.find import find_any_server

        try:
            return find_any_server()
        except ServerNotFoundError as error:
            meant = isinstance(error, SeveralServersError) or "EDUCLOUD_URL" in os.environ
            if meant or not self.starts_broker:
                raise
        return headless.ensure()

    def ask(self, client: Client) -> None:
        """Do it with a client, and print; each command has its own way."""
        raise NotImplementedError


def find_lease(snapshot: wire.Snapshot, wanted: str) -> wire.Lease:
    """Return the lease of an id or of a lab's name.

    Raises
    ------
    NotFoundError
        There is none, or the lab has several slots; says which there are.
    """
    from educloud_lab.domain.errors import NotFoundError

    leases = snapshot.leases
    found = [lease for lease in leases if lease.id == wanted] or [lease for lease in leases if lease.lab == wanted]
    if len(found) == 1:
        return found[0]
    if found:
        ids = ", ".join(f"{lease.id} ({lease.slot})" for lease in found)
        raise NotFoundError(f"The lab '{wanted}' has several machines.", next_step=f"Name one by its id: {ids}.")
    known = ", ".join(lease.lab for lease in leases) or "none"
    raise NotFoundError(f"There is no machine '{wanted}'.", kept="Nothing was done.", next_step=f"There is: {known}.")
