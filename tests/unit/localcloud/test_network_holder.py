"""The network's process under machines and gateways that ask for too much; the kernel's part is tried elsewhere."""

from __future__ import annotations

import asyncio
import errno
import json
import socket

from educloud_lab.localcloud.network import holder
from educloud_lab.localcloud.network.holder import Holder
from tests.patience import LIMIT_S

NETWORK, ADDRESS, NEIGHBOUR = "172.16.64.0/18", "172.16.64.20", "172.16.64.21"


class Connection:
    """The holder's end of a machine's connection: it only says whose it is and whether it was closed."""

    def __init__(self, address):
        self.address = address
        self.closed = False

    def get_extra_info(self, _name):
        return self.address, 40000

    def write(self, data):
        pass

    async def drain(self):
        pass

    def can_write_eof(self):
        return False

    def close(self):
        self.closed = True


async def test_one_machine_cannot_take_all_connections_to_metadata(tmp_path):
    arrived = asyncio.Queue()
    silent = await asyncio.start_unix_server(lambda *ends: arrived.put_nowait(ends), tmp_path / "md")
    network = Holder(NETWORK, outbound=False)
    network.metadata = {ADDRESS: str(tmp_path / "md"), NEIGHBOUR: str(tmp_path / "md")}
    made = [Connection(ADDRESS) for _ in range(holder._METADATA_AT_ONCE + 5)]
    tasks = [asyncio.create_task(network._metadata(asyncio.StreamReader(), each)) for each in made]
    ends = [await arrived.get() for _ in range(holder._METADATA_AT_ONCE)]
    await asyncio.wait(tasks[holder._METADATA_AT_ONCE :], timeout=LIMIT_S)
    assert sum(each.closed for each in made) == 5
    neighbour = asyncio.create_task(network._metadata(asyncio.StreamReader(), Connection(NEIGHBOUR)))
    ends.append(await arrived.get())  # others are served all the same
    for _, writer in ends:
        writer.close()
    await asyncio.wait([*tasks, neighbour], timeout=LIMIT_S)
    assert not network._asking  # and so is the machine itself once it let go
    silent.close()


async def test_the_gateway_is_let_in_again_after_a_moment_without_files(tmp_path, monkeypatch):
    listening, _ = holder._listen(tmp_path / "net.sock")
    loop = asyncio.get_running_loop()
    accept, refusals = loop.sock_accept, [OSError(errno.EMFILE, "Too many open files")]

    async def sometimes(sock):
        if refusals:
            raise refusals.pop()
        return await accept(sock)

    monkeypatch.setattr(loop, "sock_accept", sometimes)
    monkeypatch.setattr(holder, "_ACCEPT_AGAIN_S", 0)
    acceptor = asyncio.create_task(Holder(NETWORK, outbound=False)._accept(listening))
    try:
        async with asyncio.timeout(LIMIT_S):
            reader, writer = await asyncio.open_unix_connection(tmp_path / "net.sock")
            writer.write(b'{"op": "hello"}\n')
            assert json.loads(await reader.readline())["network"] == NETWORK
            writer.close()
    finally:
        acceptor.cancel()
        await asyncio.wait({acceptor})
        listening.close()
    assert isinstance(listening, socket.socket)
