"""Where the broker for scripts is looked for, and what it is not given."""

import fcntl
import os
import socket
import stat
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest

from educloud_lab import __version__
from educloud_lab.client import headless, link, requests
from educloud_lab.client.errors import BrokerStartError, ServerNotFoundError
from educloud_lab.client.find import Server, find_any_server
from educloud_lab.client.headless import place


@pytest.fixture
def tmp_path():
    """A folder whose path leaves room for a socket's, however deep the tests' own folders are."""
    with tempfile.TemporaryDirectory(prefix="e-", dir="/tmp") as folder:
        yield Path(folder)


@pytest.fixture
def environ(tmp_path, monkeypatch):
    monkeypatch.setattr(headless, "_TEMPORARY", tmp_path / "tmp")
    (tmp_path / "tmp").mkdir()
    (tmp_path / "run").mkdir(mode=0o700)
    return {"EDUCLOUD_HOME": str(tmp_path / "home"), "XDG_RUNTIME_DIR": str(tmp_path / "run")}


def test_a_private_folder_of_its_own(environ, tmp_path):
    found = place(environ)
    assert found.folder.parent == tmp_path / "run"
    assert stat.S_IMODE(found.folder.stat().st_mode) == 0o700
    assert found == place(environ)
    assert found.folder != place(environ | {"EDUCLOUD_HOME": str(tmp_path / "other")}).folder
    assert found.log == tmp_path / "home/broker.log"


def test_looking_makes_nothing(environ):
    assert not place(environ, make=False).folder.exists()
    assert headless.find_running(environ) is None


def test_a_path_that_is_too_long_for_a_socket(environ, tmp_path):
    deep = tmp_path / "run" / ("x" * 100)
    deep.mkdir()
    found = place(environ | {"XDG_RUNTIME_DIR": str(deep)})
    assert found.folder.parent == tmp_path / "tmp"
    bound = len(os.fsencode(tmp_path / "run" / found.folder.name / "broker.sock"))
    fits = tmp_path / "run" / ("y" * max(1, headless.LONGEST - bound - 1))
    fits.mkdir()
    assert place(environ | {"XDG_RUNTIME_DIR": str(fits)}).folder.parent == fits
    over = fits.with_name(fits.name + "y")
    over.mkdir()
    assert place(environ | {"XDG_RUNTIME_DIR": str(over)}).folder.parent == tmp_path / "tmp"


@pytest.mark.parametrize("base", ["", "relative", "/nowhere/at/all"])
def test_no_folder_of_the_session(environ, tmp_path, base):
    assert place(environ | {"XDG_RUNTIME_DIR": base}).folder.parent == tmp_path / "tmp"


def test_a_folder_that_is_not_ours_is_refused(environ, tmp_path, monkeypatch):
    found = place(environ)
    found.folder.chmod(0o755)
    with pytest.raises(BrokerStartError, match="not a private folder"):
        place(environ)
    found.folder.rmdir()
    found.folder.symlink_to(tmp_path)
    with pytest.raises(BrokerStartError, match="not a private folder"):
        place(environ, make=False)
    found.folder.unlink()
    found.folder.write_text("")
    with pytest.raises(BrokerStartError, match="cannot be made"):
        place(environ)


def test_a_folder_of_another_user_is_refused(environ, monkeypatch):
    uid = os.getuid()
    monkeypatch.setattr(headless.os, "getuid", lambda: uid + 1)
    with pytest.raises(BrokerStartError) as caught:
        place(environ)
    assert caught.value.kept
    assert caught.value.next_step


def announce(where, **changes):
    where.run_file.write_text(f'{{"pid": {os.getpid()}, "token": "t0k", "version": "{__version__}"}}')


def test_a_terminal_finds_it_last(environ, tmp_path):
    where = place(environ)
    announce(where)
    assert headless.find_running(environ) is None, "nobody listens"
    environ |= {"JUPYTER_RUNTIME_DIR": str(tmp_path)}
    with pytest.raises(ServerNotFoundError):
        find_any_server(environ)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(where.socket))
        listening.listen()
        assert find_any_server(environ) == Server("http://localhost/", "t0k", str(where.socket), str(where.log))
        assert "t0k" not in repr(find_any_server(environ))
        where.run_file.write_text('{"pid": 1, "token": "t0k", "version": "0.0.1"}')
        assert headless.find_running(environ) is None, "another version"
        for broken in ("", "[]", "{"):
            where.run_file.write_text(broken)
            assert headless.find_running(environ) is None


def test_what_its_process_is_not_given(monkeypatch, tmp_path):
    secret = {
        "AWS_SECRET_ACCESS_KEY": "s", "AWS_PROFILE": "p", "JUPYTERHUB_API_TOKEN": "s", "JPY_PARENT_PID": "1",
        "JUPYTER_TOKEN": "s", "GITHUB_TOKEN": "s", "EDUCLOUD_URL": "http://x/?token=s", "EDUCLOUD_TOKEN": "s",
        "JPY_SESSION_NAME": "x.ipynb",
    }  # fmt: skip
    kept = {"JUPYTER_CONFIG_DIR": "/c", "JUPYTERHUB_USER": "ada", "LANG": "C.UTF-8", "EDUCLOUD_WARM": "off"}
    for name, value in (secret | kept).items():
        monkeypatch.setenv(name, value)
    given = headless._environment(tmp_path)
    assert not set(secret) & set(given)
    assert kept.items() <= given.items()
    assert given["EDUCLOUD_HOME"] == str(tmp_path)


def test_a_wrong_address_starts_nothing(monkeypatch, environ):
    monkeypatch.setenv("EDUCLOUD_URL", "localhost:8888")
    with pytest.raises(ServerNotFoundError, match="EDUCLOUD_URL"):
        headless.server_of()


def test_a_python_that_cannot_be_started(environ, monkeypatch, capsys):
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(BrokerStartError, match="could not be started") as caught:
        headless.ensure()
    assert "EDUCLOUD_URL" in caught.value.next_step
    assert capsys.readouterr().err.count("\n") == 1


@pytest.fixture
def living(environ, monkeypatch):
    """A broker that lives and is not announced; what happens while it is waited for is put into the list."""
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    where, happens, now = place(), [], [0.0]
    where.life.touch()

    def sleep(seconds):
        now[0] += seconds
        if happens:
            happens.pop(0)()

    monkeypatch.setattr(headless, "time", SimpleNamespace(monotonic=lambda: now[0], sleep=sleep))
    with where.life.open("ab") as life:
        fcntl.flock(life, fcntl.LOCK_EX)
        yield where, life, happens


def test_one_that_is_ending_by_itself_is_waited_for_before_another_is_started(living, monkeypatch):
    _, life, happens = living
    happens += [lambda: None, life.close]
    started = Server("http://localhost/", "new", "/s", "/log")

    def start(where):
        assert not happens, "it lived still"
        return started

    monkeypatch.setattr(headless, "_start", start)
    assert headless.ensure() is started


def test_one_that_stays_after_all_is_taken(living, monkeypatch):
    where, _, happens = living
    monkeypatch.setattr(headless, "_start", lambda where: pytest.fail("there is one"))
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(where.socket))
        listening.listen()
        happens += [lambda: announce(where)]
        assert headless.ensure().token == "t0k"


def test_one_that_neither_answers_nor_ends(living, monkeypatch):
    monkeypatch.setattr(headless, "_start", lambda where: pytest.fail("there is one"))
    with pytest.raises(BrokerStartError, match="neither answered nor ended") as caught:
        headless.ensure()
    assert caught.value.kept
    assert "broker.log" in caught.value.next_step


def test_only_what_was_certainly_not_received_is_sent_again(monkeypatch):
    another = Server("http://localhost/", "new", "/s", "/log")
    monkeypatch.setattr(headless, "ensure", lambda: another)
    ended, jupyter = Server("http://localhost/", "old", "/s", "/log"), Server("http://localhost/", "old", "/s")
    wish, question = requests.start("l1"), requests.snapshot()
    assert link.started_again(ended, wish, httpx.ConnectError("refused")) is another
    assert link.started_again(ended, question, httpx.ReadError("lost")) is another
    assert link.started_again(ended, wish, httpx.ReadError("lost")) is None
    assert link.started_again(ended, question, httpx.ReadTimeout("slow")) is None
    assert link.started_again(jupyter, question, httpx.ConnectError("refused")) is None
