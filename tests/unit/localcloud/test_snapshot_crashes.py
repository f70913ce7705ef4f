"""Taking a snapshot, cut off after each of its steps: no acknowledged write is lost, none reaches the snapshot."""

from __future__ import annotations

import pytest
from sqlalchemy import delete

from educloud_lab.localcloud import disklayers, disks
from educloud_lab.localcloud.state.tables import Snapshot
from tests.unit.localcloud import real_disks
from tests.unit.localcloud.real_disks import Crash, FileHypervisor, holds, write


@pytest.fixture
async def cloud(tmp_path, monkeypatch, make_bench):
    real_disks.use_real_disks(monkeypatch)
    monkeypatch.setattr(disks, "MARGIN_BYTES", 0)
    bench = make_bench(tmp_path, FileHypervisor, content=real_disks.root_content(tmp_path))
    await bench.open()
    yield bench
    await bench.service.close()
    bench.hypervisor.close_all()


STEPS = ("nothing", "layer", "link", "switch", "rename")


def cut_after(step, bench, monkeypatch):
    """End the process right after a step."""

    def crashing(function):
        async def awaited(*arguments, **options):
            await function(*arguments, **options)
            raise Crash

        def called(*arguments, **options):
            function(*arguments, **options)
            raise Crash

        return awaited if step in ("layer", "switch") else called

    async def at_once(*_arguments, **_options):
        raise Crash

    if step == "nothing":
        monkeypatch.setattr(disks, "create", at_once)
    elif step == "layer":
        monkeypatch.setattr(disks, "create", crashing(disks.create))
    elif step == "link":
        monkeypatch.setattr(disklayers, "link", crashing(disklayers.link))
    elif step == "switch":
        monkeypatch.setattr(bench.hypervisor, "switch_disk", crashing(bench.hypervisor.switch_disk))
    else:
        monkeypatch.setattr(disklayers, "replace", crashing(disklayers.replace))


async def machine_with_volume(bench):
    machine, volume = await bench.run(), await bench.make_volume()
    await bench.call("AttachVolume", VolumeId=volume, InstanceId=machine, Device="/dev/vdb")
    await bench.settle()
    bench.hypervisor.write(machine, volume, 1, 0)
    return machine, volume


def files(bench, volume, snapshot):
    cloud = bench.home / "cloud"
    return cloud / "volumes" / f"{volume}.qcow2", cloud / "snapshots" / f"{snapshot}.qcow2"


async def state_of(bench, snapshot):
    return (await bench.call("DescribeSnapshots", SnapshotId__1=snapshot))["Snapshots"][0]["State"]


@pytest.mark.parametrize("machine_lives", [True, False], ids=["machine lives", "machine dies"])
@pytest.mark.parametrize("step", STEPS)
async def test_cut_off_with_a_machine_writing(cloud, monkeypatch, step, machine_lives):
    machine, volume = await machine_with_volume(cloud)
    snapshot = (await cloud.call("CreateSnapshot", VolumeId=volume))["SnapshotId"]
    with monkeypatch.context() as patch:
        cut_after(step, cloud, patch)
        with pytest.raises(Crash):
            await cloud.service.storage.snapshots.take(snapshot)
    cloud.hypervisor.write(machine, volume, 2, 1)  # the guest goes on, whatever became of the cloud's process
    if not machine_lives:
        cloud.hypervisor.die(machine)
    await cloud.restart()
    await cloud.settle()
    assert await state_of(cloud, snapshot) == "completed"
    file, layer = files(cloud, volume, snapshot)
    if machine_lives:
        cloud.hypervisor.write(machine, volume, 3, 2)
        cloud.hypervisor.write(machine, volume, 4, 0)
    else:
        write(file, 3, 2)
        write(file, 4, 0)
    assert all(holds(file, pattern, slot) for pattern, slot in ((4, 0), (2, 1), (3, 2)))
    assert holds(layer, 1, 0)
    assert holds(layer, 0, 2)
    # What was written in between is in it or not, by the moment at which it was taken.
    assert holds(layer, 0 if step in ("switch", "rename") else 2, 1)
    assert not list((cloud.home / "cloud" / "volumes").glob("*.next-*"))


@pytest.mark.parametrize("step", ["link", "switch"])
async def test_a_crash_of_the_computer_that_took_the_row_too(cloud, monkeypatch, step):
    machine, volume = await machine_with_volume(cloud)
    snapshot = (await cloud.call("CreateSnapshot", VolumeId=volume))["SnapshotId"]
    with monkeypatch.context() as patch:
        cut_after(step, cloud, patch)
        with pytest.raises(Crash):
            await cloud.service.storage.snapshots.take(snapshot)
    cloud.hypervisor.write(machine, volume, 2, 1)
    cloud.hypervisor.die(machine)
    await cloud.service.cloud.database.run(
        lambda session: session.execute(delete(Snapshot).where(Snapshot.id == snapshot))
    )
    await cloud.restart()
    await cloud.settle()
    file, layer = files(cloud, volume, snapshot)
    assert holds(file, 1, 0)
    assert holds(file, 2, 1)
    assert await state_of(cloud, snapshot) == "completed"
    write(file, 5, 0)
    assert holds(layer, 1, 0)


async def test_a_machine_is_never_started_on_a_file_that_is_a_snapshots_too(cloud, monkeypatch):
    machine = await cloud.run()
    root = (await cloud.instance(machine))["BlockDeviceMappings"][0]["Ebs"]["VolumeId"]
    await cloud.call("StopInstances", InstanceId__1=machine)
    await cloud.settle()
    snapshot = (await cloud.call("CreateSnapshot", VolumeId=root))["SnapshotId"]
    with monkeypatch.context() as patch:
        cut_after("link", cloud, patch)
        with pytest.raises(Crash):
            await cloud.service.storage.snapshots.take(snapshot)
    await cloud.call("StartInstances", InstanceId__1=machine)
    await cloud.settle()
    cloud.hypervisor.write(machine, "root", 7, 3)
    file, layer = files(cloud, root, snapshot)
    assert holds(file, 7, 3)
    assert holds(layer, 0, 3)
    assert holds(layer, 9, 0)  # what the image began with


async def test_a_program_that_nobody_knows_keeps_a_snapshot_waiting(cloud):
    volume = await cloud.make_volume()
    file, _ = files(cloud, volume, "none")
    other = real_disks.hold_open(file)
    try:
        snapshot = (await cloud.call("CreateSnapshot", VolumeId=volume))["SnapshotId"]
        with pytest.raises(Exception, match="Some program has"):
            await cloud.service.storage.snapshots.take(snapshot)
        assert await state_of(cloud, snapshot) == "pending"
    finally:
        real_disks.let_go(other)
    await cloud.settle()
    assert await state_of(cloud, snapshot) == "completed"


async def test_a_name_that_was_put_back_for_a_moment_goes(cloud):
    """See qemu_layers: before the second snapshot of a disk in use, the first one's name is there for a moment."""
    machine, volume = await machine_with_volume(cloud)
    file, _ = files(cloud, volume, "none")
    name = file.with_name(f"{volume}.next-0123abcd.qcow2")
    name.hardlink_to(file)
    await cloud.restart()
    assert not name.exists()
    cloud.hypervisor.write(machine, volume, 2, 1)
    assert holds(file, 2, 1)


async def test_no_room_for_the_layer_is_a_failed_snapshot_and_nothing_else(cloud, monkeypatch):
    machine, volume = await machine_with_volume(cloud)
    snapshot = (await cloud.call("CreateSnapshot", VolumeId=volume))["SnapshotId"]
    with monkeypatch.context() as patch:
        patch.setattr(disks, "MARGIN_BYTES", 1 << 62)
        patch.setattr(disks.check_room, "__kwdefaults__", {"margin_bytes": 1 << 62})
        await cloud.settle()
    assert await state_of(cloud, snapshot) == "failed"
    cloud.hypervisor.write(machine, volume, 2, 1)
    file, layer = files(cloud, volume, snapshot)
    assert holds(file, 2, 1)
    assert not layer.exists()
    assert [path.name for path in file.parent.glob(f"{volume}*")] == [file.name]
