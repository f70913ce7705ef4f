"""A whole local cloud in one process, with simulated machines, no sockets and a clock that stands still."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from educloud_lab.localcloud.cloud import Caller
from educloud_lab.localcloud.hypervisor.simulated import SimulatedHypervisor
from educloud_lab.localcloud.operations.perform import perform
from educloud_lab.localcloud.service import LocalCloud
from educloud_lab.localcloud.settings import Folders, Settings


class StandingClock:
    """A clock that moves only when told."""

    def __init__(self):
        self.moment = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)

    def __call__(self):
        return self.moment

    def move(self, seconds):
        self.moment += timedelta(seconds=seconds)


def write_image(home: Path, name: str, *, root_device_type: str = "ebs", content: bytes = b"root", **changes):
    """Write a built image as the image builder leaves it."""
    folder = home / "images" / name
    folder.mkdir(parents=True, exist_ok=True)
    files = {"kernel": "vmlinux", "ramdisk": "ramdisk.img", "root": "root.qcow2"}
    contents = {"vmlinux": b"kernel", "ramdisk.img": b"ramdisk", "root.qcow2": content}
    for file_name, data in contents.items():
        (folder / file_name).unlink(missing_ok=True)
        (folder / file_name).write_bytes(data)
    manifest = {
        "schema": 1, "name": name, "version": f"2026.11.22-{hashlib.sha256(content).hexdigest()[:8]}",
        "title": f"The {name} image", "description": "for tests", "architecture": "x86_64",
        "virtualization_type": "hvm", "root_device_type": root_device_type, "files": files,
        "sha256": {n: hashlib.sha256(d).hexdigest() for n, d in contents.items()},
        "root_size_bytes": 1 << 30, "min_memory_bytes": 128 << 20, "kernel_args": "console=ttyS0",
        "login_user": "student",
    }  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps({**manifest, **changes}))


class Bench:
    """A cloud under test, driven without HTTP."""

    def __init__(self, home: Path, hypervisor: type[SimulatedHypervisor] = SimulatedHypervisor):
        self.home = home
        self.clock = StandingClock()
        self.hypervisor = hypervisor(keep=home / "machines.json", now=self.clock)
        self.memory = None
        self.service = self._new()

    def _new(self):
        settings = Settings(Folders(self.home), hypervisor="simulated", watch_period_s=0.01)
        return LocalCloud(
            settings, hypervisor=self.hypervisor, now=self.clock, machine_memory_bytes=lambda: self.memory
        )

    async def open(self):
        await self.service.open(supervise=False)

    async def restart(self):
        """The cloud's process ends and another one starts."""
        await self.service.close()
        self.service = self._new()
        await self.open()

    def write_image(self, name, **changes):
        write_image(self.home, name, **changes)

    async def settle(self):
        await self.service.supervisor.settle()

    async def call(self, action, account="educloud", **query):
        """Parse flat query parameters, run the operation, and return what it answers."""
        names = {name.replace("__", "."): str(value) for name, value in query.items()}
        caller = Caller(self.service.accounts.named(account)[0], "request", "http://127.0.0.1:8773")
        operation, answer = await perform(self.service.cloud, caller, action, names)
        # Every answer can be written.
        self.service.cloud.model.render(operation, answer, "2016-11-15", "request")
        return answer

    async def image(self, name="tiny"):
        images = (await self.call("DescribeImages"))["Images"]
        return next(i["ImageId"] for i in images if i["Name"] == name)

    async def run(self, image="tiny", **query):
        """Start one machine and wait until it runs."""
        arguments = {"ImageId": await self.image(image), "MinCount": 1, "MaxCount": 1, **query}
        reservation = await self.call("RunInstances", **arguments)
        await self.settle()
        return reservation["Instances"][0]["InstanceId"]

    async def instance(self, instance_id):
        answer = await self.call("DescribeInstances", InstanceId__1=instance_id)
        return answer["Reservations"][0]["Instances"][0]

    async def volume(self, volume_id):
        return (await self.call("DescribeVolumes", VolumeId__1=volume_id))["Volumes"][0]

    async def make_volume(self, **query):
        answer = await self.call("CreateVolume", **{"AvailabilityZone": "one", "Size": 1, **query})
        await self.settle()
        return answer["VolumeId"]


@pytest.fixture
async def bench(tmp_path):
    write_image(tmp_path, "tiny")
    write_image(tmp_path, "tiny-store", root_device_type="instance-store")
    bench = Bench(tmp_path)
    await bench.open()
    yield bench
    await bench.service.close()


@pytest.fixture
def make_bench():
    """Make a cloud that is not open yet, with an image of a given content and another kind of machines."""

    def make(home, hypervisor=SimulatedHypervisor, **image):
        write_image(home, "tiny", **image)
        return Bench(home, hypervisor)

    return make
