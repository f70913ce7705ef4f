"""The whole lab meeting what goes wrong, with real servers, a real cloud and real machines.

Each fault: a clear message, nothing lost, and the next Start works.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from educloud_lab.broker.tags import volume_tags
from educloud_lab.domain.errors import EducloudError, HostKeyError
from tests.system.at_lab import (
    Records,
    act,
    delete,
    open_terminal,
    refusal,
    run_with,
    start,
    volume_file,
    wait_step,
    watching,
)
from tests.system.by_hand import client, exported, kill_api, qemu_of
from tests.system.conftest import ROOT, Bench, JupyterLab, wait_for

pytestmark = pytest.mark.qemu

LAB = """Ada's "first" lab — лаб <b>& $HOME `x` ☃"""


@pytest.fixture(scope="module")
def records(module_bench: Bench) -> Records:
    return Records(module_bench)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("note books")


@pytest.fixture(scope="module")
def server(module_bench: Bench, folder: Path) -> JupyterLab:
    module_bench.educloud("cloud", "start")
    return module_bench.lab(folder)


@pytest.fixture
def ready(server: JupyterLab) -> dict[str, Any]:
    """The lab's machine, ready: the one of the test before, when that left it so."""
    start(server, LAB)
    return server.wait_phase(LAB, "ready")


def everything(bench: Bench) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the live instances and the volumes that the cloud has, but the instances' own system disks."""
    ec2 = client(exported(bench.educloud("cloud", "env").stdout))
    instances = [i for r in ec2.describe_instances()["Reservations"] for i in r["Instances"]]
    live = [i for i in instances if i["State"]["Name"] not in ("terminated", "shutting-down")]
    roots = {
        mapping["Ebs"]["VolumeId"]
        for i in live
        for mapping in i["BlockDeviceMappings"]
        if mapping["DeviceName"] == i["RootDeviceName"]
    }
    return live, [v for v in ec2.describe_volumes()["Volumes"] if v["VolumeId"] not in roots]


def in_trouble(server: JupyterLab, lab: str, code: str) -> dict[str, Any]:
    """Wait for trouble with this code; return the problem, which has to be in the three sentences."""
    problem: dict[str, Any] = server.wait_phase(lab, "trouble")["problem"]
    assert problem["code"] == code, problem
    assert problem["what"], problem
    assert problem["kept"], problem
    assert problem["next_step"], problem
    return problem


# Who presses what, and when


def test_start_is_pressed_at_once_by_two_servers(
    module_bench: Bench, server: JupyterLab, folder: Path, records: Records
) -> None:
    other = module_bench.lab(folder)
    try:
        with ThreadPoolExecutor(6) as pool:
            answers = list(pool.map(start, [server, other] * 3, [LAB] * 6))
        assert len({answer["id"] for answer in answers}) == 1
        first, second = server.wait_phase(LAB, "ready"), other.wait_phase(LAB, "ready")
    finally:
        other.stop()
    assert first["instance"]["id"] == second["instance"]["id"]
    assert first["lab"] == LAB
    live, volumes = everything(module_bench)
    assert [i["InstanceId"] for i in live] == [first["instance"]["id"]]
    assert [v["VolumeId"] for v in volumes] == [first["volumes"][0]["id"]]
    tags = {tag["Key"]: tag["Value"] for tag in live[0]["Tags"]}
    assert tags["Name"].startswith(LAB)
    assert len(module_bench.qemu_processes()) == 1
    assert [permit.generation for permit in records.permits(first["id"]) if permit.spent_at] == [1]


def test_the_machines_clock_is_an_hour_off(ready: dict[str, Any], records: Records) -> None:
    """As after an hour of sleep: a certificate of ten minutes is good again as soon as the clock is."""
    # What date has set, it prints itself: a moment later the clock may have been put right already.
    moved = records.run(ready["id"], "date -u -s @$(($(date +%s) - 3600)) +%s", root=True)
    assert time.time() - int(moved) > 3500

    def login() -> bool:
        with contextlib.suppress(EducloudError):
            return "in" in run_with(records.grant(ready["id"]), "echo in")
        return False

    wait_for("a login", login, period_s=0.5)


def test_a_terminal_through_a_stop(server: JupyterLab, ready: dict[str, Any]) -> None:
    page = open_terminal(server, ready["id"])
    try:
        page.wait(r"student@\S+")
        page.type("echo kept-$((40+2)) | tee /data/note; sync\r")
        page.wait(r"\nkept-42")
        act(server, ready, "stop")
        page.wait(r"has ended: [\s\S]*put to sleep[\s\S]*files in /data are kept[\s\S]*Press Enter to connect again")
        server.wait_phase(LAB, "asleep")
        page.type("lost\r")  # too early: it says what it waits for, and what is typed goes nowhere
        page.wait(r"Waiting for the machine: The machine is not running")
        start(server, LAB)
        assert server.wait_phase(LAB, "ready")["instance"]["id"] == ready["instance"]["id"]
        page.wait(r"student@\S+")
        page.type("cat /data/note; echo again-$((1+1))\r")
        text = page.wait(r"\nagain-2")
        assert "\nkept-42" in text
        assert "lost" not in text
    finally:
        page.close()


def test_start_while_stopping_and_stop_while_starting(server: JupyterLab, ready: dict[str, Any]) -> None:
    act(server, ready, "stop")
    wait_step(server, LAB, "unmount")
    assert start(server, LAB)["phase"] in ("waiting", "starting")
    again = server.wait_phase(LAB, "ready")
    assert again["instance"]["id"] == ready["instance"]["id"]
    act(server, ready, "stop")
    server.wait_phase(LAB, "asleep")

    start(server, LAB)
    wait_step(server, LAB, "connect")
    assert act(server, ready, "stop")["phase"] in ("waiting", "stopping")
    asleep = server.wait_phase(LAB, "asleep")
    assert asleep["volumes"][0]["stage"] == "available"
    assert asleep["problem"] is None


# Processes that are killed


def test_the_cloud_is_killed_while_a_machine_runs(
    module_bench: Bench, server: JupyterLab, ready: dict[str, Any], records: Records
) -> None:
    """While the cloud is down nobody says that the machine is gone; it comes back by itself, and Stop is done then."""
    with watching(server):
        kill_api(module_bench)
        act(server, ready, "stop")  # asks the cloud at once

        def out_of_sight() -> dict[str, Any]:
            _, snapshot = server.call("GET", "snapshot")
            (lease,) = [each for each in snapshot["leases"] if each["lab"] == LAB]
            assert lease["phase"] in ("stopping", "asleep"), lease
            assert "by itself" not in lease["headline"], lease
            return {} if snapshot["cloud"]["reachable"] else snapshot["cloud"]

        cloud = wait_for("the cloud to be reported", out_of_sight)
        assert cloud["problem"]["code"] == "cloud-unreachable"
        assert cloud["problem"]["next_step"]
        asleep = server.wait_phase(LAB, "asleep")
    assert asleep["instance"]["id"] == ready["instance"]["id"]
    _, snapshot = server.call("GET", "snapshot")
    assert snapshot["cloud"]["reachable"]

    # and in the middle of a start, by the course's own command
    start(server, LAB)
    wait_step(server, LAB, "instance")
    kill_api(module_bench)
    module_bench.educloud("cloud", "start")
    again = server.wait_phase(LAB, "ready")
    assert again["instance"]["id"] == ready["instance"]["id"]
    assert again["volumes"][0]["id"] == ready["volumes"][0]["id"]
    assert len(module_bench.qemu_processes()) == 1
    assert records.run(ready["id"], "cat /data/note") == "kept-42\n"


def test_a_machine_is_killed_from_outside(
    module_bench: Bench, server: JupyterLab, ready: dict[str, Any], records: Records
) -> None:
    records.run(ready["id"], "echo synced >/data/synced; sync /data/synced")
    with watching(server):
        qemu_of(module_bench, ready["instance"]["id"]).kill()
        asleep = server.wait_phase(LAB, "asleep")
    assert asleep["problem"]["code"] == "machine-died"
    assert "stopped by itself" in asleep["problem"]["what"]
    assert "volume is kept" in asleep["problem"]["kept"]
    assert "Start brings it back" in asleep["problem"]["next_step"]
    start(server, LAB)
    again = server.wait_phase(LAB, "ready")
    assert again["problem"] is None
    assert again["volumes"][0]["file_system_uuid"] == ready["volumes"][0]["file_system_uuid"]
    assert records.run(ready["id"], "cat /data/synced") == "synced\n"


def test_the_host_key_changes(server: JupyterLab, ready: dict[str, Any], records: Records) -> None:
    key = "/etc/ssh/ssh_host_ed25519_key"
    records.run(
        ready["id"],
        f"rm {key} {key}.pub && ssh-keygen -q -t ed25519 -N '' -f {key} </dev/null && kill -HUP $(cat /run/sshd.pid)",
        root=True,
    )

    def changed() -> bool:
        with contextlib.suppress(EducloudError):
            run_with(records.grant(ready["id"]), "true")
            return False
        return isinstance(refusal(records.grant(ready["id"])), HostKeyError)

    wait_for("the machine to show its new key", changed)
    page = open_terminal(server, ready["id"])
    try:
        said = page.wait(r"Press Enter to connect again")
        assert "Another SSH host key than expected" in said
        assert "refused before anything was sent" in said
    finally:
        page.close()

    delete(server, LAB)
    start(server, LAB)
    again = server.wait_phase(LAB, "ready")
    assert again["generation"] == ready["generation"] + 1
    assert again["host_key_source"] == "pinned"
    assert again["host_key_fingerprint"] != ready["host_key_fingerprint"]
    assert records.run(ready["id"], "cat /data/note") == "kept-42\n"
    delete(server, LAB)


def test_the_server_is_killed_in_the_middle_of_a_start(
    module_bench: Bench, server: JupyterLab, records: Records
) -> None:
    """Three times in one start: before the cloud can have answered, while connecting, and with the disk in hand."""
    lab = "killed"
    lease = start(server, lab)
    instances = set()
    for steps in ((), ("connect",), ("disk", "format", "mount")):
        if steps:
            seen = wait_step(server, lab, *steps)
            instances.add(seen["instance"]["id"])
        server.kill()
        server.start()
    found = server.wait_phase(lab, "ready")
    assert found["id"] == lease["id"]
    assert instances == {found["instance"]["id"]}
    assert found["generation"] == 1
    mine = [v for v in everything(module_bench)[1] if {"Key": "educloud-lease", "Value": lease["id"]} in v["Tags"]]
    assert [v["VolumeId"] for v in mine] == [found["volumes"][0]["id"]]
    assert len(module_bench.qemu_processes()) == 1
    spent = [permit for permit in records.permits(lease["id"]) if permit.spent_at]
    assert len({permit.file_system_uuid for permit in spent}) == 1
    assert found["volumes"][0]["file_system_uuid"] == spent[0].file_system_uuid
    on_disk = records.run(lease["id"], "blkid -o value -s UUID $(findmnt -no SOURCE /data)", root=True)
    assert on_disk.strip() == spent[0].file_system_uuid
    delete(server, lab)


# Volumes that hold something already

THESIS = b"a thesis in a format of its own; "


def make_foreign(folder: Path, kind: str) -> Path:
    """Make a disk of 1 GiB as qcow2: a file system, bytes that nobody can make sense of, or those on a broken disk."""
    raw, done = folder / f"{kind}.raw", folder / f"{kind}.qcow2"
    with raw.open("wb") as disk:
        if kind != "ext4":
            disk.seek(100_000)
            disk.write(THESIS * 10_000)
        disk.truncate(1024**3)
    if kind == "ext4":
        (folder / "theirs").mkdir()
        (folder / "theirs/thesis.txt").write_text("three years of work")
        subprocess.run(
            ["mke2fs", "-q", "-t", "ext4", "-d", str(folder / "theirs"), str(raw)],
            check=True,
            env=os.environ | {"PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"},
        )
    subprocess.run(["qemu-img", "convert", "-O", "qcow2", str(raw), str(done)], check=True)
    if kind == "broken":
        with done.open("r+b") as disk:
            disk.seek(40)  # where qcow2's header says where its first table is, which says where the second one is
            disk.seek(int.from_bytes(disk.read(8), "big"))
            second = int.from_bytes(disk.read(8), "big") & 0x00FFFFFFFFFFFE00
            disk.seek(second + 8)
            entry = int.from_bytes(disk.read(8), "big")
            assert entry
            disk.seek(second + 8)
            disk.write((entry + 0x200).to_bytes(8, "big"))  # no place for a cluster: reading it is an error
    return done


def test_a_volume_that_holds_something_already(
    module_bench: Bench, server: JupyterLab, records: Records, tmp_path: Path
) -> None:
    """The volume of a lease that never ran, adopted by its tags, is not blank: never formatted, whatever it is."""
    ec2 = client(exported(module_bench.educloud("cloud", "env").stdout))
    kinds = {
        "ext4": ("volume-not-blank", "ext4"),
        "unknown": ("volume-not-blank", "holds"),
        "broken": ("volume-unreadable", "cannot be read"),
    }
    volumes = {}
    for kind in kinds:
        status, lease = server.call("POST", "leases", {"lab": kind, "machine_profile": "tiny"})
        assert status == 200, lease
        deployment = records.ask(lambda tx: tx.meta("deployment"))
        assert deployment
        tags = volume_tags(deployment, records.lease(lease["id"]), records.volume(lease["id"]))
        made = ec2.create_volume(
            Size=1,
            AvailabilityZone=ec2.describe_availability_zones()["AvailabilityZones"][0]["ZoneName"],
            TagSpecifications=[
                {"ResourceType": "volume", "Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}
            ],
        )["VolumeId"]

        def available(volume_id: str = made) -> bool:
            return bool(ec2.describe_volumes(VolumeIds=[volume_id])["Volumes"][0]["State"] == "available")

        wait_for("the volume", available)
        volumes[kind] = volume_file(module_bench, made)
        shutil.copyfile(make_foreign(tmp_path, kind), volumes[kind])
        start(server, kind)
    for kind, (code, words) in kinds.items():
        problem = in_trouble(server, kind, code)
        assert words in problem["what"], problem
        assert re.search(r"not formatted|not changed", problem["kept"]), problem
        delete(server, kind)
        if kind == "broken":  # QEMU has marked the file; what it holds is where it was
            assert volumes[kind].read_bytes().count(THESIS) == (tmp_path / "broken.qcow2").read_bytes().count(THESIS)
        else:
            subprocess.run(["qemu-img", "compare", str(tmp_path / f"{kind}.qcow2"), str(volumes[kind])], check=True)

    # Somebody saved the thesis elsewhere and emptied the disk.
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(volumes["ext4"]), "1G"], check=True)
    start(server, "ext4")
    assert server.wait_phase("ext4", "ready")["volumes"][0]["id"] == volumes["ext4"].stem
    delete(server, "ext4")


# What is missing or wrong around it


def test_the_image_of_a_profile_is_missing(module_bench: Bench, server: JupyterLab) -> None:
    profiles = module_bench.home / "profiles"
    profiles.mkdir()
    text = (ROOT / "educloud_lab/app/profiles/tiny.toml").read_text()
    (profiles / "mine.toml").write_text(text.replace('image = "tiny"', 'image = "nowhere"'))
    server.stop()
    server.start()
    start(server, "mine", profile="mine")
    problem = in_trouble(server, "mine", "bad-profile")
    assert "no image 'nowhere'" in problem["what"]
    assert "tiny" in problem["what"]
    (profiles / "mine.toml").write_text(text.replace("revision = 1", "revision = 2"))
    server.stop()
    server.start()
    server.wait_broker()
    act(server, server.lease("mine"), "start")
    wait_step(server, "mine", "address")
    assert server.lease("mine")["machine_profile"]["revision"] == 2
    delete(server, "mine")


def test_the_access_key_is_wrong(module_bench: Bench, server: JupyterLab) -> None:
    """The cloud refuses the broker: nothing is started, and once the key is right again Start works."""
    path = module_bench.home / "cloud/credentials.json"
    before = path.read_text()
    data = json.loads(before)
    data["accounts"]["educloud"]["secret_key"] = "another" * 5
    path.write_text(json.dumps(data))
    try:
        start(server, "keys")
        problem = in_trouble(server, "keys", "cloud-auth")
        assert "another" not in json.dumps(problem)
        assert everything_of(server, "keys") == (None, None)
    finally:
        path.write_text(before)
    start(server, "keys")
    wait_step(server, "keys", "address")
    act(server, server.lease("keys"), "stop")
    server.wait_phase("keys", "asleep")
    assert module_bench.qemu_processes() == []


def everything_of(server: JupyterLab, lab: str) -> tuple[Any, Any]:
    """Return the instance and the volume's id of a lab."""
    lease = server.lease(lab)
    return lease["instance"], lease["volumes"][0]["id"]


class SmallDisk:
    """A local cloud that has its volumes on a file system of its own, which can be made smaller and larger."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.folder = bench.home / "cloud/volumes"
        self.folder.mkdir(parents=True, mode=0o700)
        (bench.home / "cloud").chmod(0o700)
        mount = ["mount", "-t", "tmpfs", "-o", "size=8m,mode=0700", "none", str(self.folder)]
        # root of a computer may mount; anybody else (and root of a container) mounts in a namespace of their own.
        self.mounted = os.geteuid() == 0 and not subprocess.run(mount, check=False, capture_output=True).returncode
        command = [sys.executable, "-m", "educloud_lab", "cloud", "start"]
        if not self.mounted:
            script = 'mount -t tmpfs -o size=8m,mode=0700 none "$0" && exec "$@"'
            command = ["unshare", "-Urm", "sh", "-c", script, str(self.folder), *command]
        try:
            subprocess.run(command, check=True, env=bench.env, cwd=ROOT, capture_output=True)
        except BaseException:
            self.close()
            raise

    def resize(self, size: str) -> None:
        # with its source named, mount does not add options from mtab, which a user namespace refuses
        command = ["mount", "-o", f"remount,size={size}", "none", str(self.folder)]
        if not self.mounted:
            pid = str(self.bench.cloud["pids"]["api"]["pid"])
            command = ["nsenter", "-t", pid, "-U", "-m", "--preserve-credentials", *command]
        subprocess.run(command, check=True, capture_output=True)

    def close(self) -> None:
        try:
            for process in self.bench.qemu_processes():
                process.kill()
            self.bench.educloud("cloud", "stop", check=False)
        finally:
            # Lazily, as the last process may still be ending; pytest deletes the folder, and would stop at a mount.
            if self.mounted:
                subprocess.run(["umount", "-l", str(self.folder)], check=True)
        self.bench.educloud("cloud", "reset", "--yes", check=False)


@pytest.fixture
def small_disk(bench: Bench) -> Iterator[SmallDisk]:
    # The same runtime folder inside and outside of a user namespace.
    with tempfile.TemporaryDirectory(prefix="edu", dir="/tmp") as runtime:  # short: it will hold sockets
        bench.env["XDG_RUNTIME_DIR"] = runtime
        made = SmallDisk(bench)
        try:
            yield made
        finally:
            try:
                for server in bench.servers:
                    server.stop()
            finally:
                made.close()


def test_the_disk_is_full(bench: Bench, small_disk: SmallDisk, folder: Path) -> None:
    server = bench.lab(folder)
    start(server, "full")
    problem = in_trouble(server, "full", "quota")
    assert "Not enough storage for a volume of 1 GiB" in problem["what"]
    assert "Nothing was changed" in problem["kept"]
    assert server.lease("full")["volumes"][0]["id"] is None
    small_disk.resize("3g")
    start(server, "full")
    lease = server.wait_phase("full", "ready")
    assert lease["volumes"][0]["stage"] == "mounted"
