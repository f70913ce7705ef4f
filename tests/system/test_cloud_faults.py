"""The local cloud meeting what goes wrong: missing parts, full disks, wrong clocks, killed processes, odd names.

Each: a clear message, nothing lost, and the next try works.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import botocore.auth
import botocore.exceptions
import psutil
import pytest

from educloud_lab.adapters.ec2.cloud import Ec2Cloud
from educloud_lab.adapters.ec2.session import Endpoint
from educloud_lab.domain.errors import CloudAuthError
from tests.system.by_hand import Desk, client, exported, kill_api, qemu_of
from tests.system.conftest import BIN, ROOT, Bench, wait_for

pytestmark = pytest.mark.qemu

ODD_NAME = """Ada's "new" key — ключ $HOME `x` \\n ☃"""


@pytest.fixture(scope="module")
def desk(module_bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> Desk:
    module_bench.educloud("cloud", "start")
    return Desk.open(module_bench, tmp_path_factory.mktemp("desk"), ODD_NAME)


@pytest.fixture(scope="module")
def machine(desk: Desk) -> Iterator[str]:
    """One machine that answers, started with the key pair of the odd name."""
    instance_id = desk.run("tiny")
    desk.wait_login(instance_id)
    yield instance_id
    desk.ec2.terminate_instances(InstanceIds=[instance_id])


def refused(caught: pytest.ExceptionInfo[botocore.exceptions.ClientError]) -> tuple[str, str]:
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


# What is missing when the cloud is started


def test_qemu_is_missing(bench: Bench) -> None:
    bench.env["PATH"] = str(BIN)
    assert shutil.which("qemu-system-x86_64", path=str(BIN)) is None
    bench.educloud("cloud", "start")
    desk = Desk.open(bench, bench.home / "desk", "key")
    instance_id, volume_id = desk.run("tiny"), None
    row = desk.wait_state(instance_id, "terminated")
    assert "was not found" in row["StateTransitionReason"]
    assert "apt-get install" in row["StateTransitionReason"]
    zone = row["Placement"]["AvailabilityZone"]
    volume_id = desk.ec2.create_volume(Size=1, AvailabilityZone=zone)["VolumeId"]
    wait_for("the volume to fail", lambda: desk.volume(volume_id)["State"] == "failed")
    assert list((bench.home / "cloud/volumes").iterdir()) == []


def test_images_that_cannot_be_used(bench: Bench, images: Path) -> None:
    (bench.home / "images").unlink()
    manifest = json.loads((images / "tiny/manifest.json").read_text())
    for name, change in (
        ("arm", {"architecture": "aarch64"}),
        ("para", {"virtualization_type": "paravirtual"}),
        ("partial", {}),
        ("fine", {}),
    ):
        folder = bench.home / "images" / name
        shutil.copytree(images / "tiny", folder, copy_function=os.link)
        (folder / "manifest.json").unlink()
        (folder / "manifest.json").write_text(json.dumps(manifest | {"name": name} | change))
    (bench.home / "images/partial/vmlinux").unlink()
    said = bench.educloud("cloud", "start").stdout
    for name, word in (("arm", "aarch64"), ("para", "paravirtual"), ("partial", "vmlinux")):
        assert re.search(rf"^Image +{name} cannot be used: .*{word}", said, re.M), said
    assert re.search(r"^Image +[ea]mi-\S+ +fine ", said, re.M), said
    ec2 = client(exported(bench.educloud("cloud", "env").stdout))
    listed = {image["Name"]: image for image in ec2.describe_images()["Images"]}
    assert listed["fine"]["State"] == "available"
    assert listed["arm"]["State"] == "failed"
    for name in ("arm", "para", "partial"):
        with pytest.raises(botocore.exceptions.ClientError) as caught:
            ec2.run_instances(ImageId=listed[name]["ImageId"], MinCount=1, MaxCount=1)
        assert listed[name]["ImageId"] in refused(caught)[1]
    assert bench.qemu_processes() == []


def test_the_port_is_taken_and_there_is_no_image(bench: Bench) -> None:
    (bench.home / "images").unlink()
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        failed = bench.educloud("cloud", "start", f"--port={port}", check=False)
        assert failed.returncode == 1
        assert f"Port {port} is taken" in failed.stderr
        assert "--port" in failed.stderr
        assert "Traceback" not in failed.stderr
        assert bench.educloud("cloud", "status", check=False).returncode == 1
    said = bench.educloud("cloud", "start", f"--port={port}").stdout
    assert "build them with: educloud cloud image build" in said
    assert bench.cloud["endpoint_url"] == f"http://127.0.0.1:{port}/services/compute"
    bench.educloud("cloud", "stop")
    with socket.create_server(("127.0.0.1", port)):  # the one of the last time, not asked for: any other will do
        bench.educloud("cloud", "start")
        assert f":{port}/" not in bench.cloud["endpoint_url"]
        bench.educloud("cloud", "stop")


# A full disk


class SmallDisk:
    """The cloud, served with its volumes on a file system that is too small until it is made larger."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.folder = bench.home / "cloud/volumes"
        self.folder.mkdir(parents=True, mode=0o700)
        (bench.home / "cloud").chmod(0o700)
        mount = ["mount", "-t", "tmpfs", "-o", "size=8m,mode=0700", "none", str(self.folder)]
        serve = [sys.executable, "-m", "educloud_lab", "cloud", "serve", "--port=0"]
        # root of a computer may mount; anybody else (and root of a container) mounts in a namespace of their own.
        self.mounted = os.geteuid() == 0 and not subprocess.run(mount, check=False, capture_output=True).returncode
        if not self.mounted:
            script = 'mount -t tmpfs -o size=8m,mode=0700 none "$0" && exec "$@"'
            serve = ["unshare", "-Urm", "sh", "-c", script, str(self.folder), *serve]
        self.log = (bench.home / "serve.log").open("wb")
        try:
            self.process = subprocess.Popen(serve, env=bench.env, cwd=ROOT, stdout=self.log, stderr=self.log)
        except BaseException:
            self.release()
            raise
        try:
            self.connect()
        except BaseException:
            self.close()
            raise

    def connect(self) -> None:
        """Wait for the API and make a client of it."""
        bench = self.bench
        state = bench.home / "cloud/api.state.json"
        wait_for("the cloud", lambda: state.exists() or self.process.poll() is not None)
        assert self.process.poll() is None, (bench.home / "serve.log").read_text()
        found = json.loads(state.read_text())
        keys = json.loads((bench.home / "cloud/credentials.json").read_text())["accounts"]["educloud"]
        self.ec2 = client(
            {
                "AWS_DEFAULT_REGION": "eucalyptus",
                "AWS_ENDPOINT_URL_EC2": f"http://127.0.0.1:{found['port']}/services/compute",
                "AWS_ACCESS_KEY_ID": keys["access_key"],
                "AWS_SECRET_ACCESS_KEY": keys["secret_key"],
            }
        )

    def inside(self, *command: str) -> str:
        """Run a command where the small file system is seen."""
        if not self.mounted:
            command = ("nsenter", "-t", str(self.process.pid), "-U", "-m", "--preserve-credentials", *command)
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def resize(self, size: str) -> None:
        # with its source named, mount does not add options from mtab, which a user namespace refuses
        self.inside("mount", "-o", f"remount,size={size}", "none", str(self.folder))

    def volume(self, size_gib: int = 1) -> str:
        volume_id = str(self.ec2.create_volume(Size=size_gib, AvailabilityZone="one")["VolumeId"])

        def state() -> str:
            found = str(self.ec2.describe_volumes(VolumeIds=[volume_id])["Volumes"][0]["State"])
            return "" if found == "creating" else found

        return f"{volume_id} {wait_for('the volume to be settled', state)}"

    def is_full(self) -> None:
        """See that a volume is refused when it is asked for, in Eucalyptus's words."""
        with pytest.raises(botocore.exceptions.ClientError, match="Not enough storage for a volume") as refused:
            self.volume()
        assert refused.value.response["Error"]["Code"] == "VolumeLimitExceeded"

    def close(self) -> None:
        try:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        finally:
            self.release()

    def release(self) -> None:
        """Unmount, if need be lazily: pytest deletes the folder, and would stop at a mount."""
        self.log.close()
        if self.mounted and subprocess.run(["umount", str(self.folder)], check=False).returncode:
            subprocess.run(["umount", "-l", str(self.folder)], check=True)


def test_the_disk_is_full(bench: Bench) -> None:
    small = SmallDisk(bench)
    try:
        small.is_full()
        small.resize("3g")
        first = small.volume()
        assert first.endswith(" available")
        small.resize("512m")
        small.is_full()  # two volumes' promises are more than may be given for what is free
        # Nothing half made is left, and what was there before is untouched.
        assert small.inside("ls", "-A", str(small.folder)).split() == [f"{first.split()[0]}.qcow2"]
        small.inside("qemu-img", "check", "-q", str(small.folder / f"{first.split()[0]}.qcow2"))
        small.resize("3g")
        assert small.volume().endswith(" available")
    finally:
        small.close()


# Who asks, and when


@pytest.mark.parametrize(
    ("hours", "word"), [(1, "Message was generated in the future"), (-1, "Message has expired"), (0, "")]
)
async def test_this_computers_clock_is_wrong(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, hours: int, word: str
) -> None:
    right = botocore.auth.get_current_datetime
    monkeypatch.setattr(
        botocore.auth, "get_current_datetime", lambda *a, **k: right(*a, **k) + datetime.timedelta(hours=hours)
    )
    with_our_adapter = Ec2Cloud(
        Endpoint(
            desk.settings["AWS_ENDPOINT_URL_EC2"],
            desk.settings["AWS_ACCESS_KEY_ID"],
            desk.settings["AWS_SECRET_ACCESS_KEY"],
        )
    )
    try:
        if not hours:
            assert (await with_our_adapter.observe()).seen_at.tzinfo is not None
            return
        with pytest.raises(CloudAuthError) as caught:
            await with_our_adapter.observe()
        assert word in str(caught.value)
        assert "clock" in caught.value.next_step
    finally:
        with_our_adapter.close()
    with pytest.raises(botocore.exceptions.ClientError) as vendor:
        desk.ec2.describe_instances()
    assert refused(vendor)[0] == "403 Forbidden"
    assert vendor.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("AWS_SECRET_ACCESS_KEY", "another secret", "Signature validation failed"),
        ("AWS_ACCESS_KEY_ID", "AKIAAAAAAAAAAAAAAAAA", "Invalid access key or token"),
    ],
)
def test_the_signature_is_wrong(desk: Desk, name: str, value: str, message: str) -> None:
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        client(desk.settings | {name: value}).run_instances(ImageId="emi-00000000", MinCount=1, MaxCount=1)
    assert refused(caught) == ("403 Forbidden", message)


# Names


def test_names_with_spaces_quotes_and_unicode(desk: Desk, machine: str) -> None:
    assert desk.instance(machine)["KeyName"] == ODD_NAME
    listed = desk.ec2.describe_key_pairs(KeyNames=[ODD_NAME])["KeyPairs"]
    assert [pair["KeyName"] for pair in listed] == [ODD_NAME]
    address = desk.instance(machine)["PrivateIpAddress"]
    tree = "http://169.254.169.254/latest/meta-data/public-keys/"
    assert desk.ssh(address, f"curl -s {tree}") == f"0={ODD_NAME}"

    tags = {"Name": 'Ada\'s "first" <machine> & más', "курс": "☃ 'x'; $(reboot)", "spaces  two": ""}
    desk.ec2.create_tags(Resources=[machine], Tags=[{"Key": k, "Value": v} for k, v in tags.items()])
    assert {tag["Key"]: tag["Value"] for tag in desk.instance(machine)["Tags"]} == tags
    found = desk.ec2.describe_instances(Filters=[{"Name": "tag:курс", "Values": [tags["курс"]]}])["Reservations"]
    assert [i["InstanceId"] for r in found for i in r["Instances"]] == [machine]

    with pytest.raises(botocore.exceptions.ClientError) as caught:
        desk.ec2.create_key_pair(KeyName=ODD_NAME)
    assert refused(caught)[0] == "InvalidKeyPair.Duplicate"
    assert ODD_NAME in refused(caught)[1]
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        desk.ec2.create_key_pair(KeyName="two\nlines")  # such a name would forge metadata and authorized_keys lines
    assert refused(caught)[0].strip() == "InvalidParameterValue"


# Machines and processes


def test_a_machine_that_slept_gets_the_right_time(desk: Desk, machine: str) -> None:
    """After a host's sleep a guest is behind by that long while its real-time clock is right: so is this one."""
    address = desk.instance(machine)["PrivateIpAddress"]
    # What date has set, it prints itself: a moment later the clock may have been put right already.
    behind = desk.ssh(address, "sudo date -u -s @$(($(date +%s) - 3600)) +%s")
    assert time.time() - int(behind) > 3500
    wait_for("the machine's clock to be right", lambda: on_time(desk, address, within_s=5), period_s=1)


def on_time(desk: Desk, address: str, *, within_s: float) -> bool:
    """Whether the machine's clock is right; however long the login takes, it is read between the two looks at ours."""
    before_s = time.time()
    theirs_s = int(desk.ssh(address, "date +%s"))
    return before_s - within_s < theirs_s < time.time() + within_s


def test_a_frozen_machine_goes_on_and_is_on_time(desk: Desk, machine: str) -> None:
    """Its process stopped for some seconds, as a host's sleep stops it: sessions live, the clock is right after."""
    address = desk.instance(machine)["PrivateIpAddress"]
    process = qemu_of(desk.bench, machine)
    process.suspend()
    try:
        time.sleep(3)
        assert desk.instance(machine)["State"]["Name"] == "running"  # the cloud still answers, and ends nothing
    finally:
        process.resume()
    wait_for("the machine to answer", lambda: desk.try_ssh(address, "true").returncode == 0)
    wait_for("its clock to be right", lambda: on_time(desk, address, within_s=2.5))
    assert qemu_of(desk.bench, machine).pid == process.pid


def test_a_machine_killed_from_outside(desk: Desk, machine: str) -> None:
    store_id = desk.run("tiny-store")
    desk.wait_state(store_id, "running")
    address = desk.instance(machine)["PrivateIpAddress"]
    desk.ssh(address, "echo synced > ~/note; sync")
    for instance_id in (machine, store_id):
        qemu_of(desk.bench, instance_id).kill()
    stopped = desk.wait_state(machine, "stopped")
    ended = desk.wait_state(store_id, "terminated")
    for row in (stopped, ended):
        assert row["StateTransitionReason"].startswith("EXPIRED: Instance expired after not being reported.")
    assert desk.ec2.describe_instances(InstanceIds=[machine])["Reservations"]

    desk.ec2.start_instances(InstanceIds=[machine])
    address = desk.wait_login(machine)
    assert desk.ssh(address, "cat ~/note") == "synced\n"


def test_the_cloud_is_killed_in_the_middle_of_a_start(desk: Desk) -> None:
    bench = desk.bench
    image_id = desk.image("tiny")["ImageId"]
    zone = desk.ec2.describe_availability_zones()["AvailabilityZones"][0]["ZoneName"]

    def ask(token: str) -> str:
        answer = desk.ec2.run_instances(
            ImageId=image_id, MinCount=1, MaxCount=1, ClientToken=token, Placement={"AvailabilityZone": zone}
        )
        return str(answer["Instances"][0]["InstanceId"])

    def ask_and_lose(token: str) -> None:
        # The answer is lost with the process; that is what the token is for.
        with contextlib.suppress(botocore.exceptions.BotoCoreError):
            ask(token)

    started = []
    for number, delay_s in enumerate((0.01, 0.2)):
        token = f"killed-{number}"
        asking = threading.Thread(target=ask_and_lose, args=(token,))
        asking.start()
        time.sleep(delay_s)
        kill_api(bench)
        asking.join()
        bench.educloud("cloud", "start")
        instance_id = ask(token)
        desk.wait_state(instance_id, "running")
        qemu_of(bench, instance_id)  # one, not two
        rows = desk.ec2.describe_instances(Filters=[{"Name": "client-token", "Values": [token]}])["Reservations"]
        assert [i["InstanceId"] for r in rows for i in r["Instances"]] == [instance_id]
        started.append(instance_id)
        desk.ec2.terminate_instances(InstanceIds=[instance_id])
    for instance_id in started:
        desk.wait_state(instance_id, "terminated")
    live = {
        i["InstanceId"]
        for r in desk.ec2.describe_instances()["Reservations"]
        for i in r["Instances"]
        if i["State"]["Name"] == "running"
    }
    processes = [" ".join(p.cmdline()) for p in bench.qemu_processes()]
    assert len(processes) == len(live), processes
    assert all(any(f"guest={instance_id}," in line for line in processes) for instance_id in live)


def test_the_gateway_is_killed(desk: Desk, machine: str) -> None:
    bench = desk.bench
    address = desk.wait_login(machine)
    process = psutil.Process(bench.cloud["pids"]["gateway"]["pid"])
    process.send_signal(signal.SIGKILL)
    process.wait(60)
    assert "not running" in bench.educloud("cloud", "status", check=False).stdout
    before = bench.cloud["gateway"]
    bench.educloud("cloud", "start")
    assert bench.cloud["gateway"] == before  # same port, same host key: nobody's known_hosts complains
    assert desk.ssh(address, "echo through") == "through\n"
