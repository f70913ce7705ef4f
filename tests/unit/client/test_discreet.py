"""What a client shows of itself, and the words of its errors, name neither an address nor a token."""

from __future__ import annotations

import json
import os
import socket
import traceback

import httpx
import pytest
from IPython.core.ultratb import VerboseTB
from websockets.datastructures import Headers
from websockets.exceptions import InvalidStatus, InvalidURI
from websockets.http11 import Response

from educloud_lab.client import find, sockets, work
from educloud_lab.client.aio import AsyncClient
from educloud_lab.client.client import Client
from educloud_lab.client.errors import ServerUnreachableError, SeveralServersError
from educloud_lab.client.find import Server
from educloud_lab.client.machine import Machine
from educloud_lab.domain.errors import BadInputError
from tests.unit.client.test_client import lease

HOST, TOKEN, SOCKET = "10.9.8.7:45671", "c4n4ry70k3n", "/run/canary/broker.sock"
SERVER = Server(f"http://{HOST}/user/ann/", TOKEN)
BY_SOCKET = Server(f"http://{HOST}/", TOKEN, SOCKET, "/home/ann/broker.log")
REFUSED = ConnectionRefusedError(111, "Connect call failed ('10.9.8.7', 45671)")


def assert_discreet(text):
    assert text
    for secret in ("10.9.8.7", "45671", TOKEN, SOCKET):
        assert secret not in text


def told(error):
    """Return an error as a notebook shows it: with its causes, and (`%xmode Verbose`) the values of variables."""
    plain = "".join(traceback.format_exception(error))
    ours = error.__traceback__
    while ours.tb_frame.f_code.co_filename == __file__:  # this test knows what it looks for
        ours = ours.tb_next
    return plain + VerboseTB(theme_name="nocolor").text(type(error), error, ours)


def failing(error):
    def answer(request):
        raise error

    return httpx.MockTransport(answer)


def test_objects():
    client = Client(SERVER, transport=failing(AssertionError()))
    machine = Machine(client, lease())
    shown = [SERVER, BY_SOCKET, client, AsyncClient(SERVER), AsyncClient(), machine, machine.volume]
    for thing in shown:
        assert_discreet(repr(thing))
        assert_discreet(str(thing))
    assert repr(client) == "<educloud_lab client of the Jupyter server>"
    assert repr(BY_SOCKET) == "<the broker for scripts>"


def test_no_answer():
    cause = httpx.ConnectError(f"All attempts at {HOST} failed")
    cause.__cause__ = REFUSED
    with pytest.raises(ServerUnreachableError) as caught:
        Client(SERVER, transport=failing(cause)).snapshot()
    assert_discreet(told(caught.value))
    # A program that wants to know has it.
    assert caught.value.server == SERVER
    assert caught.value.__context__ is cause


async def test_no_answer_async():
    cause = httpx.ConnectError(f"All attempts at {HOST} failed")
    cause.__cause__ = REFUSED
    client = AsyncClient(SERVER, transport=httpx.MockTransport(_raiser(cause)))
    with pytest.raises(ServerUnreachableError) as caught:
        await client.snapshot()
    await client.close()
    assert_discreet(told(caught.value))


def _raiser(error):
    async def answer(*_positional, **_named):
        raise error

    return answer


def test_an_answer_that_is_none_of_ours_is_not_quoted():
    for status in (200, 502):
        page = httpx.Response(status, text=f"<h1>Proxy of {HOST}, token {TOKEN}</h1>")
        client = Client(SERVER, transport=httpx.MockTransport(lambda request, page=page: page))
        with pytest.raises(ServerUnreachableError) as caught:
            client.snapshot()
        assert_discreet(told(caught.value))


@pytest.mark.parametrize(
    "cause",
    [
        REFUSED,
        OSError(f"Multiple exceptions: {REFUSED}"),
        socket.gaierror(-2, f"{HOST}: Name or service not known"),
        InvalidURI(SERVER.url, "no"),
        InvalidStatus(Response(502, "Bad Gateway", Headers(), HOST.encode())),
    ],
)
async def test_no_socket(monkeypatch, cause):
    monkeypatch.setattr(sockets, "connect", _raiser(cause))
    with pytest.raises(ServerUnreachableError) as caught:
        await sockets._open(SERVER, "educloud/api/v1/leases/l1/run")
    assert_discreet(told(caught.value))
    assert caught.value.server is SERVER


def test_what_is_run_is_not_quoted_when_it_cannot_be():
    with pytest.raises(BadInputError) as caught:
        work.request("true", None, None, {"PASSWORD=": TOKEN}, None)
    assert TOKEN not in str(caught.value)
    assert TOKEN not in "".join(traceback.format_exception(caught.value))


def test_several_servers_are_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(find, "_ancestors", lambda *_: [])
    for pid in (os.getpid(), os.getppid()):
        (tmp_path / f"jpserver-{pid}.json").write_text(json.dumps({"url": SERVER.url, "token": TOKEN}))
    with pytest.raises(SeveralServersError, match="running: 2") as caught:
        find.find_any_server({"JUPYTER_RUNTIME_DIR": str(tmp_path)})
    assert_discreet(str(caught.value))
