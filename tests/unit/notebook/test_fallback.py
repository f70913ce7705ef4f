"""What a panel says where no page of ours draws it: VS Code, Colab, nbconvert."""

import sys
from types import ModuleType, SimpleNamespace

import pytest

from educloud_lab import CloudPanel
from educloud_lab.client.errors import ServerNotFoundError
from educloud_lab.client.find import Server
from educloud_lab.notebook import fallback, follower
from educloud_lab.notebook.panel import MIME_TYPE
from tests.unit.notebook.panel_parts import FakeClient, snapshot


@pytest.fixture
def plain(monkeypatch):
    """A kernel of none of these programs."""
    for name in ("VSCODE_PID", "JPY_SESSION_NAME", "JPY_PARENT_PID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delitem(sys.modules, "google.colab", raising=False)


@pytest.fixture
def server(monkeypatch):
    client = FakeClient([snapshot()])
    monkeypatch.setattr("educloud_lab.client.connect", lambda **_: client, raising=False)
    monkeypatch.setattr("educloud_lab.client.find.find_server", lambda: Server("http://127.0.0.1:8888/", "tok"))
    monkeypatch.setattr(follower.Feed, "add", lambda self, panel: None)
    return client


def in_vscode(monkeypatch):
    shell = SimpleNamespace(user_ns={"__vsc_ipynb_file__": "/home/ada/lab.ipynb"})
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))


def in_colab(monkeypatch):
    monkeypatch.setitem(sys.modules, "google.colab", ModuleType("google.colab"))


def in_vscode_without_a_path(monkeypatch):
    monkeypatch.setenv("VSCODE_PID", "1")


FRONT_ENDS = [(in_vscode, "vscode"), (in_colab, "colab"), (in_vscode_without_a_path, "vscode")]


@pytest.mark.parametrize(("enter", "name"), FRONT_ENDS)
def test_they_are_told_the_state_in_words(plain, server, monkeypatch, enter, name):
    enter(monkeypatch)
    assert fallback.front_end() == name
    bundle = CloudPanel("one", "tiny")._repr_mimebundle_()
    assert set(bundle) == {MIME_TYPE, "text/plain", "text/html"}, "no widget view: they would fetch its module"
    for kind in ("text/plain", "text/html"):
        assert "ready" in bundle[kind]
        assert "panel.start(); panel.wait()" in bundle[kind]
        assert "pip install" not in bundle[kind]
        for secret in ("172.16.0.9", "127.0.0.1", "tok", "i-1", "ada"):
            assert secret not in bundle[kind]


def test_showing_a_panel_starts_no_broker(plain, monkeypatch):
    def nowhere():
        raise ServerNotFoundError("None.")

    in_colab(monkeypatch)
    monkeypatch.setattr("educloud_lab.client.find.find_server", nowhere)
    monkeypatch.setattr("educloud_lab.client.connect", lambda **_: pytest.fail("asked"), raising=False)
    bundle = CloudPanel("one", "tiny")._repr_mimebundle_()
    assert "it is not known where it stands" in bundle["text/plain"]
    assert "panel.start()" in bundle["text/plain"]


@pytest.mark.parametrize("variable", ["JPY_SESSION_NAME", "JPY_PARENT_PID"])
def test_a_jupyterlab_from_vscodes_terminal_is_a_jupyterlab(plain, monkeypatch, variable):
    monkeypatch.setenv("VSCODE_PID", "1")
    monkeypatch.setenv(variable, "1")
    assert fallback.front_end() == "jupyter"


def test_names_are_no_markup(plain, server, monkeypatch):
    in_colab(monkeypatch)
    bundle = CloudPanel("<img src=x onerror=alert(1)>", "tiny")._repr_mimebundle_()
    assert "<img" not in bundle["text/html"]
    assert "&lt;img" in bundle["text/html"]


def test_a_page_that_draws_it_asks_nobody_here(plain, monkeypatch):
    monkeypatch.setattr("educloud_lab.client.connect", lambda **_: pytest.fail("asked"), raising=False)
    bundle = CloudPanel("one", "tiny")._repr_mimebundle_()
    assert "pip install educloud-lab" in bundle["text/html"]
    assert "panel.start()" in bundle["text/html"]


def test_every_state_has_its_words():
    from educloud_lab.wire import models as wire

    assert set(fallback.WORDS) == {"unknown", *map(str, wire.Phase)}
