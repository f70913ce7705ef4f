"""A broker that is cut off at each point between an effect and its record, and another one that takes over.

The points are not written down here: a run that counts them gives their names.
"""

import asyncio

import pytest

from educloud_lab.adapters.memory.world import MemoryWorld
from educloud_lab.wire import models as wire

ANN = "ann"
START = wire.LeaseRequest(lab="01-first", machine_profile="first-steps", start=True)


class Crash(BaseException):
    """The process is gone: nothing of it may run any more, not even its cleaning up."""


class Mortal:
    """A port that stops working when its process is dead."""

    def __init__(self, inner, life):
        self._inner = inner
        self._life = life

    def __getattr__(self, name):
        found = getattr(self._inner, name)
        if not callable(found):
            return found

        def call(*arguments, **named):
            if self._life["dead"]:
                raise Crash
            return found(*arguments, **named)

        return call


async def doomed(world, at):
    """Open a broker that dies at its ``at``-th checkpoint; None counts them."""
    life = {"dead": False, "count": 0, "names": []}

    async def checkpoint(name):
        life["names"].append(name)
        if life["count"] == at:
            life["dead"] = True
        life["count"] += 1
        if life["dead"]:
            raise Crash

    ports = {name: Mortal(getattr(world, name), life) for name in ("store", "cloud", "shell", "frontend")}
    return await world.broker(checkpoint=checkpoint, **ports), life


async def story(world, broker, life):
    """Start, write, stop, start, delete; whoever is alive does the work."""
    successor = None

    async def reach(phase):
        nonlocal successor
        if successor is None:
            await world.clock.drive(lambda: life["dead"] or world.phase(ANN) == phase, limit_s=900)
        if life["dead"] and successor is None:
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()
            await world.clock.turns()
            successor = await world.broker()
        if successor is not None:
            await world.until(successor, phase, limit_s=900)

    lease = await broker.ensure_lease(ANN, START)
    await reach("ready")
    world.disk().files["notes"] = "kept"
    await (successor or broker).stop(ANN, lease.id)
    await reach("asleep")
    await (successor or broker).start(ANN, lease.id)
    await reach("ready")
    assert world.disk().files == {"notes": "kept"}
    assert world.disk().formats == 1
    assert len(world.cloud.live_instances(lease.id)) == 1
    assert len(world.cloud.disks) == 1
    await (successor or broker).delete(ANN, lease.id, confirm="01-first")
    await reach("off")
    assert world.cloud.live_instances(lease.id) == []
    assert world.frontend.lines == {}
    assert world.cloud.violations == []


async def points(root_device_type):
    world = MemoryWorld(root_device_type)
    broker, life = await doomed(world, None)
    await story(world, broker, life)
    await world.close()
    return life["names"]


NAMES = {kind: asyncio.run(points(kind)) for kind in ("ebs", "instance-store")}
EVERY = [(kind, number, name) for kind, names in NAMES.items() for number, name in enumerate(names)]


def test_there_are_points_around_every_effect():
    names = set(NAMES["ebs"]) | set(NAMES["instance-store"])
    effects = {name.removeprefix("call ").split(":")[0] for name in names if name.startswith("call ")}
    assert effects == {
        "arm-guard", "attach-volume", "create-volume", "detach-volume", "drop-lines", "ensure-group", "format", "mount",
        "own-host-key", "put-broker-line", "put-lines", "release", "run-instance", "start-instance", "stop-instance",
        "switch-host-key", "terminate-instance",
    }  # fmt: skip
    assert {"commit permit spent: before", "commit permit spent: after"} <= names


@pytest.mark.parametrize(("kind", "number", "name"), EVERY, ids=[f"{k}-{n}-{m}" for k, n, m in EVERY])
async def test_another_broker_brings_it_to_its_end(kind, number, name):
    world = MemoryWorld(kind)
    broker, life = await doomed(world, number)
    await story(world, broker, life)
    assert life["dead"]
    assert life["names"][number] == name
    for opened in world.brokers[1:]:
        await opened.close()
