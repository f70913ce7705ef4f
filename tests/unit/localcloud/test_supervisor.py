"""The supervisor when things take long, fail, or come at once."""

from __future__ import annotations

import asyncio

from educloud_lab.localcloud.hypervisor.base import HypervisorError, MachineState, NotEnoughRoomError
from tests.patience import LIMIT_S


async def press_start(bench, image="tiny"):
    answer = await bench.call("RunInstances", ImageId=await bench.image(image), MinCount=1, MaxCount=1)
    return answer["Instances"][0]["InstanceId"]


async def rounds(bench, condition):
    async with asyncio.timeout(LIMIT_S):
        while not condition():
            await bench.service.supervisor.round()
            await asyncio.sleep(0)


def hold(bench, monkeypatch, name):
    """Make a method of the hypervisor wait until it is let go or the machine is killed."""
    gate, begun, killed = asyncio.Event(), asyncio.Event(), asyncio.Event()
    original, kill = getattr(bench.hypervisor, name), bench.hypervisor.kill

    async def held(*args, **options):
        begun.set()
        await gate.wait()
        if killed.is_set() and name == "start":
            raise HypervisorError("cut off while it waited")
        return await original(*args, **options)

    async def kill_and_let_go(instance_id):
        killed.set()
        gate.set()
        await kill(instance_id)

    monkeypatch.setattr(bench.hypervisor, name, held)
    monkeypatch.setattr(bench.hypervisor, "kill", kill_and_let_go)
    return gate, begun


async def test_a_start_that_waits_for_its_turn_is_cut_short_by_terminate(bench, monkeypatch):
    _, begun = hold(bench, monkeypatch, "start")
    machine = await press_start(bench)
    await rounds(bench, begun.is_set)
    await bench.call("TerminateInstances", InstanceId__1=machine)
    await bench.settle()
    assert (await bench.instance(machine))["State"]["Name"] == "terminated"
    assert list((bench.home / "cloud" / "volumes").iterdir()) == []


async def test_force_cuts_a_slow_stop_short(bench, monkeypatch):
    machine = await bench.run()
    _, begun = hold(bench, monkeypatch, "shut_down")
    await bench.call("StopInstances", InstanceId__1=machine)
    await rounds(bench, begun.is_set)
    await bench.call("StopInstances", InstanceId__1=machine, Force="true")
    await bench.settle()
    assert (await bench.instance(machine))["State"]["Name"] == "stopped"


async def test_a_stop_that_came_while_it_started_is_carried_out_afterwards(bench, monkeypatch):
    gate, begun = hold(bench, monkeypatch, "start")
    machine = await press_start(bench)
    await rounds(bench, begun.is_set)
    await bench.call("StopInstances", InstanceId__1=machine)
    gate.set()
    await bench.settle()
    assert (await bench.instance(machine))["State"]["Name"] == "stopped"
    assert (await bench.hypervisor.report(machine)).state is MachineState.ABSENT
    await bench.call("StartInstances", InstanceId__1=machine)
    await bench.settle()
    assert (await bench.instance(machine))["State"]["Name"] == "running"


async def test_a_stop_before_anything_was_made_can_be_started_later(bench):
    machine = await press_start(bench)
    await bench.call("StopInstances", InstanceId__1=machine)
    await bench.settle()
    assert (await bench.instance(machine))["State"]["Name"] == "stopped"
    await bench.call("StartInstances", InstanceId__1=machine)
    await bench.settle()
    shown = await bench.instance(machine)
    assert (shown["State"]["Name"], shown["BlockDeviceMappings"][0]["Ebs"]["Status"]) == ("running", "attached")


async def test_one_machine_that_hangs_does_not_hold_up_another(bench, monkeypatch):
    gate, begun = hold(bench, monkeypatch, "shut_down")
    slow = await bench.run()
    await bench.call("StopInstances", InstanceId__1=slow)
    await rounds(bench, begun.is_set)
    quick = await press_start(bench)
    running = []

    async def look():
        running.append((await bench.instance(quick))["State"]["Name"])

    async with asyncio.timeout(LIMIT_S):
        while running[-1:] != ["running"]:
            await bench.service.supervisor.round()
            await look()
    assert (await bench.instance(slow))["State"]["Name"] == "stopping"
    gate.set()
    await bench.settle()


async def test_a_failed_detach_leaves_it_attached(bench, monkeypatch):
    machine, volume = await bench.run(), await bench.make_volume()
    await bench.call("AttachVolume", VolumeId=volume, InstanceId=machine, Device="/dev/vdb")
    await bench.settle()

    async def fail(instance_id, disk_id):
        raise HypervisorError("the guest does not let go")

    with monkeypatch.context() as patch:
        patch.setattr(bench.hypervisor, "detach", fail)
        await bench.call("DetachVolume", VolumeId=volume)
        await bench.settle()
    assert (await bench.volume(volume))["Attachments"][0]["State"] == "attached"
    await bench.call("DetachVolume", VolumeId=volume)
    await bench.settle()
    assert (await bench.volume(volume))["State"] == "available"


async def test_an_instance_store_machine_that_cannot_come_back_yet_keeps_its_disk_and_waits(bench):
    machine = await bench.run("tiny-store")
    await bench.service.halt()
    bench.hypervisor.refuse_next_start(NotEnoughRoomError("too little memory just now"))
    await bench.restart()
    await bench.settle()
    assert (await bench.instance(machine))["State"]["Name"] == "pending"
    assert (bench.home / "cloud" / "roots" / f"{machine}.qcow2").exists()
    await bench.restart()
    await bench.settle()
    assert (await bench.instance(machine))["State"]["Name"] == "running"


async def test_the_loop_survives_a_round_that_fails(bench, monkeypatch, caplog):
    supervisor, calls = bench.service.supervisor, []

    async def round_that_fails():
        calls.append(1)
        raise RuntimeError("the disk under the state is full")

    monkeypatch.setattr(supervisor, "round", round_that_fails)
    task = asyncio.create_task(supervisor.run())
    while len(calls) < 3:
        supervisor.wake()
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert "it goes on" in caplog.text


async def test_images_built_while_the_cloud_runs_are_registered(bench):
    bench.write_image("later", content=b"later")
    assert "later" not in {i["Name"] for i in (await bench.call("DescribeImages"))["Images"]}
    await bench.service.look_for_images()
    assert "later" in {i["Name"] for i in (await bench.call("DescribeImages"))["Images"]}
