"""Websockets that rest: what ends them, and that they keep nothing that has ended."""

import asyncio
from types import SimpleNamespace

from educloud_lab.client import AsyncClient, sockets
from educloud_lab.client.find import Server
from educloud_lab.client.sockets import WorkSocket, pool

ONE, TWO = Server("http://127.0.0.1:1/", "t"), Server("http://127.0.0.1:2/", "t")


def resting(server):
    """A socket that has done its work; its connection knows its loop, as a real one does."""

    async def close():
        connection.closed = True

    connection = SimpleNamespace(close=close, closed=False, loop=asyncio.get_running_loop())
    WorkSocket(pool(), (server, "leases/l1/run"), connection).rest()
    return connection


async def test_a_client_that_is_closed_ends_what_rests_at_its_server():
    mine, others = resting(ONE), resting(TWO)
    async with AsyncClient(ONE):
        pass
    assert (mine.closed, others.closed) == (True, False)
    await pool().close()
    assert others.closed


def test_a_loop_that_has_ended_is_not_kept():
    """A program that calls asyncio.run again and again would have one more loop and socket each time."""

    async def one():
        resting(ONE)

    for _ in range(4):
        asyncio.run(one())
    assert len([loop for loop in sockets._pools if loop.is_closed()]) <= 1
