"""The simulated hypervisor keeps the hypervisor's contract."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from educloud_lab.localcloud.clock import VirtualClock
from educloud_lab.localcloud.hypervisor.base import (
    BootRefusedError,
    DiskSpec,
    HypervisorError,
    MachineSpec,
    MachineState,
    NoSlotError,
)
from educloud_lab.localcloud.hypervisor.simulated import SLOTS, Pace, SimulatedHypervisor


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


async def turns():
    for _ in range(20):
        await asyncio.sleep(0)


async def test_machines_take_their_time_by_the_clock(spec, tmp_path):
    clock = VirtualClock()
    hypervisor = SimulatedHypervisor(clock=clock, pace=Pace(start_s=10, stop_s=4, attach_s=2, detach_s=1))
    steps = (
        (lambda: hypervisor.start(spec), 10, MachineState.ABSENT, MachineState.RUNNING),
        (lambda: hypervisor.attach("i-1", disk(tmp_path)), 2, MachineState.RUNNING, MachineState.RUNNING),
        (lambda: hypervisor.detach("i-1", "vol-0"), 1, MachineState.RUNNING, MachineState.RUNNING),
        (lambda: hypervisor.shut_down("i-1", grace_s=30), 4, MachineState.RUNNING, MachineState.ENDED),
    )
    for act, length_s, during, after in steps:
        task = asyncio.create_task(act())
        await turns()
        clock.advance(length_s - 0.1)
        await turns()
        assert not task.done()
        assert await state(hypervisor) is during
        clock.advance(0.1)
        await task
        assert await state(hypervisor) is after


async def test_a_machine_is_off_when_the_grace_is_over(spec):
    clock = VirtualClock()
    hypervisor = SimulatedHypervisor(clock=clock, pace=Pace(stop_s=60))
    await hypervisor.start(spec)
    task = asyncio.create_task(hypervisor.shut_down("i-1", grace_s=5))
    await turns()
    clock.advance(5)
    await task
    assert await state(hypervisor) is MachineState.ENDED


async def test_a_machine_that_is_killed_while_it_starts_never_runs(spec):
    hypervisor = SimulatedHypervisor(clock=VirtualClock(), pace=Pace(start_s=10))
    task = asyncio.create_task(hypervisor.start(spec))
    await turns()
    await hypervisor.kill("i-1")
    with pytest.raises(HypervisorError):
        await task
    assert await state(hypervisor) is MachineState.ABSENT


async def test_it_says_on_the_console_that_nobody_can_log_in(spec):
    hypervisor = SimulatedHypervisor()
    await hypervisor.start(spec)
    assert "cannot be logged in to" in spec.console_path.read_text()
    assert hypervisor.reachable is False


async def test_a_change_costs_a_line_and_a_torn_one_is_passed_over(spec, tmp_path):
    keep = tmp_path / "machines.jsonl"
    first = SimulatedHypervisor(keep=keep)
    await first.start(spec)
    size = keep.stat().st_size
    for number in range(1, 30):
        await first.start(replace(spec, instance_id=f"i-{number}"))
    assert keep.stat().st_size < 60 * size
    # Not closed in order: what it would write then is not there after a kill.
    first._journal._stream.close()
    with keep.open("a") as stream:  # the process is killed while it writes
        stream.write('["i-9", {"console": ')
    second = SimulatedHypervisor(keep=keep)
    await second.open()
    assert set(await second.report_all()) == {f"i-{number}" for number in range(1, 30)}
    await second.kill("i-5")
    await second.forget("i-5")
    second._journal._stream.close()
    third = SimulatedHypervisor(keep=keep)
    await third.open()
    assert set(await third.report_all()) == {f"i-{number}" for number in range(1, 30) if number != 5}


async def test_the_journal_does_not_grow_for_ever(spec, tmp_path):
    keep = tmp_path / "machines.jsonl"
    hypervisor = SimulatedHypervisor(keep=keep)
    for _ in range(20):
        await hypervisor.start(spec)
        await hypervisor.kill("i-1")
        await hypervisor.forget("i-1")
    await hypervisor.close()
    assert keep.read_text() == ""


async def test_it_tells_which_machines_ended(spec):
    hypervisor = SimulatedHypervisor()
    for number in range(1, 4):
        await hypervisor.start(replace(spec, instance_id=f"i-{number}"))
    assert hypervisor.changed() == frozenset()
    hypervisor.power_off_from_inside("i-1")
    hypervisor.lose("i-3")
    assert hypervisor.changed() == {"i-1", "i-3"}
    assert hypervisor.changed() == frozenset()
