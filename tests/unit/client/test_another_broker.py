"""A broker for scripts that has ended, and another in its place: with another token, for several requests at once."""

import asyncio

import httpx
import pytest

from educloud_lab.client import AsyncClient, Client, headless
from educloud_lab.client.find import Server
from educloud_lab.domain.errors import EducloudError
from educloud_lab.wire import models as wire

OLD = Server("http://localhost/", "old", "/s", "/log")
NEW = Server("http://localhost/", "new", "/s", "/log")
REFUSED = wire.ErrorReply(error=wire.Problem(code="http-403", what="No.", kept="", next_step=""), request_id="r")


class Place:
    """What listens on the socket now; knows one token."""

    def __init__(self, monkeypatch):
        self.token = "new"
        self.asked = []
        monkeypatch.setattr(httpx, "HTTPTransport", lambda uds: httpx.MockTransport(self.answer))
        monkeypatch.setattr(httpx, "AsyncHTTPTransport", lambda uds: httpx.MockTransport(self.answer))
        monkeypatch.setattr(headless, "find_running", lambda: NEW)

    def answer(self, request):
        known = request.headers["Authorization"] == f"token {self.token}"
        self.asked.append((request.method, known))
        if not known:
            return httpx.Response(403, content=REFUSED.model_dump_json())
        return httpx.Response(200, content=wire.Hello(api_version=1, package_version="x").model_dump_json())


@pytest.fixture
def place(monkeypatch):
    return Place(monkeypatch)


def test_one_that_another_script_started_meanwhile(place):
    client = Client(OLD)
    assert client.hello().api_version == 1
    assert client.server == NEW
    assert client._alive() == NEW
    assert [known for _, known in place.asked] == [False, True, True]


def test_a_refusal_that_is_meant_is_told(place):
    place.token = "of a third one"
    with pytest.raises(EducloudError, match="No"):
        Client(NEW).hello()
    with pytest.raises(EducloudError, match="No"):
        Client(OLD).hello()
    assert len(place.asked) == 3, "asked again once"
    jupyter = Client(Server("http://localhost/", "old", "/s"))
    with pytest.raises(EducloudError, match="No"):
        jupyter.hello()
    assert len(place.asked) == 4


async def test_the_same_as_coroutines(place):
    async with AsyncClient(OLD) as client:
        assert (await client.hello()).api_version == 1
        assert client.server == NEW


async def test_several_requests_whose_broker_has_ended(place, monkeypatch):
    """Each finds out for itself; none closes the way that another has made anew."""
    both, opened = asyncio.Barrier(2), []

    class Ended(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request):
            await both.wait()
            raise httpx.ConnectError("refused")

    class Slow(httpx.AsyncBaseTransport):
        def __init__(self):
            self.closed = False
            opened.append(self)

        async def handle_async_request(self, request):
            for _ in range(20):  # the other one comes to its end meanwhile
                await asyncio.sleep(0)
            assert not self.closed
            return place.answer(request)

        async def aclose(self):
            self.closed = True

    monkeypatch.setattr(httpx, "AsyncHTTPTransport", lambda uds: Slow())
    monkeypatch.setattr(headless, "ensure", lambda: NEW)
    client = AsyncClient(OLD, transport=Ended())
    await client._connected()
    client._transport = None
    first, second = await asyncio.gather(client.hello(), client.hello())
    assert first.api_version == second.api_version == 1
    assert len(opened) == 1
    await client.close()
    assert opened[0].closed
