"""All terminals of one person's Jupyter server, with the methods that the stock REST handlers call."""

from __future__ import annotations

import asyncio
import itertools
import logging
import re
from datetime import datetime
from typing import Any

from educloud_lab.domain.errors import BadInputError, ConflictError, NotFoundError
from educloud_lab.server.activity import ActivityReporter
from educloud_lab.server.connections import MachineConnections
from educloud_lab.server.terminals.terminal import PATIENCE_S, RETRY_S, Terminal

REPLAY_BYTES = 1024 * 1024
MAX_TERMINALS = 64
_LEASE_ID = re.compile(r"[A-Za-z0-9-]{1,64}", re.ASCII)
_NUMBER = re.compile(r"[1-9][0-9]{0,3}", re.ASCII)

_log = logging.getLogger("educloud.terminals")


class TerminalService:
    """The terminals.

    Parameters
    ----------
    connections : connections to the person's machines.
    person : whose server this is: the broker's name for the person, never taken from a request.
    replay_bytes : how much output each terminal keeps.
    retry_s, patience_s : see `Terminal`.
    reporter : told that something was typed or connected, for the idle limit; None: nobody is.
    """

    def __init__(
        self,
        connections: MachineConnections,
        *,
        person: str,
        replay_bytes: int = REPLAY_BYTES,
        retry_s: float = RETRY_S,
        patience_s: float = PATIENCE_S,
        reporter: ActivityReporter | None = None,
    ) -> None:
        self._reporter = reporter
        self._connections = connections
        self._person = person
        self._replay_bytes = replay_bytes
        self._retry_s = retry_s
        self._patience_s = patience_s
        self._terminals: dict[str, Terminal] = {}
        self._stopped = False

    async def start(self) -> None:
        """Nothing to do: everything begins at first use."""

    async def stop(self) -> None:
        """End all terminals and close all connections. Repeatable."""
        self._stopped = True
        await asyncio.gather(*(terminal.close() for terminal in list(self._terminals.values())))
        if self._reporter is not None:
            await self._reporter.stop()
        await self._connections.stop()

    def list(self) -> list[dict[str, Any]]:
        """Return a model of each terminal."""
        return [model_of(terminal) for terminal in self._terminals.values()]

    def get(self, name: str) -> dict[str, Any]:
        """Return the model of one terminal.

        Raises
        ------
        NotFoundError
            There is none of that name.
        """
        return model_of(self.terminal(name))

    def terminal(self, name: str) -> Terminal:
        """Return a terminal; never makes one. Raises as `get`."""
        terminal = self._terminals.get(name)
        if terminal is None:
            raise NotFoundError(f"There is no terminal {name[:80]!r}.", next_step="Open a new one on the machine.")
        return terminal

    async def create(self, *, name: str | None = None, lease_id: str | None = None) -> dict[str, Any]:
        """Make a terminal, or return the one that has the name; its machine is connected to in the background.

        Parameters
        ----------
        name : ``<lease_id>-<n>``.
        lease_id : instead of a name, for the lease's next terminal.

        Raises
        ------
        BadInputError
            Neither is given, or both contradict each other, or they are malformed.
        NotFoundError
            No such lease, or none of the person's.
        ConflictError
            There are too many terminals, or the server is shutting down.
        """
        lease_id = _lease_of(name, lease_id)
        # Asked for an existing terminal too: a permission that was taken back must not be served from memory.
        await self._connections.check(self._person, lease_id)
        if name is None:
            name = next(free for n in itertools.count(1) if (free := f"{lease_id}-{n}") not in self._terminals)
        if name not in self._terminals:
            if self._stopped:
                raise ConflictError("This Jupyter server is shutting down.")
            if len(self._terminals) >= MAX_TERMINALS:
                raise ConflictError(
                    f"There are {MAX_TERMINALS} terminals open already.", next_step="Close one you do not need."
                )
            _log.info("new terminal %s", name)
            self._terminals[name] = Terminal(
                name,
                self._person,
                lease_id,
                self._connections,
                self._forget,
                replay_bytes=self._replay_bytes,
                retry_s=self._retry_s,
                patience_s=self._patience_s,
                **({"on_activity": self._reporter.report} if self._reporter is not None else {}),
            )
        return model_of(self._terminals[name])

    async def terminate(self, name: str, force: bool = False) -> None:
        """End a terminal. Raises as `get`."""
        await self.terminal(name).close()

    def last_activity(self, lease_id: str) -> datetime | None:
        """Return when something was last typed into a terminal of a lease; None without terminals."""
        times = [each.last_activity for each in self._terminals.values() if each.lease_id == lease_id]
        return max(times, default=None)

    def _forget(self, terminal: Terminal) -> None:
        if self._terminals.get(terminal.name) is terminal:
            del self._terminals[terminal.name]
            _log.info("terminal %s is gone", terminal.name)


def model_of(terminal: Terminal) -> dict[str, Any]:
    """Return what a page is told of a terminal."""
    return {
        "name": terminal.name,
        "lease_id": terminal.lease_id,
        "state": terminal.state,
        "last_activity": terminal.last_activity.isoformat().replace("+00:00", "Z"),
    }


def _lease_of(name: str | None, lease_id: str | None) -> str:
    named = None
    if name is not None:
        named, _, number = name.rpartition("-")
        if not _NUMBER.fullmatch(number):
            named = ""
        if lease_id is not None and lease_id != named:
            named = ""
    wanted = lease_id if named is None else named
    if wanted is None or not _LEASE_ID.fullmatch(wanted):
        raise BadInputError(
            "A terminal is asked for by its name, <lease_id>-<n>, or by its lease_id.", kept="None was made."
        )
    return wanted
