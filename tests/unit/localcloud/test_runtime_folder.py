"""The folder for sockets: as short as a socket's path has to be, and nobody else's."""

import socket
import tempfile
from pathlib import Path

import pytest

from educloud_lab.localcloud.errors import LocalCloudError
from educloud_lab.localcloud.settings import Folders

LONGEST = "m/i-8f95b1de866ea8141/journal.sock"


@pytest.fixture
def short():
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        yield Path(folder)


@pytest.mark.parametrize("length", [50, 51, 90])
def test_a_long_runtime_folder_is_not_used(monkeypatch, tmp_path, short, length):
    base = short / ("x" * (length - len(str(short)) - 1))
    base.mkdir()
    assert len(str(base)) == length
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(base))
    runtime = Folders(tmp_path / "home").runtime()
    try:
        assert runtime.is_relative_to(base) is (length == 50)
        assert runtime.stat().st_mode & 0o777 == 0o700
        (runtime / LONGEST).parent.mkdir(parents=True)
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(runtime / LONGEST))  # "AF_UNIX path too long" when it is
        (runtime / LONGEST).unlink()
        (runtime / LONGEST).parent.rmdir()
        (runtime / "m").rmdir()
    finally:
        runtime.rmdir()


def test_a_runtime_folder_that_others_can_read_is_refused(monkeypatch, tmp_path, short):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(short))
    Folders(tmp_path / "home").runtime().chmod(0o755)
    with pytest.raises(LocalCloudError, match="not a private folder"):
        Folders(tmp_path / "home").runtime()
