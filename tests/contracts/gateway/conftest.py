"""A gateway with its files, an authority, and machines behind it, for the tests of this folder."""

import asyncio
import contextlib
from dataclasses import dataclass
from pathlib import Path

import asyncssh
import pytest

from educloud_lab.gateway import Gateway, GatewayConfig
from educloud_lab.gateway.config import GatewayLimits
from educloud_lab.gateway.lines import write_lines
from educloud_lab.gateway.routes import write_routes
from tests.patience import LIMIT_S

ALICE, BOB = "172.16.77.5", "172.16.77.6"


def public(key):
    return key.export_public_key("openssh").decode().strip()


@dataclass
class Bench:
    """A gateway with its files, an authority, and machines that echo what they get after saying their name."""

    folder: Path
    config: GatewayConfig
    ca: asyncssh.SSHKey
    control_ca: asyncssh.SSHKey
    gateway: Gateway
    ports: dict

    def line(self, address, principal, ca=None, options=""):
        key = public(ca or self.ca)
        return (
            f'restrict,port-forwarding,permitopen="{address}:22",cert-authority,principals="{principal}"{options} {key}'
        )

    def allow(self, name, *lines):
        write_lines(self.config.lines, name, "\n".join(lines))

    def certificate(self, *principals, ca=None, valid_before="+10m", **options):
        key = asyncssh.generate_private_key("ssh-ed25519")
        return key, (ca or self.ca).generate_user_certificate(
            key, "test", principals=principals, valid_before=valid_before, **options
        )

    async def connect(self, keypair, username="anything", **options):
        return await asyncssh.connect(
            "127.0.0.1",
            self.gateway.port,
            username=username,
            client_keys=[keypair],
            known_hosts=asyncssh.import_known_hosts(f"[127.0.0.1]:{self.gateway.port} {self.gateway.host_key_line}"),
            config=None,
            agent_path=None,
            **options,
        )

    def over(self, config, gateway):
        """The same people and machines behind another gateway."""
        return Bench(self.folder, config, self.ca, self.control_ca, gateway, self.ports)

    async def lease(self, *principals):
        """Connect with a certificate that holds these principals."""
        return await self.connect(self.certificate(*principals))

    async def control(self):
        """Connect as the broker does."""
        return await self.connect(self.certificate("educloud-broker", ca=self.control_ca), "educloud-control")

    @staticmethod
    async def ask(conn, address, port=22):
        reader, writer = await conn.open_connection(address, port)
        greeting = (await reader.readline()).decode()
        return greeting, reader, writer

    @staticmethod
    async def ended(awaitable, within_s=LIMIT_S):
        """Whether it comes to an end, one way or another; how soon is the gateway's constant, which a test checks."""
        try:
            async with asyncio.timeout(within_s):
                await awaitable
        except TimeoutError:
            return False
        except (asyncssh.Error, OSError):
            return True
        return True


async def echo(reader, writer):
    name = f"machine on {writer.get_extra_info('sockname')[1]}\n"
    writer.write(name.encode())
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


@pytest.fixture
async def machines():
    async with contextlib.AsyncExitStack() as stack:
        servers = {}
        for address in (ALICE, BOB):
            servers[address] = await stack.enter_async_context(await asyncio.start_server(echo, "127.0.0.1", 0))
        yield {address: server.sockets[0].getsockname()[1] for address, server in servers.items()}


@pytest.fixture
def limits():
    return GatewayLimits()


@pytest.fixture
async def bench(tmp_path, machines, limits):
    ca, control_ca = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))
    config = GatewayConfig(listen_port=0, limits=limits).beside(tmp_path)
    write_routes(config.routes, {f"{address}:22": f"127.0.0.1:{port}" for address, port in machines.items()})
    config.trusted_ca.write_text(public(control_ca) + "\n")
    config.trusted_ca.chmod(0o600)
    async with Gateway(config) as gateway:
        bench = Bench(tmp_path, config, ca, control_ca, gateway, machines)
        bench.allow("alice", bench.line(ALICE, "lease-alice-g1"))
        bench.allow("bob", bench.line(BOB, "lease-bob-g1"))
        await gateway.refresh()
        yield bench
