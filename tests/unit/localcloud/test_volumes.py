"""Volumes, as Eucalyptus answers about them."""

from __future__ import annotations

import pytest

from educloud_lab.localcloud.errors import ApiError
from educloud_lab.localcloud.hypervisor.base import HypervisorError, NoSlotError, NotEnoughRoomError


async def refused(bench, action, **query):
    with pytest.raises(ApiError) as caught:
        await bench.call(action, **query)
    assert caught.value.status == 400
    return caught.value.code, caught.value.message


async def attached(bench):
    machine, volume = await bench.run(), await bench.make_volume()
    answer = await bench.call("AttachVolume", VolumeId=volume, InstanceId=machine, Device="/dev/vdb")
    assert answer["State"] == "attaching"
    await bench.settle()
    assert (await bench.volume(volume))["Attachments"][0]["State"] == "attached"
    return machine, volume


async def test_a_volume_is_creating_and_then_available(bench):
    answer = await bench.call("CreateVolume", AvailabilityZone="one", Size=2)
    assert (answer["State"], answer["VolumeType"], answer["Attachments"]) == ("creating", "standard", [])
    await bench.settle()
    shown = await bench.volume(answer["VolumeId"])
    assert (shown["State"], shown["Size"]) == ("available", 2)


async def test_attach_sets_eucalyptus_serial(bench):
    machine, volume = await attached(bench)
    assert bench.hypervisor.serials(machine)[volume] == f"euca-{volume}-dev-vdb"


async def test_detach_makes_it_available(bench):
    machine, volume = await attached(bench)
    assert (await bench.call("DetachVolume", VolumeId=volume))["State"] == "detaching"
    await bench.settle()
    shown = await bench.volume(volume)
    assert (shown["State"], shown["Attachments"]) == ("available", [])
    assert bench.hypervisor.serials(machine) == {}


async def test_a_volume_attached_while_stopped_is_there_after_the_start(bench):
    machine, volume = await bench.run(), await bench.make_volume()
    await bench.call("StopInstances", InstanceId__1=machine)
    await bench.settle()
    await bench.call("AttachVolume", VolumeId=volume, InstanceId=machine, Device="/dev/vdc")
    await bench.settle()
    await bench.call("StartInstances", InstanceId__1=machine)
    await bench.settle()
    assert bench.hypervisor.serials(machine) == {volume: f"euca-{volume}-dev-vdc"}


async def test_attach_is_never_idempotent(bench):
    machine, volume = await attached(bench)
    query = {"VolumeId": volume, "InstanceId": machine}
    assert await refused(bench, "AttachVolume", **query, Device="/dev/vdc") == (
        "VolumeInUse", f"Volume already attached: {volume}",
    )  # fmt: skip
    # Devices are looked at first: the same request again is told about the device.
    assert await refused(bench, "AttachVolume", **query, Device="/dev/vdb") == (
        "InvalidParameterValue", "Already have a device attached to: /dev/vdb",
    )  # fmt: skip


@pytest.mark.parametrize("device", ["/dev/nvme1n1", "", "x", "/dev/v b", "/dev/vdß", "/dev/sda1\n"])
async def test_devices_that_eucalyptus_does_not_take(bench, device):
    machine, volume = await bench.run(), await bench.make_volume()
    code, _ = await refused(bench, "AttachVolume", VolumeId=volume, InstanceId=machine, Device=device)
    assert code == "InvalidParameterValue"


async def test_a_taken_device_is_refused_by_any_of_its_names(bench):
    machine, _ = await attached(bench)
    other = await bench.make_volume()
    for device in ("/dev/vdb", "vdb", "/dev/sdb", "/dev/sda"):
        assert await refused(bench, "AttachVolume", VolumeId=other, InstanceId=machine, Device=device) == (
            "InvalidParameterValue", f"Already have a device attached to: {device}",
        )  # fmt: skip


async def test_attach_wants_a_running_or_stopped_machine(bench):
    volume = await bench.make_volume()
    answer = await bench.call("RunInstances", ImageId=await bench.image(), MinCount=1, MaxCount=1)
    machine = answer["Instances"][0]["InstanceId"]
    assert await refused(bench, "AttachVolume", VolumeId=volume, InstanceId=machine, Device="/dev/vdb") == (
        "IncorrectState", f"Instance '{machine}' is not 'running'",
    )  # fmt: skip


@pytest.mark.parametrize("error", [NoSlotError("full"), HypervisorError("broken")])
async def test_a_failed_attach_silently_drops_the_attachment(bench, error):
    machine, volume = await bench.run(), await bench.make_volume()
    bench.hypervisor.refuse_next_attach(error)
    await bench.call("AttachVolume", VolumeId=volume, InstanceId=machine, Device="/dev/vdb")
    await bench.settle()
    shown = await bench.volume(volume)
    assert (shown["State"], shown["Attachments"]) == ("available", [])


async def test_a_volume_in_use_is_not_deleted(bench):
    machine, volume = await attached(bench)
    assert await refused(bench, "DeleteVolume", VolumeId=volume) == (
        "VolumeInUse", f"Volume is currently attached to: {machine}",
    )  # fmt: skip


async def test_a_deleted_volume_stays_listed_for_a_while_but_does_not_exist(bench):
    volume = await bench.make_volume()
    file = bench.home / "cloud" / "volumes" / f"{volume}.qcow2"
    assert file.exists()
    await bench.call("DeleteVolume", VolumeId=volume)
    await bench.settle()
    assert not file.exists()
    assert [v["State"] for v in (await bench.call("DescribeVolumes"))["Volumes"]] == ["deleted"]
    assert (await refused(bench, "DescribeVolumes", VolumeId__1=volume))[0] == "InvalidVolume.NotFound"
    bench.clock.move(601)
    await bench.settle()
    assert (await bench.call("DescribeVolumes"))["Volumes"] == []


async def test_detach_refusals(bench):
    machine, volume = await attached(bench)
    free = await bench.make_volume()
    root = next(v["VolumeId"] for v in (await bench.call("DescribeVolumes"))["Volumes"] if "SnapshotId" in v)
    assert (await refused(bench, "DetachVolume", VolumeId=free))[0] == "IncorrectState"
    assert (await refused(bench, "DetachVolume", VolumeId=root))[0] == "IncorrectState"
    wrong = await refused(bench, "DetachVolume", VolumeId=volume, InstanceId="i-00000000")
    assert wrong[0] == "InvalidAttachment.NotFound"
    assert (await bench.instance(machine))["State"]["Name"] == "running"


async def test_a_full_disk_makes_a_failed_volume_and_leaves_nothing(bench, monkeypatch):
    async def full(folder, size_bytes):
        raise NotEnoughRoomError("full")

    monkeypatch.setattr(bench.service._disks, "check_room", full)
    volume = await bench.make_volume()
    assert (await bench.volume(volume))["State"] == "failed"
    assert list((bench.home / "cloud" / "volumes").iterdir()) == []
    monkeypatch.undo()
    await bench.call("DeleteVolume", VolumeId=volume)
    await bench.settle()


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"AvailabilityZone": "mars", "Size": 1}, "InvalidZone.NotFound"),
        ({"AvailabilityZone": "one"}, " MissingParameter"),
        ({"Size": 1}, " MissingParameter"),
        ({"AvailabilityZone": "one", "Size": 0}, "InvalidParameterValue"),
        ({"AvailabilityZone": "one", "Size": 5000}, "InvalidParameterValue"),
        ({"AvailabilityZone": "one", "SnapshotId": "snap-00000000"}, "InvalidSnapshot.NotFound"),
    ],
)
async def test_create_refusals(bench, query, code):
    assert (await refused(bench, "CreateVolume", **query))[0] == code


async def test_a_volume_from_the_image_snapshot(bench):
    (snapshot,) = (await bench.call("DescribeSnapshots"))["Snapshots"]
    volume = await bench.make_volume(SnapshotId=snapshot["SnapshotId"], Size=2)
    assert (await bench.volume(volume))["SnapshotId"] == snapshot["SnapshotId"]


async def test_plugged_disks_are_matched_with_the_records_at_a_restart(bench):
    machine, volume = await attached(bench)
    await bench.hypervisor.detach(machine, volume)
    await bench.restart()
    assert list(bench.hypervisor.serials(machine)) == [volume]


async def test_work_under_way_at_the_end_of_the_process_is_finished_by_the_next(bench):
    machine, volume = await attached(bench)
    fresh = (await bench.call("CreateVolume", AvailabilityZone="one", Size=1))["VolumeId"]
    await bench.call("DetachVolume", VolumeId=volume)
    await bench.restart()
    await bench.settle()
    assert (await bench.volume(fresh))["State"] == "available"
    assert (await bench.volume(volume))["State"] == "available"
    assert bench.hypervisor.serials(machine) == {}
