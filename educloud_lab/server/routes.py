"""The one table of routes: the application registers from it, the OpenAPI document and the tests read it.

Names of requests and replies are those of :mod:`educloud_lab.wire.models`, as text so that the table costs nothing
to load.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tornado.web import RequestHandler

from educloud_lab.server.actions import DeleteHandler, ExtendHandler, StartHandler, StopHandler
from educloud_lab.server.background import RunHandler, RunsHandler, StopRunHandler
from educloud_lab.server.calls import CallsHandler
from educloud_lab.server.checks import ChecksHandler, LabMachinesHandler
from educloud_lab.server.console import ConsoleHandler
from educloud_lab.server.copy import CopySocket
from educloud_lab.server.hello import HelloHandler
from educloud_lab.server.kernels import KernelNeedsHandler
from educloud_lab.server.leases import LeasesHandler
from educloud_lab.server.limits import ActivityHandler, BusyHandler, EndExemptionHandler, ExemptHandler
from educloud_lab.server.needs import NeedsHandler
from educloud_lab.server.oversight import AuditHandler, LeaseAuditHandler, OrphansHandler, ReapHandler, ShelfHandler
from educloud_lab.server.run import RunSocket
from educloud_lab.server.snapshot import SnapshotHandler
from educloud_lab.server.socket import SocketHandler
from educloud_lab.server.volumes import (
    DeleteSnapshotHandler,
    DiscardHandler,
    GrowHandler,
    PublishHandler,
    RestoreHandler,
    ReturnHandler,
    SnapshotsHandler,
)
from educloud_lab.server.why import WhyHandler

PREFIX = "educloud/api/v1/"
"""Below the Jupyter server's base URL."""

_PARAMETERS = dict.fromkeys(("lease_id", "snapshot_id", "shelf_id", "kernel_id", "run_id"), r"[A-Za-z0-9-]{1,64}")


@dataclass(frozen=True, slots=True)
class Route:
    """One address and what it answers.

    Parameters
    ----------
    path : below :data:`PREFIX`, parameters in braces.
    handler : the class with the verbs.
    method : the only method it answers to.
    summary : one line for the reference.
    request, reply : names of wire models; None when there is none.
    websocket : whether the method upgrades to a websocket.
    """

    path: str
    handler: type[RequestHandler]
    method: str
    summary: str
    request: str | None = None
    reply: str | None = None
    websocket: bool = False

    @property
    def pattern(self) -> str:
        """The regular expression of tornado's rule, without the base URL."""
        return PREFIX + re.sub(r"\{(\w+)\}", lambda found: f"(?P<{found[1]}>{_PARAMETERS[found[1]]})", self.path)

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the parameters in the path."""
        return tuple(re.findall(r"\{(\w+)\}", self.path))


ROUTES: tuple[Route, ...] = (
    Route("hello", HelloHandler, "GET", "Versions, and why the server half cannot work when it cannot", reply="Hello"),
    Route(
        "kernels/{kernel_id}/needs",
        KernelNeedsHandler,
        "GET",
        "What the notebook of a kernel of this server says that its lab needs",
        reply="LabNeeds",
    ),
    Route("snapshot", SnapshotHandler, "GET", "Everything that the person may see", reply="Snapshot"),
    Route(
        "needs",
        NeedsHandler,
        "POST",
        "Whether what a notebook needs is here; changes nothing",
        request="NeedsRequest",
        reply="NeedsReport",
    ),
    Route(
        "leases",
        LeasesHandler,
        "POST",
        "The lease of a lab: made when it does not exist, the same one otherwise",
        request="LeaseRequest",
        reply="Lease",
    ),
    Route("leases/{lease_id}/start", StartHandler, "POST", "Want the machine running; repeatable", reply="Lease"),
    Route("leases/{lease_id}/stop", StopHandler, "POST", "Want the machine stopped; repeatable", reply="Lease"),
    Route(
        "leases/{lease_id}/delete",
        DeleteHandler,
        "POST",
        "Want the machine gone (typed confirmation); the data volume stays",
        request="DeleteRequest",
        reply="Lease",
    ),
    Route("leases/{lease_id}/extend", ExtendHandler, "POST", "Keep: the full time again from now", reply="Lease"),
    Route(
        "leases/{lease_id}/activity",
        ActivityHandler,
        "POST",
        "The person did something on the machine: input, never output or pings",
        request="ActivityRequest",
    ),
    Route(
        "leases/{lease_id}/busy",
        BusyHandler,
        "POST",
        "Declare it busy until then, at most until the hard limit; null: no longer",
        request="BusyRequest",
        reply="Lease",
    ),
    Route(
        "leases/{lease_id}/exempt",
        ExemptHandler,
        "POST",
        "Turn its limits off, with a reason and an end; for those who oversee the course",
        request="ExemptRequest",
        reply="Lease",
    ),
    Route(
        "leases/{lease_id}/end-exemption",
        EndExemptionHandler,
        "POST",
        "Turn its limits on again: the full time from now",
        reply="Lease",
    ),
    Route(
        "leases/{lease_id}/snapshots",
        SnapshotsHandler,
        "POST",
        "Want a snapshot of the data volume, running or not; the same name is the same snapshot",
        request="SnapshotRequest",
        reply="Lease",
    ),
    Route(
        "leases/{lease_id}/snapshots/{snapshot_id}/delete",
        DeleteSnapshotHandler,
        "POST",
        "Want a snapshot deleted, for ever",
        reply="Lease",
    ),
    Route(
        "leases/{lease_id}/snapshots/{snapshot_id}/restore",
        RestoreHandler,
        "POST",
        "Want a new data volume from a snapshot; the present one goes to the bin. Only while nothing runs",
        reply="Lease",
    ),
    Route(
        "leases/{lease_id}/snapshots/{snapshot_id}/publish",
        PublishHandler,
        "POST",
        "Make new data volumes of the lab from a snapshot, or no longer; for instructors",
        request="PublishRequest",
        reply="Lease",
    ),
    Route(
        "leases/{lease_id}/volume/grow",
        GrowHandler,
        "POST",
        "Want a larger data volume. Only while nothing runs",
        request="GrowRequest",
        reply="Lease",
    ),
    Route(
        "leases/{lease_id}/volume/discard",
        DiscardHandler,
        "POST",
        "Want the data volume in the bin (typed confirmation). Only while nothing runs",
        request="DeleteRequest",
        reply="Lease",
    ),
    Route(
        "leases/{lease_id}/bin/{shelf_id}/return",
        ReturnHandler,
        "POST",
        "Want a volume back from the bin; the present one goes there. Only while nothing runs",
        reply="Lease",
    ),
    Route("leases/{lease_id}/console", ConsoleHandler, "GET", "Console output of the instance", reply="Console"),
    Route(
        "leases/{lease_id}/checks",
        ChecksHandler,
        "POST",
        "Judge assertions about the machine or its cloud, now; the own one, or one of an overseen course",
        request="ChecksRequest",
        reply="CheckReport",
    ),
    Route(
        "lab-machines",
        LabMachinesHandler,
        "GET",
        "Everybody's machines of a lab (`?lab=NAME`); for those who oversee the course",
        reply="LabMachines",
    ),
    Route(
        "leases/{lease_id}/why",
        WhyHandler,
        "GET",
        "Why it hangs, looked up now; the own one, or one of an overseen course",
        reply="Why",
    ),
    Route(
        "leases/{lease_id}/calls",
        CallsHandler,
        "GET",
        "What its latest actions called in the cloud (`?limit=N`); the own one, or one of an overseen course",
        reply="Accounts",
    ),
    Route(
        "leases/{lease_id}/audit",
        LeaseAuditHandler,
        "GET",
        "Audit log of one lease, newest first (`?before=ID&limit=N`); the own one, or one of an overseen course",
        reply="AuditPage",
    ),
    Route(
        "leases/{lease_id}/run",
        RunSocket,
        "GET",
        "Websocket: RunRequest, RunSignal and RunAck up; RunStarted, output, RunEnded or RunFailed down",
        websocket=True,
    ),
    Route(
        "leases/{lease_id}/runs",
        RunsHandler,
        "GET",
        "What runs or ran in the background on the machine",
        reply="BackgroundRuns",
    ),
    Route(
        "leases/{lease_id}/runs/{run_id}",
        RunHandler,
        "GET",
        "One of them, with the end of its output (`?bytes=N`, at most 256 KiB)",
        reply="BackgroundOutput",
    ),
    Route(
        "leases/{lease_id}/runs/{run_id}/stop",
        StopRunHandler,
        "POST",
        "End it, with all that it started; repeatable",
        reply="BackgroundRun",
    ),
    Route(
        "leases/{lease_id}/copy",
        CopySocket,
        "GET",
        "Websocket: UploadRequest or DownloadRequest up; CopyReady, content with CopyAck, CopyDone or CopyFailed",
        websocket=True,
    ),
    Route("audit", AuditHandler, "GET", "Audit log of the course; for those who oversee it", reply="AuditPage"),
    Route("orphans", OrphansHandler, "GET", "What is in the cloud and belongs to nobody", reply="OrphanReport"),
    Route(
        "orphans/reap",
        ReapHandler,
        "POST",
        "Look now; say what would be done (the default), or do it; for instructors",
        request="ReapRequest",
        reply="OrphanReport",
    ),
    Route("shelf", ShelfHandler, "GET", "Bin and quarantine of the course; for those who oversee it", reply="Shelf"),
    Route(
        "socket",
        SocketHandler,
        "GET",
        "Websocket: SnapshotMessage at once and at every newer version; PingMessage up, PongMessage down",
        websocket=True,
    ),
)


def rules(base_url: str) -> list[tuple[str, type[RequestHandler], dict[str, Any]]]:
    """Return tornado's rules for the table."""
    return below(base_url, [(route.pattern, route.handler, {}) for route in ROUTES])


def below(
    base_url: str, patterns: Iterable[tuple[str, type[RequestHandler], dict[str, Any]]]
) -> list[tuple[str, type[RequestHandler], dict[str, Any]]]:
    """Put patterns below the base URL, which is taken literally: it may hold ``+`` and other odd characters."""
    base = re.escape("/" + base_url.strip("/") + "/") if base_url.strip("/") else "/"
    return [(base + pattern, handler, arguments) for pattern, handler, arguments in patterns]
