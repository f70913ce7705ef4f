"""Nobody reaches another person's machine: two real people on one store and one cloud, with real keys (I6)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

import pytest
import websocket
from traitlets.config import Config

from educloud_lab.adapters.ssh import AsyncsshShell
from educloud_lab.domain.errors import EducloudError, LoginRefusedError, MachineUnreachableError
from educloud_lab.ports.shell import Grant
from tests.system.at_lab import Page, Records, act, delete, open_terminal, refusal, run_with, start
from tests.system.conftest import Bench, JupyterLab

pytestmark = pytest.mark.qemu

PEOPLE = ("ada", "bob")
NOBODYS = "0" * 12


TRIES = """
import socket
routes = [line.split() for line in open("/proc/net/route")]
routers = [socket.inet_ntoa(bytes.fromhex(line[2])[::-1]) for line in routes if line[1] == "00000000"]
router = routers[0] if routers else "10.0.2.2"  # with netns there is one, and it routes nowhere
for host, port in places:
    try:
        socket.create_connection((host.replace("ROUTER", router), port), timeout=3).close()
    except OSError:
        continue
    print(f"{host}:{port}")
"""


@dataclass
class Person:
    """A person, their Jupyter server, and their machine."""

    name: str
    server: JupyterLab
    lease: dict[str, Any]

    @property
    def lease_id(self) -> str:
        return str(self.lease["id"])


@pytest.fixture(scope="module")
def records(module_bench: Bench) -> Records:
    return Records(module_bench)


@pytest.fixture(scope="module")
def people(module_bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> tuple[Person, Person]:
    """Both have a machine for the same lab."""
    module_bench.educloud("cloud", "start")
    servers = [module_bench.lab(tmp_path_factory.mktemp(name), env={"LOGNAME": name, "USER": name}) for name in PEOPLE]
    for server in servers:
        start(server, "lab")
    ada, bob = (
        Person(name, server, server.wait_phase("lab", "ready")) for name, server in zip(PEOPLE, servers, strict=True)
    )
    assert (ada.lease["person"], bob.lease["person"]) == PEOPLE
    assert ada.lease_id != bob.lease_id
    return ada, bob


def issued(bench: Bench, person: Person) -> Grant:
    """Return a grant as the real broker issues it to this person."""
    from educloud_lab.app.wiring import build_broker

    async def work() -> Grant:
        broker = await build_broker(Config({"Educloud": {"home": str(bench.home), "autostart_cloud": False}}))
        try:
            return await broker.grant(person.name, person.lease_id)
        finally:
            await broker.close()

    return asyncio.run(work())


def beside_the_gateway(bench: Bench, grant: Grant) -> Grant:
    """Return the same grant for the machine's sshd itself, as this user could reach it on this computer."""
    routes = json.loads((bench.home / "cloud/gateway/routes.json").read_text())
    route = routes[f"{grant.address}:{grant.port}"]
    if route.startswith("unix:"):
        return replace(grant, gateway=None, address="127.0.0.1", port=through(route.removeprefix("unix:"), grant))
    host, _, port = route.rpartition(":")
    return replace(grant, gateway=None, address=host, port=int(port))


def through(door: str, grant: Grant) -> int:
    """Return a port of this computer that leads into the machines' namespace, for as long as the tests run."""
    listening = socket.create_server(("127.0.0.1", 0))

    def carry(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    def converse(client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as asking:
            asking.connect(door)
            asking.sendall(json.dumps({"connect": f"{grant.address}:{grant.port}"}).encode() + b"\n")
            _, (handle,), _, _ = socket.recv_fds(asking, 4096, 1)
            with socket.socket(fileno=handle) as machine:
                machine.connect((grant.address, grant.port))
                back = threading.Thread(target=carry, args=(machine, client), daemon=True)
                back.start()
                carry(client, machine)
                back.join()

    def serve() -> None:
        while True:
            threading.Thread(target=converse, args=(listening.accept()[0],), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    return int(listening.getsockname()[1])


def test_a_grant_opens_ones_own_machine_only(module_bench: Bench, people: tuple[Person, Person]) -> None:
    ada, bob = people
    hers, his = issued(module_bench, ada), issued(module_bench, bob)
    names = {run_with(hers, "cat /etc/hostname /data/.educloud; echo $USER; hostname"), run_with(his, "hostname")}
    assert len(names) == 2

    # Her key and certificate, his machine: by the gateway, and by its own sshd.
    at_his = replace(hers, address=his.address, host_keys=his.host_keys)
    refused = refusal(at_his)
    assert isinstance(refused, LoginRefusedError)
    assert "the way" in refused.what.lower() or "the gateway" in refused.what, refused
    his_sshd = beside_the_gateway(module_bench, his)
    assert run_with(his_sshd, "echo in") == "in\n"  # this way is open to him, so what refuses her is his sshd
    refused = refusal(
        replace(hers, gateway=None, address=his_sshd.address, port=his_sshd.port, host_keys=his.host_keys)
    )
    assert isinstance(refused, LoginRefusedError)
    assert "the machine" in refused.what
    for user in ("root", "student", "bob"):
        assert isinstance(refusal(replace(at_his, user=user)), LoginRefusedError)
    # nor root of her own, which is the broker's
    assert isinstance(refusal(replace(hers, user="root")), LoginRefusedError)
    # nor anything else behind the gateway
    for port in (23, 80):
        assert isinstance(refusal(replace(hers, port=port)), LoginRefusedError)
    assert isinstance(refusal(replace(hers, address="127.0.0.1")), LoginRefusedError)


def test_a_grant_that_is_over(module_bench: Bench, people: tuple[Person, Person], records: Records) -> None:
    ada, _ = people
    assert run_with(records.grant(ada.lease_id), "echo in") == "in\n"
    over = records.grant(ada.lease_id, until_s=-120)
    assert isinstance(refusal(over), LoginRefusedError)
    at_sshd = refusal(beside_the_gateway(module_bench, over))
    assert isinstance(at_sshd, LoginRefusedError)
    assert "the machine" in at_sshd.what


def test_machines_do_not_reach_each_other(module_bench: Bench, people: tuple[Person, Person]) -> None:
    """Neither another machine, nor what listens on the computer that it runs on, by the way a guest sees it."""
    ada, bob = people
    jupyter, gateway = urlsplit(bob.server.url).port, module_bench.cloud["gateway"]["port"]
    places = [
        (bob.lease["instance"]["address"], 22),
        *((host, port) for host in ("10.0.2.2", "ROUTER") for port in (jupyter, gateway)),
        ("127.0.0.1", 22),
    ]
    script = f"python3 - <<'END'\nplaces = {places!r}\n{TRIES}END\n"
    assert run_with(issued(module_bench, ada), script) == "127.0.0.1:22\n"  # which shows that it would find one


def test_routes_of_the_other_persons_lease(people: tuple[Person, Person]) -> None:
    """Every route answers as it does for a lease that does not exist."""
    ada, bob = people
    page = open_terminal(bob.server, bob.lease_id)
    try:
        page.wait(r"student@\S+")
        his_terminal = f"{bob.lease_id}-1"

        def ask(lease_id: str) -> list[tuple[int, str]]:
            lease = f"educloud/api/v1/leases/{lease_id}"
            answers = [
                ada.server.request("POST", f"{lease}/start"),
                ada.server.request("POST", f"{lease}/stop"),
                ada.server.request("POST", f"{lease}/delete", {"confirm": "lab"}),
                ada.server.request("POST", f"{lease}/extend"),
                ada.server.request("GET", f"{lease}/console"),
                ada.server.request("POST", "educloud/vm/api/terminals", {"lease_id": lease_id}),
                ada.server.request("POST", "educloud/vm/api/terminals", {"name": f"{lease_id}-1"}),
                ada.server.request("GET", f"educloud/vm/api/terminals/{lease_id}-1"),
                ada.server.request("DELETE", f"educloud/vm/api/terminals/{lease_id}-1"),
            ]
            told = []
            for status, body in answers:
                body.pop("request_id", None)
                told.append((status, json.dumps(body, sort_keys=True).replace(lease_id, "LEASE")))
            with pytest.raises(websocket.WebSocketBadStatusException) as caught:
                Page(ada.server, f"{lease_id}-1")
            return [*told, (caught.value.status_code, "socket")]

        about_his, about_nobodys = ask(bob.lease_id), ask(NOBODYS)
        assert [status for status, _ in about_his] == [404] * 10
        assert about_his == about_nobodys
        _, snapshot = ada.server.call("GET", "snapshot")
        assert [lease["person"] for lease in snapshot["leases"]] == ["ada"]
        assert bob.lease_id not in json.dumps(snapshot)
        assert ada.server.request("GET", "educloud/vm/api/terminals")[1] == []

        # Nothing of it did anything to him.
        _, listed = bob.server.request("GET", "educloud/vm/api/terminals")
        assert [terminal["name"] for terminal in listed] == [his_terminal]
        page.type("echo still-$((1+1))\r")
        page.wait(r"\nstill-2")
        assert bob.server.lease("lab")["phase"] == "ready"
        assert bob.server.lease("lab")["expires_at"] == bob.lease["expires_at"]
    finally:
        page.close()


def test_a_grant_after_the_stop(module_bench: Bench, people: tuple[Person, Person], records: Records) -> None:
    """A session outlives its certificate, so stopping cuts it; the next machine refuses what was for the last."""
    ada, bob = people
    hers = issued(module_bench, ada)

    async def cut() -> None:
        connection = await AsyncsshShell().connect(hers, timeout_s=60)
        try:
            assert (await connection.run("echo in")).stdout == b"in\n"
            await asyncio.to_thread(act, ada.server, ada.lease, "stop")
            async with asyncio.timeout(120):
                await connection.wait_closed()
        finally:
            await connection.close()

    asyncio.run(cut())
    ada.server.wait_phase("lab", "asleep")
    assert isinstance(refusal(hers), LoginRefusedError | MachineUnreachableError)

    delete(ada.server, "lab")
    start(ada.server, "lab")
    new = ada.server.wait_phase("lab", "ready")
    assert new["generation"] == ada.lease["generation"] + 1
    fresh = issued(module_bench, ada)
    old_at_new = replace(hers, address=fresh.address, host_keys=fresh.host_keys)
    assert isinstance(refusal(old_at_new), LoginRefusedError)
    at_sshd = refusal(beside_the_gateway(module_bench, old_at_new))
    assert isinstance(at_sshd, LoginRefusedError)
    assert "the machine" in at_sshd.what
    assert run_with(fresh, "echo in") == "in\n"
    assert bob.server.lease("lab")["phase"] == "ready"
    with pytest.raises(EducloudError):
        issued(module_bench, Person("ada", ada.server, bob.lease))
