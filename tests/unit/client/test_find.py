"""How a kernel finds its server: the order of places, and what each looks like."""

import json
import os
import sys

import pytest

from educloud_lab.client import find
from educloud_lab.client.errors import ServerNotFoundError
from educloud_lab.client.find import Server, find_any_server, find_server


@pytest.fixture
def runtime(tmp_path):
    return tmp_path


@pytest.fixture
def environ(runtime):
    return {"JUPYTER_RUNTIME_DIR": str(runtime), "EDUCLOUD_HOME": str(runtime / "home")}


@pytest.fixture
def parents(monkeypatch):
    """100 was started by 200, that by 300."""
    monkeypatch.setattr(find, "_parent_of", {100: 200, 200: 300, 300: 1}.get)


def run_file(runtime, pid, **changes):
    content = {"url": f"http://localhost:{pid}/", "token": f"t{pid}", "sock": "", "base_url": "/", "pid": pid} | changes
    (runtime / f"jpserver-{pid}.json").write_text(json.dumps(content))


HUB = {
    "JUPYTERHUB_SERVICE_PREFIX": "/user/ada/",
    "JUPYTERHUB_API_TOKEN": "hub",
    "JUPYTERHUB_SERVICE_URL": "http://127.0.0.1:9000/user/ada/",
}


def test_the_order_of_places(environ, runtime, parents):
    run_file(runtime, 300)
    assert find_server(environ, pid=100) == Server("http://localhost:300/", "t300")
    run_file(runtime, 200)
    assert find_server(environ, pid=100) == Server("http://localhost:200/", "t200"), "the nearest parent"
    environ |= HUB
    assert find_server(environ, pid=100) == Server("http://127.0.0.1:9000/user/ada/", "hub")
    environ |= {"EDUCLOUD_URL": "https://x.example/base", "EDUCLOUD_TOKEN": "own"}
    assert find_server(environ, pid=100) == Server("https://x.example/base/", "own")


def test_a_server_that_is_no_parent_is_not_taken(environ, runtime, parents):
    run_file(runtime, 999)
    with pytest.raises(ServerNotFoundError) as caught:
        find_server(environ, pid=100)
    assert "EDUCLOUD_URL" in caught.value.next_step


def test_the_launcher_names_a_parent_where_there_is_no_proc(environ, runtime, monkeypatch):
    monkeypatch.setattr(find, "_parent_of", lambda _pid: None)
    run_file(runtime, 777)
    assert find_server(environ | {"JPY_PARENT_PID": "777"}, pid=100).token == "t777"


@pytest.mark.parametrize("content", ["", "{", "[]", '"x"', '{"token": "x"}'])
def test_a_half_written_run_file_is_passed_over(environ, runtime, parents, content):
    (runtime / "jpserver-200.json").write_text(content)
    run_file(runtime, 300)
    assert find_server(environ, pid=100).token == "t300"


def test_a_server_at_a_unix_socket(environ, runtime, parents):
    run_file(runtime, 200, url="http+unix://%2Frun%2Fj.sock/a/", sock="/run/j.sock", base_url="/a/")
    assert find_server(environ, pid=100) == Server("http://localhost/a/", "t200", "/run/j.sock")
    run_file(runtime, 200, url="http+unix://%2Frun%2Fj.sock/", sock="/run/j.sock")
    assert find_server(environ, pid=100).url == "http://localhost/"


@pytest.mark.parametrize(
    ("service", "url"),
    [
        ("http://0.0.0.0:8888/user/ada/", "http://127.0.0.1:8888/user/ada/"),
        ("http://[::]:8888/user/ada/", "http://127.0.0.1:8888/user/ada/"),
        ("http://[::1]:8888/user/ada/", "http://[::1]:8888/user/ada/"),
        ("https://10.0.0.7:8888/user/ada/", "https://10.0.0.7:8888/user/ada/"),
    ],
)
def test_a_hubs_server_is_reached_from_inside(environ, service, url):
    assert find_server(environ | HUB | {"JUPYTERHUB_SERVICE_URL": service}).url == url


def test_half_of_a_hubs_variables_is_not_a_hub(environ, parents):
    with pytest.raises(ServerNotFoundError):
        find_server(environ | {"JUPYTERHUB_API_TOKEN": "x"}, pid=100)


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("http://h:1/a/?token=q", Server("http://h:1/a/", "q")),
        ("http://h:1", Server("http://h:1/", "")),
        ("http://h:1/a%20b/lab?x=y#z", Server("http://h:1/a%20b/lab/", "")),
    ],
)
def test_an_address_as_people_copy_it(environ, url, server):
    assert find_server(environ | {"EDUCLOUD_URL": url}) == server


@pytest.mark.parametrize("url", ["localhost:8888", "file:///x", "http://", "x"])
def test_an_address_that_is_none(environ, url):
    with pytest.raises(ServerNotFoundError, match="EDUCLOUD_URL"):
        find_server(environ | {"EDUCLOUD_URL": url})


def test_a_terminal_takes_the_only_running_server(environ, runtime, monkeypatch):
    monkeypatch.setattr(find, "_ancestors", lambda *_: [])
    run_file(runtime, os.getpid())
    run_file(runtime, 2**22 + 1)  # a number that no process can have
    assert find_any_server(environ).token == f"t{os.getpid()}"
    run_file(runtime, os.getppid())
    with pytest.raises(ServerNotFoundError, match="Several"):
        find_any_server(environ)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_real_parents_of_this_process():
    assert os.getppid() in list(find._ancestors(os.getpid(), {}))
