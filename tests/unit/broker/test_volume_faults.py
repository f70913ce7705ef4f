"""What a disk may hold or do, and that nothing on it is ever lost to a format or a detach (I3, I4)."""

import pytest

from educloud_lab.adapters.memory.world import MemoryWorld
from educloud_lab.domain.job import VolumeStage
from educloud_lab.wire import models as wire

ANN = "ann"
START = wire.LeaseRequest(lab="01-first", machine_profile="first-steps", start=True)


async def with_disk(world, broker, prepare):
    """Start, changing the disk between its creation and the machine's first look at it."""
    await broker.ensure_lease(ANN, START)
    await world.clock.drive(lambda: world.volume().cloud_id in world.cloud.disks)
    prepare(world.disk())


def other_file_system(disk):
    disk.type, disk.uuid, disk.zeros = "ext4", "11111111-2222-3333-4444-555555555555", False


def only_a_signature(disk):
    disk.signature = True


def something_written(disk):
    disk.zeros = False


def unreadable(disk):
    disk.unreadable = True


@pytest.mark.parametrize(
    ("prepare", "code"),
    [
        (other_file_system, "volume-not-blank"),
        (only_a_signature, "volume-not-blank"),
        (something_written, "volume-not-blank"),
        (unreadable, "volume-unreadable"),
    ],
)
async def test_what_is_not_blank_is_never_formatted(world, prepare, code):
    broker = await world.broker()
    await with_disk(world, broker, prepare)
    failed = await world.until(broker, "trouble")
    assert failed.problem.code == code
    assert "not changed" in failed.problem.kept
    assert failed.volumes[0].stage == "trouble"
    assert world.disk().formats == 0
    assert "format" not in world.shell.scripts
    assert world.machine().up  # so that somebody can look
    assert all(p.spent_at is None for p in world.store.peek().permits.values())


async def test_an_unreadable_disk_that_recovers_is_used_at_the_next_start(world):
    broker = await world.broker()
    await with_disk(world, broker, unreadable)
    failed = await world.until(broker, "trouble")
    world.disk().unreadable = False
    await broker.start(ANN, failed.id)
    await world.until(broker, "ready")
    assert world.disk().formats == 1


async def test_an_exchanged_file_system_is_not_mounted(world):
    broker = await world.broker()
    lease = await broker.ensure_lease(ANN, START)
    await world.until(broker, "ready")
    await broker.stop(ANN, lease.id)
    await world.until(broker, "asleep")
    other_file_system(world.disk())
    await broker.start(ANN, lease.id)
    failed = await world.until(broker, "trouble")
    assert failed.problem.code == "volume-mismatch"
    assert world.machine().mounts == {}
    assert world.disk().formats == 1


async def test_a_disk_that_lost_its_file_system_is_not_formatted_again(world):
    broker = await world.broker()
    lease = await broker.ensure_lease(ANN, START)
    await world.until(broker, "ready")
    await broker.stop(ANN, lease.id)
    await world.until(broker, "asleep")
    world.disk().type, world.disk().uuid, world.disk().zeros = "-", "-", True
    await broker.start(ANN, lease.id)
    failed = await world.until(broker, "trouble")
    assert failed.problem.code == "volume-mismatch"
    assert world.disk().formats == 1


async def test_damage_beyond_safe_repair_is_left_to_a_person(world):
    broker = await world.broker()
    lease = await broker.ensure_lease(ANN, START)
    await world.until(broker, "ready")
    await broker.stop(ANN, lease.id)
    await world.until(broker, "asleep")
    world.disk().dirty = "beyond"
    await broker.start(ANN, lease.id)
    failed = await world.until(broker, "trouble")
    assert "not mounted and not repaired" in failed.problem.kept


async def test_another_size_than_recorded_is_refused(world):
    broker = await world.broker()
    await with_disk(world, broker, lambda disk: setattr(disk, "size_bytes", 2 * 2**30))
    failed = await world.until(broker, "trouble")
    assert failed.problem.code == "volume-mismatch"


async def test_a_busy_volume_is_named_and_not_detached_and_stop_works_later(world):
    broker = await world.broker()
    lease = await broker.ensure_lease(ANN, START)
    await world.until(broker, "ready")
    world.machine().holders = ["python3 long.py"]
    await broker.stop(ANN, lease.id)
    failed = await world.until(broker, "trouble")
    assert "`python3 long.py` of student" in failed.problem.what
    assert world.cloud.calls["detach_volume"] == 0
    assert world.machine().up
    assert world.volume().stage is VolumeStage.MOUNTED
    world.machine().holders = []
    await broker.stop(ANN, lease.id)
    await world.until(broker, "asleep")


async def test_start_after_a_failed_stop_opens_the_machine_again(world):
    broker = await world.broker()
    lease = await broker.ensure_lease(ANN, START)
    await world.until(broker, "ready")
    world.machine().holders = ["python3 long.py"]
    await broker.stop(ANN, lease.id)
    await world.until(broker, "trouble")
    await broker.start(ANN, lease.id)
    await world.until(broker, "ready")
    assert await broker.grant(ANN, lease.id)


async def test_a_machine_that_does_not_answer_is_shut_down_by_its_power_button_first(world):
    broker = await world.broker()
    lease = await broker.ensure_lease(ANN, START)
    await world.until(broker, "ready")
    world.machine().hung = True
    await broker.stop(ANN, lease.id)
    await world.clock.advance(30)
    assert world.cloud.calls["stop_instance"] == 0
    assert world.cloud.calls["detach_volume"] == 0
    await world.until(broker, "asleep")
    assert world.cloud.violations == []
    world.machine().hung = False
    await broker.start(ANN, lease.id)
    await world.until(broker, "ready")


async def test_an_instance_store_machine_that_does_not_answer_is_not_ended_behind_ones_back(store_world):
    world = store_world
    broker = await world.broker()
    lease = await broker.ensure_lease(ANN, START)
    await world.until(broker, "ready")
    world.machine().hung = True
    await broker.stop(ANN, lease.id)
    failed = await world.until(broker, "trouble", limit_s=900)
    assert "left running" in failed.problem.kept
    assert world.cloud.calls["terminate_instance"] == 0
    await broker.delete(ANN, lease.id, confirm="01-first")
    await world.until(broker, "off", limit_s=900)
    assert world.cloud.live_instances(lease.id) == []
    await broker.start(ANN, lease.id)
    await world.until(broker, "ready")
    assert world.disk().formats == 1


@pytest.mark.parametrize("when", ["break_before", "break_after"])
@pytest.mark.parametrize("script", ["own-host-key", "switch-host-key", "probe", "format", "mount"])
async def test_a_connection_that_breaks_around_a_script_is_made_again(world, script, when):
    broker = await world.broker()
    getattr(world.shell, when)[script] = 1
    await broker.ensure_lease(ANN, START)
    await world.until(broker, "ready")
    assert world.disk().formats == 1
    assert world.lease().bootstrap_key == ""


@pytest.mark.parametrize("when", ["break_before", "break_after"])
async def test_a_connection_that_breaks_while_unmounting_is_made_again(world, when):
    broker = await world.broker()
    lease = await broker.ensure_lease(ANN, START)
    await world.until(broker, "ready")
    getattr(world.shell, when)["release"] = 2
    await broker.stop(ANN, lease.id)
    await world.until(broker, "asleep")


async def test_a_volume_made_from_a_snapshot_gets_no_permit(world):
    broker = await world.broker()
    await broker.ensure_lease(ANN, START)
    await world.clock.drive(lambda: world.volume().cloud_id in world.cloud.disks)
    row = world.cloud.volume_row(world.volume().cloud_id)
    for name in ("seen", "next_seen"):
        seen = getattr(row, name)
        if seen is not None:
            fields = {field: getattr(seen, field) for field in seen.__slots__}
            setattr(row, name, type(seen)(**{**fields, "snapshot_id": "snap-1"}))
    failed = await world.until(broker, "trouble")
    assert "no permission" in failed.problem.what
    assert world.disk().formats == 0


async def test_a_permit_belongs_to_one_generation(world):
    """A machine that dies between permit and format leaves a permit that the next machine cannot use."""
    broker = await world.broker()
    world.shell.break_before["probe"] = 1
    world.cloud.root_device_type = "instance-store"
    await broker.ensure_lease(ANN, START)
    await world.clock.drive(lambda: len(world.store.peek().permits) == 1)
    world.cloud.kill(world.lease().instance_id)
    await world.until(broker, "ready")
    permits = sorted(world.store.peek().permits.values(), key=lambda permit: permit.generation)
    assert [(p.generation, p.spent_at is not None) for p in permits] == [(1, False), (2, True)]
    assert world.disk().formats == 1


async def test_a_lab_without_a_volume_needs_no_disk_steps():
    from dataclasses import replace

    from educloud_lab.adapters.memory.world import PROFILE

    world = MemoryWorld()
    broker = await world.broker(profiles=[replace(PROFILE, volume=None)])
    lease = await broker.ensure_lease(ANN, START)
    ready = await world.until(broker, "ready")
    assert [step.name for step in ready.job.steps] == ["instance", "address", "connect", "ready"]
    await broker.stop(ANN, lease.id)
    stopped = await world.until(broker, "asleep")
    assert [step.name for step in stopped.job.steps] == ["sessions", "instance"]
    assert stopped.volumes == []
    await world.close()


async def test_a_volume_that_is_gone_is_replaced_only_when_the_machine_is_deleted_by_name(world):
    broker = await world.broker()
    lease = await broker.ensure_lease(ANN, START)
    await world.until(broker, "ready")
    await broker.stop(ANN, lease.id)
    await world.until(broker, "asleep")
    lost = world.volume().cloud_id
    world.cloud.lose_volume(lost)
    await broker.start(ANN, lease.id)
    failed = await world.until(broker, "trouble")
    assert "Delete machine" in failed.problem.next_step
    assert world.volume().cloud_id == lost
    assert not world.cloud.disks
    await broker.delete(ANN, lease.id, confirm=lease.lab)
    await world.until(broker, "off")
    assert world.volume().quarantined == (lost,)
    await broker.start(ANN, lease.id)
    ready = await world.until(broker, "ready")
    assert ready.volumes[0].id not in (None, lost)
    assert [disk.formats for disk in world.cloud.disks.values()] == [1]
