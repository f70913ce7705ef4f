"""Short stories in which brokers are killed, passing every named point together, and what must be true at their end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from educloud_lab.adapters.memory.cloud import MemoryCloud
from educloud_lab.adapters.memory.world import MemoryWorld
from educloud_lab.broker.broker import Broker
from educloud_lab.broker.making import GIB
from educloud_lab.domain import naming
from educloud_lab.domain.errors import CapacityError, CloudUnreachableError
from educloud_lab.domain.job import JobKind, OrphanState, Outcome, SnapshotState
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
    """One story.

    ``disks`` is how many volumes there are in the cloud at its end, ``files`` what is on the lease's own, and
    ``spare`` how many more volumes there may be than that when a broker was killed, all of them on record.
    """

    acts: tuple[Act, ...]
    root_device_type: str = "ebs"
    prepare: Callable[[MemoryWorld], object] = lambda _world: None
    disks: int = 1
    files: dict[str, str] | None = None  # None: what was written
    spare: int = 0
    config: dict[str, float] = field(default_factory=dict)


def phase(name: str) -> Until:
    """Until the lease is in a phase and nothing is in flight."""

    def there(tx: Transaction) -> bool:
        lease = tx.lease_by_key(KEY)
        return lease is not None and PHASES[lease.target, lease.status] == name and tx.job_in_flight(lease.id) is None

    return there


def either(*these: Until) -> Until:
    """Until one of these."""
    return lambda tx: any(until(tx) for until in these)


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


def done(outcome: Callable[[Transaction], object]) -> Until:
    """Until nothing is in flight and something is so."""
    return lambda tx: tx.job_in_flight(own(tx).id) is None and bool(outcome(tx))


def _state(state: SnapshotState, count: int = 1) -> Until:
    return done(lambda tx: [s.state for s in tx.snapshots(lease_id=own(tx).id)].count(state) >= count)


def _shelved(count: int, reason: str = "") -> Until:
    return done(lambda tx: sum(reason in (item.reason, "") for item in tx.shelf()) == count)


def _last(kind: JobKind, outcome: Outcome) -> Until:
    def ended(tx: Transaction) -> bool:
        job = tx.last_job(own(tx).id)
        return job is not None and (job.kind, job.outcome) == (kind, outcome)

    return done(ended)


def _snapshot(name: str) -> Callable[[Broker, str], Awaitable[object]]:
    return lambda broker, lease_id: broker.volumes.snapshot(ANN, lease_id, wire.SnapshotRequest(name=name))


async def _restore(broker: Broker, lease_id: str) -> None:
    lease = (await broker.snapshot(ANN)).leases[0]
    await broker.volumes.restore(ANN, lease_id, lease.snapshots[0].id)


async def _delete_snapshot(broker: Broker, lease_id: str) -> None:
    lease = (await broker.snapshot(ANN)).leases[0]
    await broker.volumes.delete_snapshot(ANN, lease_id, lease.snapshots[0].id)


async def _discard(broker: Broker, lease_id: str) -> None:
    await broker.volumes.discard(ANN, lease_id, confirm=LAB)


async def _return(broker: Broker, lease_id: str) -> None:
    lease = (await broker.snapshot(ANN)).leases[0]
    await broker.volumes.return_from_bin(ANN, lease_id, lease.bin[0].id)


def _grow(size_gib: int) -> Callable[[Broker, str], Awaitable[object]]:
    return lambda broker, lease_id: broker.volumes.grow(ANN, lease_id, size_gib)


def _has_size(size_gib: int) -> Until:
    def has(tx: Transaction) -> bool:
        volume = tx.volume_of(own(tx).id)
        return volume is not None and volume.size_bytes == size_gib * GIB

    return done(has)


class TwinCloud(MemoryCloud):
    """Takes no tags at creation; somebody else makes an equal volume beside the first of ours, whose answer is lost."""

    twins = 1

    async def create_volume(self, **named):
        seen = await super().create_volume(**named)
        if self.twins and named.get("untagged"):
            self.twins -= 1
            await super().create_volume(**named)
            raise CloudUnreachableError("The cloud did not answer.")
        return seen


class PendingCloud(MemoryCloud):
    """Its first machine stays pending."""

    async def run_instance(self, spec: RunSpec, *, client_token: str):
        self.faults.pending_for_ever = not self._instances
        return await super().run_instance(spec, client_token=client_token)


def _stay_pending(world: MemoryWorld) -> None:
    world.cloud = world.shell.cloud = PendingCloud(world.clock)


def _twins(world: MemoryWorld) -> None:
    world.cloud = world.shell.cloud = TwinCloud(world.clock)
    world.cloud.faults.no_tags_at_creation = True


def _no_tags(world: MemoryWorld) -> None:
    world.cloud.faults.no_tags_at_creation = True


def _lose_snapshot_reply(world: MemoryWorld) -> None:
    write(world)
    world.cloud.faults.lost_replies["create_snapshot"] = 1


def _forget_snapshots(world: MemoryWorld) -> None:
    world.cloud.snapshots.clear()
    world.cloud.faults.snapshots_pending = False


def _is_being_copied(tx: Transaction) -> bool:
    return any(each.progress_percent > 0 for each in tx.snapshots(lease_id=own(tx).id))


def _orphan(world: MemoryWorld) -> None:
    """Put beside the machine another one that says it is ours, of a lease that nobody knows."""
    write(world)
    row = world.cloud._instances[_live(world)]
    tags = {**row.seen.tags, naming.TAG_LEASE: "0123456789ab", naming.TAG_NONCE: "el-nobody"}
    spec = RunSpec(row.seen.image_id, row.seen.instance_type, row.seen.zone, "", tags)
    try:
        world.cloud.run_instance(spec, client_token="el-nobody").send(None)
    except StopIteration:
        return
    raise AssertionError


def _reaped(tx: Transaction) -> bool:
    return any(row.state is OrphanState.REAPED for row in tx.orphans())


def _break_disk(world: MemoryWorld) -> None:
    for disk in world.cloud.disks.values():
        disk.dirty = "beyond"


def _mend_disk(world: MemoryWorld) -> None:
    for disk in world.cloud.disks.values():
        disk.dirty = ""


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
        # Whoever goes on after the failed volume was set aside makes another one by itself.
        (Act(either(phase("trouble"), phase("ready")), _start), Act(phase("ready"), _start), DELETE_ACT),
        prepare=_set(failed_volumes=1),
        disks=2,
    ),
    "lost replies": Story((START_ACT, DELETE_ACT), prepare=_lose),
    "a machine that dies": Story(
        (START_ACT, Act(phase("asleep"), None, _die), Act(phase("ready"), _start), DELETE_ACT)
    ),
    "a machine that hangs": Story(
        (START_ACT, Act(phase("asleep"), _stop, _hang), DELETE_ACT),
        config={"stop_contact_limit_s": 20.0},  # whoever goes on is as patient with it again
    ),
    "no room": Story(
        (Act(_queued, _start, limit_s=120.0), Act(phase("ready"), None, _room), DELETE_ACT), prepare=_no_room
    ),
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
    "snapshots": Story(
        (
            START_ACT,
            Act(_state(SnapshotState.COMPLETED), _snapshot("running"), write),
            Act(phase("asleep"), _stop),
            Act(_state(SnapshotState.COMPLETED, 2), _snapshot("asleep")),
            Act(_shelved(1), _restore),
            Act(_state(SnapshotState.DELETED), _delete_snapshot),
            DELETE_ACT,
        ),
        disks=2,
        spare=1,
    ),
    "a snapshot without an answer": Story(
        (START_ACT, Act(_state(SnapshotState.COMPLETED), _snapshot("lost"), _lose_snapshot_reply), DELETE_ACT)
    ),
    "a snapshot that fails": Story(
        (START_ACT, Act(_state(SnapshotState.FAILED), _snapshot("bad"), write), DELETE_ACT),
        prepare=_set(failed_snapshots=1),
    ),
    "a snapshot that vanishes": Story(
        (
            START_ACT,
            Act(_is_being_copied, _snapshot("gone"), write),
            Act(_state(SnapshotState.FAILED), None, _forget_snapshots),
            DELETE_ACT,
        ),
        prepare=_set(snapshots_pending=True),
        config={"absence_s": 20.0},
    ),
    "the bin": Story(
        (
            START_ACT,
            STOP_ACT,
            Act(_shelved(1), _discard),
            Act(phase("ready"), _start),
            Act(phase("asleep"), _stop),
            Act(_has_size(2), _grow(2)),
            Act(_last(JobKind.RETURN, Outcome.DONE), _return),
            Act(_shelved(0), None, limit_s=9000.0),
            DELETE_ACT,
        ),
        config={"bin_s": 600.0},
    ),
    "a larger volume": Story(
        (START_ACT, STOP_ACT, Act(_has_size(2), _grow(2)), Act(phase("ready"), _start), DELETE_ACT)
    ),
    "a cloud that cannot grow volumes": Story(
        (START_ACT, STOP_ACT, Act(_last(JobKind.GROW, Outcome.FAILED), _grow(2)), DELETE_ACT),
        prepare=_set(cannot_grow=True),
    ),
    "a cloud without tags": Story(
        (
            START_ACT,
            Act(_state(SnapshotState.COMPLETED), _snapshot("running"), write),
            Act(phase("asleep"), _stop),
            Act(_shelved(1), _restore),
            DELETE_ACT,
        ),
        prepare=_no_tags,
        disks=2,
        spare=1,
    ),
    "twins": Story((START_ACT, Act(phase("off"), _delete, write)), prepare=_twins, disks=3, spare=2),
    "a machine that stays pending": Story(
        (START_ACT, Act(phase("off"), _delete, write)), prepare=_stay_pending, config={"launch_limit_s": 20.0}
    ),
    "an orphan": Story(
        (START_ACT, Act(_reaped, None, _orphan), DELETE_ACT),
        config={"orphan_first_s": 3.0, "orphan_age_s": 5.0, "orphan_grace_s": 10.0},
    ),
    "a file system beyond repair": Story(
        (
            START_ACT,
            STOP_ACT,
            Act(phase("trouble"), _start, _break_disk),
            Act(phase("ready"), _start, _mend_disk),
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
    files = story.files
    if files is None:
        files = NOTES if any(act.world in WRITERS for act in story.acts) else {}
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
    elif cloud.disks[volume.cloud_id].files != files:
        wrong.append(f"files are lost: {cloud.disks[volume.cloud_id].files}")
    if not story.disks <= len(listed) <= story.disks + story.spare:
        wrong.append(f"there are {len(listed)} volumes instead of {story.disks}")
    wrong += [
        f"{disk.volume_id} was formatted {disk.formats} times" for disk in cloud.disks.values() if disk.formats > 1
    ]
    if world.frontend.lines:
        wrong.append(f"the gateway lets somebody in: {world.frontend.lines}")
    if tx.jobs_in_flight():
        wrong.append("a job is in flight")
    if lease.instance_id is not None:
        wrong.append(f"the record names {lease.instance_id}")
    return wrong


WRITERS = (write, _die, _hang, _slow_stop, _lose_snapshot_reply, _orphan)


async def play(story: Story, broker: Broker, number: int, lease_id: Callable[[], str]) -> None:
    """Do what people do in one act."""
    act = story.acts[number]
    if act.wish is not None:
        await act.wish(broker, lease_id())
        await asyncio.sleep(0)
