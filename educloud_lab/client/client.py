"""A synchronous client: one method for each route, replies as wire models, refusals as our errors."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from educloud_lab.client import link, needs, requests, rules
from educloud_lab.client.errors import ServerUnreachableError
from educloud_lab.client.find import Server
from educloud_lab.client.headless import server_of
from educloud_lab.client.machine import Machine
from educloud_lab.client.plans import Ask, Plan, drive
from educloud_lab.wire import models as wire

T = TypeVar("T")


class Client:
    """Asks one Jupyter server. :class:`~educloud_lab.client.aio.AsyncClient` has the same methods as coroutines.

    Parameters
    ----------
    server : where it answers.
    timeout_s : for each request.
    transport : another way to send requests; tests give one.
    """

    def __init__(
        self, server: Server, *, timeout_s: float = 30.0, transport: httpx.BaseTransport | None = None
    ) -> None:
        self.server = server
        self._timeout_s = timeout_s
        self._http = self._to(server, transport)

    def close(self) -> None:
        """Let the connection go. Repeatable."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        # `connect().machine()` in a cell leaves nobody to close it; a client that was never made has nothing to close.
        if (http := getattr(self, "_http", None)) is not None:
            http.close()

    def __repr__(self) -> str:
        return f"<educloud_lab client of {self.server.name}>"

    def machine(self, lab: str | None = None, machine_profile: str | None = None, slot: str = "main") -> Machine:
        """Return your machine for a lab; it is recorded when there is none yet, and not started.

        Parameters
        ----------
        lab : the lab's name; None takes it from EDUCLOUD_LAB and EDUCLOUD_MACHINE_PROFILE, else from the metadata of
            the notebook that this kernel runs for.
        machine_profile : what it is made from; may be left out for a machine that there is already.
        slot : which of your machines in this lab.

        Raises
        ------
        LabUnknownError
            No lab was given, and none is to be found.
        BadInputError
            There is no machine yet, and no machine profile was given; or the notebook is another course's.
        """
        return Machine(self, self._do(needs.machine(lab, machine_profile, slot)))

    def needs(self) -> wire.LabNeeds:
        """Return what this notebook's lab needs: from the environment, else from the notebook's metadata.

        Raises
        ------
        LabUnknownError
            It cannot be told; says why.
        """
        return self._do(needs.find())

    def hello(self) -> wire.Hello:
        """Return the server's versions."""
        return self._ask(requests.hello())

    def snapshot(self) -> wire.Snapshot:
        """Return everything that you may see."""
        return self._ask(requests.snapshot())

    def settled(self) -> wire.Snapshot:
        """Return the same once the broker is there: while it is being started, wait for it.

        Raises
        ------
        EducloudError
            There is no broker: why, and what to do.
        """
        return self._do(rules.settled())

    def ensure(self, *, lab: str, machine_profile: str, slot: str = "main", start: bool = False) -> wire.Lease:
        """Return the lease of a lab, made when it does not exist; starts its machine when asked to."""
        return self._ask(requests.ensure(lab, machine_profile, slot, start=start))

    def lease(self, lease_id: str) -> wire.Lease:
        """Return one lease as it is now.

        Raises
        ------
        NotFoundError
            There is none of that id.
        """
        return self._do(rules.lease(lease_id))

    def start(self, lease_id: str) -> wire.Lease:
        """Want it running. A second Start is the same Start."""
        return self._ask(requests.start(lease_id))

    def stop(self, lease_id: str) -> wire.Lease:
        """Want it stopped; its data volume is saved first."""
        return self._ask(requests.stop(lease_id))

    def delete(self, lease_id: str, *, confirm: str) -> wire.Lease:
        """Delete its machine (the data volume stays); ``confirm`` is the lab's name."""
        return self._ask(requests.delete(lease_id, confirm))

    def extend(self, lease_id: str) -> wire.Lease:
        """Keep it: the full time again from now."""
        return self._ask(requests.extend(lease_id))

    def activity(self, lease_id: str, kind: requests.ActivityKind) -> None:
        """Tell that you did something on it: its idle limit counts from now."""
        self._ask(requests.activity(lease_id, kind))

    def busy(self, lease_id: str, until: datetime | None) -> wire.Lease:
        """Declare it busy until then (at most until its time is over), or no longer: the idle limit waits."""
        return self._ask(requests.busy(lease_id, until))

    def exempt(self, lease_id: str, *, reason: str, until: datetime) -> wire.Lease:
        """Turn its limits off until then. For those who oversee the course."""
        return self._ask(requests.exempt(lease_id, reason, until))

    def end_exemption(self, lease_id: str) -> wire.Lease:
        """Turn its limits on again: the full time from now."""
        return self._ask(requests.end_exemption(lease_id))

    def take_snapshot(self, lease_id: str, name: str) -> wire.Lease:
        """Want a snapshot of its data volume. The same name again is the same snapshot."""
        return self._ask(requests.take_snapshot(lease_id, name))

    def delete_snapshot(self, lease_id: str, snapshot_id: str) -> wire.Lease:
        """Delete a snapshot, for ever."""
        return self._ask(requests.delete_snapshot(lease_id, snapshot_id))

    def restore(self, lease_id: str, snapshot_id: str) -> wire.Lease:
        """Want a new data volume from a snapshot, while nothing runs; the present one goes to the bin."""
        return self._ask(requests.restore(lease_id, snapshot_id))

    def publish(self, lease_id: str, snapshot_id: str, *, published: bool = True) -> wire.Lease:
        """Make new data volumes of the lab from a snapshot, or no longer. For instructors."""
        return self._ask(requests.publish(lease_id, snapshot_id, published))

    def grow(self, lease_id: str, size_gib: int) -> wire.Lease:
        """Want a larger data volume, while nothing runs."""
        return self._ask(requests.grow(lease_id, size_gib))

    def discard(self, lease_id: str, *, confirm: str) -> wire.Lease:
        """Put its data volume into the bin, while nothing runs; ``confirm`` is the lab's name."""
        return self._ask(requests.discard(lease_id, confirm))

    def return_from_bin(self, lease_id: str, item_id: str) -> wire.Lease:
        """Take a volume out of the bin, while nothing runs; the present one goes there."""
        return self._ask(requests.return_from_bin(lease_id, item_id))

    def console(self, lease_id: str) -> str:
        """Return the console output of its instance."""
        return self._ask(requests.console(lease_id)).text

    def audit(self, lease_id: str | None = None, *, before: int | None = None, limit: int = 100) -> wire.AuditPage:
        """Return the audit log of one lease, or (for those who oversee it) of the course, newest first."""
        return self._ask(requests.audit(lease_id, before, limit))

    def orphans(self) -> wire.OrphanReport:
        """Return what is in the cloud and belongs to nobody. For those who oversee the course."""
        return self._ask(requests.orphans())

    def reap(self, *, dry_run: bool = True, only: list[str] | None = None) -> wire.OrphanReport:
        """Look now; say what would be done, or do it to what is due (``only``: to these). For instructors."""
        return self._ask(requests.reap(dry_run, only))

    def shelf(self) -> wire.Shelf:
        """Return bin and quarantine. For those who oversee the course."""
        return self._ask(requests.shelf())

    def why(self, lease_id: str) -> wire.Why:
        """Return why it hangs, looked up now; ``text`` is for an administrator."""
        return self._ask(requests.why(lease_id))

    def check(self, lease_id: str, checks: Sequence[str]) -> wire.CheckReport:
        """Return whether assertions about it hold, one in each text. The server looks, not this Python."""
        return self._ask(requests.check(lease_id, checks))

    def lab_machines(self, lab: str) -> wire.LabMachines:
        """Return everybody's machines of a lab; for those who oversee the course."""
        return self._ask(requests.lab_machines(lab))

    def calls(self, lease_id: str, *, limit: int = 5) -> wire.Accounts:
        """Return the calls that its latest actions made to the cloud."""
        return self._ask(requests.calls(lease_id, limit))

    def wait(
        self, lease_id: str, *, phase: str = "ready", timeout_s: float = 300.0, progress: rules.Progress | None = None
    ) -> wire.Lease:
        """Return the lease once it is in a phase.

        Parameters
        ----------
        progress : called with the lease at each look.

        Raises
        ------
        WaitTimeoutError
            Not within ``timeout_s`` seconds.
        ConflictError
            Something else was wanted of it meanwhile.
        EducloudError
            It came into trouble instead: the lease's own problem.
        """
        return self._do(rules.wait(lease_id, phase, timeout_s, progress))

    def _do(self, plan: Plan[T]) -> T:
        return drive(plan, self._ask)

    def _alive(self) -> Server:
        """Return the server for what does not go through here; a broker for scripts may have ended meanwhile."""
        if self.server.log is not None:
            self.hello()
        return self.server

    def _to(self, server: Server, transport: httpx.BaseTransport | None = None) -> httpx.Client:
        if transport is None and server.socket:
            transport = httpx.HTTPTransport(uds=server.socket)
        return httpx.Client(**link.options(server, self._timeout_s), transport=transport)

    def _ask(self, ask: Ask[T]) -> T:
        try:
            answer = self._sent(ask)
        except httpx.HTTPError as error:
            raise ServerUnreachableError.silent(self.server, error) from None
        found: Any = link.read(self.server, ask, answer)
        result: T = found
        return result

    def _sent(self, ask: Ask[Any]) -> httpx.Response:
        http = self._http
        try:
            answer = http.request(**link.sent(ask))
            another = link.in_its_place(self.server, answer)
            if another is None:
                return answer
        except httpx.HTTPError as error:
            another = link.started_again(self.server, ask, error)
            if another is None:
                raise
        if self._http is http:  # else another thread has come here first
            self.server, self._http = another, self._to(another)
            http.close()
        return self._http.request(**link.sent(ask))


def connect(server: Server | None = None, *, timeout_s: float = 30.0) -> Client:
    """Return a client of the Jupyter server that this Python belongs to, else of a broker started for scripts.

    Parameters
    ----------
    server : where to ask instead of looking.
    timeout_s : for each request.

    Raises
    ------
    ServerNotFoundError
        There is none, and none could be started.
    """
    return Client(server or server_of(), timeout_s=timeout_s)
