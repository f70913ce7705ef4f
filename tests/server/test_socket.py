"""The websocket: order and versions, one change seen by all, nothing left behind."""

from __future__ import annotations

import asyncio
import json

import pytest
from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.websocket import websocket_connect

from educloud_lab.domain import errors
from educloud_lab.server.socket import MAX_SOCKETS, SETTING, SocketHandler
from educloud_lab.wire import models as wire
from tests.patience import LIMIT_S


@pytest.fixture
async def connect(server, http_server_client, base_url):
    opened = []

    async def make(headers=None, *, signed_in=True):
        url = http_server_client.get_url(f"{base_url}educloud/api/v1/socket").replace("http:", "ws:")
        sent = {"Authorization": f"token {server.identity_provider.token}"} if signed_in else {}
        socket = await websocket_connect(HTTPRequest(url, headers=sent | (headers or {})))
        opened.append(socket)
        return socket

    make.sockets = server.web_app.settings[SETTING]
    yield make
    for socket in opened:
        socket.close()
    await settle(server)


async def receive(socket):
    message = await asyncio.wait_for(socket.read_message(), LIMIT_S)
    return None if message is None else json.loads(message)


async def settle(server):
    """Wait until the server has noticed that its sockets are gone."""
    async with asyncio.timeout(LIMIT_S):
        while len(server.web_app.settings[SETTING]):  # noqa: ASYNC110 - the server has no event for a test to wait for
            await asyncio.sleep(0.01)


def our_tasks():
    return {task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith("educloud-")}


async def test_a_snapshot_at_once_and_at_every_newer_version(connect, broker):
    socket = await connect()
    first = await receive(socket)
    message = wire.SnapshotMessage.model_validate(first)
    assert (message.type, message.snapshot.version, message.snapshot.person) == ("snapshot", 1, "ada")
    versions = [message.snapshot.version]
    for number in range(5):
        await broker.ensure_lease("ada", wire.LeaseRequest(lab=f"lab{number}", machine_profile="tiny"))
        found = await receive(socket)
        versions.append(found["snapshot"]["version"])
        assert len(found["snapshot"]["leases"]) == number + 1
    assert versions == sorted(set(versions)) == [1, 2, 3, 4, 5, 6]


async def test_an_older_or_equal_version_is_not_sent(connect, broker):
    socket = await connect()
    await receive(socket)
    feed = connect.sockets.feed
    await feed._publish(await broker.snapshot("ada"))
    broker.version = 0
    await feed._publish(await broker.snapshot("ada"))
    broker.version = 8
    await broker.bump()
    assert (await receive(socket))["snapshot"]["version"] == 9


async def test_two_sockets_see_one_change_and_cost_one_watch(connect, broker):
    one, two = await connect(), await connect()
    await receive(one)
    await receive(two)
    assert broker.watchers == 1
    await broker.ensure_lease("ada", wire.LeaseRequest(lab="x", machine_profile="tiny"))
    seen = [await receive(one), await receive(two)]
    assert seen[0] == seen[1]
    assert seen[0]["snapshot"]["leases"][0]["lab"] == "x"


async def test_a_ping_is_answered_with_the_version(connect, broker):
    socket = await connect()
    await receive(socket)
    await socket.write_message('{"type": "ping"}')
    assert await receive(socket) == {"type": "pong", "version": broker.version}


@pytest.mark.parametrize("message", ["", "x", "[]", '{"type": "start"}', '{"type": "ping", "x": 1}', b"\xff\x00"])
async def test_anything_else_ends_the_socket(connect, message):
    socket = await connect()
    await receive(socket)
    await socket.write_message(message, binary=isinstance(message, bytes))
    assert await receive(socket) is None
    assert socket.close_code == 1008


async def test_a_large_message_ends_the_socket(connect):
    socket = await connect()
    await receive(socket)
    await socket.write_message('{"type": "' + "x" * 5000 + '"}')
    assert await receive(socket) is None


async def test_closed_sockets_leave_no_task_and_no_watch(connect, broker, server):
    for _ in range(3):
        sockets = [await connect() for _ in range(4)]
        for socket in sockets:
            await receive(socket)
        assert "educloud-feed" in our_tasks()
        for socket in sockets:
            socket.close()
        await settle(server)
        async with asyncio.timeout(LIMIT_S):
            while our_tasks():  # noqa: ASYNC110 - likewise
                await asyncio.sleep(0.01)
        assert broker.watchers == 0


async def test_a_page_that_does_not_read_holds_one_snapshot_and_hurts_nobody(connect, broker, monkeypatch):
    """The stalled page's write never ends; the other sees every version, and the stalled one the newest later."""
    stalled: set[SocketHandler] = set()
    gate = asyncio.Event()
    written: list[int] = []
    real = SocketHandler.write_message

    async def write(self, message, binary=False):
        if self in stalled:
            written.append(json.loads(message)["snapshot"]["version"])
            await gate.wait()
        await real(self, message, binary)

    monkeypatch.setattr(SocketHandler, "write_message", write)
    slow = await connect()
    await receive(slow)
    (handler,) = connect.sockets._open
    stalled.add(handler)
    quick = await connect()
    assert (await receive(quick))["snapshot"]["version"] == 1
    for version in range(2, 12):
        await broker.bump()
        assert (await receive(quick))["snapshot"]["version"] == version
    assert written == [2]
    gate.set()
    assert [(await receive(slow))["snapshot"]["version"] for _ in range(2)] == [2, 11]


async def test_the_sockets_say_why_when_the_server_stops(connect, server):
    socket = await connect()
    await receive(socket)
    await server.web_app.settings[SETTING].close()
    assert await receive(socket) is None
    assert socket.close_code == 1001
    assert "stopping" in socket.close_reason
    late = await connect()
    assert await receive(late) is None
    assert late.close_code == 1001


async def test_a_broken_watch_ends_the_sockets_so_that_pages_ask_again(connect, broker):
    socket = await connect()
    await receive(socket)
    await broker.break_watch(errors.StoreError("The disk is full."))
    assert await receive(socket) is None
    assert socket.close_code == 1013


async def test_there_is_a_bound_on_open_sockets(connect, server):
    sockets = [await connect() for _ in range(MAX_SOCKETS)]
    await receive(sockets[-1])
    late = await connect()
    assert await receive(late) is None
    assert late.close_code == 1013
    assert len(server.web_app.settings[SETTING]) == MAX_SOCKETS


async def test_without_a_broker_the_socket_says_what_to_do_and_then_shows_the_real_thing(
    connect, build, server, monkeypatch
):
    build.append(errors.CloudUnreachableError("The local cloud cannot start.", next_step="Run `educloud doctor`."))
    monkeypatch.setattr(connect.sockets.feed, "_retry_s", 0.01)
    desk = server.web_app.settings["educloud_desk"]
    monkeypatch.setattr(desk, "_retry_s", 3600)
    socket = await connect()
    first = await receive(socket)
    assert first["snapshot"]["version"] == 0
    assert first["snapshot"]["cloud"]["reachable"] is False
    assert first["snapshot"]["cloud"]["problem"]["next_step"] == "Run `educloud doctor`."
    monkeypatch.setattr(desk, "_retry_s", 0)
    assert (await receive(socket))["snapshot"]["version"] == 1


async def test_not_signed_in(connect):
    with pytest.raises(HTTPClientError, match="403"):
        await connect(signed_in=False)


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "websocket"},
    ],
)
async def test_a_page_of_another_site_is_refused_even_with_credentials(connect, headers):
    with pytest.raises(HTTPClientError, match="403"):
        await connect(headers)
