"""Images that accounts make: of snapshots, of the files of built ones, of machines; and who sees and runs them."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from educloud_lab.localcloud.errors import ApiError
from educloud_lab.localcloud.state.tables import Event

OTHER = "eucalyptus"  # the administrator, whose private things accounts do not see


async def refused(bench, action, account="educloud", **query):
    with pytest.raises(ApiError) as caught:
        await bench.call(action, account, **query)
    return caught.value.code


async def described(bench, image, account="educloud"):
    return (await bench.call("DescribeImages", account, ImageId__1=image))["Images"][0]


async def image_of(bench, machine, account="educloud", name="of a machine", **query):
    answer = await bench.call("CreateImage", account, InstanceId=machine, Name=name, **query)
    return answer["ImageId"]


async def built(bench, name):
    return next(i for i in (await bench.call("DescribeImages"))["Images"] if i["Name"] == name)


async def spec_of(bench, monkeypatch, image):
    """Start a machine of an image and return what the hypervisor was asked to start, and the machine."""
    seen = []
    start = bench.hypervisor.start

    async def watched(spec):
        seen.append(spec)
        await start(spec)

    with monkeypatch.context() as patch:
        patch.setattr(bench.hypervisor, "start", watched)
        answer = await bench.call("RunInstances", ImageId=image, MinCount=1, MaxCount=1)
        machine = answer["Instances"][0]["InstanceId"]
        await bench.settle()
    assert (await bench.instance(machine))["State"]["Name"] == "running"
    return seen[0], machine


async def test_an_image_of_a_machine_has_all_its_disks_and_boots_like_it(bench, monkeypatch):
    machine, volume = await bench.run(), await bench.make_volume(Size=2)
    await bench.call("AttachVolume", VolumeId=volume, InstanceId=machine, Device="/dev/sdf")
    await bench.settle()
    image = await image_of(bench, machine)
    assert (await described(bench, image))["State"] == "pending"
    await bench.settle()
    shown = await described(bench, image)
    assert (shown["State"], shown["Public"], shown["RootDeviceType"]) == ("available", False, "ebs")
    assert [m["DeviceName"] for m in shown["BlockDeviceMappings"]] == ["/dev/sda", "/dev/sdf"]
    assert "booted again" in (bench.home / "cloud" / "consoles" / f"{machine}.log").read_text()
    spec, copy = await spec_of(bench, monkeypatch, image)
    assert (spec.kernel.read_bytes(), spec.ramdisk.read_bytes()) == (b"kernel", b"ramdisk")
    mapped = (await bench.instance(copy))["BlockDeviceMappings"][1]
    assert (mapped["DeviceName"], mapped["Ebs"]["Status"]) == ("/dev/sdf", "attached")
    assert (await bench.volume(mapped["Ebs"]["VolumeId"]))["Size"] == 2


async def test_no_reboot_leaves_the_machine_alone(bench):
    machine = await bench.run()
    await image_of(bench, machine, NoReboot="true")
    await bench.settle()
    assert "booted again" not in (bench.home / "cloud" / "consoles" / f"{machine}.log").read_text()


async def test_an_image_that_was_being_made_when_the_process_ended_is_made(bench):
    image = await image_of(bench, await bench.run())
    await bench.restart()
    await bench.settle()
    assert (await described(bench, image))["State"] == "available"


async def test_instance_store_machines_have_no_volume_to_make_an_image_of(bench):
    machine = await bench.run("tiny-store")
    assert await refused(bench, "CreateImage", InstanceId=machine, Name="of a machine") == "InternalFailure"


async def test_a_registered_image_outlives_the_built_one_and_the_process(bench, monkeypatch):
    image = await image_of(bench, await bench.run())
    await bench.settle()
    (bench.home / "images" / "tiny" / "manifest.json").unlink()
    await bench.restart()
    assert (await described(bench, image))["State"] == "available"
    spec, _ = await spec_of(bench, monkeypatch, image)
    assert spec.kernel.exists()


async def test_a_snapshot_of_a_system_disk_is_registered_and_in_use_from_then_on(bench, monkeypatch):
    machine = await bench.run()
    root = (await bench.instance(machine))["BlockDeviceMappings"][0]["Ebs"]["VolumeId"]
    snapshot = (await bench.call("CreateSnapshot", VolumeId=root))["SnapshotId"]
    await bench.settle()
    mapping = {"BlockDeviceMapping__1__DeviceName": "/dev/sda", "BlockDeviceMapping__1__Ebs__SnapshotId": snapshot}
    image = (await bench.call("RegisterImage", Name="mine", Architecture="x86_64", **mapping))["ImageId"]
    spec, _ = await spec_of(bench, monkeypatch, image)
    assert spec.ramdisk is not None
    assert await refused(bench, "DeleteSnapshot", SnapshotId=snapshot) == "InvalidSnapshot.InUse"
    assert await refused(bench, "RegisterImage", Name="mine", **mapping) == "InvalidAMIName.Duplicate"
    await bench.call("DeregisterImage", ImageId=image)
    await bench.call("DeleteSnapshot", SnapshotId=snapshot)
    await bench.settle()
    assert await refused(bench, "DescribeImages", ImageId__1=image) == "InvalidAMIID.NotFound"


async def test_forget_the_ramdisk_and_see(bench, monkeypatch):
    """It is registered, its machine runs, and the kernel panics and stands there."""
    store = await built(bench, "tiny-store")
    query = {"Name": "forgotten", "ImageLocation": store["ImageLocation"], "KernelId": store["KernelId"]}
    image = (await bench.call("RegisterImage", **query))["ImageId"]
    shown = await described(bench, image)
    assert (shown["KernelId"], "RamdiskId" in shown) == (store["KernelId"], False)
    spec, _ = await spec_of(bench, monkeypatch, image)
    assert (spec.kernel.read_bytes(), spec.ramdisk) == (b"kernel", None)
    assert spec.kernel_args.split()[-1] == "panic=0"
    whole = {**query, "Name": "whole", "RamdiskId": store["RamdiskId"]}
    image = (await bench.call("RegisterImage", **whole))["ImageId"]
    spec, _ = await spec_of(bench, monkeypatch, image)
    assert spec.ramdisk.read_bytes() == b"ramdisk"


async def test_the_wrong_architecture_runs_and_never_gets_to_its_kernel(bench, monkeypatch):
    store = await built(bench, "tiny-store")
    query = {"Name": "wrong", "ImageLocation": store["ImageLocation"], "Architecture": "i386"}
    image = (await bench.call("RegisterImage", **query))["ImageId"]
    assert (await described(bench, image))["Architecture"] == "i386"
    spec, _ = await spec_of(bench, monkeypatch, image)
    assert spec.kernel is None


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"Name": "ab", "ImageLocation": "x/y"}, "InvalidAMIName.Malformed"),
        ({"Name": "mine", "ImageLocation": "nowhere/machine.manifest.xml"}, "InvalidManifest"),
        ({"Name": "mine"}, "InvalidBlockDeviceMapping"),
    ],
)
async def test_registrations_that_are_refused(bench, query, code):
    assert await refused(bench, "RegisterImage", **query) == code


async def test_private_images_do_not_exist_for_others_until_they_are_shared(bench):
    image = await image_of(bench, await run_as(bench, OTHER), OTHER)
    await bench.settle()
    us = bench.service.accounts.named("educloud")[0].account_id
    assert await refused(bench, "DescribeImages", ImageId__1=image) == "InvalidAMIID.NotFound"
    assert await refused(bench, "RunInstances", ImageId=image, MinCount=1, MaxCount=1) == "InvalidAMIID.NotFound"
    tag = {"ResourceId__1": image, "Tag__1__Key": "mine", "Tag__1__Value": "no"}
    with pytest.raises(ApiError):
        await bench.call("CreateTags", **tag)
    assert image not in [i["ImageId"] for i in (await bench.call("DescribeImages"))["Images"]]
    await bench.call("ModifyImageAttribute", OTHER, ImageId=image, LaunchPermission__Add__1__UserId=us)
    assert await bench.run(ImageId=image)
    assert (
        await refused(bench, "ModifyImageAttribute", ImageId=image, Description__Value="x") == "InvalidAMIID.NotFound"
    )
    query = {"ImageId": image, "Attribute": "launchPermission"}
    told = await bench.call("DescribeImageAttribute", OTHER, **query)
    assert told["LaunchPermissions"] == [{"UserId": us}]
    found = await bench.call("DescribeImages", ExecutableBy__1="self")
    assert [i["ImageId"] for i in found["Images"]] == [image]
    await bench.call("ResetImageAttribute", OTHER, **query)
    assert await refused(bench, "DescribeImages", ImageId__1=image) == "InvalidAMIID.NotFound"
    await bench.call("ModifyImageAttribute", OTHER, ImageId=image, LaunchPermission__Add__1__Group="all")
    assert (await described(bench, image))["Public"] is True


async def run_as(bench, account):
    answer = await bench.call("RunInstances", account, ImageId=await bench.image(), MinCount=1, MaxCount=1)
    await bench.settle()
    return answer["Instances"][0]["InstanceId"]


async def test_what_happened_to_images_and_snapshots_is_told(bench):
    await image_of(bench, await bench.run())
    await bench.settle()
    rows = await bench.service.cloud.database.run(lambda session: list(session.scalars(select(Event))))
    told = {(row.kind, row.text.partition(",")[0].partition(":")[0]) for row in rows}
    assert {
        ("snapshot", "asked for"),
        ("snapshot", "completed"),
        ("image", "asked for"),
        ("image", "available"),
    } <= told
