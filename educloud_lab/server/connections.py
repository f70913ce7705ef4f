"""One multiplexed SSH connection a machine, shared by everything in this Jupyter server that talks to the machine.

Every request for a connection asks the broker for a grant first, so a permission that was taken back is noticed even
while a connection is kept, and a new generation of the machine is never served by the old one's connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from educloud_lab.domain.errors import ConflictError, EducloudError, MachineUnreachableError
from educloud_lab.ports.shell import Completed, Connection, Grant, Process, Pty, Shell
from educloud_lab.server.counted import CountedProcess, CountedPty

if TYPE_CHECKING:  # pydantic is loaded at first use, not with the extension
    from educloud_lab.wire import models as wire

IDLE_S = 300.0
LOOK_S = 2.0

_log = logging.getLogger("educloud.connections")


class GivesGrants(Protocol):
    """The part of ``BrokerApi`` that is needed here; a server may give one that builds its broker at first use."""

    async def grant(self, person: str, lease_id: str) -> Grant:
        """See ``BrokerApi.grant``."""

    async def snapshot(self, person: str) -> wire.Snapshot:
        """See ``BrokerApi.snapshot``."""


class MachineConnections:
    """Keeps the connections.

    Parameters
    ----------
    broker : gives grants.
    shell : makes connections.
    idle_s : a connection without commands and channels is closed after so many seconds.
    """

    def __init__(self, broker: GivesGrants, shell: Shell, *, idle_s: float = IDLE_S) -> None:
        self._broker = broker
        self._shell = shell
        self._idle_s = idle_s
        self._kept: dict[tuple[str, str], SharedConnection] = {}
        # A lock is kept as long as its lease is known here; there are as many as a person has leases.
        self._locks: dict[tuple[str, str], asyncio.Lock] = {}
        self._stopped = False

    async def check(self, person: str, lease_id: str) -> bool:
        """Return whether the person's own machine can be reached now.

        Raises
        ------
        NotFoundError
            No such lease, or none of theirs.
        """
        try:
            await self._broker.grant(person, lease_id)
        except ConflictError:
            return False
        return True

    async def look(self, person: str) -> wire.Snapshot | None:
        """Return where the person's leases stand; None when that cannot be known at once."""
        try:
            async with asyncio.timeout(LOOK_S):
                return await self._broker.snapshot(person)
        except (EducloudError, TimeoutError):
            return None

    async def get(self, person: str, lease_id: str, *, timeout_s: float = 15.0) -> Connection:
        """Return the connection to the person's own machine, made when there is none. Callers share it.

        Raises
        ------
        NotFoundError
            No such lease, or none of theirs.
        ConflictError
            The machine is not running.
        ShellError
            It cannot be connected to; see `Shell.connect`.
        """
        key = (person, lease_id)
        grant = await self._broker.grant(person, lease_id)
        async with self._locks.setdefault(key, asyncio.Lock()):
            kept = self._kept.get(key)
            if kept is not None and kept.fits(grant):
                kept.touch()
                return kept
            if kept is not None:
                await self._drop(key, kept)
            made = SharedConnection(await self._shell.connect(grant, timeout_s=timeout_s), grant, self._idle_s)
            if self._stopped:  # while it was being made
                await made.close()
                raise MachineUnreachableError("This Jupyter server is shutting down.")
            self._kept[key] = made
            _log.info("connected to the machine of lease %s, generation %d", lease_id, grant.generation)
            made.watch(asyncio.create_task(self._until_closed(key, made)))
            return made

    async def close_lease(self, lease_id: str) -> None:
        """Close every connection to the machine of a lease, as before its machine is stopped. Repeatable."""
        for key, kept in list(self._kept.items()):
            if key[1] == lease_id:
                await self._drop(key, kept)

    async def stop(self) -> None:
        """Close all. Repeatable; no connection is made afterwards."""
        self._stopped = True
        await asyncio.gather(*(self._drop(key, kept) for key, kept in list(self._kept.items())))

    async def _until_closed(self, key: tuple[str, str], kept: SharedConnection) -> None:
        await kept.wait_closed()
        if self._kept.get(key) is kept:
            del self._kept[key]
        _log.info("the connection to the machine of lease %s has ended", key[1])

    async def _drop(self, key: tuple[str, str], kept: SharedConnection) -> None:
        if self._kept.get(key) is kept:
            del self._kept[key]
        # Whatever happens to a connection that nobody wants any more must not keep a new one from being made.
        with contextlib.suppress(EducloudError):
            await kept.close()


class SharedConnection:
    """A connection that counts what is open on it, and closes itself when nothing has been for a while."""

    def __init__(self, connection: Connection, grant: Grant, idle_s: float) -> None:
        self._connection = connection
        self._grant = grant
        self._idle_s = idle_s
        self._open = 0
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False
        self.touch()

    def fits(self, grant: Grant) -> bool:
        """Whether it is usable and reaches what the grant is for."""
        return (
            not self.closed
            and self._grant.generation == grant.generation
            and (self._grant.address, self._grant.port) == (grant.address, grant.port)
            and self._grant.user == grant.user
            and self._connection.host_key in grant.host_keys
        )

    def touch(self) -> None:
        """Start the idle time anew."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._open == 0 and not self.closed:
            self._timer = asyncio.get_running_loop().call_later(self._idle_s, self._idle)

    def watch(self, task: asyncio.Task[None]) -> None:
        """Keep a task alive until it ends."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @property
    def host_key(self) -> str:
        """The public key line that the machine showed."""
        return self._connection.host_key

    @property
    def closed(self) -> bool:
        """Whether it has ended or is about to."""
        return self._closing or self._connection.closed

    async def run(
        self, script: str, *, arguments: Sequence[str] = (), stdin: bytes = b"", timeout_s: float = 30.0
    ) -> Completed:
        """Run a script; see the port."""
        async with self._counted():
            return await self._connection.run(script, arguments=arguments, stdin=stdin, timeout_s=timeout_s)

    async def open_pty(
        self, *, columns: int, rows: int, term: str = "xterm-256color", environment: Mapping[str, str] | None = None
    ) -> Pty:
        """Open a login shell with a terminal; see the port. The caller closes it."""
        self._begin()
        try:
            pty = await self._connection.open_pty(columns=columns, rows=rows, term=term, environment=environment)
        except BaseException:
            self._end()
            raise
        return CountedPty(pty, self._end)

    async def open_process(self, command: Sequence[str]) -> Process:
        """Begin a program; see the port. The caller closes it."""
        self._begin()
        try:
            process = await self._connection.open_process(command)
        except BaseException:
            self._end()
            raise
        return CountedProcess(process, self._end)

    async def wait_closed(self) -> None:
        """Return when it has ended, for whatever reason."""
        await self._connection.wait_closed()

    async def close(self) -> None:
        """End it and all its channels. Repeatable."""
        self._closing = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        await self._connection.close()

    @contextlib.asynccontextmanager
    async def _counted(self) -> AsyncIterator[None]:
        self._begin()
        try:
            yield
        finally:
            self._end()

    def _begin(self) -> None:
        self._open += 1
        self.touch()

    def _end(self) -> None:
        self._open -= 1
        self.touch()

    def _idle(self) -> None:
        self._timer = None
        if self._open == 0 and not self.closed:
            self._closing = True  # at once, so that nobody is given a connection that is about to end
            self.watch(asyncio.create_task(self.close()))
