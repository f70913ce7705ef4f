"""Wishes that meet a volume's own job: none of them waits for ever, and none takes away what another one promised."""

from dataclasses import replace

import pytest

from educloud_lab.domain.errors import BadInputError, CloudUnreachableError, ConflictError, QuotaError
from educloud_lab.domain.job import Consistency, JobKind, SnapshotState
from educloud_lab.ports.cloud import VolumeState
from educloud_lab.wire import models as wire

ANN = "ann"
GIB = 1024**3
START = wire.LeaseRequest(lab="01-first", machine_profile="first-steps", start=True)


async def no_answer(*_arguments, **_named):
    raise CloudUnreachableError("The cloud did not give an answer that can be used.", next_step="It is tried again.")


async def ready(world):
    broker = await world.broker()
    lease = await broker.ensure_lease(ANN, START)
    await world.until(broker, "ready")
    return broker, lease.id


async def asleep(world):
    broker, lease_id = await ready(world)
    await broker.stop(ANN, lease_id)
    await world.until(broker, "asleep")
    return broker, lease_id


async def taken(world, broker, lease_id, phase, text="first"):
    await broker.volumes.snapshot(ANN, lease_id, wire.SnapshotRequest(name=text))
    lease = await world.until(broker, phase)
    return next(item for item in lease.snapshots if item.name == text)


def in_flight(world, kind):
    return [job for job in world.store.peek().jobs.values() if job.ended_at is None and job.kind is kind]


async def test_a_stop_does_not_wait_for_a_snapshot_that_the_cloud_never_takes(world, monkeypatch):
    broker, lease_id = await ready(world)
    monkeypatch.setattr(type(world.cloud), "create_snapshot", no_answer)
    await broker.volumes.snapshot(ANN, lease_id, wire.SnapshotRequest(name="never"))
    await world.clock.drive(lambda: any(job.attempts > 2 for job in in_flight(world, JobKind.SNAPSHOT)), limit_s=300)
    await broker.stop(ANN, lease_id)
    await world.clock.drive(lambda: world.lease().status == "stopped", limit_s=300)
    await world.clock.drive(
        lambda: [s.state for s in world.store.peek().snapshots.values()] == [SnapshotState.FAILED], limit_s=300
    )


async def test_a_volume_job_that_the_cloud_never_answers_ends_and_says_so(world, monkeypatch):
    broker, lease_id = await ready(world)
    monkeypatch.setattr(type(world.cloud), "create_snapshot", no_answer)
    await broker.volumes.snapshot(ANN, lease_id, wire.SnapshotRequest(name="never"))
    shown = await world.until(broker, "ready", limit_s=3 * 3600)
    assert "again by itself" not in shown.problem.next_step
    assert shown.problem.code == "cloud-unreachable"


async def test_a_snapshot_that_is_being_deleted_is_not_published(world, monkeypatch):
    broker, lease_id = await ready(world)
    snapshot = await taken(world, broker, lease_id, "ready")
    monkeypatch.setattr(type(world.cloud), "delete_snapshot", no_answer)
    await broker.volumes.delete_snapshot(ANN, lease_id, snapshot.id)
    with pytest.raises(ConflictError):
        await broker.volumes.publish_snapshot(ANN, lease_id, snapshot.id, published=True)


@pytest.mark.parametrize("name", ["a\x01b", "a\ud800b", "a\uffffb", "a\x1b[31mb"])
async def test_a_name_that_no_answer_of_a_cloud_could_carry_is_refused(world, name):
    broker, lease_id = await ready(world)
    with pytest.raises(BadInputError):
        await broker.volumes.snapshot(ANN, lease_id, wire.SnapshotRequest.model_construct(name=name))


async def test_a_start_before_the_cloud_has_begun_leaves_a_snapshot_as_after_a_power_cut(world):
    broker, lease_id = await asleep(world)
    world.cloud.pace.snapshot_s = 60.0  # the cloud takes the volume as it is a minute after its answer
    await broker.volumes.snapshot(ANN, lease_id, wire.SnapshotRequest(name="early"))
    await world.clock.drive(
        lambda: [s.state for s in world.store.peek().snapshots.values()] == [SnapshotState.PENDING], limit_s=60
    )
    await broker.start(ANN, lease_id)
    await world.until(broker, "ready")
    await world.clock.drive(
        lambda: [s.state for s in world.store.peek().snapshots.values()] == [SnapshotState.COMPLETED], limit_s=600
    )
    (snapshot,) = world.store.peek().snapshots.values()
    assert snapshot.consistency is Consistency.CRASH


async def test_a_growth_that_came_too_late_is_taken_into_account_by_the_next_one(world, monkeypatch):
    broker, lease_id = await asleep(world)

    async def heard_and_slow(*_arguments, **_named):
        return

    with monkeypatch.context() as slow:
        slow.setattr(type(world.cloud), "grow_volume", heard_and_slow)
        await broker.volumes.grow(ANN, lease_id, 2)
        assert (await world.until(broker, "asleep", limit_s=1200)).problem is not None
    await world.cloud.grow_volume(world.volume().cloud_id, 2)
    world.cloud.faults.cannot_grow = True
    await broker.volumes.grow(ANN, lease_id, 3)
    shown = await world.until(broker, "asleep")
    assert shown.volumes[0].size_bytes == 2 * GIB
    await broker.start(ANN, lease_id)
    await world.until(broker, "ready")


async def test_a_volume_that_the_cloud_has_deleted_does_not_come_back_from_the_bin(world):
    broker, lease_id = await asleep(world)
    first = world.volume().cloud_id
    await broker.volumes.discard(ANN, lease_id, confirm="01-first")
    shown = await world.until(broker, "asleep")
    await broker.start(ANN, lease_id)
    await world.until(broker, "ready")
    await broker.stop(ANN, lease_id)
    await world.until(broker, "asleep")
    present = world.volume().cloud_id
    row = world.cloud.volume_row(first)
    row.seen = replace(row.seen, state=VolumeState.DELETED)
    await broker.volumes.return_from_bin(ANN, lease_id, shown.bin[0].id)
    told = await world.until(broker, "asleep")
    assert "deleted" in told.problem.what
    assert world.volume().cloud_id == present


async def test_a_large_copy_of_what_was_published_has_the_time_that_it_needs(world):
    broker, lease_id = await ready(world)
    snapshot = await taken(world, broker, lease_id, "ready")
    await broker.volumes.publish_snapshot(ANN, lease_id, snapshot.id, published=True)
    world.cloud.pace.volume_s = 1200.0
    await broker.ensure_lease("bob", START)
    await world.until(broker, "ready", person="bob", limit_s=2400)
    assert world.volume("bob").from_snapshot == snapshot.id


async def test_a_start_that_waits_for_a_restore_does_not_go_on_with_the_old_files(world, monkeypatch):
    broker, lease_id = await asleep(world)
    snapshot = await taken(world, broker, lease_id, "asleep")
    before = world.volume().cloud_id

    async def refused(*_arguments, **_named):
        raise QuotaError("No further volume is allowed.", next_step="Ask your instructor.")

    monkeypatch.setattr(type(world.cloud), "create_volume", refused)
    await broker.volumes.restore(ANN, lease_id, snapshot.id)
    await broker.start(ANN, lease_id)
    lease = await world.until(broker, "asleep")
    assert lease.problem.code == "quota"
    assert (world.lease().target, world.volume().cloud_id) == ("stopped", before)
    await broker.start(ANN, lease_id)  # knowing it
    await world.until(broker, "ready")
    assert world.volume().cloud_id == before
