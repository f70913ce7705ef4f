"""Two faults on demand on real machines: an image whose ramdisk was forgotten, and a node that dies."""

from __future__ import annotations

import psutil
import pytest

from educloud_lab.localcloud.faults.client import FaultClient
from tests.system.by_hand import Desk, qemu_of
from tests.system.conftest import Bench, wait_for

pytestmark = pytest.mark.qemu


@pytest.fixture(scope="module")
def desk(module_bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> Desk:
    module_bench.educloud("cloud", "start")
    return Desk.open(module_bench, tmp_path_factory.mktemp("desk"), "key")


@pytest.fixture
def faults(desk: Desk) -> FaultClient:
    return FaultClient.of_home(desk.bench.home)


def console(desk: Desk, instance_id: str) -> str:
    return str(desk.ec2.get_console_output(InstanceId=instance_id).get("Output", ""))


@pytest.fixture(scope="module")
def healed(desk: Desk) -> str:
    """A machine that once stood in a kernel panic, and boots since it was stopped and started."""
    with FaultClient.of_home(desk.bench.home).fault("image-does-not-boot", count=1):
        instance_id = desk.run("tiny")
        desk.wait_state(instance_id, "running")
        wait_for("the kernel's panic", lambda: "Kernel panic" in console(desk, instance_id))
        assert "SSH HOST KEY" not in console(desk, instance_id)
        assert desk.instance(instance_id)["State"]["Name"] == "running"
        desk.ec2.stop_instances(InstanceIds=[instance_id], Force=True)
        desk.wait_state(instance_id, "stopped")
    desk.ec2.start_instances(InstanceIds=[instance_id])
    desk.wait_login(instance_id)
    return instance_id


def test_a_forgotten_ramdisk_panics_and_a_stop_and_start_boots(desk: Desk, healed: str) -> None:
    assert "SSH HOST KEY" in console(desk, healed).rpartition("Kernel panic")[2]


def test_a_kernel_of_another_architecture_is_refused(desk: Desk, faults: FaultClient) -> None:
    with faults.fault("image-does-not-boot", cause="wrong-architecture"):
        row = desk.wait_state(desk.run("tiny"), "terminated")
    assert "is for another architecture (ELF machine 183)" in row["StateTransitionReason"]


def test_a_node_dies_with_its_machines_and_comes_back_without_them(
    desk: Desk, faults: FaultClient, healed: str
) -> None:
    instance_id, address = healed, desk.instance(healed)["PrivateIpAddress"]
    desk.ssh(address, "echo synced > ~/note; sync")
    process = qemu_of(desk.bench, instance_id)
    zones = lambda: [z["State"] for z in desk.ec2.describe_availability_zones()["AvailabilityZones"]]  # noqa: E731
    with faults.fault("node-dies", expire_s=3600):
        wait_for("its power to be off", lambda: not alive(process))
        assert desk.instance(instance_id)["State"]["Name"] == "running"
        assert zones() == ["unavailable"]
    row = desk.wait_state(instance_id, "stopped")
    assert row["StateTransitionReason"].startswith("EXPIRED: Instance expired after not being reported.")
    assert zones() == ["available"]
    desk.ec2.start_instances(InstanceIds=[instance_id])
    assert desk.ssh(desk.wait_login(instance_id), "cat ~/note") == "synced\n"


def alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
