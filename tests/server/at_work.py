"""A Jupyter server with the run and copy sockets, and a real sshd behind it: what their tests stand on."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from traitlets.config import Config

from educloud_lab.adapters.ssh import AsyncsshShell
from educloud_lab.client.background import background_loop
from educloud_lab.client.find import Server
from educloud_lab.client.sockets import pool
from educloud_lab.domain import errors
from educloud_lab.ports.shell import Grant
from educloud_lab.server.activity import ActivityReporter
from educloud_lab.server.connections import MachineConnections
from educloud_lab.server.routes import rules
from educloud_lab.server.run_service import SETTING, RunService
from educloud_lab.wire import models as wire
from tests.sshd import LEASE, Machine, start_sshd

PERSON = "ada"


class Broker:
    """Gives grants for one lease of one person."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.failure: errors.EducloudError | None = None
        self.lease: wire.Lease | None = None
        self.told: list[tuple[str, str]] = []

    async def snapshot(self, person: str) -> wire.Snapshot:
        if self.lease is None:
            raise errors.StoreError("The records cannot be read.")
        now = datetime.now(UTC)
        cloud = wire.Cloud(kind="local", name="t", reachable=True)
        return wire.Snapshot(
            version=1, server_time=now, person=person, course="local", cloud=cloud, profiles=[], leases=[self.lease]
        )

    async def grant(self, person: str, lease_id: str) -> Grant:
        if (person, lease_id) != (PERSON, LEASE):
            raise errors.NotFoundError("There is no such machine.")
        if self.failure is not None:
            raise self.failure
        return self.machine.grant()

    async def tell(self, lease_id: str, kind: str) -> None:
        self.told.append((lease_id, kind))


@pytest.fixture
def jp_server_config(base_url: str) -> Config:
    return Config(
        {
            "ServerApp": {
                "jpserver_extensions": {"jupyter_server_terminals": False},
                "allow_unauthenticated_access": False,
                "base_url": base_url,
            }
        }
    )


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """The machine's home folder, with a name that has to be quoted."""
    with tempfile.TemporaryDirectory(prefix="home-of-") as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory, home: Path) -> Iterator[Machine]:
    made = start_sshd(tmp_path_factory.mktemp("sshd"), home=home)
    yield made
    made.stop()


@pytest.fixture
async def broker(machine: Machine) -> Broker:
    return Broker(machine)


@pytest.fixture
async def service(broker: Broker, jp_serverapp: Any, base_url: str) -> AsyncIterator[RunService]:
    connections, reporter = MachineConnections(broker, AsyncsshShell()), ActivityReporter(broker.tell)
    made = RunService(connections, person=PERSON, reporter=reporter)
    jp_serverapp.web_app.settings[SETTING] = made
    jp_serverapp.web_app.add_handlers(".*$", rules(base_url))
    yield made
    await pool().close()
    done = asyncio.run_coroutine_threadsafe(_close_background(), background_loop())
    await asyncio.wrap_future(done)
    await made.stop()
    await reporter.stop()
    await connections.stop()
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("educloud-")]


async def _close_background() -> None:
    await pool().close()


@pytest.fixture
def server(service: RunService, jp_serverapp: Any, http_server_client: Any, base_url: str) -> Server:
    """Where a client finds it."""
    return Server(http_server_client.get_url(base_url), jp_serverapp.identity_provider.token)
