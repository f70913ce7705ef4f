"""The SSH adapter through the real gateway: the way to a machine, control, and what happens when either goes."""

import asyncio
import json
import socket
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncssh
import pytest

from educloud_lab.adapters.ssh import AsyncsshAuthority, AsyncsshShell, ControlCredentials, GatewayControl
from educloud_lab.domain.errors import HostKeyError, LoginRefusedError, MachineUnreachableError, ShellError
from educloud_lab.gateway import Gateway, GatewayConfig
from educloud_lab.ports.shell import GatewayAddress, Grant, Knocked, Way
from tests.patience import LIMIT_S

KEYS = AsyncsshAuthority()
MACHINE = "172.16.77.5"
OTHER = "172.16.77.6"


def certificate(ca, public, principal, minutes=10):
    now = datetime.now(UTC)
    return KEYS.sign_user(
        ca_private=ca.private,
        public=public,
        principals=[principal],
        key_id="test",
        valid_from=now - timedelta(minutes=1),
        valid_until=now + timedelta(minutes=minutes),
    )


@dataclass
class Campus:
    """A gateway, two machines behind it, and the authority that all of them trust."""

    folder: Path
    ca: object
    hosts: dict
    gateway: Gateway | None = None

    def address(self):
        return GatewayAddress("127.0.0.1", self.gateway.port, self.gateway.host_key_line)

    def control(self, *, ca=None, principal="educloud-broker"):
        async def credentials():
            key = KEYS.new_key_pair()
            return ControlCredentials(key.private, certificate(ca or self.ca, key.public, principal))

        return GatewayControl(self.address, credentials, timeout_s=60)

    def line(self, address, lease):
        return (
            f'restrict,port-forwarding,permitopen="{address}:22",cert-authority,principals="lease-{lease}-g1" '
            f"{self.ca.public}"
        )

    def grant(self, address=MACHINE, lease="ab12"):
        key = KEYS.new_key_pair()
        principal = f"lease-{lease}-g1"
        return Grant(
            lease_id=lease,
            generation=1,
            user="student",
            principal=principal,
            address=address,
            port=22,
            host_keys=(self.hosts[address].public,),
            gateway=self.address(),
            private_key=key.private,
            certificate=certificate(self.ca, key.public, principal),
            expires_at=datetime.now(UTC) + timedelta(minutes=10),
        )

    def config(self):
        return GatewayConfig(listen_port=0).beside(self.folder)


async def serve_machine(host, ca, lease):
    async def shell(process):
        if process.command:
            words = await process.stdin.read()
            process.stdout.write(f"{lease} got {len(words)}\n")
            process.exit(0)
            return
        process.stdout.write(f"{lease}$ ")
        process.stdout.write(await process.stdin.read(100))
        process.exit(0)

    return await asyncssh.listen(
        "127.0.0.1",
        0,
        server_host_keys=[asyncssh.import_private_key(host.private)],
        authorized_client_keys=asyncssh.import_authorized_keys(
            f'cert-authority,principals="lease-{lease}-g1" {ca.public}'
        ),
        process_factory=shell,
        line_editor=False,
    )


@pytest.fixture
async def campus(tmp_path):
    ca = KEYS.new_key_pair()
    made = Campus(tmp_path, ca, {MACHINE: KEYS.new_key_pair(), OTHER: KEYS.new_key_pair()})
    servers = [await serve_machine(made.hosts[MACHINE], ca, "ab12"), await serve_machine(made.hosts[OTHER], ca, "cd34")]
    (tmp_path / "trusted_ca.keys").write_text(ca.public + "\n")
    (tmp_path / "routes.json").write_text(
        f'{{"{MACHINE}:22": "127.0.0.1:{servers[0].get_port()}", "{OTHER}:22": "127.0.0.1:{servers[1].get_port()}"}}'
    )
    async with Gateway(made.config()) as made.gateway:
        yield made
    for server in servers:
        server.close()
        await server.wait_closed()
    await asyncio.sleep(0.05)  # transports close in later turns of the loop


@pytest.fixture
async def control(campus):
    made = campus.control()
    yield made
    await made.close()


async def test_a_machine_is_reached_only_by_its_own_lease(campus, control):
    await control.ping()
    await control.put_lines("lease-ab12", [campus.line(MACHINE, "ab12")])
    await control.put_lines("lease-cd34", [campus.line(OTHER, "cd34")])
    connection = await AsyncsshShell().connect(campus.grant())
    assert connection.host_key == campus.hosts[MACHINE].public
    assert (await connection.run("true")).stdout.startswith(b"ab12 got ")
    pty = await connection.open_pty(columns=80, rows=24)
    pty.write(b"hello")
    seen = b""
    while piece := await pty.read():
        seen += piece
    assert seen == b"ab12$ hello"
    await connection.close()
    # A's valid grant, B's address: refused at the gateway.
    with pytest.raises(LoginRefusedError):
        await AsyncsshShell().connect(replace(campus.grant(), address=OTHER, host_keys=(campus.hosts[OTHER].public,)))
    # A's valid grant at B's machine, with B's line given to A: refused by the machine itself.
    await control.put_lines("lease-ab12", [campus.line(OTHER, "ab12")])
    with pytest.raises(LoginRefusedError):
        await AsyncsshShell().connect(replace(campus.grant(), address=OTHER, host_keys=(campus.hosts[OTHER].public,)))


async def test_both_host_keys_are_pinned(campus, control):
    await control.put_lines("lease-ab12", [campus.line(MACHINE, "ab12")])
    stranger = KEYS.new_key_pair().public
    grant = campus.grant()
    with pytest.raises(HostKeyError):
        await AsyncsshShell().connect(replace(grant, gateway=replace(grant.gateway, host_key=stranger)))
    with pytest.raises(HostKeyError):
        await AsyncsshShell().connect(replace(grant, host_keys=(stranger,)))


async def test_without_a_line_the_gateway_refuses(campus, control):
    with pytest.raises(LoginRefusedError):
        await AsyncsshShell().connect(campus.grant())


async def test_dropping_lines_cuts_a_live_connection(campus, control):
    await control.put_lines("lease-ab12", [campus.line(MACHINE, "ab12")])
    connection = await AsyncsshShell().connect(campus.grant())
    await control.drop_lines("lease-ab12")
    async with asyncio.timeout(LIMIT_S):
        await connection.wait_closed()
    assert connection.closed
    await connection.close()
    await control.drop_lines("lease-ab12")  # absent is success


async def test_a_host_key_is_proved_without_a_login(campus, control):
    await control.put_lines("lease-ab12", [campus.line(MACHINE, "ab12")])
    # The machine would refuse this certificate: it is not asked.
    refused = replace(campus.grant(lease="cd34"), user="nobody")
    await control.put_lines("lease-cd34", [campus.line(MACHINE, "cd34")])
    await AsyncsshShell().check_host_key(refused)
    with pytest.raises(LoginRefusedError):
        await AsyncsshShell().connect(refused)
    stranger = KEYS.new_key_pair().public
    with pytest.raises(HostKeyError):
        await AsyncsshShell().check_host_key(replace(campus.grant(), host_keys=(stranger,)))
    with pytest.raises(HostKeyError):
        await AsyncsshShell().check_host_key(replace(campus.grant(), host_keys=()))
    await control.drop_lines("lease-ab12")
    with pytest.raises(LoginRefusedError):
        await AsyncsshShell().check_host_key(campus.grant())


class Door:
    """Stands before a machine: the first callers meet silence, or are turned away, as while a guest boots."""

    def __init__(self, port, first):
        self.port, self.first = port, list(first)
        self.heard = []  # what each caller said until it left
        self.pumps = set()

    async def meet(self, reader, writer):
        number = len(self.heard)
        self.heard.append(b"")
        manner = self.first.pop(0) if self.first else "open"
        if manner == "open":
            inside, outside = await asyncio.open_connection("127.0.0.1", self.port)
            self.pumps.add(asyncio.create_task(self.pump(inside, writer)))
        while manner != "away" and (piece := await reader.read(65536)):
            self.heard[number] += piece
            if manner == "open":
                outside.write(piece)
        writer.close()
        if manner == "open":
            outside.close()

    async def pump(self, reader, writer):
        while piece := await reader.read(65536):
            writer.write(piece)
        writer.close()


@pytest.mark.parametrize("first", [["silent"], ["away", "away"], ["silent", "away", "silent"], ["silent"] * 5])
async def test_one_channel_goes_on_to_the_key_exchange_with_a_machine_that_boots(campus, control, first):
    route = json.loads((campus.folder / "routes.json").read_text())[f"{MACHINE}:22"]
    door = Door(int(route.rpartition(":")[2]), first)
    async with await asyncio.start_server(door.meet, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        (campus.folder / "routes.json").write_text(json.dumps({f"{MACHINE}:22": f"127.0.0.1:{port}"}))
        await campus.gateway.refresh()
        await control.put_lines("lease-ab12", [campus.line(MACHINE, "ab12")])
        connection = await AsyncsshShell().connect(campus.grant())
        assert connection.host_key == campus.hosts[MACHINE].public
        assert (await connection.run("true")).stdout.startswith(b"ab12 got ")
        await connection.close()
        await asyncio.gather(*door.pumps)
    spoken_to = [said for said in door.heard if said]
    assert len(spoken_to) == 1
    assert spoken_to[0].startswith(b"SSH-2.0-")


async def test_a_machine_that_turns_everybody_away_is_unreachable(campus, control):
    door = Door(0, ["away"] * 1000)
    async with await asyncio.start_server(door.meet, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        (campus.folder / "routes.json").write_text(json.dumps({f"{MACHINE}:22": f"127.0.0.1:{port}"}))
        await campus.gateway.refresh()
        await control.put_lines("lease-ab12", [campus.line(MACHINE, "ab12")])
        with pytest.raises(MachineUnreachableError):
            await AsyncsshShell().connect(campus.grant())
    assert len(door.heard) > 5


async def test_a_machine_that_does_not_answer_is_unreachable(campus, control):
    (campus.folder / "routes.json").write_text("{}")
    await campus.gateway.refresh()
    await control.put_lines("lease-ab12", [campus.line(MACHINE, "ab12")])
    with pytest.raises((MachineUnreachableError, LoginRefusedError)):
        await AsyncsshShell().connect(campus.grant())


async def test_control_is_kept_and_made_again_when_the_gateway_comes_back(campus, control):
    await control.ping()
    await control.ping()
    assert campus.gateway.connections == 1
    await campus.gateway.__aexit__(None, None, None)
    with pytest.raises(MachineUnreachableError):
        await control.ping()
    async with Gateway(campus.config()) as campus.gateway:  # on another port; the address is asked anew
        await control.put_lines("lease-ab12", [campus.line(MACHINE, "ab12")])
        assert campus.gateway.connections == 1


@pytest.mark.parametrize("wrong", [{"principal": "lease-ab12-g1"}, {"ca": KEYS.new_key_pair()}])
async def test_only_the_broker_controls(campus, wrong):
    impostor = campus.control(**wrong)
    with pytest.raises(LoginRefusedError):
        await impostor.ping()
    await impostor.close()


async def test_what_the_gateway_refuses_is_told(campus, control):
    with pytest.raises(ShellError, match="refused"):
        await control.put_lines("lease-ab12", ["no line at all"])
    for name in ("../x", "", "UPPER", "a b", "x" * 65):
        with pytest.raises(ShellError):
            await control.put_lines(name, [])
    with pytest.raises(ShellError):
        await control.put_lines("ok", ["one\ntwo"])


async def test_a_shut_gateway_is_unreachable(campus):
    address = replace(campus.address(), port=1)
    with pytest.raises(MachineUnreachableError):
        await AsyncsshShell().connect(replace(campus.grant(), gateway=address))


# Knocking at a port, for checks


@pytest.fixture
async def page(campus, control):
    """A program behind port 8080 of the machine; the machine's line leads there, and to 8081 where nobody listens."""

    async def answer(reader, writer):
        said = await reader.read(1000)
        writer.write(b"HTTP/1.0 200 OK\r\n\r\n" + said[:5])
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    bound = socket.socket()  # nobody listens there, and nobody else comes to do so
    bound.bind(("127.0.0.1", 0))
    nobody = bound.getsockname()[1]
    routes = json.loads((campus.folder / "routes.json").read_text())
    routes[f"{MACHINE}:8080"] = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    routes[f"{MACHINE}:8081"] = f"127.0.0.1:{nobody}"
    (campus.folder / "routes.json").write_text(json.dumps(routes))
    ports = ",".join(f'permitopen="{MACHINE}:{port}"' for port in (22, 8080, 8081, 8082))
    line = f'restrict,port-forwarding,{ports},cert-authority,principals="lease-ab12-g1" {campus.ca.public}'
    await control.put_lines("lease-ab12", [line])
    yield campus.grant()
    bound.close()
    server.close()
    await server.wait_closed()


async def knock(grant, port, **named):
    return await AsyncsshShell().knock(grant, port, timeout_s=LIMIT_S, **named)


async def has_a_way(ask):
    """Knock until the gateway has read its new routes."""
    async with asyncio.timeout(LIMIT_S):
        while True:
            found = await ask()
            if found.way is not Way.NONE:
                return found
            await asyncio.sleep(0.02)


async def test_a_port_that_answers_is_heard(page):
    async def heard():
        return await knock(page, 8080, ask=b"GET / HTTP/1.0\r\n\r\n")

    found = await has_a_way(heard)
    assert found == Knocked(Way.OPEN, b"HTTP/1.0 200 OK\r\n\r\nGET /")
    assert await knock(page, 8080) == Knocked(Way.OPEN)


async def test_a_port_where_nobody_listens_and_one_without_a_way(page):
    found = await has_a_way(lambda: knock(page, 8081))
    assert found.way is Way.REFUSED
    assert (await knock(page, 8082)).way is Way.NONE  # permitted, and no route leads there
    assert (await knock(page, 9)).way is Way.NONE  # not permitted


async def test_a_port_that_the_security_groups_keep_closed_is_said(campus, page):
    routes = json.loads((campus.folder / "routes.json").read_text())
    (campus.folder / "routes.json").write_text(json.dumps({**routes, f"{MACHINE}:*": "closed"}))
    found = await has_a_way(lambda: knock(page, 8082))
    assert found.way is Way.CLOSED


async def test_another_host_key_than_the_gateways_is_refused_before_anything_is_said(page):
    other = replace(page, gateway=replace(page.gateway, host_key=KEYS.new_key_pair().public))
    with pytest.raises(HostKeyError):
        await knock(other, 8080)


async def test_without_a_gateway_the_port_is_asked_directly():
    async def answer(_reader, writer):
        writer.write(b"220 hello\r\n")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    key = KEYS.new_key_pair()
    grant = Grant("ab12", 1, "student", "p", "127.0.0.1", 22, (), None, key.private, "", datetime.now(UTC))
    assert (await knock(grant, port, ask=b"?")).heard == b"220 hello\r\n"
    server.close()
    await server.wait_closed()
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        assert (await knock(grant, bound.getsockname()[1])).way is Way.REFUSED
