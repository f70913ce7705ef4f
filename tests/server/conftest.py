"""A Jupyter server with our extension, a broker in memory, and an awkward base URL."""

from __future__ import annotations

import asyncio
import json
import posixpath
from datetime import UTC, datetime
from typing import Any

import pytest
from traitlets.config import Config

from educloud_lab.app.extension import EducloudExtension
from educloud_lab.domain import errors
from educloud_lab.wire import models as wire

pytest_plugins = ["pytest_jupyter.jupyter_server"]

BASE_URL = "/user/a%20b+c@d/"
API = "educloud/api/v1/"
T0 = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def make_lease(lease_id: str, request: wire.LeaseRequest, person: str, **changes: Any) -> wire.Lease:
    return wire.Lease(
        id=lease_id,
        course="local",
        lab=request.lab,
        slot=request.slot,
        person=person,
        machine_profile=wire.ProfileRef(name=request.machine_profile, revision=1, title="Tiny"),
        generation=0,
        target="stopped",
        status="new",
        phase=wire.Phase.OFF,
        headline="Not started yet",
        system_disk="kept",
        updated_at=T0,
    ).model_copy(update=changes)


class FakeBroker:
    """A BrokerApi in memory that refuses as the contract says."""

    def __init__(self) -> None:
        self.leases: dict[str, wire.Lease] = {}
        self.version = 1
        self.changed = asyncio.Condition()
        self.watchers = 0
        self.failure: BaseException | None = None
        self.watch_failure: BaseException | None = None
        self.closed = False
        self.calls: list[tuple[str, str]] = []

    async def open(self) -> None:
        return

    async def close(self) -> None:
        self.closed = True

    async def bump(self) -> None:
        async with self.changed:
            self.version += 1
            self.changed.notify_all()

    async def snapshot(self, person: str) -> wire.Snapshot:
        self._called("snapshot", person)
        return wire.Snapshot(
            version=self.version,
            server_time=T0,
            person=person,
            course="local",
            cloud=wire.Cloud(kind="local", name="local cloud", reachable=True),
            profiles=[],
            leases=[lease for lease in self.leases.values() if lease.person == person],
        )

    async def watch(self, person: str) -> Any:
        self.watchers += 1
        sent = 0
        try:
            while True:
                async with self.changed:
                    while self.version <= sent and self.watch_failure is None:
                        await self.changed.wait()
                if self.watch_failure is not None:
                    raise self.watch_failure
                snapshot = await self.snapshot(person)
                sent = snapshot.version
                yield snapshot
        finally:
            self.watchers -= 1

    async def break_watch(self, error: BaseException) -> None:
        async with self.changed:
            self.watch_failure = error
            self.changed.notify_all()

    async def ensure_lease(self, person: str, request: wire.LeaseRequest) -> wire.Lease:
        self._called("ensure_lease", person)
        if request.machine_profile == "absent":
            raise errors.NotFoundError("There is no machine profile of that name.", next_step="Choose another.")
        lease_id = f"l-{request.lab}-{request.slot}".replace(" ", "-")[:40]
        lease = self.leases.setdefault(lease_id, make_lease(lease_id, request, person))
        await self.bump()
        return lease

    async def start(self, person: str, lease_id: str) -> wire.Lease:
        return await self._change("start", person, lease_id, target="running", phase=wire.Phase.STARTING)

    async def stop(self, person: str, lease_id: str) -> wire.Lease:
        return await self._change("stop", person, lease_id, target="stopped", phase=wire.Phase.STOPPING)

    async def delete(self, person: str, lease_id: str, *, confirm: str) -> wire.Lease:
        lease = self._find("delete", person, lease_id)
        if confirm != lease.lab:
            raise errors.ConfirmationError("The name does not match.", kept="Nothing was deleted.")
        return await self._change("delete", person, lease_id, target="deleted", phase=wire.Phase.DELETING)

    async def extend(self, person: str, lease_id: str) -> wire.Lease:
        return await self._change("extend", person, lease_id, expires_at=T0)

    async def console(self, person: str, lease_id: str) -> wire.Console:
        self._find("console", person, lease_id)
        return wire.Console(lease_id=lease_id, text="login: \x1b[31m<script>", read_at=T0)

    async def grant(self, person: str, lease_id: str) -> Any:
        raise NotImplementedError

    def _called(self, name: str, person: str) -> None:
        self.calls.append((name, person))
        if self.failure is not None:
            raise self.failure

    def _find(self, name: str, person: str, lease_id: str) -> wire.Lease:
        self._called(name, person)
        lease = self.leases.get(lease_id)
        if lease is None or lease.person != person:
            raise errors.NotFoundError("There is no such machine.")
        return lease

    async def _change(self, name: str, person: str, lease_id: str, **changes: Any) -> wire.Lease:
        lease = self._find(name, person, lease_id).model_copy(update=changes)
        self.leases[lease_id] = lease
        await self.bump()
        return lease


@pytest.fixture
async def jp_asyncio_loop() -> asyncio.AbstractEventLoop:
    """Let the stock fixtures use the loop that pytest-asyncio runs the tests on."""
    return asyncio.get_running_loop()


@pytest.fixture
def base_url() -> str:
    return BASE_URL


@pytest.fixture
def jp_base_url(base_url: str) -> str:
    return base_url


@pytest.fixture
def jp_server_config(base_url: str) -> Config:
    return Config(
        {
            "ServerApp": {
                # The stock terminals are not ours to guard; ours subclass their handlers.
                "jpserver_extensions": {"educloud_lab": True, "jupyter_server_terminals": False},
                "allow_unauthenticated_access": False,
                "base_url": base_url,
            }
        }
    )


@pytest.fixture
async def broker() -> FakeBroker:
    return FakeBroker()


@pytest.fixture
def build(broker: FakeBroker, monkeypatch: pytest.MonkeyPatch) -> list[BaseException]:
    """Put the fake in place of the wiring; exceptions in the list are raised first, one an attempt."""
    failures: list[BaseException] = []

    async def build_broker(_self: EducloudExtension) -> FakeBroker:
        if failures:
            raise failures.pop(0)
        return broker

    monkeypatch.setattr(EducloudExtension, "build_broker", build_broker)
    monkeypatch.setenv("JUPYTERHUB_USER", "ada")
    return failures


@pytest.fixture
def server(build: list[BaseException], jp_serverapp: Any) -> Any:
    return jp_serverapp


class Caller:
    """Asks our routes; answers (status, decoded reply, headers)."""

    def __init__(self, http: Any, base_url: str, token: str) -> None:
        self._http = http
        self._base_url = base_url
        self.token = token

    async def __call__(self, method: str, path: str, body: Any = None, **options: Any) -> tuple[int, Any, Any]:
        text = b"" if body is None else json.dumps(body).encode()
        return await self.raw(method, path, text, **options)

    async def raw(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        *,
        headers: dict[str, str] | None = None,
        signed_in: bool = True,
    ) -> tuple[int, Any, Any]:
        sent = {"Authorization": f"token {self.token}"} if signed_in else {}
        if body:
            sent["Content-Type"] = "application/json"
        reply = await self._http.fetch(
            self._base_url + posixpath.normpath(API + path),
            method=method,
            headers=sent | (headers or {}),
            body=body if body or method in {"POST", "PUT", "PATCH"} else None,
            allow_nonstandard_methods=True,
            follow_redirects=False,
            raise_error=False,
        )
        try:
            decoded = json.loads(reply.body)
        except ValueError:
            decoded = reply.body
        return reply.code, decoded, reply.headers


@pytest.fixture
def call(server: Any, http_server_client: Any, base_url: str) -> Caller:
    return Caller(http_server_client, base_url, server.identity_provider.token)
