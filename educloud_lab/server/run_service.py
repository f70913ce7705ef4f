"""What runs on a person's machines have in common: connections, reported activity, and channels that are kept open."""

from __future__ import annotations

import asyncio

from educloud_lab.domain.errors import EducloudError, MachineUnreachableError
from educloud_lab.ports.shell import Process
from educloud_lab.server.activity import ActivityReporter
from educloud_lab.server.connections import MachineConnections
from educloud_lab.server.terminals.farewell import UNKNOWN, why_ended

SETTING = "educloud_runs"
ACTIVITY_S = 60.0
OPEN_S = 15.0
MAX_LINGERING = 8
"""Channels that are kept open for what scripts left running in the background; beyond this the oldest is let go."""


class RunService:
    """What all runs of one person's Jupyter server share.

    Parameters
    ----------
    connections : connections to the person's machines.
    person : whose server this is: the broker's name for the person, never taken from a request.
    reporter : told that something runs, for the idle limit; None: nobody is.
    activity_s : how often, while it runs.
    """

    def __init__(
        self,
        connections: MachineConnections,
        *,
        person: str,
        reporter: ActivityReporter | None = None,
        activity_s: float = ACTIVITY_S,
    ) -> None:
        self.connections = connections
        self.person = person
        self._reporter = reporter
        self._activity_s = activity_s
        self._lingering: dict[asyncio.Task[None], Process] = {}

    async def keep_reporting(self, lease_id: str) -> None:
        """Report activity on a lease now and once a minute, until cancelled."""
        while True:
            self.report(lease_id)
            await asyncio.sleep(self._activity_s)

    def report(self, lease_id: str) -> None:
        """Report activity on a lease."""
        if self._reporter is not None:
            self._reporter.report(lease_id, "cell")

    def linger(self, process: Process) -> None:
        """Keep a channel whose script has ended, until nothing on the machine holds it: its output is dropped.

        Without a reader, what the script left running would fail at its next line of output.
        """
        task = asyncio.create_task(_drop(process), name="educloud-lingering")
        self._lingering[task] = process
        task.add_done_callback(self._lingering.pop)
        if len(self._lingering) > MAX_LINGERING:
            next(iter(self._lingering)).cancel()

    async def stop(self) -> None:
        """Let go what lingers. Repeatable."""
        tasks = list(self._lingering)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def open(self, lease_id: str, words: list[str]) -> Process:
        """Begin a program on the machine of a lease.

        Raises
        ------
        NotFoundError, ConflictError
            No such lease or none of theirs; the machine is not running.
        ShellError
            It cannot be connected to, or gives no channel.
        """
        connection = await self.connections.get(self.person, lease_id)
        try:
            async with asyncio.timeout(OPEN_S):
                return await connection.open_process(words)
        except TimeoutError as error:
            raise MachineUnreachableError(
                f"The machine did not answer within {OPEN_S:g} s.",
                kept="Nothing was run.",
                next_step="It may be very busy, or just restarting: try again in a minute.",
            ) from error

    async def lost(self, lease_id: str, kept: str) -> EducloudError:
        """Return the error that says why the connection to a machine has ended under something."""
        seen = await self.connections.look(self.person)
        lease = None if seen is None else next((each for each in seen.leases if each.id == lease_id), None)
        what = UNKNOWN if seen is None else why_ended(lease, seen.server_time)
        return MachineUnreachableError(what, kept=kept, next_step="When its card says Ready, run it again.")


async def _drop(process: Process) -> None:
    try:
        while (await process.read())[1]:
            pass
    finally:
        await process.close()
