"""Stuck cases on the local cloud's real API, made by its faults on demand."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

from educloud_lab.adapters.ec2.session import Endpoint
from educloud_lab.adapters.memory.world import PROFILE
from educloud_lab.localcloud.hypervisor.base import MachineState
from educloud_lab.wire import models as wire
from tests.contracts.doctor_rig import ApiWorld
from tests.contracts.faulty_cloud import FaultyCloud, write_image
from tests.patience import LIMIT_S

ANN = "ann"
START = wire.LeaseRequest(lab="01-first", machine_profile="first-steps", start=True)
HEALTHY = ""


class ApiBench:
    """A local cloud with simulated machines, for one case after the other."""

    def __init__(self, home: Path) -> None:
        write_image(home, "tiny-store", "instance-store")
        self.cloud = FaultyCloud(home)
        self.faults = self.cloud.faults()
        self.ec2 = self.cloud.client()

    def world(self, name: str) -> ApiWorld:
        access, secret = self.cloud.keys("educloud")
        return ApiWorld(Endpoint(self.cloud.endpoint, access, "wrong" * 8 if name == "credentials" else secret))

    async def add(self, kind: str, **options) -> None:
        await asyncio.to_thread(lambda: self.faults.add(kind, **options))

    async def over(self, world: ApiWorld) -> None:
        """End what a case left behind."""
        await world.close()

        def end() -> None:
            self.faults.clear()
            rows = [row for group in self.ec2.describe_instances()["Reservations"] for row in group["Instances"]]
            live = [row["InstanceId"] for row in rows if row["State"]["Name"] != "terminated"]
            if live:
                self.ec2.terminate_instances(InstanceIds=live)

        await asyncio.to_thread(end)

    def close(self) -> None:
        self.cloud.close()


Case = Callable[[ApiBench, ApiWorld, random.Random], Awaitable[None]]


async def noise(bench: ApiBench, rng: random.Random) -> None:
    """Things that happen on any cloud and explain nothing."""
    if rng.random() < 0.4:
        await bench.add("throttling", chance_percent=15, seed=rng.randrange(100), operation="DescribeVolumes")
    if rng.random() < 0.3:
        await bench.add("slow-answers", delay_s=0.02)


async def begin(world: ApiWorld):
    broker = await world.broker()
    await broker.ensure_lease(ANN, START)
    return broker


def while_starting(kind: str, seconds: float = 110.0, **options) -> Case:
    async def case(bench: ApiBench, world: ApiWorld, rng: random.Random) -> None:
        await bench.add(kind, **options)
        await noise(bench, rng)
        await begin(world)
        await world.clock.advance(seconds)

    return case


def for_all(kind: str, **options) -> Case:
    """A fault of every request that begins once the lease is there."""

    async def case(bench: ApiBench, world: ApiWorld, rng: random.Random) -> None:
        await bench.add(kind, **({} if kind == "clock-skew" else {"account": "educloud"}), **options)
        await begin(world)
        await world.clock.advance(rng.choice((40.0, 80.0)))

    return case


def silent(kind: str, seconds: float = 170.0, **options) -> Case:
    async def case(bench: ApiBench, world: ApiWorld, rng: random.Random) -> None:
        world.insides.silent = True
        await while_starting(kind, seconds, **options)(bench, world, rng)

    return case


async def pending_on_instance_storage(bench: ApiBench, world: ApiWorld, rng: random.Random) -> None:
    await bench.add("pending-for-ever")
    await noise(bench, rng)
    broker = await world.broker(profiles=[replace(PROFILE, image="tiny-store")])
    await broker.ensure_lease(ANN, START)
    await world.clock.advance(110.0)


async def ready(world: ApiWorld):
    broker = await begin(world)
    await world.until(broker, "ready")
    return broker


async def detach_sticks(bench: ApiBench, world: ApiWorld, rng: random.Random) -> None:
    broker = await ready(world)
    await bench.add("detach-sticks", outcome="stays")
    await broker.stop(ANN, world.lease().id)
    await world.clock.advance(100.0)


async def stop_sticks(bench: ApiBench, world: ApiWorld, rng: random.Random) -> None:
    broker = await ready(world)
    await bench.add("stop-sticks", give_up_s=3600)
    await broker.stop(ANN, world.lease().id)
    await world.clock.advance(130.0)


async def zone_dead(bench: ApiBench, world: ApiWorld, rng: random.Random) -> None:
    broker = await ready(world)
    await broker.stop(ANN, world.lease().id)
    await world.until(broker, "asleep")
    await bench.add("node-dies", zone="one", expire_s=3600, impaired_s=3600)
    await broker.start(ANN, world.lease().id)
    await world.clock.advance(100.0)


async def node_silent(bench: ApiBench, world: ApiWorld, rng: random.Random) -> None:
    await ready(world)
    await bench.add("node-dies", zone="one", expire_s=3600, impaired_s=0)
    world.insides.silent = True


async def not_reported(bench: ApiBench, world: ApiWorld, rng: random.Random) -> None:
    await ready(world)
    await bench.add("node-dies", zone="one", expire_s=3600)
    key, hypervisor = world.lease().instance_id, bench.cloud.service.hypervisor

    def runs() -> bool:
        return bench.cloud.do(hypervisor.report(key)).state is MachineState.RUNNING

    async with asyncio.timeout(LIMIT_S):
        while await asyncio.to_thread(runs):  # noqa: ASYNC110 (another thread's state tells nobody)
            await asyncio.sleep(0.02)
    await asyncio.to_thread(bench.faults.clear)  # it is back, without its machines
    await died(bench, world)


async def died(bench: ApiBench, world: ApiWorld) -> None:
    async def gone() -> bool:
        answer = await asyncio.to_thread(bench.ec2.describe_instances, InstanceIds=[world.lease().instance_id])
        return answer["Reservations"][0]["Instances"][0]["State"]["Name"] in ("stopped", "terminated")

    async with asyncio.timeout(LIMIT_S):
        while not await gone():  # noqa: ASYNC110 (another process's state tells nobody)
            await asyncio.sleep(0.05)
    await world.clock.drive(lambda: world.lease().reason == "died", limit_s=300)
    await world.clock.advance(60.0)


async def by_another_client(bench: ApiBench, world: ApiWorld, rng: random.Random) -> None:
    await ready(world)
    ids = [world.lease().instance_id]
    await asyncio.to_thread(rng.choice((bench.ec2.stop_instances, bench.ec2.terminate_instances)), InstanceIds=ids)
    await died(bench, world)


async def from_inside(bench: ApiBench, world: ApiWorld, rng: random.Random) -> None:
    await ready(world)
    key = world.lease().instance_id
    bench.cloud.loop.call_soon_threadsafe(bench.cloud.service.hypervisor.power_off_from_inside, key)
    await died(bench, world)


async def port_closed(bench: ApiBench, world: ApiWorld, rng: random.Random) -> None:
    world.insides.silent = True
    await begin(world)
    await world.clock.drive(lambda: world.lease().instance_state == "running", limit_s=120)

    def close() -> None:
        row = bench.ec2.describe_instances(InstanceIds=[world.lease().instance_id])["Reservations"][0]["Instances"][0]
        for group in bench.ec2.describe_security_groups(GroupIds=[g["GroupId"] for g in row["SecurityGroups"]])[
            "SecurityGroups"
        ]:
            for rule in group["IpPermissions"]:
                if rule.get("FromPort") == 22:
                    only = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": rule["IpRanges"]}
                    bench.ec2.revoke_security_group_ingress(GroupId=group["GroupId"], IpPermissions=[only])

    await asyncio.to_thread(close)
    await world.clock.advance(150.0)


async def healthy_throttled(bench: ApiBench, world: ApiWorld, rng: random.Random) -> None:
    await bench.add("throttling", chance_percent=20, seed=rng.randrange(100))
    await begin(world)
    await world.clock.advance(rng.choice((10.0, 20.0, 60.0)))


async def healthy_slow(bench: ApiBench, world: ApiWorld, rng: random.Random) -> None:
    await bench.add("slow-answers", delay_s=0.05)
    await begin(world)
    await world.clock.advance(rng.choice((10.0, 30.0)))


API: dict[str, tuple[str, str, Case]] = {
    # An EBS-backed machine shows what it is about: its system disk is being made. The other kind shows nothing.
    "pending-for-ever": ("root-volume-creating", "SC", while_starting("pending-for-ever")),
    "pending-for-ever on instance storage": ("pending-no-address", "network", pending_on_instance_storage),
    "no-address": ("running-no-address", "network", while_starting("no-address")),
    "capacity": ("no-capacity", "CLC", while_starting("capacity")),
    "quota of instances": ("quota-instances", "CLC", while_starting("quota", what="instances")),
    "quota of volumes": ("quota-volumes", "CLC", while_starting("quota", what="volumes")),
    "attach-drops": ("attach-dropped", "NC", while_starting("attach-drops", 100.0)),
    "detach-sticks": ("detach-sticks", "NC", detach_sticks),
    "volume-fails": ("volume-failed", "SC", while_starting("volume-fails")),
    "ramdisk": ("no-root-disk", "image", silent("image-does-not-boot", cause="ramdisk-forgotten")),
    "architecture": ("wrong-architecture", "image", while_starting("image-does-not-boot", cause="wrong-architecture")),
    "node-dies running": ("node-silent", "NC", node_silent),
    "node-dies asleep": ("zone-unavailable", "CC", zone_dead),
    "node-dies for good": ("not-reported", "NC", not_reported),
    "throttling": ("throttled", "network", for_all("throttling")),
    "lost-request": ("cloud-out-of-sight", "network", for_all("lost-request", describes=True)),
    "truncated-xml": ("cloud-answer-cut", "network", for_all("truncated-xml")),
    "internal-error": ("cloud-internal-error", "CLC", for_all("internal-error")),
    "clock behind": ("clock-wrong-cloud", "CLC", for_all("clock-skew", offset_s=-3600)),
    "clock ahead": ("clock-wrong-cloud", "CLC", for_all("clock-skew", offset_s=3600)),
    "credentials": ("credentials-refused", "broker", while_starting("slow-answers", 20.0, delay_s=0.02)),
    "stop-sticks": ("stop-sticks", "NC", stop_sticks),
    "another client": ("ended-by-user", "unknown", by_another_client),
    "from inside": ("powered-off", "machine", from_inside),
    "port closed": ("port-closed", "network", port_closed),
    "healthy and throttled": (HEALTHY, "", healthy_throttled),
    "healthy and slow": (HEALTHY, "", healthy_slow),
}
