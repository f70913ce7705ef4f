"""What a person does with their data volume: snapshots, restore, bin, growth, sharing, and the proof at each mount."""

from datetime import timedelta

import pytest

from educloud_lab.adapters.memory.world import MemoryWorld
from educloud_lab.domain.errors import (
    BadInputError,
    ConfirmationError,
    ConflictError,
    NotFoundError,
)
from educloud_lab.domain.job import Consistency, SnapshotState
from educloud_lab.wire import models as wire

ANN, BOB = "ann", "bob"
LAB = "01-first"
GIB = 1024**3


def request(lab=LAB, start=True):
    return wire.LeaseRequest(lab=lab, machine_profile="first-steps", start=start)


def name(text):
    return wire.SnapshotRequest(name=text)


class Lab:
    """One person's lab with what happens to it."""

    def __init__(self, world, broker, person=ANN):
        self.world, self.broker, self.person = world, broker, person

    async def start(self):
        lease = await self.broker.ensure_lease(self.person, request())
        self.id = lease.id
        return await self.world.until(self.broker, "ready", person=self.person)

    async def stop(self):
        await self.broker.stop(self.person, self.id)
        return await self.world.until(self.broker, "asleep", person=self.person)

    async def shown(self):
        return next(lease for lease in (await self.broker.snapshot(self.person)).leases if lease.id == self.id)

    async def settled(self, phase="asleep"):
        return await self.world.until(self.broker, phase, person=self.person)

    async def snapshot(self, text, phase="asleep"):
        await self.broker.volumes.snapshot(self.person, self.id, name(text))
        lease = await self.settled(phase)
        return next(item for item in lease.snapshots if item.name == text)

    @property
    def disk(self):
        return self.world.disk(self.person)

    def record(self, text):
        return next(row for row in self.world.store.peek().snapshots.values() if row.name == text)


@pytest.fixture
async def lab():
    world = MemoryWorld()
    lab = Lab(world, await world.broker())
    await lab.start()
    yield lab
    assert world.cloud.violations == []
    await world.close()


async def test_a_snapshot_of_a_running_machine_is_taken_while_the_file_system_is_held_still(lab):
    lab.disk.files["notes"] = "one"
    shown = await lab.snapshot("before the exam", "ready")
    assert (shown.state, shown.progress_percent, shown.restorable) == ("completed", 100, True)
    assert "held still" in shown.consistency
    assert lab.record("before the exam").consistency is Consistency.FROZEN
    (row,) = lab.world.cloud.snapshots.values()
    assert row.was_frozen
    assert row.content.files == {"notes": "one"}
    assert lab.world.machine().frozen == {}
    assert [audit.what for audit in lab.world.store.peek().audits.values() if audit.what == "volume.snapshot"] == [
        "volume.snapshot"
    ]


async def test_a_snapshot_at_rest_says_so(lab):
    await lab.stop()
    await lab.snapshot("asleep")
    assert lab.record("asleep").consistency is Consistency.AT_REST


async def test_a_thaw_that_came_before_the_cloud_began_is_told_as_it_is(lab):
    lab.world.cloud.pace.snapshot_s = 60.0  # the guest thaws by itself long before
    await lab.snapshot("late", "ready")
    (row,) = lab.world.cloud.snapshots.values()
    assert not row.was_frozen
    assert lab.record("late").consistency is Consistency.CRASH


async def test_a_machine_that_does_not_answer_leaves_a_snapshot_as_after_a_power_cut(lab):
    lab.world.machine().hung = True
    await lab.snapshot("unheard", "ready")
    assert lab.record("unheard").consistency is Consistency.CRASH


async def test_the_same_name_again_is_the_same_snapshot(lab):
    await lab.broker.volumes.snapshot(ANN, lab.id, name("twice"))
    await lab.broker.volumes.snapshot(ANN, lab.id, name(" twice "))
    await lab.settled("ready")
    assert len(lab.world.cloud.snapshots) == 1
    with pytest.raises(ConflictError):
        await lab.broker.volumes.snapshot(ANN, lab.id, name("twice"))


async def test_a_lost_answer_is_looked_up_by_the_description_and_never_asked_twice(lab):
    lab.world.cloud.faults.no_tags_at_creation = True
    lab.world.cloud.faults.lost_replies["create_snapshot"] = 1
    shown = await lab.snapshot("once", "ready")
    assert shown.state == "completed"
    (row,) = lab.world.cloud.snapshots.values()
    assert row.seen.tags["educloud-lease"] == lab.id
    assert lab.world.cloud.calls["create_snapshot"] == 1
    assert lab.record("once").consistency is Consistency.CRASH  # nobody can say when the cloud began


async def test_stop_does_not_wait_for_a_snapshot_that_is_being_copied(lab):
    lab.world.cloud.faults.snapshots_pending = True
    await lab.broker.volumes.snapshot(ANN, lab.id, name("slow"))
    await lab.world.clock.drive(lambda: lab.record("slow").progress_percent == 10, limit_s=60)
    shown = (await lab.shown()).snapshots[0]
    assert (shown.state, shown.progress_percent, shown.restorable) == ("pending", 10, False)
    await lab.broker.stop(ANN, lab.id)
    await lab.world.clock.drive(lambda: lab.world.lease().status == "stopped", limit_s=60)
    lab.world.cloud.faults.snapshots_pending = False
    await lab.world.clock.drive(lambda: lab.record("slow").state is SnapshotState.COMPLETED, limit_s=300)
    assert (await lab.settled()).problem is None


async def test_a_snapshot_that_the_cloud_could_not_take_is_told(lab):
    lab.world.cloud.faults.failed_snapshots = 1
    shown = await lab.snapshot("broken", "ready")
    assert (shown.state, shown.restorable) == ("failed", False)
    assert "could not take the snapshot" in (await lab.shown()).problem.what
    await lab.snapshot("another", "ready")
    assert (await lab.shown()).problem is None


async def test_restore_brings_back_what_was_and_keeps_what_is_in_the_bin(lab):
    lab.disk.files["notes"] = "one"
    taken = await lab.snapshot("first", "ready")
    lab.disk.files["notes"] = "two"
    with pytest.raises(ConflictError):
        await lab.broker.volumes.restore(ANN, lab.id, taken.id)  # in use
    await lab.stop()
    before = lab.world.volume()
    await lab.broker.volumes.restore(ANN, lab.id, taken.id)
    shown = await lab.settled()
    assert lab.world.volume().cloud_id != before.cloud_id
    (item,) = shown.bin
    assert (item.cloud_id, item.returnable, item.quarantined) == (before.cloud_id, True, False)
    assert item.delete_after - item.shelved_at == timedelta(days=7)
    shown = await lab.start()
    assert lab.disk.files == {"notes": "one"}
    assert lab.disk.formats == 0  # I3: born from a snapshot
    assert shown.volumes[0].from_snapshot == "first"

    # and back again
    await lab.stop()
    await lab.broker.volumes.return_from_bin(ANN, lab.id, item.id)
    shown = await lab.settled()
    assert [row.cloud_id for row in shown.bin] != [item.cloud_id]
    shown = await lab.start()
    assert lab.world.volume().cloud_id == before.cloud_id
    assert lab.disk.files == {"notes": "two"}
    assert shown.volumes[0].proof.startswith("Same disk, last written at ")


async def test_discard_needs_the_name_and_the_next_start_makes_a_new_volume(lab):
    lab.disk.files["notes"] = "one"
    with pytest.raises(ConfirmationError):
        await lab.broker.volumes.discard(ANN, lab.id, confirm="yes")
    await lab.stop()
    old = lab.world.volume().cloud_id
    await lab.broker.volumes.discard(ANN, lab.id, confirm=LAB)
    assert (await lab.settled()).volumes[0].id is None
    await lab.start()
    assert lab.world.volume().cloud_id != old
    assert (lab.disk.files, lab.disk.formats) == ({}, 1)
    assert lab.world.cloud.disks[old].files == {"notes": "one"}


async def test_the_bin_is_emptied_after_its_time_and_not_before(lab):
    await lab.stop()
    old = lab.world.volume().cloud_id
    await lab.broker.volumes.discard(ANN, lab.id, confirm=LAB)
    await lab.settled()
    await lab.world.store.set_clock_offset_for_tests(7 * 86400 - 9000)
    await lab.world.clock.advance(2 * 3600)
    await lab.settled()
    assert old in lab.world.cloud.disks
    await lab.world.store.set_clock_offset_for_tests(7 * 86400 + 60)
    await lab.world.clock.drive(lambda: old not in lab.world.cloud.disks, limit_s=2 * 3600)
    assert (await lab.settled()).bin == []
    (line,) = [audit for audit in lab.world.store.peek().audits.values() if audit.what == "volume.deleted"]
    assert (line.who, line.subject) == ("broker", old)
    with pytest.raises(NotFoundError):
        await lab.broker.volumes.return_from_bin(ANN, lab.id, "no-such-item")


async def test_a_clock_that_is_wrong_by_days_for_a_while_empties_no_bin(lab):
    await lab.stop()
    old = lab.world.volume().cloud_id
    await lab.broker.volumes.discard(ANN, lab.id, confirm=LAB)
    await lab.settled()
    for _ in range(3):  # it jumps ahead, and is put right before an hour has passed
        await lab.world.store.set_clock_offset_for_tests(8 * 86400)
        await lab.world.clock.advance(1800)
        await lab.world.store.set_clock_offset_for_tests(0)
        await lab.world.clock.advance(600)
    await lab.settled()
    assert old in lab.world.cloud.disks
    assert [item.cloud_id for item in (await lab.broker.oversight.shelf(ANN)).items] == [old]


async def test_growing_happens_asleep_and_the_next_start_extends_the_file_system(lab):
    with pytest.raises(ConflictError):
        await lab.broker.volumes.grow(ANN, lab.id, 3)
    lab.disk.file_system_bytes = GIB
    await lab.stop()
    with pytest.raises(BadInputError):
        await lab.broker.volumes.grow(ANN, lab.id, 1) and await lab.broker.volumes.grow(ANN, lab.id, 0)
    await lab.broker.volumes.grow(ANN, lab.id, 3)
    assert (await lab.settled()).volumes[0].size_bytes == 3 * GIB
    await lab.start()
    assert lab.disk.file_system_bytes == 3 * GIB


async def test_a_cloud_that_cannot_grow_volumes_says_so_and_changes_nothing(lab):
    lab.world.cloud.faults.cannot_grow = True
    await lab.stop()
    await lab.broker.volumes.grow(ANN, lab.id, 3)
    shown = await lab.settled()
    assert shown.problem.code == "cannot-grow"
    assert shown.volumes[0].size_bytes == GIB
    assert lab.world.volume().growing_to_bytes is None
    await lab.start()


async def test_a_growth_whose_answer_was_lost_is_noticed(lab):
    await lab.stop()
    lab.world.cloud.faults.lost_replies["grow_volume"] = 1
    await lab.broker.volumes.grow(ANN, lab.id, 2)
    assert (await lab.settled()).volumes[0].size_bytes == 2 * GIB


async def test_new_volumes_of_the_lab_are_made_from_what_was_published(lab):
    lab.disk.files["data.csv"] = "1,2,3"
    taken = await lab.snapshot("for the course", "ready")
    await lab.broker.volumes.publish_snapshot(ANN, lab.id, taken.id, published=True)
    bob = Lab(lab.world, lab.broker, BOB)
    shown = await bob.start()
    assert bob.disk.files == {"data.csv": "1,2,3"}
    assert bob.disk.formats == 0
    assert shown.volumes[0].from_snapshot == "for the course"
    assert lab.disk.files == {"data.csv": "1,2,3"}
    with pytest.raises(ConflictError):
        await lab.broker.volumes.delete_snapshot(ANN, lab.id, taken.id)
    await lab.broker.volumes.publish_snapshot(ANN, lab.id, taken.id, published=False)
    carl = Lab(lab.world, lab.broker, "carl")
    await carl.start()
    assert (carl.disk.files, carl.disk.formats) == ({}, 1)


async def test_a_published_snapshot_that_is_gone_stops_the_start_and_the_next_one_is_told_the_same(lab):
    taken = await lab.snapshot("gone", "ready")
    await lab.broker.volumes.publish_snapshot(ANN, lab.id, taken.id, published=True)
    lab.world.cloud.snapshots.clear()
    await lab.broker.ensure_lease(BOB, request())
    shown = await lab.world.until(lab.broker, "trouble", person=BOB)
    assert "no longer has the snapshot" in shown.problem.what
    await lab.broker.volumes.publish_snapshot(ANN, lab.id, taken.id, published=False)
    await lab.broker.start(BOB, shown.id)
    await lab.world.until(lab.broker, "ready", person=BOB)
    assert lab.world.disk(BOB).formats == 1


async def test_a_deleted_snapshot_is_gone_and_volumes_made_from_it_stay(lab):
    taken = await lab.snapshot("short", "ready")
    await lab.broker.volumes.delete_snapshot(ANN, lab.id, taken.id)
    assert (await lab.settled("ready")).snapshots == []
    assert lab.world.cloud.snapshots == {}
    with pytest.raises(NotFoundError):
        await lab.broker.volumes.restore(ANN, lab.id, taken.id)


async def test_somebody_elses_volume_looks_like_none(lab):
    taken = await lab.snapshot("mine", "ready")
    volumes = lab.broker.volumes
    for wish in (
        volumes.snapshot(BOB, lab.id, name("x")),
        volumes.delete_snapshot(BOB, lab.id, taken.id),
        volumes.publish_snapshot(BOB, lab.id, taken.id, published=True),
        volumes.restore(BOB, lab.id, taken.id),
        volumes.grow(BOB, lab.id, 5),
        volumes.discard(BOB, lab.id, confirm=LAB),
        volumes.return_from_bin(BOB, lab.id, "x"),
    ):
        with pytest.raises(NotFoundError):
            await wish


async def test_nothing_is_kept_of_a_volume_that_holds_nothing(lab):
    lease = await lab.broker.ensure_lease(ANN, request(lab="02-second", start=False))
    with pytest.raises(ConflictError):
        await lab.broker.volumes.snapshot(ANN, lease.id, name("empty"))
    with pytest.raises(ConflictError):
        await lab.broker.volumes.discard(ANN, lease.id, confirm="02-second")


# The proof at each mount


async def test_the_next_mount_proves_that_it_is_the_same_disk(lab):
    assert (await lab.shown()).volumes[0].proof == ""
    await lab.stop()
    shown = await lab.start()
    assert shown.volumes[0].proof.startswith("Same disk, last written at ")
    assert lab.world.volume().proof == "same"


async def test_what_was_written_elsewhere_meanwhile_is_noticed(lab):
    await lab.stop()
    lab.disk.written_s += 5
    lab.disk.mount_count += 1
    shown = await lab.start()
    assert "changed while it was elsewhere" in shown.volumes[0].proof


async def test_a_machine_that_died_leaves_nothing_to_compare(lab):
    lab.world.cloud.kill(lab.world.lease().instance_id)
    await lab.settled()
    shown = await lab.start()
    assert shown.volumes[0].proof == ""


# A cloud that takes no tags with the call (Eucalyptus 4.4)


async def test_a_volume_whose_creation_was_not_answered_is_found_and_gets_its_tag():
    world = MemoryWorld()
    world.cloud.faults.no_tags_at_creation = True
    world.cloud.faults.lost_replies["create_volume"] = 1
    lab = Lab(world, await world.broker())
    await lab.start()
    assert len(world.cloud.disks) == 1
    (seen,) = (await world.cloud.observe()).volumes.values()
    assert seen.tags["educloud-lease"] == lab.id
    await world.close()


async def test_volumes_that_nobody_can_tell_apart_are_set_aside_and_never_touched():
    world = MemoryWorld()
    world.cloud.faults.no_tags_at_creation = True
    world.cloud.faults.lost_replies["create_volume"] = 1
    broker = await world.broker()
    lab = Lab(world, broker)
    lab.id = (await broker.ensure_lease(ANN, request())).id
    await world.clock.drive(lambda: len(world.cloud.disks) == 1, limit_s=60)
    await world.cloud.create_volume(size_gib=1, zone="one", tags={}, untagged=True)  # by hand, at the same moment
    await lab.settled("ready")
    shown = await lab.shown()
    assert len(world.cloud.disks) == 3
    assert sorted(item.quarantined for item in shown.bin) == [True, True]
    assert not any(item.returnable for item in shown.bin)
    used = shown.volumes[0].id
    assert {item.cloud_id for item in shown.bin} | {used} == set(world.cloud.disks)
    await world.close()


async def test_two_leases_make_their_volumes_one_after_the_other():
    world = MemoryWorld()
    world.cloud.faults.no_tags_at_creation = True
    broker, other = await world.broker(), await world.broker()
    await broker.ensure_lease(ANN, request())
    await other.ensure_lease(BOB, request())
    await world.until(broker, "ready", person=ANN)
    await world.until(other, "ready", person=BOB)
    assert len(world.cloud.disks) == 2
    assert {world.disk(ANN).formats, world.disk(BOB).formats} == {1}
    tags = {seen.tags["educloud-owner"] for seen in (await world.cloud.observe()).volumes.values()}
    assert tags == {ANN, BOB}
    await world.close()
