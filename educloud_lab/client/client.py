"""A synchronous client: one method for each route, replies as wire models, refusals as our errors."""

from __future__ import annotations

import time
from datetime import datetime
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from educloud_lab.client.errors import ServerUnreachableError, WaitTimeoutError, error_of
from educloud_lab.client.find import Server, find_server
from educloud_lab.domain.errors import NotFoundError
from educloud_lab.wire import models as wire

PREFIX = "educloud/api/v1/"
POLL_S = 0.5
Reply = TypeVar("Reply", bound=BaseModel)


class Client:
    """Asks one Jupyter server.

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
        if transport is None and server.socket:
            transport = httpx.HTTPTransport(uds=server.socket)
        headers = {"Authorization": f"token {server.token}"} if server.token else {}
        # trust_env=False: a proxy of the environment knows nothing of our loopback, and must not see tokens.
        self._http = httpx.Client(
            base_url=server.url + PREFIX, headers=headers, timeout=timeout_s, transport=transport, trust_env=False
        )

    def close(self) -> None:
        """Let the connection go. Repeatable."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<educloud_lab client of {self.server.url}>"

    def hello(self) -> wire.Hello:
        """Return the server's versions."""
        return self._ask("GET", "hello", wire.Hello)

    def snapshot(self) -> wire.Snapshot:
        """Return everything that you may see."""
        return self._ask("GET", "snapshot", wire.Snapshot)

    def ensure(self, *, lab: str, machine_profile: str, slot: str = "main", start: bool = False) -> wire.Lease:
        """Return the lease of a lab, made when it does not exist; starts its machine when asked to."""
        request = wire.LeaseRequest(lab=lab, machine_profile=machine_profile, slot=slot, start=start)
        return self._ask("POST", "leases", wire.Lease, request)

    def lease(self, lease_id: str) -> wire.Lease:
        """Return one lease as it is now.

        Raises
        ------
        NotFoundError
            There is none of that id.
        """
        for lease in self.snapshot().leases:
            if lease.id == lease_id:
                return lease
        raise NotFoundError("There is no such machine, or it is not yours.")

    def start(self, lease_id: str) -> wire.Lease:
        """Want it running. A second Start is the same Start."""
        return self._ask("POST", f"leases/{lease_id}/start", wire.Lease)

    def stop(self, lease_id: str) -> wire.Lease:
        """Want it stopped; its data volume is saved first."""
        return self._ask("POST", f"leases/{lease_id}/stop", wire.Lease)

    def delete(self, lease_id: str, *, confirm: str) -> wire.Lease:
        """Delete its machine (the data volume stays); ``confirm`` is the lab's name."""
        return self._ask("POST", f"leases/{lease_id}/delete", wire.Lease, wire.DeleteRequest(confirm=confirm))

    def extend(self, lease_id: str) -> wire.Lease:
        """Keep it: the full time again from now."""
        return self._ask("POST", f"leases/{lease_id}/extend", wire.Lease)

    def activity(self, lease_id: str, kind: Literal["terminal", "cell", "desktop", "page", "connected"]) -> None:
        """Tell that you did something on it: its idle limit counts from now."""
        self._send("POST", f"leases/{lease_id}/activity", wire.ActivityRequest(kind=kind))

    def busy(self, lease_id: str, until: datetime | None) -> wire.Lease:
        """Declare it busy until then (at most until its time is over), or no longer: the idle limit waits."""
        return self._ask("POST", f"leases/{lease_id}/busy", wire.Lease, wire.BusyRequest(until=until))

    def exempt(self, lease_id: str, *, reason: str, until: datetime) -> wire.Lease:
        """Turn its limits off until then. For those who oversee the course."""
        request = wire.ExemptRequest(reason=reason, until=until)
        return self._ask("POST", f"leases/{lease_id}/exempt", wire.Lease, request)

    def end_exemption(self, lease_id: str) -> wire.Lease:
        """Turn its limits on again: the full time from now."""
        return self._ask("POST", f"leases/{lease_id}/end-exemption", wire.Lease)

    def take_snapshot(self, lease_id: str, name: str) -> wire.Lease:
        """Want a snapshot of its data volume. The same name again is the same snapshot."""
        return self._ask("POST", f"leases/{lease_id}/snapshots", wire.Lease, wire.SnapshotRequest(name=name))

    def delete_snapshot(self, lease_id: str, snapshot_id: str) -> wire.Lease:
        """Delete a snapshot, for ever."""
        return self._ask("POST", f"leases/{lease_id}/snapshots/{snapshot_id}/delete", wire.Lease)

    def restore(self, lease_id: str, snapshot_id: str) -> wire.Lease:
        """Want a new data volume from a snapshot, while nothing runs; the present one goes to the bin."""
        return self._ask("POST", f"leases/{lease_id}/snapshots/{snapshot_id}/restore", wire.Lease)

    def publish(self, lease_id: str, snapshot_id: str, *, published: bool = True) -> wire.Lease:
        """Make new data volumes of the lab from a snapshot, or no longer. For instructors."""
        request = wire.PublishRequest(published=published)
        return self._ask("POST", f"leases/{lease_id}/snapshots/{snapshot_id}/publish", wire.Lease, request)

    def grow(self, lease_id: str, size_gib: int) -> wire.Lease:
        """Want a larger data volume, while nothing runs."""
        return self._ask("POST", f"leases/{lease_id}/volume/grow", wire.Lease, wire.GrowRequest(size_gib=size_gib))

    def discard(self, lease_id: str, *, confirm: str) -> wire.Lease:
        """Put its data volume into the bin, while nothing runs; ``confirm`` is the lab's name."""
        return self._ask("POST", f"leases/{lease_id}/volume/discard", wire.Lease, wire.DeleteRequest(confirm=confirm))

    def return_from_bin(self, lease_id: str, item_id: str) -> wire.Lease:
        """Take a volume out of the bin, while nothing runs; the present one goes there."""
        return self._ask("POST", f"leases/{lease_id}/bin/{item_id}/return", wire.Lease)

    def console(self, lease_id: str) -> str:
        """Return the console output of its instance."""
        return self._ask("GET", f"leases/{lease_id}/console", wire.Console).text

    def audit(self, lease_id: str | None = None, *, before: int | None = None, limit: int = 100) -> wire.AuditPage:
        """Return the audit log of one lease, or (for those who oversee it) of the course, newest first."""
        path = "audit" if lease_id is None else f"leases/{lease_id}/audit"
        return self._ask("GET", f"{path}?limit={limit}" + (f"&before={before}" if before else ""), wire.AuditPage)

    def orphans(self) -> wire.OrphanReport:
        """Return what is in the cloud and belongs to nobody. For those who oversee the course."""
        return self._ask("GET", "orphans", wire.OrphanReport)

    def reap(self, *, dry_run: bool = True, only: list[str] | None = None) -> wire.OrphanReport:
        """Look now; say what would be done, or do it to what is due (``only``: to these). For instructors."""
        return self._ask("POST", "orphans/reap", wire.OrphanReport, wire.ReapRequest(dry_run=dry_run, only=only))

    def shelf(self) -> wire.Shelf:
        """Return bin and quarantine. For those who oversee the course."""
        return self._ask("GET", "shelf", wire.Shelf)

    def why(self, lease_id: str) -> wire.Why:
        """Return why it hangs, looked up now; ``text`` is for an administrator."""
        return self._ask("GET", f"leases/{lease_id}/why", wire.Why)

    def wait(self, lease_id: str, *, phase: str = "ready", timeout_s: float = 300.0) -> wire.Lease:
        """Return the lease once it is in a phase.

        Raises
        ------
        WaitTimeoutError
            Not within ``timeout_s`` seconds.
        EducloudError
            It came into trouble instead: the lease's own problem.
        """
        wanted = wire.Phase(phase)
        end = time.monotonic() + timeout_s
        while True:
            lease = self.lease(lease_id)
            if lease.phase is wanted:
                return lease
            if lease.phase is wire.Phase.TROUBLE and lease.problem is not None:
                problem = lease.problem
                raise error_of(problem.code, problem.what, problem.kept, problem.next_step)
            left_s = end - time.monotonic()
            if left_s <= 0:
                raise WaitTimeoutError(
                    f"The machine of '{lease.lab}' is not {phase} after {timeout_s:g} s: {lease.headline}.",
                    kept="It goes on by itself.",
                    next_step="Wait longer, or look at its card.",
                )
            time.sleep(min(POLL_S, left_s))

    def _ask(self, method: str, path: str, reply: type[Reply], body: BaseModel | None = None) -> Reply:
        answer = self._send(method, path, body)
        try:
            return reply.model_validate_json(answer.content)
        except ValidationError as error:
            raise self._not_ours(answer) from error

    def _not_ours(self, answer: httpx.Response) -> ServerUnreachableError:
        return ServerUnreachableError(
            f"The server at {self.server.url} gave an answer that is none of ours (HTTP {answer.status_code}).",
            next_step="Install the same version of educloud-lab beside the server and beside the kernel, then"
            " restart the server, not the kernel.",
        )

    def _send(self, method: str, path: str, body: BaseModel | None = None) -> httpx.Response:
        content: dict[str, Any] = {}
        if body is not None:
            content = {"content": body.model_dump_json(), "headers": {"Content-Type": "application/json"}}
        try:
            answer = self._http.request(method, path, **content)
        except httpx.HTTPError as error:
            raise ServerUnreachableError(
                f"The Jupyter server at {self.server.url} does not answer ({type(error).__name__}).",
                kept="Machines and volumes do not depend on it.",
                next_step="See that it runs, then try again.",
            ) from error
        if answer.is_success:
            return answer
        try:
            problem = wire.ErrorReply.model_validate_json(answer.content).error
        except ValidationError as error:
            raise self._not_ours(answer) from error
        raise error_of(problem.code, problem.what, problem.kept, problem.next_step)


def connect(server: Server | None = None, *, timeout_s: float = 30.0) -> Client:
    """Return a client of the Jupyter server that this Python belongs to.

    Parameters
    ----------
    server : where to ask instead of looking.
    timeout_s : for each request.

    Raises
    ------
    ServerNotFoundError
        There is none to be found.
    """
    return Client(server or find_server(), timeout_s=timeout_s)
