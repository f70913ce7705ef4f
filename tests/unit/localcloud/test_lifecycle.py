"""Machines from their start to their end, as callers see it."""

from __future__ import annotations

import pytest

from educloud_lab.localcloud.errors import ApiError
from educloud_lab.localcloud.hypervisor.base import BootRefusedError, MachineState, NotEnoughRoomError


async def test_a_machine_is_pending_without_an_address_and_then_runs_with_one(bench):
    answer = await bench.call("RunInstances", ImageId=await bench.image(), MinCount=1, MaxCount=1)
    first = answer["Instances"][0]
    assert first["State"] == {"Code": 0, "Name": "pending"}
    assert first["PrivateIpAddress"] == "0.0.0.0"
    await bench.settle()
    now = await bench.instance(first["InstanceId"])
    assert now["State"] == {"Code": 16, "Name": "running"}
    assert now["PrivateIpAddress"].startswith("172.16.")
    assert now["RootDeviceType"] == "ebs"
    assert "KernelId" not in now
    assert [m["Ebs"]["Status"] for m in now["BlockDeviceMappings"]] == ["attached"]


async def test_stop_keeps_the_root_volume_and_start_uses_it_again(bench):
    machine = await bench.run()
    root = (await bench.instance(machine))["BlockDeviceMappings"][0]["Ebs"]["VolumeId"]
    answer = await bench.call("StopInstances", InstanceId__1=machine)
    assert answer["StoppingInstances"][0]["CurrentState"]["Name"] == "stopping"
    await bench.settle()
    stopped = await bench.instance(machine)
    assert stopped["State"]["Name"] == "stopped"
    assert stopped["PrivateIpAddress"] == "0.0.0.0"
    assert (await bench.volume(root))["State"] == "in-use"
    answer = await bench.call("StartInstances", InstanceId__1=machine)
    assert answer["StartingInstances"][0]["PreviousState"]["Name"] == "stopped"
    await bench.settle()
    again = await bench.instance(machine)
    assert again["State"]["Name"] == "running"
    assert again["BlockDeviceMappings"][0]["Ebs"]["VolumeId"] == root


async def test_starting_a_machine_that_is_not_stopped_is_an_empty_answer(bench):
    machine = await bench.run()
    assert await bench.call("StartInstances", InstanceId__1=machine) == {"StartingInstances": []}


async def test_instance_store_cannot_stop_and_shows_kernel_and_ramdisk(bench):
    machine = await bench.run("tiny-store")
    shown = await bench.instance(machine)
    assert shown["KernelId"].startswith("aki-")
    assert shown["RamdiskId"].startswith("ari-")
    with pytest.raises(ApiError) as caught:
        await bench.call("StopInstances", InstanceId__1=machine)
    assert caught.value.code == "UnsupportedOperation"


async def test_terminate_deletes_the_root_and_keeps_other_volumes(bench):
    machine = await bench.run()
    volume = await bench.make_volume()
    await bench.call("AttachVolume", VolumeId=volume, InstanceId=machine, Device="/dev/vdb")
    await bench.settle()
    root = (await bench.instance(machine))["BlockDeviceMappings"][0]["Ebs"]["VolumeId"]
    await bench.call("TerminateInstances", InstanceId__1=machine)
    await bench.settle()
    assert (await bench.instance(machine))["State"]["Name"] == "terminated"
    assert (await bench.volume(volume))["State"] == "available"
    listed = {v["VolumeId"]: v["State"] for v in (await bench.call("DescribeVolumes"))["Volumes"]}
    assert listed[root] == "deleted"
    assert not (bench.home / "cloud" / "volumes" / f"{root}.qcow2").exists()


async def test_a_terminated_machine_stays_listed_for_an_hour(bench):
    machine = await bench.run()
    await bench.call("TerminateInstances", InstanceId__1=machine)
    await bench.settle()
    bench.clock.move(3599)
    await bench.settle()
    assert (await bench.instance(machine))["State"]["Name"] == "terminated"
    bench.clock.move(2)
    await bench.settle()
    assert (await bench.call("DescribeInstances"))["Reservations"] == []


@pytest.mark.parametrize(("image", "state"), [("tiny", "stopped"), ("tiny-store", "terminated")])
async def test_a_guest_that_powers_off_stops_or_ends(bench, image, state):
    machine = await bench.run(image)
    bench.hypervisor.power_off_from_inside(machine)
    await bench.settle()
    assert (await bench.instance(machine))["State"]["Name"] == state


async def test_the_reason_of_a_state_names_who_or_what(bench):
    machine = await bench.run()
    told = [(await bench.instance(machine))["StateTransitionReason"]]
    for action in ("StopInstances", "StartInstances", "TerminateInstances"):
        await bench.call(action, InstanceId__1=machine)
        await bench.settle()
        told.append((await bench.instance(machine))["StateTransitionReason"])
    assert told == ["NORMAL:  -- []", "USER_STOPPED:  -- []", "USER_STARTED:  -- []", "USER_TERMINATED:  -- []"]
    lost = await bench.run()
    bench.hypervisor.kill_from_outside(lost)
    await bench.settle()
    reason = (await bench.instance(lost))["StateTransitionReason"]
    assert reason.startswith("EXPIRED: Instance expired after not being reported. -- [")


async def test_a_killed_process_leaves_a_stopped_machine_that_starts_again(bench):
    machine = await bench.run()
    bench.hypervisor.kill_from_outside(machine)
    await bench.settle()
    shown = await bench.instance(machine)
    assert shown["State"]["Name"] == "stopped"
    assert shown["StateTransitionReason"] == "EXPIRED: Instance expired after not being reported. -- [killed]"
    await bench.call("StartInstances", InstanceId__1=machine)
    await bench.settle()
    assert (await bench.instance(machine))["State"]["Name"] == "running"


async def test_a_first_start_that_fails_ends_with_the_reason_and_leaves_no_disk(bench):
    bench.hypervisor.refuse_next_start(BootRefusedError("no kernel"))
    machine = await bench.run()
    shown = await bench.instance(machine)
    assert shown["State"]["Name"] == "terminated"
    assert shown["StateTransitionReason"] == "FAILED: The instance failed to start on the NC. -- [no kernel]"
    assert list((bench.home / "cloud" / "volumes").iterdir()) == []


async def test_a_later_start_that_fails_leaves_the_machine_stopped_with_its_disk(bench):
    machine = await bench.run()
    await bench.call("StopInstances", InstanceId__1=machine)
    await bench.settle()
    bench.hypervisor.refuse_next_start(NotEnoughRoomError("no memory"))
    await bench.call("StartInstances", InstanceId__1=machine)
    await bench.settle()
    assert (await bench.instance(machine))["State"]["Name"] == "stopped"
    assert len(list((bench.home / "cloud" / "volumes").iterdir())) == 1


async def test_terminating_while_it_starts_ends_it(bench):
    answer = await bench.call("RunInstances", ImageId=await bench.image(), MinCount=1, MaxCount=1)
    machine = answer["Instances"][0]["InstanceId"]
    await bench.service.supervisor.round()
    await bench.call("TerminateInstances", InstanceId__1=machine)
    await bench.settle()
    assert (await bench.instance(machine))["State"]["Name"] == "terminated"
    assert (await bench.hypervisor.report(machine)).state is MachineState.ABSENT


async def test_a_root_that_is_kept_is_made_for_a_machine_that_ended_before_it(bench):
    mapping = {
        "BlockDeviceMapping__1__DeviceName": "/dev/sda",
        "BlockDeviceMapping__1__Ebs__DeleteOnTermination": "false",
    }
    answer = await bench.call("RunInstances", ImageId=await bench.image(), MinCount=1, MaxCount=1, **mapping)
    machine = answer["Instances"][0]["InstanceId"]
    (root,) = (v["VolumeId"] for v in (await bench.call("DescribeVolumes"))["Volumes"])
    await bench.call("TerminateInstances", InstanceId__1=machine)
    await bench.settle()
    assert (await bench.volume(root))["State"] == "available"
    assert (bench.home / "cloud" / "volumes" / f"{root}.qcow2").exists()


async def test_machines_are_found_again_after_a_restart(bench):
    machine = await bench.run()
    before = await bench.instance(machine)
    await bench.restart()
    await bench.settle()
    assert await bench.instance(machine) == before


async def test_a_start_under_way_at_the_end_of_the_process_is_finished_by_the_next(bench):
    answer = await bench.call("RunInstances", ImageId=await bench.image(), MinCount=1, MaxCount=1)
    await bench.restart()
    await bench.settle()
    assert (await bench.instance(answer["Instances"][0]["InstanceId"]))["State"]["Name"] == "running"


async def test_a_machine_lost_with_its_host_is_stopped_after_a_restart(bench):
    machine = await bench.run()
    bench.hypervisor.lose(machine)
    await bench.restart()
    await bench.settle()
    assert (await bench.instance(machine))["State"]["Name"] == "stopped"


async def test_a_machine_that_nobody_wants_is_ended_at_the_start(bench):
    machine = await bench.run()
    (bench.home / "cloud" / "cloud.sqlite").rename(bench.home / "old.sqlite")
    await bench.service.close()
    for extra in ("cloud.sqlite-wal", "cloud.sqlite-shm"):
        (bench.home / "cloud" / extra).unlink(missing_ok=True)
    bench.service = bench._new()
    await bench.open()
    assert (await bench.hypervisor.report(machine)).state is MachineState.ABSENT


async def test_the_cloud_shuts_down_and_instance_store_machines_come_back_with_it(bench):
    kept, stored = await bench.run(), await bench.run("tiny-store")
    assert await bench.service.halt() == 2
    assert (await bench.hypervisor.report_all()) == {}
    await bench.restart()
    await bench.settle()
    assert (await bench.instance(kept))["State"]["Name"] == "stopped"
    assert (await bench.instance(stored))["State"]["Name"] == "running"
