"""The asynchronous client: the same requests and rules as :mod:`educloud_lab.client.client`, as coroutines."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from educloud_lab.client import link, needs, requests, rules
from educloud_lab.client.amachine import AsyncMachine
from educloud_lab.client.errors import ServerUnreachableError
from educloud_lab.client.find import Server
from educloud_lab.client.headless import server_of
from educloud_lab.client.plans import Ask, Plan, adrive
from educloud_lab.wire import models as wire

T = TypeVar("T")


class AsyncClient:
    """Asks one Jupyter server; used with ``async with``, which looks for the server. See :class:`Client`.

    Parameters
    ----------
    server : where it answers; None looks for it at the first request.
    timeout_s : for each request.
    transport : another way to send requests; tests give one.
    """

    def __init__(
        self,
        server: Server | None = None,
        *,
        timeout_s: float = 30.0,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.server = server
        self._timeout_s = timeout_s
        self._transport = transport
        self._http: httpx.AsyncClient | None = None

    async def close(self) -> None:
        """Let its connections go, also those that rest after a command or a copy. Repeatable."""
        http, self._http = self._http, None
        if http is not None:
            await http.aclose()
        sockets = sys.modules.get("educloud_lab.client.sockets")  # loaded by the first command or copy
        if sockets is not None and self.server is not None:
            await sockets.pool().close(self.server)

    async def __aenter__(self) -> Self:
        await self._connected()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<educloud_lab async client of {self.server.name if self.server else 'a server to be found'}>"

    async def machine(
        self, lab: str | None = None, machine_profile: str | None = None, slot: str = "main"
    ) -> AsyncMachine:
        """See :meth:`Client.machine`."""
        return AsyncMachine(self, await self._do(needs.machine(lab, machine_profile, slot)))

    async def needs(self) -> wire.LabNeeds:
        """See :meth:`Client.needs`."""
        return await self._do(needs.find())

    async def hello(self) -> wire.Hello:
        """See :meth:`Client.hello`."""
        return await self._ask(requests.hello())

    async def snapshot(self) -> wire.Snapshot:
        """See :meth:`Client.snapshot`."""
        return await self._ask(requests.snapshot())

    async def settled(self) -> wire.Snapshot:
        """See :meth:`Client.settled`."""
        return await self._do(rules.settled())

    async def ensure(self, *, lab: str, machine_profile: str, slot: str = "main", start: bool = False) -> wire.Lease:
        """See :meth:`Client.ensure`."""
        return await self._ask(requests.ensure(lab, machine_profile, slot, start=start))

    async def lease(self, lease_id: str) -> wire.Lease:
        """See :meth:`Client.lease`."""
        return await self._do(rules.lease(lease_id))

    async def start(self, lease_id: str) -> wire.Lease:
        """See :meth:`Client.start`."""
        return await self._ask(requests.start(lease_id))

    async def stop(self, lease_id: str) -> wire.Lease:
        """See :meth:`Client.stop`."""
        return await self._ask(requests.stop(lease_id))

    async def delete(self, lease_id: str, *, confirm: str) -> wire.Lease:
        """See :meth:`Client.delete`."""
        return await self._ask(requests.delete(lease_id, confirm))

    async def extend(self, lease_id: str) -> wire.Lease:
        """See :meth:`Client.extend`."""
        return await self._ask(requests.extend(lease_id))

    async def activity(self, lease_id: str, kind: requests.ActivityKind) -> None:
        """See :meth:`Client.activity`."""
        await self._ask(requests.activity(lease_id, kind))

    async def busy(self, lease_id: str, until: datetime | None) -> wire.Lease:
        """See :meth:`Client.busy`."""
        return await self._ask(requests.busy(lease_id, until))

    async def exempt(self, lease_id: str, *, reason: str, until: datetime) -> wire.Lease:
        """See :meth:`Client.exempt`."""
        return await self._ask(requests.exempt(lease_id, reason, until))

    async def end_exemption(self, lease_id: str) -> wire.Lease:
        """See :meth:`Client.end_exemption`."""
        return await self._ask(requests.end_exemption(lease_id))

    async def take_snapshot(self, lease_id: str, name: str) -> wire.Lease:
        """See :meth:`Client.take_snapshot`."""
        return await self._ask(requests.take_snapshot(lease_id, name))

    async def delete_snapshot(self, lease_id: str, snapshot_id: str) -> wire.Lease:
        """See :meth:`Client.delete_snapshot`."""
        return await self._ask(requests.delete_snapshot(lease_id, snapshot_id))

    async def restore(self, lease_id: str, snapshot_id: str) -> wire.Lease:
        """See :meth:`Client.restore`."""
        return await self._ask(requests.restore(lease_id, snapshot_id))

    async def publish(self, lease_id: str, snapshot_id: str, *, published: bool = True) -> wire.Lease:
        """See :meth:`Client.publish`."""
        return await self._ask(requests.publish(lease_id, snapshot_id, published))

    async def grow(self, lease_id: str, size_gib: int) -> wire.Lease:
        """See :meth:`Client.grow`."""
        return await self._ask(requests.grow(lease_id, size_gib))

    async def discard(self, lease_id: str, *, confirm: str) -> wire.Lease:
        """See :meth:`Client.discard`."""
        return await self._ask(requests.discard(lease_id, confirm))

    async def return_from_bin(self, lease_id: str, item_id: str) -> wire.Lease:
        """See :meth:`Client.return_from_bin`."""
        return await self._ask(requests.return_from_bin(lease_id, item_id))

    async def console(self, lease_id: str) -> str:
        """See :meth:`Client.console`."""
        return (await self._ask(requests.console(lease_id))).text

    async def audit(
        self, lease_id: str | None = None, *, before: int | None = None, limit: int = 100
    ) -> wire.AuditPage:
        """See :meth:`Client.audit`."""
        return await self._ask(requests.audit(lease_id, before, limit))

    async def orphans(self) -> wire.OrphanReport:
        """See :meth:`Client.orphans`."""
        return await self._ask(requests.orphans())

    async def reap(self, *, dry_run: bool = True, only: list[str] | None = None) -> wire.OrphanReport:
        """See :meth:`Client.reap`."""
        return await self._ask(requests.reap(dry_run, only))

    async def shelf(self) -> wire.Shelf:
        """See :meth:`Client.shelf`."""
        return await self._ask(requests.shelf())

    async def why(self, lease_id: str) -> wire.Why:
        """See :meth:`Client.why`."""
        return await self._ask(requests.why(lease_id))

    async def check(self, lease_id: str, checks: Sequence[str]) -> wire.CheckReport:
        """See :meth:`Client.check`."""
        return await self._ask(requests.check(lease_id, checks))

    async def lab_machines(self, lab: str) -> wire.LabMachines:
        """See :meth:`Client.lab_machines`."""
        return await self._ask(requests.lab_machines(lab))

    async def calls(self, lease_id: str, *, limit: int = 5) -> wire.Accounts:
        """See :meth:`Client.calls`."""
        return await self._ask(requests.calls(lease_id, limit))

    async def wait(
        self, lease_id: str, *, phase: str = "ready", timeout_s: float = 300.0, progress: rules.Progress | None = None
    ) -> wire.Lease:
        """See :meth:`Client.wait`."""
        return await self._do(rules.wait(lease_id, phase, timeout_s, progress))

    async def _do(self, plan: Plan[T]) -> T:
        return await adrive(plan, self._ask)

    async def _alive(self) -> Server:
        server, _ = await self._connected()
        if server.log is not None:
            await self.hello()
            server, _ = await self._connected()
        return server

    async def _connected(self) -> tuple[Server, httpx.AsyncClient]:
        if self.server is None:
            # Looking may start a broker: in a thread, so that the loop goes on.
            self.server = await asyncio.to_thread(server_of)
        if self._http is None:
            transport = self._transport
            if transport is None and self.server.socket:
                transport = httpx.AsyncHTTPTransport(uds=self.server.socket)
            self._http = httpx.AsyncClient(**link.options(self.server, self._timeout_s), transport=transport)
        return self.server, self._http

    async def _ask(self, ask: Ask[T]) -> T:
        server, http = await self._connected()
        try:
            answer = await self._sent(server, http, ask)
        except httpx.HTTPError as error:
            raise ServerUnreachableError.silent(server, error) from None
        found: Any = link.read(server, ask, answer)
        result: T = found
        return result

    async def _sent(self, server: Server, http: httpx.AsyncClient, ask: Ask[Any]) -> httpx.Response:
        try:
            answer = await http.request(**link.sent(ask))
            another = link.in_its_place(server, answer)
            if another is None:
                return answer
        except httpx.HTTPError as error:
            another = await asyncio.to_thread(link.started_again, server, ask, error)
            if another is None:
                raise
        if self._http is http:  # else another task has come here first
            self.server, self._http = another, None
            await http.aclose()
        _, http = await self._connected()
        return await http.request(**link.sent(ask))


def connect_async(server: Server | None = None, *, timeout_s: float = 30.0) -> AsyncClient:
    """Return an :class:`AsyncClient`, for ``async with``. Looks for the server when it is first used.

    Parameters
    ----------
    server : where to ask instead of looking.
    timeout_s : for each request.
    """
    return AsyncClient(server, timeout_s=timeout_s)
