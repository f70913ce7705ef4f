"""The simulated hypervisor keeps the hypervisor's contract."""

from __future__ import annotations

import pytest

from educloud_lab.localcloud.hypervisor.base import (
    BootRefusedError,
    DiskSpec,
    HypervisorError,
    MachineSpec,
    MachineState,
    NoSlotError,
)
from educloud_lab.localcloud.hypervisor.simulated import SLOTS, SimulatedHypervisor


@pytest.fixture
def spec(tmp_path):
    root = tmp_path / "root.qcow2"
    root.touch()
    return MachineSpec(
        instance_id="i-1", architecture="x86_64", cpus=1, memory_bytes=1 << 28, root=DiskSpec("root", root, "r"),
        kernel=None, ramdisk=None, kernel_args="", mac="d0:0d:00:00:00:01", address="172.16.64.16",
        metadata_socket=tmp_path / "md", console_path=tmp_path / "console",
    )  # fmt: skip


def disk(tmp_path, number=0):
    path = tmp_path / f"vol-{number}"
    path.touch()
    return DiskSpec(f"vol-{number}", path, f"euca-vol-{number}-dev-vdb")


async def state(hypervisor):
    return (await hypervisor.report("i-1")).state


async def test_every_step_may_be_repeated(spec, tmp_path):
    hypervisor = SimulatedHypervisor()
    await hypervisor.open()
    for _ in range(2):
        await hypervisor.start(spec)
        await hypervisor.attach("i-1", disk(tmp_path))
    assert (await hypervisor.report("i-1")).disk_ids == ("vol-0",)
    for _ in range(2):
        await hypervisor.detach("i-1", "vol-0")
    for _ in range(2):
        await hypervisor.shut_down("i-1", grace_s=1)
    report = await hypervisor.report("i-1")
    assert (report.state, report.reason) == (MachineState.ENDED, "guest-shutdown")
    for _ in range(2):
        await hypervisor.kill("i-1")
        await hypervisor.forget("i-1")
    assert await state(hypervisor) is MachineState.ABSENT
    await hypervisor.kill("i-unknown")


async def test_machines_survive_the_process(spec, tmp_path):
    first = SimulatedHypervisor(keep=tmp_path / "machines.json")
    await first.start(spec)
    await first.attach("i-1", disk(tmp_path))
    await first.close()
    second = SimulatedHypervisor(keep=tmp_path / "machines.json")
    await second.open()
    assert await second.report_all() == await first.report_all()


async def test_what_cannot_be(spec, tmp_path):
    hypervisor = SimulatedHypervisor()
    with pytest.raises(HypervisorError):
        await hypervisor.attach("i-1", disk(tmp_path))
    spec.root.path.unlink()
    with pytest.raises(BootRefusedError):
        await hypervisor.start(spec)
    assert await state(hypervisor) is MachineState.ABSENT
    spec.root.path.touch()
    await hypervisor.start(spec)
    for number in range(SLOTS):
        await hypervisor.attach("i-1", disk(tmp_path, number))
    with pytest.raises(NoSlotError):
        await hypervisor.attach("i-1", disk(tmp_path, SLOTS))


async def test_it_never_claims_to_give_ssh(spec):
    hypervisor = SimulatedHypervisor()
    await hypervisor.start(spec)
    assert await hypervisor.endpoint("i-1", 22) is None
