"""The extension as Jupyter Server loads it: what is configured wrongly is said in the page, and the server lives on."""

from __future__ import annotations

import asyncio

import pytest
from traitlets.config import Config

from educloud_lab import _jupyter_labextension_paths, _jupyter_server_extension_points
from educloud_lab.app import local_cloud
from educloud_lab.localcloud.errors import LocalCloudError
from tests.patience import LIMIT_S


@pytest.fixture
def settings(request):
    return request.param


@pytest.fixture
def jp_server_config(jp_server_config, settings, tmp_path):
    jp_server_config.Educloud = Config({"home": str(tmp_path / "home")} | settings)
    return jp_server_config


@pytest.fixture
def build(monkeypatch):
    """The real wiring."""
    monkeypatch.setenv("JUPYTERHUB_USER", "ada")


REMOTE = {"cloud_endpoint": "https://cloud.example/", "credentials_file": "/nowhere"}
WRONG = [
    (REMOTE | {"credentials_owner": "institution"}, "remote", "institution"),
    (REMOTE, "remote", "JupyterHub"),
    ({"cloud_endpoint": "ftp://x"}, "remote", "cloud_endpoint"),
    ({"autostart_cloud": False}, "local", "not running"),
]


async def told(call):
    """Ask until the attempt in the background has failed."""
    async with asyncio.timeout(LIMIT_S):
        while True:
            if problem := (await call("GET", "hello"))[1]["problem"]:
                return problem
            await asyncio.sleep(0.02)


@pytest.mark.parametrize(("settings", "kind", "told_of"), WRONG, indirect=["settings"], ids=lambda v: str(v)[:40])
async def test_what_stands_in_the_way_is_told_and_the_server_lives_on(call, kind, told_of):
    problem = await told(call)
    assert told_of in problem["what"]
    assert problem["next_step"]
    status, snapshot, _ = await call("GET", "snapshot")
    assert status == 200
    assert (snapshot["version"], snapshot["person"], snapshot["leases"]) == (0, "ada", [])
    assert (snapshot["cloud"]["kind"], snapshot["cloud"]["reachable"]) == (kind, False)
    assert snapshot["cloud"]["problem"] == problem
    status, reply, _ = await call("POST", "leases", {"lab": "x", "machine_profile": "tiny"})
    assert status in {400, 503}
    assert reply["error"] == problem


@pytest.mark.parametrize("settings", [{}], indirect=True)
async def test_a_local_cloud_that_cannot_start(call, monkeypatch):
    def refuse(_home):
        raise LocalCloudError("QEMU is missing. Nothing was started. Install qemu-system-x86.")

    monkeypatch.setattr(local_cloud.process, "start", refuse)
    problem = await told(call)
    assert problem["code"] == "cloud-unreachable"
    assert "Install qemu-system-x86" in problem["what"]


def test_entry_points():
    (point,) = _jupyter_server_extension_points()
    assert point["module"] == "educloud_lab.app.extension"
    assert _jupyter_labextension_paths() == [{"src": "labextension", "dest": "educloud-lab"}]
