"""What the daemons of the local cloud are started with, and folders and ports that cannot be used."""

import os
import stat

import pytest

from educloud_lab.localcloud.errors import LocalCloudError, PortTakenError
from educloud_lab.localcloud.listening import bind
from educloud_lab.localcloud.processes import daemon_environment
from educloud_lab.localcloud.settings import Folders


def test_daemons_get_no_secret_of_the_server_that_starts_them(tmp_path, monkeypatch):
    secrets = (
        "JUPYTER_TOKEN", "JUPYTERHUB_API_TOKEN", "JPY_API_TOKEN", "AWS_SECRET_ACCESS_KEY", "EDUCLOUD_TOKEN",
        "GITHUB_TOKEN", "PGPASSWORD", "MY_SECRET",
    )  # fmt: skip
    for name in secrets:
        monkeypatch.setenv(name, "canary")
    monkeypatch.setenv("PATH", "/bin")
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/x")
    environment = daemon_environment(tmp_path)
    assert "canary" not in environment.values()
    assert environment["PATH"] == "/bin"
    assert environment["XDG_RUNTIME_DIR"] == "/run/x"  # both sides find the same sockets
    assert environment["EDUCLOUD_HOME"] == str(tmp_path)


def test_a_home_that_is_a_file_is_refused_in_one_sentence(tmp_path):
    (tmp_path / "home").write_text("mine")
    with pytest.raises(LocalCloudError, match=r"cannot be used .*Nothing was started\. Set EDUCLOUD_HOME"):
        Folders(tmp_path / "home").make()
    assert (tmp_path / "home").read_text() == "mine"


def test_a_home_of_somebody_else_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "getuid", lambda: tmp_path.stat().st_uid + 1)
    with pytest.raises(LocalCloudError, match="belongs to another user"):
        Folders(tmp_path).make()
    assert list(tmp_path.iterdir()) == []


def test_a_home_that_others_can_write_is_closed_to_them(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    home.chmod(0o777)
    Folders(home).make()
    assert stat.S_IMODE(home.stat().st_mode) == 0o700


@pytest.mark.parametrize("port", [-1, 65536, 99999])
def test_a_number_that_is_no_port_is_refused(port):
    with pytest.raises(PortTakenError, match=r"is not a port .* Nothing was started"):
        bind(port, None)
