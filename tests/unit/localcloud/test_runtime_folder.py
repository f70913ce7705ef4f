"""The folder for sockets: short, private, found by whoever looks, and never one with a login's lifetime."""

import os
import socket
import tempfile
from pathlib import Path

import pytest

from educloud_lab.localcloud import runtime
from educloud_lab.localcloud.errors import LocalCloudError
from educloud_lab.localcloud.runtime import LONGEST, remove_runtime_folder
from educloud_lab.localcloud.settings import Folders

DEEPEST = "m/i-8f95b1de866ea8141/journal.sock"


@pytest.fixture
def short(monkeypatch):
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        (Path(folder) / "tmp").mkdir()
        monkeypatch.setattr(runtime, "_TEMPORARY", Path(folder) / "tmp")
        monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
        yield Path(folder)


def made(home):
    folders = Folders(home)
    folders.make()
    return folders


def bind(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))  # "AF_UNIX path too long" when it is


@pytest.mark.parametrize("length", [LONGEST, LONGEST + 1, 200])
def test_it_lies_in_the_home_and_its_path_is_short_enough_for_sockets(short, length):
    home = short
    while len(str(home)) < length - len("/cloud/run"):
        home = home / ("x" * min(100, length - len("/cloud/run") - len(str(home)) - 1))
    folders = made(home)
    found = folders.runtime()
    assert found.resolve() == folders.cloud / "run"
    assert (found == folders.cloud / "run") is (length == LONGEST)
    assert (folders.cloud / "run").stat().st_mode & 0o777 == 0o700
    bind(found / DEEPEST)
    assert folders.runtime() == found
    assert (found / DEEPEST).exists()


@pytest.mark.parametrize("name", ["with a space", "with,comma", "ümlaut"])
def test_what_options_would_misread_goes_by_the_link(short, name):
    found = made(short / name).runtime()
    assert found.parent == short / "tmp"
    bind(found / DEEPEST)


def test_a_login_makes_no_difference(short, monkeypatch):
    folders = made(short / "home")
    first = folders.runtime()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(short / "tmp"))
    assert folders.runtime() == first


def test_what_an_earlier_boot_left_is_forgotten(short, monkeypatch):
    folders = made(short / "home")
    found = folders.runtime()
    bind(found / DEEPEST)
    (short / "boot").write_text("another boot\n")
    monkeypatch.setattr(runtime, "_BOOT_ID", short / "boot")
    assert folders.runtime() == found
    assert not (found / "m").exists()


def test_machines_of_the_first_version_are_still_found_there(short, monkeypatch):
    login = short / "login"
    folders = made(short / "home")
    name = runtime.hashlib.sha256(str(folders.home).encode()).hexdigest()[:8]
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(login))
    old = login / f"educloud-{name}"
    record = old / "m/i-1/machine.json"
    record.parent.mkdir(parents=True)
    old.chmod(0o700)
    record.write_text("{}")
    assert folders.runtime() == old
    record.unlink()  # it ended
    assert folders.runtime() == folders.cloud / "run"


def test_a_folder_of_the_first_version_makes_room_for_the_link(short):
    folders = made(short / "with a space")
    link = folders.runtime()
    link.unlink()
    (link / "md").mkdir(parents=True)
    assert folders.runtime() == link
    assert link.is_symlink()


def test_a_link_that_was_cleared_up_comes_back(short):
    folders = made(short / "with a space")
    link = folders.runtime()
    bind(link / DEEPEST)
    link.unlink()
    assert (folders.runtime() / DEEPEST).exists()


def test_a_file_system_without_sockets_is_evaded(short, monkeypatch):
    real = socket.socket.bind

    def refuse(self, address):
        if str(short / "home") in os.path.realpath(address):
            raise PermissionError(1, "Operation not permitted")
        real(self, address)

    monkeypatch.setattr(runtime.socket.socket, "bind", refuse)
    folders = made(short / "home")
    found = folders.runtime()
    assert found.parent == short / "tmp"
    assert not found.is_symlink()
    bind(found / DEEPEST)
    assert folders.runtime() == found
    assert (found / DEEPEST).exists()


def test_one_that_others_can_read_is_refused(short):
    folders = made(short / "home")
    folders.runtime().chmod(0o755)
    with pytest.raises(LocalCloudError, match="not a private folder"):
        folders.runtime()


def test_where_there_is_no_cloud_nothing_is_made(short):
    assert Folders(short / "home").runtime() == short / "home/cloud/run"
    assert not (short / "home").exists()
    assert Folders(short / "a b").runtime().parent == short / "tmp"
    assert list((short / "tmp").iterdir()) == []


def test_removing_it_removes_the_link_as_well(short):
    folders = made(short / "with a space")
    link = folders.runtime()
    for _ in range(2):
        remove_runtime_folder(folders.home, folders.cloud)
        assert not link.is_symlink()
        assert not (folders.cloud / "run").exists()
