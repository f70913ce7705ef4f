"""What the system tests know behind the product's back: its store, a machine's root, a terminal's websocket."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import pytest
import websocket

from educloud_lab.adapters.sqlstore import SqlStore, load_or_make_keys
from educloud_lab.adapters.ssh import AsyncsshAuthority, AsyncsshShell
from educloud_lab.broker.grants import host_keys
from educloud_lab.domain import naming
from educloud_lab.domain.errors import EducloudError
from educloud_lab.ports.records import LeaseRecord, PermitRecord, VolumeRecord
from educloud_lab.ports.shell import GatewayAddress, Grant
from educloud_lab.ports.store import Transaction
from tests.system.conftest import Bench, JupyterLab, wait_for

T = TypeVar("T")
_CONTROL = re.compile(r"\x1b\[[0-9;?!]*[a-zA-Z]|\x1b\][^\x07]*\x07|[\x18\r]")


@dataclass
class Records:
    """The store of a bench, read beside its brokers."""

    bench: Bench

    def ask(self, function: Callable[[Transaction], T]) -> T:
        async def work() -> T:
            home = self.bench.home
            keys = load_or_make_keys(home / "secret.key")
            store = SqlStore(f"sqlite:///{home / 'store.sqlite'}", secret_keys=keys, upgrade=False)
            await store.open()
            try:
                return await store.transact(function)
            finally:
                await store.close()

        return asyncio.run(work())

    def lease(self, lease_id: str) -> LeaseRecord:
        found = self.ask(lambda tx: tx.lease(lease_id))
        assert found is not None
        return found

    def volume(self, lease_id: str) -> VolumeRecord:
        found = self.ask(lambda tx: tx.volume_of(lease_id))
        assert found is not None
        return found

    def permits(self, lease_id: str) -> list[PermitRecord]:
        volume = self.volume(lease_id)
        return list(self.ask(lambda tx: tx.permits(volume.cloud_id or "")))

    def grant(self, lease_id: str, *, root: bool = False, until_s: float = 600, host_key: str = "") -> Grant:
        """Sign a grant as the broker does, also one that the broker would not give: for root, or over already."""
        lease = self.lease(lease_id)
        ca = self.ask(lambda tx: tx.secret("user-ca"))
        assert ca is not None
        assert lease.address is not None
        authority, now = AsyncsshAuthority(), datetime.now(UTC)
        pair = authority.new_key_pair()
        make = naming.broker_principal if root else naming.lease_principal
        principal = make(lease.id, lease.generation)
        until = now + timedelta(seconds=until_s)
        gateway = self.bench.cloud["gateway"]
        return Grant(
            lease_id=lease.id,
            generation=lease.generation,
            user="root" if root else lease.profile.login_user,
            principal=principal,
            address=lease.address,
            port=22,
            host_keys=(host_key,) if host_key else host_keys(lease),
            gateway=GatewayAddress(gateway["host"], gateway["port"], gateway["host_key"]),
            private_key=pair.private,
            certificate=authority.sign_user(
                ca_private=ca.private,
                public=pair.public,
                principals=[principal],
                key_id=principal,
                valid_from=min(now, until) - timedelta(seconds=600),
                valid_until=until,
            ),
            expires_at=until,
        )

    def run(self, lease_id: str, script: str, *, root: bool = False) -> str:
        """Run a script on the machine; it has to succeed."""
        return run_with(self.grant(lease_id, root=root), script)


def run_with(grant: Grant, script: str, *, timeout_s: float = 60) -> str:
    """Connect with a grant, run a script that has to succeed, return what it printed. Raises as the shell port says."""

    async def work() -> str:
        connection = await AsyncsshShell().connect(grant, timeout_s=timeout_s)
        try:
            completed = await connection.run(script, timeout_s=60)
        finally:
            await connection.close()
        assert completed.exit_status == 0, (script, completed)
        return completed.stdout.decode()

    return asyncio.run(work())


def refusal(grant: Grant) -> EducloudError:
    """Return the error that connecting with a grant raises; connecting is a failure."""
    with pytest.raises(EducloudError) as caught:
        run_with(grant, "true")
    return caught.value


class Page:
    """A page's connection to a terminal."""

    def __init__(self, server: JupyterLab, name: str) -> None:
        base = urlsplit(server.url)
        self.text = ""
        self._socket = websocket.create_connection(
            f"ws://{base.netloc}{base.path}educloud/vm/terminals/websocket/{name}",
            header=[f"Authorization: token {server.token}"],
            timeout=30,
        )

    def type(self, text: str) -> None:
        self._socket.send(json.dumps(["stdin", text]))

    def wait(self, pattern: str, *, timeout_s: float = 180) -> str:
        """Return what was shown since the last wait, up to where the pattern shows in it."""
        end = time.monotonic() + timeout_s
        while not (found := re.search(pattern, plain := _CONTROL.sub("", self.text))):
            left_s = end - time.monotonic()
            if left_s <= 0:
                pytest.fail(f"waited {timeout_s} s for {pattern!r} in the terminal, which shows:\n{plain[-2000:]}")
            self._socket.settimeout(min(left_s, 5))
            with contextlib.suppress(websocket.WebSocketTimeoutException):
                message = json.loads(self._socket.recv())
                if message[0] == "stdout":
                    self.text += message[1]
        self.text = plain[found.end() :]
        return plain[: found.end()]

    def close(self) -> None:
        self._socket.close()


def open_terminal(server: JupyterLab, lease_id: str) -> Page:
    status, model = server.request("POST", "educloud/vm/api/terminals", {"lease_id": lease_id})
    assert status == 200, model
    return Page(server, model["name"])


@contextlib.contextmanager
def watching(server: JupyterLab) -> Iterator[None]:
    """Be a page with an open sidebar: somebody watches, so the broker looks at the cloud more often."""
    base = urlsplit(server.url)
    page = websocket.create_connection(
        f"ws://{base.netloc}{base.path}educloud/api/v1/socket",
        header=[f"Authorization: token {server.token}"],
        timeout=60,
    )
    try:
        page.recv()
        yield
    finally:
        page.close()


def start(server: JupyterLab, lab: str, *, profile: str = "tiny") -> dict[str, Any]:
    """Press Start; return the lease as it was answered."""
    status, lease = server.call("POST", "leases", {"lab": lab, "machine_profile": profile, "start": True})
    assert status == 200, lease
    return lease


def act(server: JupyterLab, lease: dict[str, Any], action: str, **body: Any) -> dict[str, Any]:
    """Press another button."""
    status, answer = server.call("POST", f"leases/{lease['id']}/{action}", body)
    assert status == 200, answer
    return answer


def wait_step(server: JupyterLab, lab: str, *names: str) -> dict[str, Any]:
    """Wait until one of these steps of the lab's job has begun."""

    def begun() -> dict[str, Any]:
        lease = server.lease(lab)
        steps = (lease.get("job") or {}).get("steps", [])
        return lease if any(step["name"] in names and step["state"] != "todo" for step in steps) else {}

    found: dict[str, Any] = wait_for(f"the step {names} of {lab}", begun, period_s=0.05)
    return found


def delete(server: JupyterLab, lab: str) -> None:
    """Delete a lab's machine, whatever state it is in."""
    act(server, server.lease(lab), "delete", confirm=lab)
    server.wait_phase(lab, "off")


def volume_file(bench: Bench, volume_id: str) -> Path:
    """Where the local cloud keeps a volume."""
    found = bench.home / "cloud/volumes" / f"{volume_id}.qcow2"
    assert found.is_file()
    return found
