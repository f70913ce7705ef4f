"""The broker's own front-end adapter against the real gateway: both sides of the control commands agree."""

import asyncssh
import pytest

from educloud_lab.adapters.ssh.frontend import ControlCredentials, GatewayControl
from educloud_lab.domain.errors import ShellError
from educloud_lab.gateway import Gateway
from educloud_lab.ports.shell import GatewayAddress

ALICE = "172.16.77.5"


@pytest.fixture
async def control(bench):
    async def credentials():
        key, certificate = bench.certificate("educloud-broker", ca=bench.control_ca)
        return ControlCredentials(
            key.export_private_key("openssh").decode(), certificate.export_certificate("openssh").decode()
        )

    def address():
        return GatewayAddress(host="127.0.0.1", port=bench.gateway.port, host_key=bench.gateway.host_key_line)

    control = GatewayControl(address, credentials, timeout_s=60)
    yield control
    await control.close()


async def test_the_adapter_puts_and_drops_what_the_gateway_enforces(bench, control):
    await control.ping()
    for _ in range(2):
        await control.put_lines(
            "lease-carol", [bench.line(ALICE, "lease-carol-g1"), bench.line(ALICE, "broker-carol-g1")]
        )
    carol = await bench.lease("lease-carol-g1")
    assert (await bench.ask(carol, ALICE))[0].startswith("machine")
    for _ in range(2):
        await control.drop_lines("lease-carol")
    assert await bench.ended(carol.wait_closed())
    with pytest.raises(asyncssh.PermissionDenied):
        await bench.lease("lease-carol-g1")


async def test_the_adapter_reports_a_refusal(bench, control):
    with pytest.raises(ShellError, match="restrict"):
        await control.put_lines("lease-carol", ["ssh-ed25519 AAAA"])


async def test_the_adapter_finds_a_gateway_that_was_started_again(bench, control):
    await control.ping()
    await bench.gateway.__aexit__(None, None, None)
    bench.gateway = Gateway(bench.config)
    async with bench.gateway:
        await control.ping()
        await control.close()
