"""Write, stop, start as the same or as another machine: real machines, and in each cycle something is killed or lost.

Every file that was ever written and synced is still there, by its checksum. ``EDUCLOUD_CYCLES`` says how many.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from traitlets.config import Config

from educloud_lab.app.wiring import build_broker
from educloud_lab.broker.broker import Broker
from educloud_lab.localcloud.faults.client import FaultClient
from educloud_lab.ports.records import VolumeRecord
from educloud_lab.wire import models as wire
from tests.system.at_lab import Records
from tests.system.by_hand import kill_api
from tests.system.conftest import Bench, make_bench

CYCLES = int(os.environ.get("EDUCLOUD_CYCLES", "5"))
PERSON, LAB = "ada", "cycles"
WAIT_S = 240

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(300 + 120 * CYCLES)]


@pytest.fixture
def bench(tmp_path: Path, images: Path) -> Iterator[Bench]:
    made = make_bench(tmp_path, images)
    yield made
    made.close()


class Desk:
    """A person at a broker that can be taken away, and the cloud that it uses."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.records = Records(bench)
        self.broker: Broker | None = None
        self.lease_id = ""

    async def open(self) -> Broker:
        """Return the broker, built as the product builds it when there is none."""
        if self.broker is None:
            self.broker = await build_broker(Config({"Educloud": {"home": str(self.bench.home)}}))
        return self.broker

    async def leave(self) -> None:
        """Take the broker away; what it was doing stays as it is."""
        if self.broker is not None:
            broker, self.broker = self.broker, None
            await broker.close()

    async def until(self, *phases: str) -> wire.Lease:
        """Wait until the lease shows one of these phases."""
        broker = await self.open()
        async with asyncio.timeout(WAIT_S):
            async for snapshot in broker.watch(PERSON):
                for lease in snapshot.leases:
                    assert "trouble" in phases or lease.phase != "trouble", lease.problem
                    if lease.phase in phases:
                        return lease
        raise AssertionError("the broker stopped telling")

    async def run(self, script: str, *, root: bool = False) -> str:
        """Run something on the machine, which has to succeed."""
        return await asyncio.to_thread(lambda: self.records.run(self.lease_id, script, root=root))

    async def volume(self) -> VolumeRecord:
        """Read the volume's record."""
        return await asyncio.to_thread(self.records.volume, self.lease_id)

    async def start(self) -> None:
        """Press Start."""
        broker = await self.open()
        lease = await broker.ensure_lease(PERSON, wire.LeaseRequest(lab=LAB, machine_profile="tiny", start=True))
        self.lease_id = lease.id

    async def stop(self, *, delete: bool) -> None:
        """Press Stop, or delete the machine: its successor is another one."""
        broker = await self.open()
        if delete:
            await broker.delete(PERSON, self.lease_id, confirm=LAB)
        else:
            await broker.stop(PERSON, self.lease_id)

    def fault(self, kind: str, operation: str) -> None:
        """Let the next call of an operation go wrong."""
        FaultClient.of_home(self.bench.home).add(kind, operation=operation, count=1)


async def api_killed(desk: Desk) -> None:
    """SIGKILL the cloud's API while it is being used, and start it again."""
    await asyncio.to_thread(kill_api, desk.bench)
    await asyncio.to_thread(desk.bench.educloud, "cloud", "start")


async def detach_reply_lost(desk: Desk) -> None:
    """The volume is detached, and nobody says so."""
    await asyncio.to_thread(desk.fault, "lost-reply", "DetachVolume")


async def attach_reply_lost(desk: Desk) -> None:
    """The volume is attached, and nobody says so."""
    await asyncio.to_thread(desk.fault, "lost-reply", "AttachVolume")


async def answer_cut(desk: Desk) -> None:
    """A description ends in the middle, and the machine's end gets no answer."""
    await asyncio.to_thread(desk.fault, "truncated-xml", "DescribeVolumes")
    await asyncio.to_thread(desk.fault, "lost-reply", "StopInstances")
    await asyncio.to_thread(desk.fault, "lost-reply", "TerminateInstances")


async def broker_gone(desk: Desk) -> None:
    """The broker goes away in the middle, and another one takes over."""
    await desk.leave()
    await desk.open()


Happening = Callable[[Desk], Awaitable[None]]
WHILE_STOPPING: tuple[Happening, ...] = (api_killed, detach_reply_lost, broker_gone, answer_cut, api_killed)
WHILE_STARTING: tuple[Happening, ...] = (attach_reply_lost, broker_gone, api_killed, attach_reply_lost, broker_gone)


async def test_a_busy_volume_stays_and_what_was_written_survives_every_cycle(bench: Bench) -> None:
    await asyncio.to_thread(bench.educloud, "cloud", "start")
    desk = Desk(bench)
    try:
        await _cycles(desk)
    finally:
        await desk.leave()


async def _cycles(desk: Desk) -> None:
    sums: dict[str, str] = {}
    machines: list[str] = []
    await desk.start()
    lease = await desk.until("ready")
    await _busy(desk)
    for number in range(CYCLES):
        assert lease.instance is not None
        machines.append(lease.instance.id)
        name = f"file{number}"
        made = await desk.run(f"cd /data && head -c 1500000 /dev/urandom >{name} && sync {name} && sha256sum {name}")
        sums[name] = made.split()[0]
        delete = number % 2 == 1
        happening = WHILE_STOPPING[number % len(WHILE_STOPPING)]
        if happening is not api_killed and happening is not broker_gone:
            await happening(desk)
        await desk.stop(delete=delete)
        if happening is api_killed or happening is broker_gone:
            await happening(desk)
        await desk.until("off" if delete else "asleep")
        happening = WHILE_STARTING[number % len(WHILE_STARTING)]
        if happening is attach_reply_lost:
            await happening(desk)
        await desk.start()
        if happening is not attach_reply_lost:
            await happening(desk)
        lease = await desk.until("ready")
        found = await desk.run("cd /data && sha256sum file*")
        assert {line.split()[1]: line.split()[0] for line in found.splitlines()} == sums
    assert lease.instance is not None
    machines.append(lease.instance.id)
    assert len(set(machines)) == 1 + CYCLES // 2  # another machine after each that was deleted
    volume = await desk.volume()
    permits = await asyncio.to_thread(desk.records.permits, desk.lease_id)
    assert volume.quarantined == ()
    assert sum(permit.spent_at is not None for permit in permits) == 1
    print(f"{CYCLES} cycles, {len(set(machines))} machines, volume {volume.cloud_id}")


async def _busy(desk: Desk) -> None:
    """Something that nobody can end uses the volume: Stop refuses, and the volume stays where it is."""
    await desk.run("mkdir -p /data/inner && mount -t tmpfs none /data/inner && echo here >/data/kept", root=True)
    await desk.stop(delete=False)
    lease = await desk.until("trouble")
    assert lease.problem is not None
    assert lease.problem.code == "volume-busy", lease.problem
    assert (await desk.volume()).may_be_mounted
    assert await desk.run("cat /data/kept; grep -c ' /data ' /proc/mounts", root=True) == "here\n1\n"
    await desk.run("umount /data/inner && rmdir /data/inner && rm /data/kept", root=True)
    await desk.start()
    await desk.until("ready")
