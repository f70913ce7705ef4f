"""The command line: what it hands to JupyterLab, and cards as text."""

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
from traitlets.utils.importstring import import_item

from educloud_lab import __version__
from educloud_lab.app.command import complain, out
from educloud_lab.app.lab_app import lab_command, split_arguments
from educloud_lab.app.main import EducloudApp
from educloud_lab.app.status_app import card, lines_of
from educloud_lab.wire import models as wire

T0 = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_every_subcommand_exists_and_says_what_it_does():
    for name, (where, summary) in EducloudApp.subcommands.items():
        app = import_item(where)
        assert app.description, name
        assert summary.endswith(".")


def test_version_and_help():
    for arguments in (["-m", "educloud_lab", "--version"], ["-m", "educloud_lab", "lab", "--help"]):
        done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert (__version__ if "--version" in arguments else "JupyterLab") in done.stdout


def test_an_unknown_notebook_is_told_before_anything_is_started(tmp_path):
    environ = os.environ | {"EDUCLOUD_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "educloud_lab", "lab", "absent.ipynb"],
        capture_output=True,
        text=True,
        check=False,
        env=environ,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("educloud lab: There is no notebook")
    assert list(tmp_path.iterdir()) == []


def test_what_jupyterlab_is_given(tmp_path, monkeypatch):
    notebook = tmp_path / "my lesson é.ipynb"
    notebook.write_text("{}")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert lab_command([str(notebook), "--ServerApp.port=1"], browser=True)[1:] == [
        "-m",
        "jupyterlab",
        f"--ServerApp.root_dir={tmp_path}",
        "--LabApp.default_url=/lab/tree/my%20lesson%20%C3%A9.ipynb",
        "--ServerApp.port=1",
    ]
    assert lab_command([str(tmp_path)], browser=False)[3:] == [f"--ServerApp.root_dir={tmp_path}", "--no-browser"]
    assert lab_command([], browser=True)[3:] == []


def test_root_is_allowed_only_to_root(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert "--allow-root" in lab_command([], browser=True)
    monkeypatch.setattr(os, "geteuid", lambda: 1)
    assert "--allow-root" not in lab_command([], browser=True)


@pytest.mark.parametrize(
    ("given", "own", "forwarded"),
    [
        (["x.ipynb", "--no-browser"], ["x.ipynb", "--no-browser"], []),
        (["x.ipynb", "--ServerApp.port=0"], ["x.ipynb"], ["--ServerApp.port=0"]),
        (["--home=/h", "--", "--port=1", "--"], ["--home=/h"], ["--port=1", "--"]),
        (
            ["--OpenLabApp.home=/h", "--IdentityProvider.token=a"],
            ["--OpenLabApp.home=/h"],
            ["--IdentityProvider.token=a"],
        ),
    ],
)
def test_whose_arguments_are_whose(given, own, forwarded):
    assert split_arguments(given) == (own, forwarded)


def make_lease(**changes):
    return wire.Lease(
        id="l1",
        course="local",
        lab="first lab",
        slot="main",
        person="ada",
        machine_profile=wire.ProfileRef(name="tiny", revision=1, title="Tiny machine"),
        generation=1,
        target="running",
        status="running",
        phase="ready",
        headline="Ready",
        system_disk="kept",
        updated_at=T0,
    ).model_copy(update=changes)


def test_a_card():
    text = "\n".join(
        card(
            make_lease(
                slot="db",
                login="student@172.16.0.9",
                instance=wire.Instance(
                    id="i-1",
                    state="running",
                    address="172.16.0.9",
                    instance_type="t2.micro",
                    image_id="emi-1",
                    zone="one",
                    launched_at=T0,
                ),
                volumes=[
                    wire.Volume(id="vol-1", size_bytes=2**30, mount_point="/data", stage="mounted"),
                    wire.Volume(id=None, size_bytes=2**29, mount_point="/more", stage="planned"),
                ],
                expires_at=T0 + timedelta(minutes=65),
            ),
            T0,
        )
    )
    for part in (
        "first lab (db)  [ready]  Ready",
        "i-1, running at 172.16.0.9, t2.micro",
        "student@172.16.0.9",
        "vol-1, 1 GiB at /data, mounted",
        "not made yet, 0.5 GiB at /more, planned",
        "1 h 05 min",
    ):
        assert part in text, text


def test_a_card_with_a_job_and_a_problem():
    steps = [
        wire.Step(name="a", title="Make the volume", state="done"),
        wire.Step(name="b", title="Boot", state="doing", waiting_for="The cloud is preparing it"),
        wire.Step(name="c", title="Mount", state="todo"),
    ]
    job = wire.Job(id="j", kind="start", created_at=T0, in_flight=True, attempts=1, steps=steps, progress=0.5)
    problem = wire.Problem(code="x", what="It hurts.", kept="Files are safe.", next_step="Wait.")
    text = "\n".join(card(make_lease(job=job, problem=problem), T0))
    assert "start, 50%" in text
    assert "[x] Make the volume\n    [>] Boot: The cloud is preparing it\n    [ ] Mount" in text
    assert "! It hurts.\n  ! Files are safe.\n  ! Wait." in text


def test_no_machines_and_an_unreachable_cloud():
    snapshot = wire.Snapshot(
        version=1,
        server_time=T0,
        person="ada",
        course="local",
        cloud=wire.Cloud(
            kind="local",
            name="local cloud",
            reachable=False,
            problem=wire.Problem(code="c", what="Off.", next_step="On!"),
        ),
        profiles=[],
        leases=[],
    )
    assert lines_of(snapshot) == [
        "local cloud: not reachable; ada",
        "! Off.",
        "! On!",
        "No machines yet. Open a lab's notebook and press Start.",
    ]


@pytest.mark.parametrize("arguments", [["bogus"], ["image", "bogus"]])
def test_a_command_that_is_none_is_told_and_the_others_are_named(arguments):
    done = subprocess.run(
        [sys.executable, "-m", "educloud_lab", *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "there is no command 'bogus'. There are: " in done.stderr
    assert done.stdout == ""


def test_what_others_say_does_not_reach_the_terminal_as_commands(capsys):
    out("a \x1b]0;title\x07b\x9b2J\tc\nd\r")
    complain("e\x1b[8mf")
    assert capsys.readouterr() == ("a ]0;titleb2J\tc\nd\n", "e[8mf\n")
