"""What a new process of the cloud makes of what an earlier one left behind, wherever that was killed."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from educloud_lab.localcloud.hypervisor import qemu_strays
from educloud_lab.localcloud.hypervisor.base import MachineReport, MachineState
from educloud_lab.localcloud.hypervisor.qemu import QemuHypervisor
from educloud_lab.localcloud.hypervisor.qemu_process import read_stat
from educloud_lab.localcloud.state.tables import Event, Instance
from educloud_lab.localcloud.work.diskroom import root_path


async def state(bench, instance_id):
    return (await bench.instance(instance_id))["State"]["Name"]


async def change(bench, instance_id, **values):
    def work(session):
        row = session.get(Instance, instance_id)
        for name, value in values.items():
            setattr(row, name, value)

    await bench.service.cloud.database.run(work)


async def test_killed_while_it_shut_machines_down_a_machine_that_still_runs_goes_on(bench):
    machine = await bench.run("tiny-store")
    await change(bench, machine, resume=True)
    await bench.restart()
    await bench.settle()
    assert await state(bench, machine) == "running"
    bench.hypervisor.power_off_from_inside(machine)  # and it is looked after again
    await bench.settle()
    assert await state(bench, machine) == "terminated"


@pytest.mark.parametrize("image", ["tiny", "tiny-store"])
async def test_a_machine_that_had_to_be_ended_since_nobody_could_reach_it_starts_again(bench, monkeypatch, image):
    machine = await bench.run(image)
    bench.hypervisor.lose(machine)
    real = bench.hypervisor.report_all

    async def lost():
        return {**await real(), machine: MachineReport(machine, MachineState.ENDED, "lost")}

    await bench.service.close()
    bench.service = bench._new()
    monkeypatch.setattr(bench.hypervisor, "report_all", lost)
    await bench.open()
    monkeypatch.undo()
    assert await state(bench, machine) == "pending"
    await bench.settle()
    assert await state(bench, machine) == "running"
    texts = await bench.service.cloud.database.run(lambda s: [e.text for e in s.query(Event).all()])
    assert any("lost hold of it" in text for text in texts)


async def test_a_root_that_outlived_the_process_that_recorded_its_end_is_removed(bench):
    machine = await bench.run("tiny-store")
    root = root_path(bench.service.settings.folders, machine)
    assert root.exists()
    await change(bench, machine, state="terminated")
    await bench.restart()
    assert not root.exists()


async def test_a_crash_of_the_host_stops_or_ends_machines_and_keeps_their_volumes(bench):
    first, second = await bench.run(), await bench.run("tiny-store")
    volumes = [await bench.make_volume(), await bench.make_volume()]
    for machine, volume in zip((first, second), volumes, strict=True):
        await bench.call("AttachVolume", VolumeId=volume, InstanceId=machine, Device="/dev/sdf")
    await bench.settle()
    for machine in (first, second):
        bench.hypervisor.lose(machine)
    await bench.restart()
    await bench.settle()
    assert [await state(bench, machine) for machine in (first, second)] == ["stopped", "terminated"]
    assert (await bench.instance(first))["StateTransitionReason"].startswith("EXPIRED")
    assert [(await bench.volume(volume))["State"] for volume in volumes] == ["in-use", "available"]
    await bench.call("StartInstances", InstanceId__1=first)
    await bench.settle()
    assert volumes[0] in bench.hypervisor.serials(first)


@pytest.fixture
def stray(tmp_path):
    """A process with the command line of a machine of ours that lost its run folder."""
    started = []

    def start(folder, name="i-0123456789abcdef0", *, stubborn=False):
        code = "import signal,sys;" + ("signal.signal(15, signal.SIG_IGN);" if stubborn else "") + "print(flush=True);"
        disk = json.dumps({"driver": "qcow2", "file": {"driver": "file", "filename": f"{folder}/volumes/vol-1.qcow2"}})
        process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                code + "signal.pause()",
                "-name",
                f"guest={name},process=educloud-vm",
                "-blockdev",
                disk,
            ],
            stdout=subprocess.PIPE,
        )
        process.stdout.readline()
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def found(folder, known=frozenset()):
    return [(s.instance_id, s.pid) for s in qemu_strays.find(folder, known)]


def test_strays_are_found_by_what_they_run_and_on_whose_disks(stray, tmp_path):
    ours = stray(tmp_path / "cloud")
    other = stray(tmp_path / "another/cloud")
    template = stray(tmp_path / "cloud", name="template")
    assert found(tmp_path / "cloud") == [("i-0123456789abcdef0", ours.pid)]
    assert found(tmp_path / "cloud", frozenset({ours.pid})) == []
    assert found(tmp_path / "another/cloud") == [("i-0123456789abcdef0", other.pid)]
    assert template.poll() is None


@pytest.mark.parametrize("stubborn", [False, True])
async def test_a_stray_is_ended_and_reported_as_lost_until_it_is_forgotten(stray, tmp_path, monkeypatch, stubborn):
    monkeypatch.setattr(qemu_strays, "_TERM_LIMIT_S", 0.2)
    process = stray(tmp_path / "cloud", stubborn=stubborn)
    hypervisor = QemuHypervisor(run_dir=tmp_path / "m", log_dir=tmp_path / "log", disk_folder=tmp_path / "cloud")
    await hypervisor.open()
    assert read_stat(process.pid).state == "Z"  # ended; its starter, here this test, has not asked for it yet
    (report,) = (await hypervisor.report_all()).values()
    assert (report.instance_id, report.state, report.reason) == ("i-0123456789abcdef0", MachineState.ENDED, "lost")
    await hypervisor.forget(report.instance_id)
    assert (await hypervisor.report(report.instance_id)).state is MachineState.ABSENT
    await hypervisor.close()


async def test_events_tell_what_became_of_a_machine_and_why(bench):
    machine = await bench.run()
    await bench.call("StopInstances", InstanceId__1=machine)
    await bench.settle()
    await bench.call("StartInstances", InstanceId__1=machine)
    await bench.settle()
    bench.hypervisor.kill_from_outside(machine)
    await bench.settle()
    await bench.call("TerminateInstances", InstanceId__1=machine)
    await bench.settle()
    rows = await bench.service.cloud.database.run(lambda s: s.query(Event).order_by(Event.id).all())
    texts = [row.text for row in rows if row.resource_id == machine and row.kind == "instance" and not row.request_id]
    assert [text.split(" at ")[0] for text in texts] == [
        "runs", "stopped: user stopped", "runs", "stopped: killed", "terminated: user terminated",
    ]  # fmt: skip
