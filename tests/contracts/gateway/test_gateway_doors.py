"""Ways to a machine that are asked for at a door: a socket of another network, an address, or none."""

import asyncio
import json
import socket

import asyncssh
import pytest

from educloud_lab.gateway.routes import write_routes

ALICE = "172.16.77.5"


class Keeper:
    """Answers at a door as it is told, and counts."""

    def __init__(self, path, ports):
        self.path = path
        self.ports = ports
        self.asked = []
        self.answer = b""

    async def serve(self):
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        listening.bind(str(self.path))
        listening.listen()
        loop = asyncio.get_running_loop()
        with listening:
            while True:
                connection, _ = await loop.sock_accept(listening)
                connection.setblocking(False)
                with connection:
                    request = json.loads(await loop.sock_recv(connection, 4096))
                    self.asked.append(request["connect"])
                    if self.answer:
                        await loop.sock_sendall(connection, self.answer)
                    else:
                        with socket.socket() as made:
                            socket.send_fds(connection, [b'{"socket": true}\n'], [made.fileno()])


@pytest.fixture
async def keeper(bench, tmp_path):
    keeper = Keeper(tmp_path / "door.sock", bench.ports)
    task = asyncio.create_task(keeper.serve())
    door = f"unix:{keeper.path}"
    write_routes(
        bench.config.routes,
        {f"{ALICE}:22": f"127.0.0.1:{bench.ports[ALICE]}", f"{ALICE}:8000-8099": door, f"{ALICE}:*": "closed"},
    )
    bench.allow("alice", *(bench.line(ALICE, "lease-alice-g1").replace(":22", f":{port}") for port in (22, 8080, 9000)))
    await bench.gateway.refresh()
    yield keeper
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_door_may_give_a_socket_which_the_gateway_connects_to_the_destination(bench, keeper, monkeypatch):
    # Nothing is reached at 172.16.77.5 from here, so what the socket is connected to is put in its place.
    loop = asyncio.get_running_loop()
    connect, wanted = loop.sock_connect, []

    async def elsewhere(made, place):
        if place[0] == ALICE:
            wanted.append(tuple(place))
            place = ("127.0.0.1", bench.ports[ALICE])
        await connect(made, place)

    monkeypatch.setattr(loop, "sock_connect", elsewhere)
    async with await bench.lease("lease-alice-g1") as conn:
        greeting, reader, writer = await bench.ask(conn, ALICE, 8080)
        assert greeting == f"machine on {bench.ports[ALICE]}\n"
        writer.write(b"through\n")
        assert await reader.readline() == b"through\n"
    assert wanted == [(ALICE, 8080)]


async def test_a_door_may_name_an_address(bench, keeper):
    keeper.answer = json.dumps({"address": f"127.0.0.1:{bench.ports[ALICE]}"}).encode() + b"\n"
    async with await bench.lease("lease-alice-g1") as conn:
        greeting, reader, writer = await bench.ask(conn, ALICE, 8080)
        assert greeting == f"machine on {bench.ports[ALICE]}\n"
        writer.write(b"through\n")
        assert await reader.readline() == b"through\n"
    assert keeper.asked == [f"{ALICE}:8080"]


async def test_a_port_that_the_groups_keep_closed_is_told_apart_and_no_door_is_asked(bench, keeper, caplog):
    async with await bench.lease("lease-alice-g1") as conn:
        with pytest.raises(asyncssh.ChannelOpenError, match="security groups") as caught:
            await bench.ask(conn, ALICE, 9000)
        assert caught.value.code == asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED
        assert (await bench.ask(conn, ALICE, 22))[0] == f"machine on {bench.ports[ALICE]}\n"
    assert keeper.asked == []
    assert any("security groups" in message for message in caplog.messages)


@pytest.mark.parametrize(
    "said",
    [b'{"error": "the machine is gone"}\n', b"nonsense\n", b"[]\n", b'{"socket": true}\n', b'{"address": "x"}\n'],
)
async def test_a_door_that_gives_no_way_refuses_that_one_forward(bench, keeper, said):
    keeper.answer = said
    async with await bench.lease("lease-alice-g1") as conn:
        with pytest.raises(asyncssh.ChannelOpenError):
            await bench.ask(conn, ALICE, 8080)
        assert (await bench.ask(conn, ALICE, 22))[0] == f"machine on {bench.ports[ALICE]}\n"


async def test_nobody_at_the_door_is_said_so(bench, keeper):
    keeper.path.unlink()
    async with await bench.lease("lease-alice-g1") as conn:
        with pytest.raises(asyncssh.ChannelOpenError, match="cloud start"):
            await bench.ask(conn, ALICE, 8080)


async def test_a_revoked_route_stops_new_forwards_and_leaves_the_one_that_is_open(bench, keeper):
    keeper.answer = json.dumps({"address": f"127.0.0.1:{bench.ports[ALICE]}"}).encode() + b"\n"
    async with await bench.lease("lease-alice-g1") as conn:
        _, reader, writer = await bench.ask(conn, ALICE, 8080)
        write_routes(bench.config.routes, {f"{ALICE}:*": "closed"})
        await bench.gateway.refresh()
        with pytest.raises(asyncssh.ChannelOpenError, match="security groups"):
            await bench.ask(conn, ALICE, 8080)
        writer.write(b"still here\n")
        assert await reader.readline() == b"still here\n"
