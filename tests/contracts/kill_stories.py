"""What brokers are killed in: short stories that together pass every named point, and what must be true at their ends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from educloud_lab.adapters.memory.cloud import MemoryCloud
from educloud_lab.adapters.memory.world import MemoryWorld
from educloud_lab.broker.broker import Broker
from educloud_lab.domain.errors import CapacityError
from educloud_lab.domain.lease import PHASES, LeaseKey
from educloud_lab.ports.cloud import InstanceState, RunSpec, VolumeState
from educloud_lab.ports.records import LeaseRecord
from educloud_lab.ports.store import Transaction
from educloud_lab.wire import models as wire

ANN = "ann"
LAB = "01-first"
KEY = LeaseKey(course="local", lab=LAB, person=ANN, slot="main")
START = wire.LeaseRequest(lab=LAB, machine_profile="first-steps", start=True)
NOTES = {"notes": "kept"}

Until = Callable[[Transaction], bool]


@dataclass(frozen=True)
class Act:
    """Something that happens in the world, something that a person wishes, and what comes of it."""

    until: Until
    wish: Callable[[Broker, str], Awaitable[object]] | None = None
    world: Callable[[MemoryWorld], object] | None = None
    limit_s: float = 900.0


@dataclass(frozen=True)
class Story:
    """One story. ``disks`` is how many volumes the cloud ever made in it."""

    acts: tuple[Act, ...]
    root_device_type: str = "ebs"
    prepare: Callable[[MemoryWorld], object] = lambda _world: None
    disks: int = 1
    config: dict[str, float] = field(default_factory=dict)


def phase(name: str) -> Until:
    """Until the lease is in a phase and nothing is in flight."""

    def there(tx: Transaction) -> bool:
        lease = tx.lease_by_key(KEY)
        return lease is not None and PHASES[lease.target, lease.status] == name and tx.job_in_flight(lease.id) is None

    return there


def own(tx: Transaction) -> LeaseRecord:
    lease = tx.lease_by_key(KEY)
    assert lease is not None
    return lease


# What people do.


async def _start(broker: Broker, _lease_id: str) -> None:
    await broker.ensure_lease(ANN, START)


async def _stop(broker: Broker, lease_id: str) -> None:
    await broker.stop(ANN, lease_id)


async def _delete(broker: Broker, lease_id: str) -> None:
    await broker.delete(ANN, lease_id, confirm=LAB)


# What the world does.


def write(world: MemoryWorld) -> None:
    """Put a file on the disk that is mounted."""
    for machine in world.cloud.machines.values():
        for volume_id in machine.mounts.values():
            world.cloud.disks[volume_id].files.update(NOTES)


def _live(world: MemoryWorld) -> str:
    up = (InstanceState.PENDING, InstanceState.RUNNING)
    return next(key for key, row in world.cloud._instances.items() if row.seen.state in up)


def _die(world: MemoryWorld) -> None:
    write(world)
    world.cloud.kill(_live(world))


def _hang(world: MemoryWorld) -> None:
    write(world)
    world.cloud.machines[_live(world)].hung = True


def _slow_stop(world: MemoryWorld) -> None:
    write(world)
    world.cloud.pace.stop_s = 5.0


class FullCloud(MemoryCloud):
    """A cloud without room until somebody makes some."""

    full = True

    async def run_instance(self, spec: RunSpec, *, client_token: str):
        known = any(row.seen.client_token == client_token for row in self._instances.values())
        if self.full and not known:
            raise CapacityError("The cloud has no room for another machine now.")
        return await super().run_instance(spec, client_token=client_token)


def _no_room(world: MemoryWorld) -> None:
    world.cloud = world.shell.cloud = FullCloud(world.clock)


def _room(world: MemoryWorld) -> None:
    assert isinstance(world.cloud, FullCloud)
    world.cloud.full = False


def _queued(tx: Transaction) -> bool:
    return bool(tx.queued_jobs())


def _on_its_way(tx: Transaction) -> bool:
    lease = tx.lease_by_key(KEY)
    return lease is not None and lease.instance_id is not None


def _going_down(tx: Transaction) -> bool:
    return own(tx).instance_state in ("stopping", "stopped", "shutting-down")


def _lose(world: MemoryWorld) -> None:
    for operation in ("create_volume", "run_instance", "attach_volume"):
        world.cloud.faults.lost_replies[operation] = 1


def _set(**faults: object) -> Callable[[MemoryWorld], None]:
    def change(world: MemoryWorld) -> None:
        for name, value in faults.items():
            setattr(world.cloud.faults, name, value)

    return change


START_ACT = Act(phase("ready"), _start)
DELETE_ACT = Act(phase("off"), _delete)
STOP_ACT = Act(phase("asleep"), _stop, write)

STORIES: dict[str, Story] = {
    "life": Story((START_ACT, STOP_ACT, Act(phase("ready"), _start), DELETE_ACT)),
    "instance-store": Story((START_ACT, Act(phase("off"), _delete, write)), root_device_type="instance-store"),
    "dead on arrival": Story((START_ACT, DELETE_ACT), prepare=_set(dead_on_arrival=1)),
    "a volume that fails": Story(
        (Act(phase("trouble"), _start), Act(phase("ready"), _start), DELETE_ACT),
        prepare=_set(failed_volumes=1),
        disks=2,
    ),
    "lost replies": Story((START_ACT, DELETE_ACT), prepare=_lose),
    "a machine that dies": Story((START_ACT, Act(phase("asleep"), None, _die), Act(phase("ready"), _start), DELETE_ACT)),
    "a machine that hangs": Story((START_ACT, Act(phase("asleep"), _stop, _hang), DELETE_ACT)),
    "no room": Story((Act(_queued, _start, limit_s=120.0), Act(phase("ready"), None, _room), DELETE_ACT), prepare=_no_room),
    "another wish": Story(
        (
            Act(_on_its_way, _start),
            Act(phase("off"), _delete),
            START_ACT,
            Act(_going_down, _stop, _slow_stop),
            Act(phase("ready"), _start),
            DELETE_ACT,
        )
    ),
}


def check(world: MemoryWorld, story: Story, tx: Transaction) -> list[str]:
    """Return what is wrong at the end of a story, from the cloud's own point of view."""
    cloud = world.cloud
    cloud._advance()
    wrong = list(cloud.violations)
    lease, volume = own(tx), tx.volume_of(own(tx).id)
    live = [row.seen.instance_id for row in cloud._instances.values() if row.seen.state is not InstanceState.TERMINATED]
    if live:
        wrong.append(f"instances run that nobody wants: {live}")
    kept = {item.cloud_id for item in tx.shelf()} | ({volume.cloud_id, *volume.quarantined} if volume else set())
    gone = (VolumeState.DELETED, VolumeState.DELETING)
    listed = {key for key, row in cloud._volumes.items() if row.seen.state not in gone}
    if listed - kept:
        wrong.append(f"volumes that no record names: {sorted(listed - kept)}")
    if volume is None or volume.cloud_id not in listed:
        wrong.append("the data volume is gone")
    elif cloud.disks[volume.cloud_id].files != NOTES and any(act.world in WRITERS for act in story.acts):
        wrong.append(f"files are lost: {cloud.disks[volume.cloud_id].files}")
    if len(cloud.disks) != story.disks:
        wrong.append(f"{len(cloud.disks)} volumes were made instead of {story.disks}")
    wrong += [f"{disk.volume_id} was formatted {disk.formats} times" for disk in cloud.disks.values() if disk.formats > 1]
    if world.frontend.lines:
        wrong.append(f"the gateway lets somebody in: {world.frontend.lines}")
    if tx.jobs_in_flight():
        wrong.append("a job is in flight")
    if lease.instance_id is not None:
        wrong.append(f"the record names {lease.instance_id}")
    return wrong


WRITERS = (write, _die, _hang, _slow_stop)


async def play(story: Story, broker: Broker, number: int, lease_id: Callable[[], str]) -> None:
    """Do what people do in one act."""
    act = story.acts[number]
    if act.wish is not None:
        await act.wish(broker, lease_id())
        await asyncio.sleep(0)
