"""The doctor sees what is missing and says what to do."""

import asyncio
import json
from pathlib import Path

import pytest

from educloud_lab.app import doctor_app
from educloud_lab.app.doctor import cloud, halves, host
from educloud_lab.app.doctor.findings import Finding, Surroundings, Verdict, ok


@pytest.fixture
def where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Surroundings:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    return Surroundings(home)


async def test_without_qemu_it_says_what_to_install(where, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    finding = await host.check_qemu(where)
    assert finding.verdict is Verdict.FAIL
    assert "apt-get install qemu-system-x86" in finding.todo


async def test_a_qemu_that_does_not_answer_is_reported(where, monkeypatch, tmp_path):
    for name in ("qemu-system-x86_64", "qemu-img"):
        (tmp_path / name).write_text("#!/bin/sh\nexit 1\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert (await host.check_qemu(where)).verdict is Verdict.FAIL


async def test_without_images_it_says_how_to_build_them(where):
    finding = await host.check_images(where)
    assert finding.verdict is Verdict.FAIL
    assert "educloud cloud image build" in finding.todo


async def test_a_damaged_manifest_is_reported(where):
    folder = where.home / "images" / "tiny"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text("{")
    finding = await host.check_images(where)
    assert finding.verdict is Verdict.FAIL
    assert "tiny" in finding.what


async def test_acceleration_is_not_guessed_without_an_image(where):
    finding = await host.check_acceleration(where)
    assert finding.verdict is Verdict.NOTE
    assert "not tried" in finding.what


async def test_a_home_open_to_others_is_a_failure(where):
    assert (await host.check_home(where)).verdict is Verdict.OK
    where.home.chmod(0o755)
    finding = await host.check_home(where)
    assert finding.verdict is Verdict.FAIL
    assert finding.todo.startswith("chmod 700")


async def test_a_full_disk_is_a_failure(where, monkeypatch):
    real = host.shutil.disk_usage(where.home)
    monkeypatch.setattr(host.shutil, "disk_usage", lambda _: real._replace(free=1024))
    assert (await host.check_room(where)).verdict is Verdict.FAIL


async def test_a_gateway_that_is_not_started_is_no_failure(where):
    finding = await cloud.check_gateway(where)
    assert finding.verdict is Verdict.NOTE
    assert "educloud cloud start" in finding.todo


async def test_incomplete_files_of_the_cloud_are_a_failure(where):
    folder = where.home / "cloud"
    folder.mkdir()
    (folder / "cloud.json").write_text(json.dumps({"endpoint_url": "http://127.0.0.1:1/"}))
    assert (await cloud.check_cloud(where)).verdict is Verdict.FAIL


@pytest.mark.parametrize(("version", "verdict"), [("same", Verdict.OK), ("0.0.1", Verdict.NOTE), (None, Verdict.FAIL)])
async def test_the_versions_of_both_halves_are_compared(where, monkeypatch, tmp_path, version, verdict):
    from educloud_lab import __version__

    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "share"))
    monkeypatch.setattr("jupyter_core.paths.ENV_JUPYTER_PATH", [])
    monkeypatch.setattr("jupyter_core.paths.SYSTEM_JUPYTER_PATH", [])
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "data"))
    if version is not None:
        folder = tmp_path / "share" / "labextensions" / "educloud-lab"
        folder.mkdir(parents=True)
        (folder / "package.json").write_text(json.dumps({"version": __version__ if version == "same" else version}))
    assert (await halves.check_versions(where)).verdict is verdict


def test_a_check_that_breaks_does_not_hide_the_others(where):
    async def check_moon(_: Surroundings) -> Finding:
        raise RuntimeError("no moon")

    finding = asyncio.run(doctor_app.examine(where, check_moon))
    assert finding.verdict is Verdict.FAIL
    assert "no moon" in finding.what


@pytest.mark.parametrize(("broken", "status"), [(False, 0), (True, 1)])
def test_the_exit_status_says_whether_anything_failed(where, monkeypatch, capsys, broken, status):
    async def check_good(_: Surroundings) -> Finding:
        return ok("Good", "fine")

    async def check_bad(_: Surroundings) -> Finding:
        raise RuntimeError("broken")

    monkeypatch.setattr(doctor_app, "CHECKS", (check_good, check_bad) if broken else (check_good,))
    app = doctor_app.DoctorApp()
    app.initialize(["--json", f"--home={where.home}"])
    with pytest.raises(SystemExit) as left:
        app.start()
    assert left.value.code == status
    assert [finding["verdict"] for finding in json.loads(capsys.readouterr().out)] == ["ok"] + ["fail"] * broken


async def test_a_home_that_cannot_be_made_is_a_failure(where, tmp_path):
    (tmp_path / "file").write_text("")
    finding = await host.check_home(Surroundings(tmp_path / "file" / "home"))
    assert finding.verdict is Verdict.FAIL
    assert "EDUCLOUD_HOME" in finding.todo


@pytest.mark.parametrize("starting", [True, False])
async def test_a_server_that_was_just_started_may_listen_a_moment_later(monkeypatch, starting):
    tries = []

    class Connection:
        async def read_message(self):
            return '{"type": "snapshot"}'

        def close(self):
            pass

    async def connect(request):
        tries.append(request.url)
        if len(tries) < 3:
            raise ConnectionRefusedError("refused")
        return Connection()

    async def at_once(_seconds):
        pass

    monkeypatch.setattr("tornado.websocket.websocket_connect", connect)
    monkeypatch.setattr(halves.asyncio, "sleep", at_once)
    problem = await halves._try_socket("http://127.0.0.1:1/", "t", starting=starting)
    assert (problem, len(tries)) == (("", 3) if starting else ("refused", 1))
