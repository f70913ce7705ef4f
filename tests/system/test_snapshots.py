"""Snapshots of a machine that writes, volumes and images made of them, with a real QEMU."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from tests.system.by_hand import Desk, qemu_of
from tests.system.conftest import Bench, wait_for

pytestmark = pytest.mark.qemu


@dataclass
class Story:
    """A machine with a mounted volume."""

    desk: Desk
    machine: str
    address: str
    volume: str


@pytest.fixture(scope="module")
def story(module_bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> Story:
    module_bench.educloud("cloud", "start")
    desk = Desk.open(module_bench, tmp_path_factory.mktemp("desk"), "my key")
    machine = desk.run("tiny")
    volume = desk.new_volume()
    address = desk.wait_login(machine)
    desk.attach(volume, machine)
    device = desk.disk_by_serial(address, f"euca-{volume}-dev-"[:20])
    desk.ssh(address, f"sudo mkfs.ext4 -q {device} && sudo mkdir -p /data && sudo mount {device} /data")
    desk.ssh(address, "sudo chmod 777 /data")
    return Story(desk, machine, address, volume)


def take(desk: Desk, volume: str) -> str:
    snapshot = str(desk.ec2.create_snapshot(VolumeId=volume)["SnapshotId"])

    def done() -> bool:
        row = desk.ec2.describe_snapshots(SnapshotIds=[snapshot])["Snapshots"][0]
        assert row["State"] in ("pending", "completed")
        return bool(row["State"] == "completed" and row["Progress"] == "100%")

    wait_for(f"{snapshot} to be completed", done)
    return snapshot


def read_copy(story: Story, snapshot: str, device: str) -> str:
    """Return what a volume of the snapshot, attached to the same machine, has in its files."""
    desk = story.desk
    copy = desk.new_volume(SnapshotId=snapshot)
    desk.attach(copy, story.machine, device)
    disk = desk.disk_by_serial(story.address, f"euca-{copy}-dev-"[:20])
    said = desk.ssh(
        story.address, f"sudo mkdir -p /copy && sudo mount {disk} /copy && cat /copy/old; ls /copy; sudo umount /copy"
    )
    desk.detach(copy)
    desk.ec2.delete_volume(VolumeId=copy)
    return said


def test_a_snapshot_while_the_machine_writes_holds_exactly_the_old_content(story: Story) -> None:
    desk, address = story.desk, story.address
    desk.ssh(address, "echo first > /data/old && sync")
    desk.ssh(address, "nohup sh -c 'while sleep 0.1; do date >> /data/log; done' > /dev/null 2>&1 &")
    first = take(desk, story.volume)
    desk.ssh(address, "echo second > /data/old && echo new > /data/new && sync")
    second = take(desk, story.volume)  # of a disk that has been switched before
    desk.ssh(address, "echo third > /data/old && sync")
    copy = read_copy(story, first, "/dev/sdg")
    assert copy.splitlines()[0] == "first"
    assert "new" not in copy.split()
    assert read_copy(story, second, "/dev/sdg").splitlines()[0] == "second"
    assert desk.ssh(address, "cat /data/old /data/new") == "third\nnew\n"


def test_layers_of_deleted_snapshots_are_taken_up_under_a_running_machine(story: Story) -> None:
    desk = story.desk
    folder = desk.bench.home / "cloud/snapshots"
    for row in desk.ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]:
        desk.ec2.delete_snapshot(SnapshotId=row["SnapshotId"])
    wait_for("the layers to go", lambda: not list(folder.glob("*.qcow2")))
    assert (
        desk.ssh(story.address, "sudo sh -c 'echo 3 > /proc/sys/vm/drop_caches'; cat /data/old /data/new")
        == "third\nnew\n"
    )


def test_killed_after_a_snapshot_everything_acknowledged_is_there(story: Story) -> None:
    desk = story.desk
    root = next(m for m in desk.instance(story.machine)["BlockDeviceMappings"] if m["DeviceName"] == "/dev/sda")
    desk.ssh(story.address, "echo kept > ~/mine && echo fourth > /data/old && sync")
    take(desk, story.volume)
    take(desk, root["Ebs"]["VolumeId"])
    desk.ssh(story.address, "echo after > ~/later && echo fifth > /data/old && sync")
    process = qemu_of(desk.bench, story.machine)
    process.kill()
    process.wait(60)
    desk.wait_state(story.machine, "stopped")
    desk.ec2.start_instances(InstanceIds=[story.machine])
    story.address = desk.wait_login(story.machine)
    device = desk.disk_by_serial(story.address, f"euca-{story.volume}-dev-"[:20])
    assert (
        desk.ssh(story.address, f"sudo mount {device} /data && cat ~/mine ~/later /data/old") == "kept\nafter\nfifth\n"
    )


def test_a_machine_of_an_image_of_the_machine_has_its_files(story: Story) -> None:
    desk = story.desk
    image = desk.ec2.create_image(InstanceId=story.machine, Name="with my file")["ImageId"]

    def available() -> bool:
        return bool(desk.ec2.describe_images(ImageIds=[image])["Images"][0]["State"] == "available")

    wait_for("the image", available)
    shown = desk.ec2.describe_images(ImageIds=[image])["Images"][0]
    assert [m["DeviceName"] for m in shown["BlockDeviceMappings"]] == ["/dev/sda", "/dev/sdf"]
    desk.ec2.terminate_instances(InstanceIds=[story.machine])
    desk.wait_state(story.machine, "terminated")
    answer = desk.ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1, KeyName=desk.key_name)
    copy = str(answer["Instances"][0]["InstanceId"])
    address = desk.wait_login(copy)
    assert desk.ssh(address, "cat ~/mine ~/later") == "kept\nafter\n"
    mapped = next(m for m in desk.instance(copy)["BlockDeviceMappings"] if m["DeviceName"] == "/dev/sdf")
    disk = desk.disk_by_serial(address, f"euca-{mapped['Ebs']['VolumeId']}-dev-"[:20])
    assert desk.ssh(address, f"sudo mount {disk} /data && cat /data/old") == "fifth\n"


def test_forget_the_ramdisk_and_see(story: Story) -> None:
    desk = story.desk
    store = desk.image("tiny-store")
    image = desk.ec2.register_image(
        Name="forgotten", ImageLocation=store["ImageLocation"], KernelId=store["KernelId"], Architecture="x86_64"
    )["ImageId"]
    answer = desk.ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1, KeyName=desk.key_name)
    machine = str(answer["Instances"][0]["InstanceId"])
    desk.wait_state(machine, "running")
    wait_for("the panic", lambda: "Kernel panic - not syncing" in desk.console(machine))
    assert desk.instance(machine)["State"]["Name"] == "running"
    desk.ec2.terminate_instances(InstanceIds=[machine])
