"""Volumes on a cloud that takes no tags with the call: one at a time, and nobody holds the others up for ever."""

from dataclasses import replace
from datetime import timedelta

from educloud_lab.adapters.memory.cloud import MemoryCloud
from educloud_lab.broker.config import BrokerConfig
from educloud_lab.domain.errors import CapacityError, CloudUnreachableError
from educloud_lab.wire import models as wire

ANN, BOB, CARL = "ann", "bob", "carl"
START = wire.LeaseRequest(lab="01-first", machine_profile="first-steps", start=True)


class SlowCloud(MemoryCloud):
    """A cloud as Eucalyptus 4.4, full or slow to answer where a test says so."""

    def __init__(self, clock):
        super().__init__(clock)
        self.faults.no_tags_at_creation = True
        self.full = False
        self.unheard = 0  # so many calls never arrive
        self.before_s = self.after_s = 0.0  # how long CreateVolume takes around its effect

    async def _room(self):
        if self.full:
            await self.clock.sleep(2.0)
            raise CapacityError("The cloud has no room for another machine now.", next_step="It is tried again.")

    async def run_instance(self, spec, *, client_token):
        await self._room()
        return await super().run_instance(spec, client_token=client_token)

    async def start_instance(self, instance_id):
        await self._room()
        await super().start_instance(instance_id)

    async def create_volume(self, *, untagged=False, **how):
        if untagged and self.unheard:
            self.unheard -= 1
            raise CloudUnreachableError("The cloud did not answer.")
        if untagged:
            await self.clock.sleep(self.before_s)
        made = await super().create_volume(untagged=untagged, **how)
        if untagged:
            await self.clock.sleep(self.after_s)
        return made


def changed(world):
    """Give the world another cloud."""
    world.cloud = world.shell.cloud = SlowCloud(world.clock)
    return world.cloud


async def asleep(world, broker, person):
    lease = await broker.ensure_lease(person, START)
    await world.until(broker, "ready", person=person)
    await broker.stop(person, lease.id)
    await world.until(broker, "asleep", person=person)
    return lease.id


async def test_who_waits_for_room_does_not_hold_up_the_volumes_of_others(world):
    cloud = changed(world)
    broker = await world.broker()
    bob, carl = await asleep(world, broker, BOB), await asleep(world, broker, CARL)
    await broker.volumes.snapshot(BOB, bob, wire.SnapshotRequest(name="first"))
    shown = await world.until(broker, "asleep", person=BOB)
    cloud.full, cloud.before_s = True, 3600.0
    await broker.start(CARL, carl)  # the head of the queue
    world.clock.jump(0.001)  # nobody presses in the same instant as another
    await broker.ensure_lease(ANN, START)  # whose volume is being made when there is no room
    await world.clock.drive(
        lambda: sum(job.queued_at is not None for job in world.store.peek().jobs.values()) == 2, limit_s=60
    )
    cloud.before_s = 0.0
    await broker.volumes.restore(BOB, bob, shown.snapshots[0].id)
    restored = await world.until(broker, "asleep", person=BOB, limit_s=200)
    assert restored.problem is None
    assert restored.volumes[0].from_snapshot == "first"
    cloud.full = False
    await world.until(broker, "ready", person=ANN)


async def test_a_volume_that_another_one_is_just_being_given_is_not_taken_for_ones_own(world):
    cloud = changed(world)
    broker = await world.broker()
    cloud.unheard = 1
    ann = (await broker.ensure_lease(ANN, START)).id
    await world.clock.drive(lambda: not cloud.unheard, limit_s=60)
    await broker.stop(ANN, ann)
    await world.until(broker, "asleep", person=ANN)
    assert not cloud.disks
    cloud.after_s = 60.0
    await broker.ensure_lease(BOB, START)
    await world.clock.drive(lambda: bool(cloud.disks), limit_s=60)
    await broker.start(ANN, ann)
    await world.until(broker, "ready", person=BOB)
    await world.until(broker, "ready", person=ANN)
    assert world.volume(ANN).cloud_id != world.volume(BOB).cloud_id
    attached = [seen for seen in (await cloud.observe()).volumes.values() if seen.attachments]
    assert sorted(seen.tags["educloud-owner"] for seen in attached) == [ANN, BOB]


async def test_those_who_wait_leave_their_workers_to_the_one_they_wait_for(world):
    cloud = changed(world)
    first = await world.broker()
    cloud.before_s = 3600.0
    ann = (await first.ensure_lease(ANN, START)).id
    await world.clock.drive(lambda: any(row.create_sent for row in world.store.peek().volumes.values()), limit_s=60)
    await world.clock.advance(2)
    await first.ensure_lease(BOB, START)
    await first.close()  # in the middle of the call: the lock stays
    jobs = world.store.peek().jobs
    (own,) = [job for job in jobs.values() if job.lease_id == ann]
    await world.store.transact(lambda tx: tx.put_job(replace(own, next_attempt_at=tx.now() + timedelta(seconds=3))))
    cloud.before_s = 0.0
    second = await world.broker(config=BrokerConfig(workers=1))  # whose only worker begins with bob
    await world.until(second, "ready", person=BOB)
    await world.until(second, "ready", person=ANN)
    assert world.volume(ANN).cloud_id != world.volume(BOB).cloud_id
