"""Snapshots and what is made of them, as Eucalyptus answers about them."""

from __future__ import annotations

import pytest

from educloud_lab.localcloud import disklayers, disks
from educloud_lab.localcloud.errors import ApiError
from educloud_lab.localcloud.work import compaction
from tests.unit.localcloud import real_disks

OTHER = "eucalyptus"


async def refused(bench, action, account="educloud", **query):
    with pytest.raises(ApiError) as caught:
        await bench.call(action, account, **query)
    return caught.value.code


async def snapshot_of(bench, volume, **query):
    answer = await bench.call("CreateSnapshot", VolumeId=volume, **query)
    assert (answer["State"], answer["Progress"], answer["VolumeId"]) == ("pending", "0%", volume)
    await bench.settle()
    return answer["SnapshotId"]


async def shown(bench, snapshot, account="educloud"):
    return (await bench.call("DescribeSnapshots", account, SnapshotId__1=snapshot))["Snapshots"][0]


async def test_pending_and_then_completed(bench):
    snapshot = await snapshot_of(bench, await bench.make_volume(Size=3), Description="before the exam")
    row = await shown(bench, snapshot)
    assert (row["State"], row["Progress"], row["VolumeSize"]) == ("completed", "100%", 3)
    assert row["Description"] == "before the exam"


async def test_a_volume_of_a_snapshot_has_its_size_or_more_and_never_less(bench):
    snapshot = await snapshot_of(bench, await bench.make_volume(Size=3))
    assert (await bench.volume(await bench.make_volume(SnapshotId=snapshot, Size=5)))["Size"] == 5
    same = await bench.call("CreateVolume", AvailabilityZone="one", SnapshotId=snapshot)
    assert (same["Size"], same["SnapshotId"]) == (3, snapshot)
    query = {"AvailabilityZone": "one", "SnapshotId": snapshot, "Size": 2}
    assert await refused(bench, "CreateVolume", **query) == "InvalidParameterValue"


async def test_deleting_the_volume_keeps_the_snapshot_and_the_other_way_round(bench):
    volume = await bench.make_volume()
    snapshot = await snapshot_of(bench, volume)
    await bench.call("DeleteVolume", VolumeId=volume)
    await bench.settle()
    copy = await bench.make_volume(SnapshotId=snapshot)
    await bench.call("DeleteSnapshot", SnapshotId=snapshot)
    await bench.settle()
    assert (await bench.volume(copy))["State"] == "available"
    assert await refused(bench, "DescribeSnapshots", SnapshotId__1=snapshot) == "InvalidSnapshot.NotFound"
    assert list((bench.home / "cloud" / "snapshots").iterdir()) == []


async def test_a_snapshot_asked_for_before_its_volume_goes_is_taken(bench):
    volume = await bench.make_volume()
    snapshot = (await bench.call("CreateSnapshot", VolumeId=volume))["SnapshotId"]
    await bench.call("DeleteVolume", VolumeId=volume)
    await bench.settle()
    assert (await shown(bench, snapshot))["State"] == "completed"
    assert (bench.home / "cloud" / "snapshots" / f"{snapshot}.qcow2").exists()


async def test_others_see_and_use_a_snapshot_when_it_is_shared(bench):
    them = bench.service.accounts.named("educloud")[0].account_id
    # The administrator may do everything: so the administrator's own is what the other account does not see.
    made = await bench.call("CreateVolume", OTHER, AvailabilityZone="one", Size=1)
    await bench.settle()
    theirs = (await bench.call("CreateSnapshot", OTHER, VolumeId=made["VolumeId"]))["SnapshotId"]
    await bench.settle()
    query = {"AvailabilityZone": "one", "SnapshotId": theirs}
    assert await refused(bench, "CreateVolume", **query) == "InvalidSnapshot.NotFound"
    change = {"SnapshotId": theirs, "Attribute": "createVolumePermission", "OperationType": "add", "UserId__1": them}
    await bench.call("ModifySnapshotAttribute", OTHER, **change)
    assert (await shown(bench, theirs))["SnapshotId"] == theirs
    assert (await bench.call("CreateVolume", **query))["SnapshotId"] == theirs
    assert await refused(bench, "DeleteSnapshot", SnapshotId=theirs) == "InvalidSnapshot.NotFound"
    query = {"SnapshotId": theirs, "Attribute": "createVolumePermission"}
    told = await bench.call("DescribeSnapshotAttribute", OTHER, **query)
    assert told["CreateVolumePermissions"] == [{"UserId": them}]
    await bench.call("ResetSnapshotAttribute", OTHER, **query)
    assert await refused(bench, "DescribeSnapshots", SnapshotId__1=theirs) == "InvalidSnapshot.NotFound"


async def test_volumes_grow_and_never_shrink(bench):
    volume = await bench.make_volume(Size=2)
    answer = (await bench.call("ModifyVolume", VolumeId=volume, Size=5))["VolumeModification"]
    assert (answer["OriginalSize"], answer["TargetSize"], answer["ModificationState"]) == (2, 5, "completed")
    assert (await bench.volume(volume))["Size"] == 5
    assert await refused(bench, "ModifyVolume", VolumeId=volume, Size=4) == "InvalidParameterValue"
    machine = await bench.run()
    await bench.call("AttachVolume", VolumeId=volume, InstanceId=machine, Device="/dev/vdb")
    await bench.settle()
    assert await refused(bench, "ModifyVolume", VolumeId=volume, Size=6) == "IncorrectState"


async def test_what_is_promised_has_to_fit(bench, monkeypatch):
    usage = bench.service.cloud.disk_usage
    monkeypatch.setattr(type(usage), "free_bytes", lambda _self: 2 << 30)  # four times as much may be promised
    assert (await bench.volume(await bench.make_volume(Size=7)))["State"] == "available"
    query = {"AvailabilityZone": "one", "Size": 2}
    assert await refused(bench, "CreateVolume", **query) == "VolumeLimitExceeded"
    monkeypatch.setattr(type(usage), "free_bytes", lambda _self: -1)
    volume = (await bench.call("DescribeVolumes"))["Volumes"][0]["VolumeId"]
    assert await refused(bench, "CreateSnapshot", VolumeId=volume) == "SnapshotLimitExceeded"
    with pytest.raises(ApiError, match="Not enough resources"):
        await bench.run()


@pytest.fixture
async def real(tmp_path, monkeypatch, make_bench):
    real_disks.use_real_disks(monkeypatch)
    monkeypatch.setattr(disks, "MARGIN_BYTES", 0)
    bench = make_bench(tmp_path, content=real_disks.root_content(tmp_path))
    await bench.open()
    yield bench
    await bench.service.close()


async def test_space_of_a_deleted_snapshot_is_given_back(real):
    volume = await real.make_volume()
    file = real.home / "cloud" / "volumes" / f"{volume}.qcow2"
    real_disks.qemu_io(file, "write -P 1 0 4M")
    first = await snapshot_of(real, volume)
    real_disks.qemu_io(file, "write -P 2 0 4M")  # all of it anew: nothing of the first is needed but by it
    second = await snapshot_of(real, volume)
    real_disks.write(file, 3, 1)

    def taken():
        folders = (real.home / "cloud" / name for name in ("volumes", "snapshots"))
        return sum(path.stat().st_blocks * 512 for folder in folders for path in folder.iterdir())

    before = taken()
    await real.call("DeleteSnapshot", SnapshotId=first)
    await real.settle()
    assert taken() < before - (4 << 20) + (1 << 20)
    copy = await real.make_volume(SnapshotId=second)
    assert real_disks.holds(real.home / "cloud" / "volumes" / f"{copy}.qcow2", 2, 1)
    await real.call("DeleteSnapshot", SnapshotId=second)
    await real.settle()  # two lie on it: it stays
    assert (real.home / "cloud" / "snapshots" / f"{second}.qcow2").exists()
    await real.call("DeleteVolume", VolumeId=copy)
    await real.settle()
    assert list((real.home / "cloud" / "snapshots").iterdir()) == []
    assert real_disks.holds(file, 3, 1)
    assert real_disks.holds(file, 2, 0)


async def test_chains_have_an_end(real, monkeypatch):
    monkeypatch.setattr(compaction, "MOST_LAYERS", 2)
    volume = await real.make_volume()
    file = real.home / "cloud" / "volumes" / f"{volume}.qcow2"
    for slot in range(3):
        real_disks.write(file, slot + 1, slot)
        await snapshot_of(real, volume)
    assert disklayers.chain(file) == []
    assert all(real_disks.holds(file, slot + 1, slot) for slot in range(3))
