"""The cloud by hand, as a person uses it: the command line, boto3, and OpenSSH through the gateway.

One cloud, one person with two machines, and somebody else with a machine of another account; the tests follow one
another as the person's afternoon does.
"""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import botocore.exceptions
import pytest

from tests.system.by_hand import Desk, exported, kill_api, qemu_of
from tests.system.conftest import Bench, wait_for

pytestmark = pytest.mark.qemu

BLOCK = re.compile(r"-----BEGIN SSH HOST KEY FINGERPRINTS-----\r?\n(.*?)-----END SSH HOST KEY FINGERPRINTS-----", re.S)


@dataclass
class Afternoon:
    """Who is there and what they have."""

    mine: Desk
    theirs: Desk
    instance_id: str
    address: str
    store_id: str
    store_address: str
    volume_id: str


@pytest.fixture(scope="module")
def afternoon(module_bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> Afternoon:
    said = module_bench.educloud("cloud", "start").stdout
    assert "The local cloud answers at http://127.0.0.1:" in said
    folder = tmp_path_factory.mktemp("desks")
    mine = Desk.open(module_bench, folder / "mine", "my key")
    theirs = Desk.open(module_bench, folder / "theirs", "their key", account="eucalyptus")
    instance_id, store_id = mine.run("tiny"), theirs.run("tiny-store")
    address, store_address = mine.wait_login(instance_id), theirs.wait_login(store_id)
    volume_id = mine.new_volume()
    return Afternoon(mine, theirs, instance_id, address, store_id, store_address, volume_id)


def serial(volume_id: str, device: str) -> str:
    return f"euca-{volume_id}-dev-{device}"[:20]


def run(command: list[str | Path]) -> str:
    """Run a program of this computer; Debian keeps some of them where only root looks."""
    environment = os.environ | {"PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}
    return subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout


def test_the_command_line_says_how_to_get_there(afternoon: Afternoon) -> None:
    bench = afternoon.mine.bench
    status = bench.educloud("cloud", "status").stdout
    assert re.search(rf"^Machine +{afternoon.instance_id} +running .* {afternoon.address}$", status, re.M)
    said = bench.educloud("cloud", "env").stdout
    assert {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL_EC2"} <= exported(said).keys()
    assert f"-J {afternoon.mine.gateway} student@ADDRESS" in said
    line = next(line for line in said.splitlines() if "ProxyCommand" in line)
    # The printed ProxyCommand, with nothing but the names filled in.
    command = line.removeprefix("# or ").replace("KEY", f"'{afternoon.mine.key}'").replace("ADDRESS", afternoon.address)
    command = command.replace(f"='ssh -i '{afternoon.mine.key}'", f'=\'ssh -i "{afternoon.mine.key}"')
    loose = "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o BatchMode=yes"
    command = command.replace("ssh -i", f"ssh {loose} -i") + " id -un"
    result = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=120, check=False)
    assert result.stdout == "student\n", result.stderr


def test_the_console_tells_the_host_key_that_ssh_sees(afternoon: Afternoon) -> None:
    for desk, instance_id, address in (
        (afternoon.mine, afternoon.instance_id, afternoon.address),
        (afternoon.theirs, afternoon.store_id, afternoon.store_address),
    ):
        block = BLOCK.search(desk.console(instance_id))
        assert block is not None
        assert re.findall(r"SHA256:\S+", block[1]) == [desk.known_fingerprint(address)]
        assert "(ED25519)" in block[1]


def test_machines_of_one_image_have_keys_and_identities_of_their_own(afternoon: Afternoon) -> None:
    mine, theirs = afternoon.mine, afternoon.theirs
    assert mine.known_fingerprint(afternoon.address) != theirs.known_fingerprint(afternoon.store_address)
    ask = "curl -s http://169.254.169.254/latest/meta-data/instance-id"
    assert mine.ssh(afternoon.address, ask) == afternoon.instance_id
    assert theirs.ssh(afternoon.store_address, ask) == afternoon.store_id


def test_a_key_pair_opens_its_own_machines_only(afternoon: Afternoon) -> None:
    for desk, address in ((afternoon.theirs, afternoon.address), (afternoon.mine, afternoon.store_address)):
        refused = desk.try_ssh(address, "id")
        assert refused.returncode == 255
        assert refused.stdout == ""
        # The gateway itself says no, before the machine is asked anything.
        assert "prohibited" in refused.stderr or "stdio forwarding failed" in refused.stderr


def test_an_account_sees_only_its_own(afternoon: Afternoon) -> None:
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        afternoon.mine.instance(afternoon.store_id)
    assert caught.value.response["Error"]["Code"] == "InvalidInstanceID.NotFound"
    listed = afternoon.mine.ec2.describe_instances()["Reservations"]
    assert {i["InstanceId"] for r in listed for i in r["Instances"]} == {afternoon.instance_id}


def test_a_killed_api_leaves_machines_and_sessions_alone(afternoon: Afternoon) -> None:
    mine = afternoon.mine
    process = qemu_of(mine.bench, afternoon.instance_id)
    session = subprocess.Popen(
        mine.ssh_command(afternoon.address, "cat"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    )
    assert session.stdin is not None
    assert session.stdout is not None
    try:
        for moment, change in (
            ("before", lambda: None),
            ("while it is dead", lambda: kill_api(mine.bench)),
            ("after", lambda: mine.bench.educloud("cloud", "start")),
        ):
            change()
            session.stdin.write(f"{moment}\n")
            assert session.stdout.readline() == f"{moment}\n"
            assert process.is_running()
        session.communicate(timeout=120)
        assert session.returncode == 0
    finally:
        session.kill()
        session.communicate()
    mine.ec2.close()
    assert mine.instance(afternoon.instance_id)["State"]["Name"] == "running"
    assert mine.volume(afternoon.volume_id)["State"] == "available"
    assert qemu_of(mine.bench, afternoon.instance_id).pid == process.pid
    ask = "curl -s http://169.254.169.254/latest/meta-data/instance-id"
    assert mine.ssh(afternoon.address, ask) == afternoon.instance_id  # metadata is served again


def test_a_volume_carries_a_file_from_one_machine_to_the_next(afternoon: Afternoon) -> None:
    mine = afternoon.mine
    second_id = mine.run("tiny")  # boots while the first one is worked with
    mine.attach(afternoon.volume_id, afternoon.instance_id, "/dev/sdf")
    disk = mine.disk_by_serial(afternoon.address, serial(afternoon.volume_id, "sdf"))
    script = (
        f"set -e; sudo mkfs.ext4 -q -L mine {disk}; sudo mkdir -p /data; sudo mount {disk} /data;"
        " sudo chown student /data; echo 'kept: äöü' > '/data/a file'; sync; sudo umount /data"
    )
    mine.ssh(afternoon.address, script)
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        mine.ec2.attach_volume(VolumeId=afternoon.volume_id, InstanceId=second_id, Device="/dev/sdf")
    assert caught.value.response["Error"]["Code"] == "VolumeInUse"
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        mine.ec2.delete_volume(VolumeId=afternoon.volume_id)
    assert caught.value.response["Error"]["Code"] == "VolumeInUse"
    mine.detach(afternoon.volume_id)
    gone = f"cat /sys/block/vd*/serial | grep -c {serial(afternoon.volume_id, 'sdf')} || true"
    assert mine.ssh(afternoon.address, gone).strip() == "0"

    second = mine.wait_login(second_id)
    mine.attach(afternoon.volume_id, second_id, "/dev/sdg")
    disk = mine.disk_by_serial(second, serial(afternoon.volume_id, "sdg"))
    assert mine.ssh(second, f"sudo mount {disk} /mnt && cat '/mnt/a file'; sudo umount /mnt") == "kept: äöü\n"
    mine.detach(afternoon.volume_id)
    mine.ec2.terminate_instances(InstanceIds=[second_id])
    mine.wait_state(second_id, "terminated")
    assert not [p for p in mine.bench.qemu_processes() if second_id in " ".join(p.cmdline())]


def test_reboot(afternoon: Afternoon) -> None:
    mine = afternoon.mine
    before = mine.ssh(afternoon.address, "cat /proc/sys/kernel/random/boot_id")
    process = qemu_of(mine.bench, afternoon.instance_id)
    mine.ec2.reboot_instances(InstanceIds=[afternoon.instance_id])

    def again() -> bool:
        answer = mine.try_ssh(afternoon.address, "cat /proc/sys/kernel/random/boot_id")
        return answer.returncode == 0 and answer.stdout != before

    wait_for("another boot", again, period_s=0.5)  # ssh checks the host key against the known one
    row = mine.instance(afternoon.instance_id)
    assert (row["State"]["Name"], row["PrivateIpAddress"]) == ("running", afternoon.address)
    assert qemu_of(mine.bench, afternoon.instance_id).pid == process.pid


def test_stop_and_start_keep_the_root_disk(afternoon: Afternoon) -> None:
    mine = afternoon.mine
    mine.ssh(afternoon.address, "echo written before the stop > ~/note")
    fingerprint = mine.known_fingerprint(afternoon.address)
    root = mine.instance(afternoon.instance_id)["BlockDeviceMappings"][0]["Ebs"]["VolumeId"]
    mine.ec2.stop_instances(InstanceIds=[afternoon.instance_id])
    mine.wait_state(afternoon.instance_id, "stopped")
    assert not [p for p in mine.bench.qemu_processes() if afternoon.instance_id in " ".join(p.cmdline())]
    mine.attach(afternoon.volume_id, afternoon.instance_id, "/dev/sdh")  # allowed while it is stopped
    mine.ec2.start_instances(InstanceIds=[afternoon.instance_id])
    afternoon.address = mine.wait_login(afternoon.instance_id)
    assert mine.ssh(afternoon.address, "cat ~/note") == "written before the stop\n"
    assert mine.known_fingerprint(afternoon.address) == fingerprint
    row = mine.instance(afternoon.instance_id)
    assert {d["Ebs"]["VolumeId"] for d in row["BlockDeviceMappings"]} >= {root}
    mine.disk_by_serial(afternoon.address, serial(afternoon.volume_id, "sdh"))


def test_an_instance_store_machine_cannot_stop(afternoon: Afternoon) -> None:
    theirs = afternoon.theirs
    image = theirs.image("tiny-store")
    assert (image["RootDeviceType"], image["KernelId"][:4], image["RamdiskId"][:4]) == (
        "instance-store",
        "aki-",
        "ari-",
    )
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        theirs.ec2.stop_instances(InstanceIds=[afternoon.store_id])
    assert caught.value.response["Error"]["Code"] == "UnsupportedOperation"
    assert theirs.instance(afternoon.store_id)["State"]["Name"] == "running"


def test_the_cloud_stops_in_order_and_comes_back(afternoon: Afternoon, tmp_path: Path) -> None:
    mine, theirs, bench = afternoon.mine, afternoon.theirs, afternoon.mine.bench
    disk = mine.disk_by_serial(afternoon.address, serial(afternoon.volume_id, "sdh"))
    # Left mounted and not synced: an orderly end has to write it.
    mine.ssh(afternoon.address, f"sudo mount {disk} /mnt && echo at the last moment > /mnt/late")
    theirs.ssh(afternoon.store_address, "echo on the instance store > ~/note")
    said = bench.educloud("cloud", "stop").stdout
    assert "Shutting machines down" in said
    assert bench.qemu_processes() == []
    assert bench.educloud("cloud", "status", check=False).returncode == 1
    assert "Start it with: educloud cloud start" in bench.educloud("cloud", "env", check=False).stderr

    bench.educloud("cloud", "start")
    for desk in (mine, theirs):
        desk.write_ssh_config()  # the gateway may listen elsewhere; its key is the same
    assert mine.instance(afternoon.instance_id)["State"]["Name"] == "stopped"
    attachment = mine.volume(afternoon.volume_id)["Attachments"][0]
    assert (attachment["InstanceId"], attachment["Device"]) == (afternoon.instance_id, "/dev/sdh")
    raw = tmp_path / "volume.raw"
    run(["qemu-img", "convert", "-O", "raw", bench.home / f"cloud/volumes/{afternoon.volume_id}.qcow2", raw])
    header = run(["dumpe2fs", "-h", raw])
    assert re.search(r"^Filesystem state: +clean$", header, re.M)
    assert "needs_recovery" not in header  # it was unmounted
    assert run(["debugfs", "-R", "cat /late", raw]) == "at the last moment\n"
    assert run(["debugfs", "-R", 'cat "/a file"', raw]) == "kept: äöü\n"
    # The instance-store machine came back by itself, with its disk.
    assert theirs.ssh(theirs.wait_login(afternoon.store_id), "cat ~/note") == "on the instance store\n"


def test_a_terminated_machine_takes_its_own_disk_and_leaves_the_volume(afternoon: Afternoon) -> None:
    mine, theirs = afternoon.mine, afternoon.theirs
    root = next(
        d["Ebs"]["VolumeId"]
        for d in mine.instance(afternoon.instance_id)["BlockDeviceMappings"]
        if d["Ebs"]["VolumeId"] != afternoon.volume_id
    )
    mine.ec2.terminate_instances(InstanceIds=[afternoon.instance_id])
    theirs.ec2.terminate_instances(InstanceIds=[afternoon.store_id])
    mine.wait_state(afternoon.instance_id, "terminated")
    theirs.wait_state(afternoon.store_id, "terminated")
    volumes = mine.bench.home / "cloud/volumes"
    wait_for("the root disk to be gone", lambda: not (volumes / f"{root}.qcow2").exists())
    assert not list((mine.bench.home / "cloud/roots").iterdir())
    assert mine.bench.qemu_processes() == []
    wait_for("the volume to be free", lambda: mine.volume(afternoon.volume_id)["State"] == "available")
    assert (volumes / f"{afternoon.volume_id}.qcow2").exists()
    mine.ec2.delete_volume(VolumeId=afternoon.volume_id)
    wait_for("the volume's file to be gone", lambda: not (volumes / f"{afternoon.volume_id}.qcow2").exists())
