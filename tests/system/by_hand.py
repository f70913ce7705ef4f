"""What a person has at hand against the local cloud: boto3, set as `educloud cloud env` prints it, and OpenSSH."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import botocore.exceptions
import psutil
import pytest
from botocore.config import Config

from educloud_lab.adapters.ec2.session import without_client_token
from tests.system.conftest import Bench, wait_for

BOOT_S = 120  # several times the usual, for a busy host


def exported(text: str) -> dict[str, str]:
    """Return what a shell would have set after ``eval`` of this text."""
    found = {}
    for line in text.splitlines():
        if line.startswith("export "):
            name, _, value = shlex.split(line)[1].partition("=")
            found[name] = value
    return found


def client(settings: Mapping[str, str], **config: Any) -> Any:
    """Return boto3's EC2 client as EUCALYPTUS's own users configure it: no retries, no ClientToken for volumes."""
    ec2 = boto3.session.Session().client(
        "ec2",
        region_name=settings["AWS_DEFAULT_REGION"],
        endpoint_url=settings["AWS_ENDPOINT_URL_EC2"],
        aws_access_key_id=settings["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=settings["AWS_SECRET_ACCESS_KEY"],
        config=Config(retries={"mode": "standard", "total_max_attempts": 1}, proxies={}, **config),
    )
    ec2.meta.events.register("before-call.ec2.CreateVolume", without_client_token)
    return ec2


def let_in(ec2: Any, port: int, *, group: str = "default") -> None:
    """Open a TCP port of a group to everybody, as a person does before the first login; open already is well."""
    try:
        ec2.authorize_security_group_ingress(
            GroupName=group, IpProtocol="tcp", FromPort=port, ToPort=port, CidrIp="0.0.0.0/0"
        )
    except botocore.exceptions.ClientError as error:
        if error.response["Error"]["Code"] != "InvalidPermission.Duplicate":
            raise


@dataclass
class Desk:
    """A started local cloud, and one account's tools."""

    bench: Bench
    folder: Path
    settings: dict[str, str]
    ec2: Any
    key_name: str
    key: Path

    @classmethod
    def open(cls, bench: Bench, folder: Path, key_name: str, *, account: str = "educloud") -> Desk:
        """Make a key pair of the account and write its private half as a person would."""
        folder.mkdir(parents=True, exist_ok=True)
        settings = exported(bench.educloud("cloud", "env").stdout)
        keys = json.loads((bench.home / "cloud/credentials.json").read_text())["accounts"][account]
        settings |= {"AWS_ACCESS_KEY_ID": keys["access_key"], "AWS_SECRET_ACCESS_KEY": keys["secret_key"]}
        ec2 = client(settings)
        key = folder / f"{account}.pem"
        key.write_text(ec2.create_key_pair(KeyName=key_name)["KeyMaterial"])
        key.chmod(0o600)
        let_in(ec2, 22)
        desk = cls(bench, folder, settings, ec2, key_name, key)
        desk.write_ssh_config()
        return desk

    @property
    def gateway(self) -> str:
        """The jump host, as ``-J`` takes it."""
        gateway = self.bench.cloud["gateway"]
        return f"gateway@{gateway['host']}:{gateway['port']}"

    @property
    def known_hosts(self) -> Path:
        return self.folder / "known_hosts"

    def write_ssh_config(self) -> None:
        """Write it: the gateway's key is known beforehand (``cloud.json``), a machine's is accepted once.

        The folder has no spaces: ``ssh -J`` hands the name of this file on without quoting it.
        """
        gateway = self.bench.cloud["gateway"]
        host_key = " ".join(gateway["host_key"].split()[:2])
        known = self.folder / "known_gateway"
        known.write_text(f"[{gateway['host']}]:{gateway['port']} {host_key}\n")
        (self.folder / "ssh_config").write_text(
            f'Host {gateway["host"]}\n  StrictHostKeyChecking yes\n  UserKnownHostsFile "{known}"\n'
            f'Host *\n  IdentityFile "{self.key}"\n  IdentitiesOnly yes\n  IdentityAgent none\n  BatchMode yes\n'
            f'  StrictHostKeyChecking accept-new\n  UserKnownHostsFile "{self.known_hosts}"\n'
            "  HashKnownHosts no\n  ConnectTimeout 20\n  LogLevel ERROR\n"
        )

    def ssh_command(self, address: str, command: str) -> list[str]:
        return ["ssh", "-F", str(self.folder / "ssh_config"), "-J", self.gateway, f"student@{address}", command]

    def try_ssh(self, address: str, command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.ssh_command(address, command), capture_output=True, text=True, timeout=120, check=False,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def ssh(self, address: str, command: str) -> str:
        """Run a command in the machine; it has to succeed."""
        result = self.try_ssh(address, command)
        if result.returncode:
            pytest.fail(f"ssh {address} {command!r}: {result.returncode}\n{result.stdout}\n{result.stderr}")
        return result.stdout

    def image(self, name: str) -> dict[str, Any]:
        images = self.ec2.describe_images(Filters=[{"Name": "image-type", "Values": ["machine"]}])["Images"]
        return next(image for image in images if image["Name"] == name)

    def run(self, image: str, **more: Any) -> str:
        """Ask for one machine with our key pair."""
        answer = self.ec2.run_instances(
            ImageId=self.image(image)["ImageId"], MinCount=1, MaxCount=1, KeyName=self.key_name, **more
        )
        return str(answer["Instances"][0]["InstanceId"])

    def instance(self, instance_id: str) -> dict[str, Any]:
        answer = self.ec2.describe_instances(InstanceIds=[instance_id])
        found: dict[str, Any] = answer["Reservations"][0]["Instances"][0]
        return found

    def volume(self, volume_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.ec2.describe_volumes(VolumeIds=[volume_id])["Volumes"][0]
        return found

    def wait_state(self, instance_id: str, state: str, *, timeout_s: float = 180) -> dict[str, Any]:
        def there() -> dict[str, Any] | None:
            row = self.instance(instance_id)
            return row if row["State"]["Name"] == state else None

        found: dict[str, Any] = wait_for(f"{instance_id} to be {state}", there, timeout_s=timeout_s)
        return found

    def wait_login(self, instance_id: str) -> str:
        """Wait until the machine runs and answers through the gateway; return its address."""
        address = str(self.wait_state(instance_id, "running")["PrivateIpAddress"])
        assert address != "0.0.0.0"

        last = None

        def answers() -> bool:
            nonlocal last
            last = self.try_ssh(address, "true")
            return last.returncode == 0

        try:
            wait_for(f"{instance_id} to answer", answers, timeout_s=BOOT_S, period_s=0.5)
        except BaseException:
            print(last, self.console(instance_id))
            raise
        return address

    def console(self, instance_id: str) -> str:
        return str(self.ec2.get_console_output(InstanceId=instance_id).get("Output", ""))

    def new_volume(self, size_gib: int = 1, **more: Any) -> str:
        zone = self.ec2.describe_availability_zones()["AvailabilityZones"][0]["ZoneName"]
        volume_id = str(self.ec2.create_volume(Size=size_gib, AvailabilityZone=zone, **more)["VolumeId"])
        wait_for(f"{volume_id} to be available", lambda: self.volume(volume_id)["State"] == "available")
        return volume_id

    def attach(self, volume_id: str, instance_id: str, device: str = "/dev/sdf") -> None:
        self.ec2.attach_volume(VolumeId=volume_id, InstanceId=instance_id, Device=device)

        def attached() -> bool:
            return [a["State"] for a in self.volume(volume_id)["Attachments"]] == ["attached"]

        wait_for(f"{volume_id} to be attached", attached)

    def detach(self, volume_id: str) -> None:
        self.ec2.detach_volume(VolumeId=volume_id)
        wait_for(f"{volume_id} to be available", lambda: self.volume(volume_id)["State"] == "available")

    def disk_by_serial(self, address: str, serial: str) -> str:
        """Return the device that shows this serial in the guest, waiting for the plug to arrive there."""
        command = f"grep -lx {serial} /sys/block/vd*/serial"
        found = wait_for(f"a disk {serial} in the guest", lambda: self.try_ssh(address, command).stdout)
        return f"/dev/{Path(found.strip()).parent.name}"

    def known_fingerprint(self, address: str) -> str:
        """Return the fingerprint of the host key that ssh saw."""
        listing = subprocess.run(
            ["ssh-keygen", "-l", "-F", address, "-f", str(self.known_hosts)], capture_output=True, text=True, check=True
        )
        return re.findall(r"SHA256:\S+", listing.stdout)[0]


def qemu_of(bench: Bench, instance_id: str) -> psutil.Process:
    """Return the one QEMU process of a machine."""
    found = [p for p in bench.qemu_processes() if f"guest={instance_id}," in " ".join(p.cmdline())]
    assert len(found) == 1, found
    return found[0]


def kill_api(bench: Bench) -> None:
    """SIGKILL the local cloud's API process and nothing else."""
    process = psutil.Process(bench.cloud["pids"]["api"]["pid"])
    process.kill()
    process.wait(60)
