"""What a gateway's refusal says of a machine's port."""

from types import SimpleNamespace

import asyncssh
import pytest

from educloud_lab.adapters.ssh import knocking
from educloud_lab.domain.errors import MachineUnreachableError
from educloud_lab.ports.shell import Way


def gateway_that_says(monkeypatch, code, reason):
    class Gateway:
        async def create_connection(self, *_arguments):
            raise asyncssh.ChannelOpenError(code, reason)

        def abort(self):
            pass

    async def connect(*_arguments):
        return Gateway()

    monkeypatch.setattr(knocking, "_connect", connect)
    return SimpleNamespace(gateway=object(), address="10.0.0.5")


async def test_a_full_gateway_says_nothing_of_the_machine(monkeypatch):
    grant = gateway_that_says(monkeypatch, asyncssh.OPEN_RESOURCE_SHORTAGE, "Too many channels on this connection")
    with pytest.raises(MachineUnreachableError):
        await knocking.knock(grant, 80, ask=b"", timeout_s=5.0)
    grant = gateway_that_says(monkeypatch, asyncssh.OPEN_CONNECT_FAILED, "10.0.0.5:80 refused the connection")
    assert (await knocking.knock(grant, 80, ask=b"", timeout_s=5.0)).way is Way.REFUSED
