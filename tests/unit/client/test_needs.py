"""Which lab a kernel or a script is about, when nobody says."""

import json
import sys
import types

import httpx
import pytest

from educloud_lab.client import needs
from educloud_lab.client.client import Client
from educloud_lab.client.errors import LabUnknownError
from educloud_lab.client.find import Server
from educloud_lab.domain import errors
from educloud_lab.wire import models as wire

SERVER = Server("http://127.0.0.1:8888/", "t0k")
NEEDS = {"lab": "web-server", "machine_profile": "tiny", "course": "local", "slot": "left"}


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name in (needs.LAB, needs.MACHINE_PROFILE, needs.SESSION):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def kernel(monkeypatch):
    """Be a kernel, as ipykernel shows it."""

    class App:
        connection_file = "/run/user/1000/jupyter/kernel-0b8f2a1c-0001.json"

        @staticmethod
        def initialized():
            return True

        @classmethod
        def instance(cls):
            return cls()

    module = types.ModuleType("ipykernel.kernelapp")
    module.IPKernelApp = App
    monkeypatch.setitem(sys.modules, "ipykernel.kernelapp", module)
    return App


@pytest.fixture
def file(tmp_path, monkeypatch):
    path = tmp_path / "lab.ipynb"
    monkeypatch.setenv(needs.SESSION, str(path))
    return path


def client(answer):
    asked = []

    def serve(request):
        asked.append(request.url.path)
        if isinstance(answer, Exception):
            raise answer
        return answer

    made = Client(SERVER, transport=httpx.MockTransport(serve))
    made.asked = asked
    return made


def refusal(status, code):
    problem = wire.Problem(code=code, what="What.", next_step="Next.")
    return httpx.Response(status, content=wire.ErrorReply(error=problem, request_id="r").model_dump_json())


def test_the_kernels_server_says(kernel, file):
    asked = client(httpx.Response(200, content=json.dumps(NEEDS)))
    assert asked.needs().lab == "web-server"
    assert asked.asked == ["/educloud/api/v1/kernels/0b8f2a1c-0001/needs"]


@pytest.mark.parametrize("answer", [refusal(404, "not-found"), refusal(404, "http-404"), httpx.ConnectError("no")])
def test_a_server_that_does_not_know_the_kernel(kernel, file, answer):
    file.write_text(json.dumps({"metadata": {"educloud": NEEDS}}))
    assert client(answer).needs().slot == "left"
    file.unlink()
    with pytest.raises(LabUnknownError, match="cannot be read") as caught:
        client(answer).needs()
    assert str(file.parent) not in str(caught.value)


def test_what_the_server_says_of_the_notebook_stands(kernel, file):
    file.write_text(json.dumps({"metadata": {"educloud": NEEDS}}))
    with pytest.raises(errors.BadInputError, match="What"):
        client(refusal(400, "bad-input")).needs()


def test_no_kernel(monkeypatch, kernel):
    monkeypatch.setattr(kernel, "initialized", lambda: False)
    with pytest.raises(LabUnknownError, match="no kernel"):
        client(None).needs()
    monkeypatch.setattr(kernel, "initialized", lambda: True)
    monkeypatch.setattr(kernel, "connection_file", "/tmp/mine.json")
    assert needs.kernel_id() is None
    monkeypatch.delitem(sys.modules, "ipykernel.kernelapp")
    assert needs.kernel_id() is None
    monkeypatch.setenv(needs.SESSION, "console-1")  # a console, not a notebook
    with pytest.raises(LabUnknownError, match="EDUCLOUD_LAB"):
        client(None).needs()


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "{}", '{"metadata": []}', '{"metadata": {}}', '{"metadata": {"educloud": {"lab": 1}}}',
                '{"metadata": {"educloud": [[[]]]}}', "\x00", "[" * 100_000],
)  # fmt: skip
def test_a_file_that_says_nothing(file, content):
    file.write_text(content)
    with pytest.raises(LabUnknownError) as caught:
        client(None).needs()
    assert "lab.ipynb" in str(caught.value)
    assert caught.value.next_step


def test_an_enormous_file_is_not_read(file, monkeypatch):
    file.write_text(json.dumps({"metadata": {"educloud": NEEDS}}))
    monkeypatch.setattr(needs, "LARGEST_BYTES", 10)
    with pytest.raises(LabUnknownError, match="cannot be read"):
        client(None).needs()


def answering(**routes):
    def serve(request):
        found = routes[request.url.path.rpartition("/")[2]]
        return httpx.Response(200, content=json.dumps(found) if isinstance(found, dict) else found.model_dump_json())

    return Client(SERVER, transport=httpx.MockTransport(serve))


def test_a_notebook_of_another_course(kernel):
    cloud = wire.Cloud(kind="local", name="x", reachable=True)
    shown = wire.Snapshot(
        version=1, server_time="2026-01-02T03:04:05Z", person="ada", course="local", cloud=cloud, profiles=[], leases=[]
    )  # fmt: skip
    with pytest.raises(errors.BadInputError, match="the course 'physics'"):
        answering(needs=NEEDS | {"course": "physics"}, snapshot=shown).machine()
