"""One machine, as a script sees it: what it is, what can be asked of it. Everything shown is asked anew each time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Self

from educloud_lab.client import requests, rules, work
from educloud_lab.client.plans import adrive
from educloud_lab.client.volume import Volume
from educloud_lab.wire import models as wire

if TYPE_CHECKING:
    from educloud_lab.client.client import Client
    from educloud_lab.client.copying import Copied
    from educloud_lab.client.running import Running
    from educloud_lab.wire.run import RunRequest


class Machine:
    """Your machine for a lab; :meth:`Client.machine` makes it.

    Parameters
    ----------
    client : what asks the server.
    lease : your claim on the machine.
    """

    def __init__(self, client: Client, lease: wire.Lease) -> None:
        self.client = client
        self.id = lease.id
        self.lab = lease.lab
        self.slot = lease.slot
        self.volume = Volume(self)

    def __repr__(self) -> str:
        slot = "" if self.slot == "main" else f" ({self.slot})"
        return f"<Machine of the lab '{self.lab}'{slot}>"

    @property
    def lease(self) -> wire.Lease:
        """All that is known of it now."""
        return self.client.lease(self.id)

    @property
    def state(self) -> str:
        """Where it stands: off, starting, ready, stopping, asleep, deleting, waiting or trouble."""
        return str(self.lease.phase)

    @property
    def headline(self) -> str:
        """One line that says where it stands."""
        return self.lease.headline

    @property
    def address(self) -> str | None:
        """Its address while it has one."""
        instance = self.lease.instance
        return instance.address if instance is not None else None

    @property
    def instance_id(self) -> str | None:
        """The cloud's name of its instance while it has one."""
        instance = self.lease.instance
        return instance.id if instance is not None else None

    @property
    def time_left_s(self) -> int | None:
        """Seconds until it is put to sleep; None while nothing ends it."""
        return self.client._do(rules.time_left_s(self.id))

    def start(self) -> Self:
        """Want it running. A second Start is the same Start; :meth:`wait` waits for it."""
        self.client.start(self.id)
        return self

    def stop(self) -> Self:
        """Want it stopped; its data volume is saved first. ``wait("asleep")`` waits for it."""
        self.client.stop(self.id)
        return self

    def keep(self) -> Self:
        """Give it its full time again, from now."""
        self.client.extend(self.id)
        return self

    def delete(self, *, confirm: str) -> Self:
        """Delete it (the data volume stays); ``confirm`` is the lab's name. ``wait("off")`` waits for it."""
        self.client.delete(self.id, confirm=confirm)
        return self

    def wait(self, phase: str = "ready", timeout_s: float = 300.0, *, progress: rules.Progress | None = None) -> Self:
        """Return once it is in a phase (``ready``, ``asleep``, ``off``; for ``asleep`` also when it is ``off``).

        Parameters
        ----------
        timeout_s : how long to wait at most, in seconds.
        progress : called at each look with the lease: ``lease.headline``, ``lease.job.progress``.

        Raises
        ------
        WaitTimeoutError
            Not in time; it goes on by itself.
        ConflictError
            Something else was wanted of it meanwhile.
        EducloudError
            It came into trouble instead: what happened, what was kept, what to do.
        """
        self.client.wait(self.id, phase=phase, timeout_s=timeout_s, progress=progress)
        return self

    async def ready(self, timeout_s: float = 300.0, *, progress: rules.Progress | None = None) -> Self:
        """Do the same for ``ready`` without blocking the loop: ``await machine.ready()`` in a cell."""
        plan = rules.wait(self.id, "ready", timeout_s, progress)
        await adrive(plan, lambda ask: asyncio.to_thread(self.client._ask, ask))
        return self

    def run(
        self,
        command: str,
        *,
        check: bool = True,
        timeout_s: float | None = None,
        folder: str | None = None,
        environment: Mapping[str, str] | None = None,
        keep: str | None = None,
        on_output: work.OnOutput | None = None,
    ) -> work.Done:
        """Run a shell script on it and return what it printed, once it has ended. An interrupt here stops it there.

        Parameters
        ----------
        command : for bash, one line or many; nobody can type into it.
        check : whether another exit status than 0, or the time limit, is an error.
        timeout_s : it is ended after so many seconds; None lets it run.
        folder : where it begins; the home folder otherwise.
        environment : variables that it sees.
        keep : a name under which its folder and exported variables last for the next run of that name.
        on_output : called with ("stdout" or "stderr", text) as it comes.

        Raises
        ------
        CommandFailedError, CommandTimeoutError
            As ``check`` says.
        ConflictError
            The machine is not ready.
        ShellError
            It cannot be reached.
        """
        request = work.request(command, timeout_s, folder, environment, keep)
        gathered = work.Gathered(on_output)
        with self._begin(request) as running:
            for stream, text in running:
                gathered.take(stream, text)
            return gathered.done(request, running.wait(), running.hint, check=check)

    def begin(
        self,
        command: str,
        *,
        timeout_s: float | None = None,
        folder: str | None = None,
        environment: Mapping[str, str] | None = None,
        keep: str | None = None,
    ) -> Running:
        """Begin a shell script on it: iterate what is returned for (stream, text); it has interrupt, wait and close.

        Parameters are those of :meth:`run`.
        """
        return self._begin(work.request(command, timeout_s, folder, environment, keep))

    def _begin(self, request: RunRequest) -> Running:
        from educloud_lab.client.running import begin

        return begin(self.client._alive(), self.id, request)

    def upload(self, source: str | Path, target: str, *, progress: work.CopyProgress | None = None) -> Copied:
        """Copy a file from here to the machine; its content is compared at both ends.

        Parameters
        ----------
        source : a file here.
        target : a file there, or a folder that is there or ends in ``/``; relative to the home folder.
        progress : called with the bytes that have arrived, and all bytes.

        Raises
        ------
        BadInputError, NotFoundError, ConflictError
            It cannot be read here, may not be written there, or the machine is not ready.
        EducloudError
            It broke off; the file there is as it was.
        """
        from educloud_lab.client.copying import upload

        return upload(self.client._alive(), self.id, source, target, progress=progress)

    def download(self, source: str, target: str | Path = ".", *, progress: work.CopyProgress | None = None) -> Copied:
        """Copy a file of the machine to here. See :meth:`upload`; ``target`` may be a folder."""
        from educloud_lab.client.copying import download

        return download(self.client._alive(), self.id, source, target, progress=progress)

    def check(self, *checks: str) -> wire.CheckReport:
        """Return whether assertions about it hold, one a text: ``machine.check("port 80 answers")``."""
        return self.client.check(self.id, checks)

    def calls(self, limit: int = 5) -> wire.Accounts:
        """Return the calls to the cloud that its latest actions made, newest first."""
        return self.client.calls(self.id, limit=limit)

    def console(self) -> str:
        """Return the console output of its instance."""
        return self.client.console(self.id)

    def why(self) -> wire.Why:
        """Return why it hangs, looked up now."""
        return self.client._ask(requests.why(self.id))
