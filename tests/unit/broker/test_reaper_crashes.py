"""A broker that is cut off at each point of the reaper's work, and another one that takes it over."""

import asyncio

import pytest

from educloud_lab.adapters.memory.world import MemoryWorld
from educloud_lab.broker.config import BrokerConfig
from educloud_lab.domain import naming
from educloud_lab.domain.job import OrphanState
from educloud_lab.ports.cloud import InstanceState, RunSpec

CONFIG = BrokerConfig(workers=1, tick_s=10.0, orphan_grace_s=100.0)
OVER = {"instance": OrphanState.REAPED, "volume": OrphanState.QUARANTINED}


class Crash(BaseException):
    """The process is gone."""


class Mortal:
    """A port that stops working when its process is dead."""

    def __init__(self, inner, life):
        self._inner = inner
        self._life = life

    def __getattr__(self, name):
        found = getattr(self._inner, name)

        def call(*arguments, **named):
            if self._life["dead"]:
                raise Crash
            return found(*arguments, **named)

        return call if callable(found) else found


async def story(at):
    """Let a broker that dies at its ``at``-th checkpoint meet an instance and a volume of nobody; None: it lives."""
    world, life = MemoryWorld(), {"dead": False, "names": []}

    async def checkpoint(name):
        life["dead"] = life["dead"] or len(life["names"]) == at
        life["names"].append(name)
        if life["dead"]:
            raise Crash

    ports = {name: Mortal(getattr(world, name), life) for name in ("store", "cloud")}
    await world.broker(config=CONFIG, checkpoint=checkpoint, **ports)
    tags = {naming.TAG_DEPLOYMENT: world.store.peek().meta["deployment"], naming.TAG_LEASE: "nobody"}
    spec = RunSpec("emi-00000001", "t2.micro", "one", "", {**tags, naming.TAG_NONCE: "educloud-9"})
    ghost = (await world.cloud.run_instance(spec, client_token="educloud-9")).instance_id
    lost = (await world.cloud.create_volume(size_gib=1, zone="one", tags={**tags, naming.TAG_NONCE: "v-1"})).volume_id

    def over():
        rows = world.store.peek().orphans.values()
        return len(rows) == 2 and all(row.state is OVER[row.kind] for row in rows)

    await world.clock.drive(lambda: life["dead"] or over(), limit_s=3000)
    if life["dead"]:
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await world.clock.turns()
        world.brokers.clear()
        await world.broker(config=CONFIG)
        await world.clock.drive(over, limit_s=3000)
    assert world.cloud._instances[ghost].seen.state is InstanceState.TERMINATED
    assert lost in world.cloud.disks
    (item,) = world.store.peek().shelf.values()
    assert item.cloud_id == lost
    told = [row.what for row in world.store.peek().audits.values() if row.subject == ghost]
    assert told == ["orphan.seen", "orphan.reap", "orphan.reaped"]
    await world.close()
    return life


NAMES = asyncio.run(story(None))["names"]


def test_there_are_points_around_every_effect():
    assert {
        "commit orphans: before", "commit orphans: after", "call stop-orphan: before", "call stop-orphan: after",
        "call reap-instance: before", "call reap-instance: after",
    } <= set(NAMES)  # fmt: skip


@pytest.mark.parametrize(("number", "name"), list(enumerate(NAMES)), ids=[f"{n}-{m}" for n, m in enumerate(NAMES)])
async def test_another_broker_brings_it_to_its_end(number, name):
    life = await story(number)
    assert life["dead"]
    assert life["names"][number] == name
