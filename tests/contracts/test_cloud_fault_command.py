"""``educloud cloud fault`` against a cloud that runs; ``status`` and the doctor say that it fails on purpose."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace

import pytest

from educloud_lab.app import cloud_fault_app as commands
from educloud_lab.app.cloud_app import CloudStatusApp
from educloud_lab.app.doctor.cloud import check_faults
from educloud_lab.app.doctor.findings import Surroundings, Verdict
from tests.contracts.faulty_cloud import FaultyCloud

COMMANDS = {
    "list": commands.FaultListApp,
    "kinds": commands.FaultKindsApp,
    "add": commands.FaultAddApp,
    "clear": commands.FaultClearApp,
}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    cloud = FaultyCloud(home)
    announced = {"endpoint_url": cloud.endpoint, "profile": "eucalyptus-6", "hypervisor": "simulated"}
    cloud.service.settings.folders.announcement.write_text(json.dumps(announced))
    yield home
    cloud.close()


@pytest.fixture
def run(capsys):
    def run(command, home, *arguments):
        app = command()
        code = 0
        try:
            app.initialize([*arguments, f"--home={home}"])
            app.start()
        except SystemExit as end:
            code = end.code
        written = capsys.readouterr()
        return SimpleNamespace(returncode=code, stdout=written.out, stderr=written.err)

    return run


@pytest.fixture
def fault(run):
    return lambda home, name, *arguments: run(COMMANDS[name], home, *arguments)


def test_from_setting_to_clearing(home, fault, run):
    assert fault(home, "list").stdout == "No faults are set.\n"
    assert "fails on purpose" not in run(CloudStatusApp, home).stdout
    added = fault(
        home, "add", "slow-answers", "--operation=RunInstances", "--count=3", "--for=600", "--account=educloud",
        "--set=delay_s=0.5", "--set=seed=4",
    )  # fmt: skip
    assert added.returncode == 0, added.stderr
    made = added.stdout.split()[1].rstrip(":")
    listed = fault(home, "list").stdout
    for part in (made, "struck 0, 3 left", "operation RunInstances", "account educloud", "delay_s=0.5", "until 2"):
        assert part in listed
    assert "fails on purpose: slow-answers" in run(CloudStatusApp, home).stdout
    assert asyncio.run(check_faults(Surroundings(home))).verdict is Verdict.NOTE
    assert fault(home, "clear", made).stdout == f"Ended: {made}\n"
    again = fault(home, "clear", made)
    assert (again.returncode, "Not set (any more)" in again.stderr) == (1, True)
    fault(home, "add", "capacity")
    assert fault(home, "clear", "--all").stdout.startswith("Ended: flt-")
    assert fault(home, "list").stdout == "No faults are set.\n"
    assert asyncio.run(check_faults(Surroundings(home))).verdict is Verdict.OK


def test_kinds_are_explained_without_a_cloud(tmp_path, fault):
    everything = fault(tmp_path, "kinds").stdout
    assert "lost-reply" in everything
    one = fault(tmp_path, "kinds", "node-dies").stdout
    for part in ("Where      NC", "Cause", "Eucalyptus", "You see", "Ends", "--zone", "--set expire_s=600"):
        assert part in one
    assert "lost-reply" not in one


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("add", "earthquake"), "There is no fault 'earthquake'"),
        (("add",), "KIND"),
        (("add", "slow-answers", "--set", "delay_s"), "--set takes NAME=VALUE"),
        (("add", "slow-answers", "--set", "delay_s=soon"), "delay_s must be 0.01 to 600 s"),
        (("clear",), "name the faults to end, or --all"),
        (("clear", "--all", "flt-1"), "name the faults to end, or --all"),
        (("kinds", "earthquake"), "There is no fault 'earthquake'"),
    ],
)
def test_what_makes_no_sense_is_one_sentence(home, fault, arguments, message):
    result = fault(home, *arguments)
    assert result.returncode == (2 if arguments in {("add",), ("clear",), ("clear", "--all", "flt-1")} else 1)
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert fault(home, "list").stdout == "No faults are set.\n"


def test_a_cloud_that_does_not_run(tmp_path, fault):
    result = fault(tmp_path, "list")
    assert (result.returncode, "Start it with: educloud cloud start" in result.stderr) == (1, True)
