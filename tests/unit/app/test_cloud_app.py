"""``educloud cloud``: what start and status say when QEMU is missing."""

import os
from pathlib import Path

import pytest

from educloud_lab.app import cloud_app
from educloud_lab.localcloud.overview import Status

CLOUD = {"hypervisor": "qemu", "endpoint_url": "http://127.0.0.1:8773/", "profile": "eucalyptus-6"}
INSTALL = "sudo apt-get install qemu-system-x86 qemu-utils"


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """A PATH with nothing on it but what a test puts there."""
    monkeypatch.setenv("PATH", str(tmp_path))

    def add(name):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)

    return add


@pytest.fixture
def cloud(monkeypatch):
    """A cloud that starts at once; the order of what is said and done."""
    order = []

    def start(home, *, hypervisor, say, **asked):
        order.append("start")
        return CLOUD | {"hypervisor": hypervisor}

    status = Status(True, True, CLOUD | {"gateway": {"host": "127.0.0.1", "port": 1}}, (), ())
    monkeypatch.setattr(cloud_app.process, "start", start)
    monkeypatch.setattr(cloud_app.process, "status", lambda home: status)
    monkeypatch.setattr(cloud_app, "out", order.append)
    return order


def run(app, *arguments):
    made = app()
    made.initialize([*arguments, f"--home={Path(os.devnull).parent}"])
    made.start()


def test_start_says_at_once_what_is_missing_and_goes_on(programs, cloud):
    run(cloud_app.CloudStartApp)  # an exit other than 0 would raise
    note = cloud[0]
    assert cloud[1] == "start"
    assert "qemu-system-x86_64 and qemu-img not found" in note
    assert "cannot start machines or make volumes" in note
    assert "API, key pairs" in note
    assert INSTALL in note
    assert cloud[-1].startswith("Ready in")


@pytest.mark.parametrize(
    ("there", "cannot"), [("qemu-img", "start machines."), ("qemu-system-x86_64", "make volumes and machines.")]
)
def test_it_names_what_is_missing(programs, there, cannot):
    programs(there)
    note = cloud_app.without_qemu()
    assert there not in note.partition(" not found")[0]
    assert f"cannot {cannot}" in note


def test_status_says_it_too(programs, cloud):
    run(cloud_app.CloudStatusApp)
    assert any(INSTALL in line for line in cloud)


def test_nothing_is_said_with_qemu(programs, cloud):
    programs("qemu-system-x86_64")
    programs("qemu-img")
    run(cloud_app.CloudStartApp)
    run(cloud_app.CloudStatusApp)
    assert not [line for line in cloud if "QEMU" in line]


def test_simulated_machines_need_no_qemu(programs, cloud):
    run(cloud_app.CloudStartApp, "--hypervisor=simulated")
    assert not [line for line in cloud if "QEMU" in line]


def refused(capsys, app, *arguments):
    with pytest.raises(SystemExit) as ended:
        app.launch_instance([*arguments])
    app.clear_instance()
    return ended.value.code, capsys.readouterr().err


def test_a_command_that_does_not_exist_is_said_to(capsys):
    code, said = refused(capsys, cloud_app.CloudApp, "strat")
    assert code == 2
    assert "there is no command 'strat'" in said
    assert "start, status" in said


@pytest.mark.parametrize("extra", [["now"], ["--nosuch=3"], ["--nosuch", "3"]])
def test_what_is_not_understood_is_not_ignored(capsys, cloud, extra):
    code, said = refused(capsys, cloud_app.CloudStartApp, *extra)
    assert code == 2
    assert ("nothing was done" in said.lower()) is True
    assert cloud == []


@pytest.mark.parametrize("port", ["65536", "-1"])
def test_a_port_has_limits(capsys, cloud, port):
    code, said = refused(capsys, cloud_app.CloudStartApp, f"--port={port}")
    assert code == 2
    assert "--port takes a whole number from 0 to 65535." in said
    assert cloud == []


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["--profile=bad"], "--profile takes one of eucalyptus-6, eucalyptus-4.4, aws."),
        (["--unknown-parameters=maybe"], "--unknown-parameters takes one of error, ignore."),
        (["--port=http"], "--port takes a whole number from 0 to 65535."),
        (["--port"], "The option --port needs a value"),
        (["--nosuch"], "There is no option --nosuch"),
        (["--outbound=perhaps"], "argument --outbound"),
        (["-x"], "There is no option -x"),
    ],
)
def test_what_is_wrong_is_said_by_the_options_own_name(capsys, cloud, given, told):
    code, said = refused(capsys, cloud_app.CloudStartApp, *given)
    assert code == 2
    assert told in said
    assert "nothing was done" in said.lower()
    assert "CloudStartApp" not in said
    assert cloud == []


@pytest.mark.parametrize(("ran", "taken", "said"), [(True, True, 0), (False, True, 1), (False, False, 0)])
def test_another_port_is_explained_where_the_usual_one_is_taken(programs, cloud, monkeypatch, ran, taken, said):
    elsewhere = CLOUD | {"endpoint_url": "http://127.0.0.1:8774/"}
    status = Status(ran, True, elsewhere, (), ())
    monkeypatch.setattr(cloud_app.process, "status", lambda home: status)
    monkeypatch.setattr(cloud_app.process, "start", lambda home, **_options: elsewhere)
    monkeypatch.setattr(cloud_app, "_is_taken", lambda port: taken)
    run(cloud_app.CloudStartApp)
    assert sum("is taken by another program" in line for line in cloud) == said


def test_images_that_are_built_are_shown_before_the_cloud_ever_started(programs, cloud, tmp_path):
    (tmp_path / "images/tiny").mkdir(parents=True)
    (tmp_path / "images/tiny/manifest.json").write_text("{}")
    made = cloud_app.CloudStatusApp()
    made.initialize([f"--home={tmp_path}"])
    made.start()
    assert any("tiny built" in line for line in cloud)
