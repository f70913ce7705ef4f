"""What the cloud does wrong, and that the next look, attempt or Start puts it right."""

import pytest

from educloud_lab.adapters.memory.world import MemoryWorld
from educloud_lab.domain.errors import (
    CapacityError,
    CloudAuthError,
    CloudBusyError,
    CloudRefusedError,
    CloudUnreachableError,
    QuotaError,
)
from educloud_lab.ports.cloud import InstanceState
from educloud_lab.wire import models as wire

ANN = "ann"
START = wire.LeaseRequest(lab="01-first", machine_profile="first-steps", start=True)
CHANGING = [
    "run_instance",
    "create_volume",
    "attach_volume",
    "detach_volume",
    "stop_instance",
    "start_instance",
    "terminate_instance",
]


async def whole_story(world, broker):
    lease = await broker.ensure_lease(ANN, START)
    await world.until(broker, "ready")
    await broker.stop(ANN, lease.id)
    await world.until(broker, "asleep")
    await broker.start(ANN, lease.id)
    await world.until(broker, "ready")
    await broker.delete(ANN, lease.id, confirm="01-first")
    await world.until(broker, "off")
    assert world.cloud.live_instances(lease.id) == []
    assert len(world.cloud.machines) == 1
    assert len(world.cloud.disks) == 1
    assert world.disk().formats == 1


@pytest.mark.parametrize("operation", CHANGING)
async def test_a_lost_reply_is_looked_up_and_never_done_twice(world, operation):
    broker = await world.broker()
    world.cloud.faults.lost_replies[operation] = 1
    await whole_story(world, broker)


@pytest.mark.parametrize("operation", [*CHANGING, "images", "zones", "observe"])
@pytest.mark.parametrize("error", [CloudUnreachableError("No answer."), CloudBusyError("Slow down.")])
async def test_an_error_before_any_effect_is_only_a_delay(world, operation, error):
    broker = await world.broker()
    world.cloud.faults.errors[operation] = [error, error]
    await whole_story(world, broker)


async def test_new_things_that_show_up_a_minute_late_are_not_made_twice(world):
    broker = await world.broker()
    world.cloud.faults.lag_s = 60
    world.cloud.faults.lost_replies["run_instance"] = 1
    await whole_story(world, broker)


async def test_no_capacity_is_said_and_waited_for(world):
    broker = await world.broker()
    full = CapacityError("The cloud has no room for another machine now.", next_step="It is tried again by itself.")
    world.cloud.faults.errors["run_instance"] = [full] * 3
    await broker.ensure_lease(ANN, START)
    await world.clock.drive(lambda: world.lease().problem is not None)
    lease = (await broker.snapshot(ANN)).leases[0]
    assert lease.phase == "starting"
    assert lease.headline == "Waiting for room in the cloud: 1st of 1"
    assert lease.job.next_attempt_at is not None
    await world.until(broker, "ready")
    assert world.lease().problem is None


@pytest.mark.parametrize(
    "error", [QuotaError("Too many."), CloudAuthError("Wrong key."), CloudRefusedError("No such type.")]
)
async def test_what_asking_again_cannot_help_is_said_at_once_and_start_tries_again(world, error):
    broker = await world.broker()
    world.cloud.faults.errors["run_instance"] = [error]
    lease = await broker.ensure_lease(ANN, START)
    failed = await world.until(broker, "trouble", limit_s=30)
    assert failed.problem.what == error.what
    assert "failed" in [step.state for step in failed.job.steps]
    await broker.start(ANN, lease.id)
    await world.until(broker, "ready")


async def test_a_cloud_out_of_sight_is_unknown_and_not_empty(world):
    broker = await world.broker()
    lease = await broker.ensure_lease(ANN, START)
    await world.until(broker, "ready")
    world.cloud.faults.out_of_sight = True
    await world.clock.advance(600)
    seen = await broker.snapshot(ANN)
    assert seen.leases[0].phase == "ready"
    assert not seen.cloud.reachable
    assert seen.leases[0].instance.state == "unknown"
    world.cloud.faults.out_of_sight = False
    await world.clock.advance(120)
    seen = await broker.snapshot(ANN)
    assert seen.cloud.reachable
    assert seen.leases[0].instance.state == "running"
    assert len(world.cloud.live_instances(lease.id)) == 1


async def test_no_address_is_waited_for(world):
    broker = await world.broker()
    world.cloud.faults.no_address = True
    await broker.ensure_lease(ANN, START)
    await world.clock.advance(60)
    lease = (await broker.snapshot(ANN)).leases[0]
    assert lease.phase == "starting"
    waits = {step.name: step.waiting_for for step in lease.job.steps}
    assert "no address" in waits["address"]


async def test_pending_for_ever_ends_with_an_explanation(world):
    broker = await world.broker()
    world.cloud.faults.pending_for_ever = True
    lease = await broker.ensure_lease(ANN, START)
    failed = await world.until(broker, "trouble", limit_s=7200)
    assert "did not bring the machine up" in failed.problem.what
    world.cloud.faults.pending_for_ever = False
    await broker.delete(ANN, lease.id, confirm="01-first")
    await world.until(broker, "off")
    await broker.start(ANN, lease.id)
    await world.until(broker, "ready")


async def test_an_instance_that_dies_while_it_starts_is_replaced_by_a_new_generation(world):
    broker = await world.broker()
    world.cloud.faults.dead_on_arrival = 2
    await broker.ensure_lease(ANN, START)
    await world.until(broker, "ready")
    assert world.lease().generation == 3
    assert world.disk().formats == 1


async def test_a_silently_dropped_attachment_is_asked_for_again(world):
    broker = await world.broker()
    world.cloud.faults.silent_attaches = 2
    await whole_story(world, broker)
    assert world.cloud.calls["attach_volume"] == 4  # three for the first start, one for the second


async def test_a_silently_dropped_detachment_is_asked_for_again(world):
    broker = await world.broker()
    world.cloud.faults.silent_detaches = 2
    await whole_story(world, broker)
    assert world.cloud.calls["detach_volume"] == 4  # three for the stop, one for the end
    assert world.cloud.violations == []


@pytest.mark.parametrize("kind", ["ebs", "instance-store"])
async def test_a_machine_that_keeps_an_unmounted_volume_goes_down_first_and_then_lets_go(kind):
    world = MemoryWorld(kind)
    broker = await world.broker()
    lease = await broker.ensure_lease(ANN, START)
    await world.until(broker, "ready")
    machine = world.machine()
    world.cloud.faults.silent_detaches = 1000
    await broker.stop(ANN, lease.id)
    await world.clock.advance(60)
    assert machine.up
    stopped = await world.until(broker, "asleep")
    assert not machine.up
    assert stopped.volumes[0].stage == "available"
    assert stopped.problem is None
    assert world.cloud.attached_disks(machine.instance_id) == {}
    assert world.cloud.violations == []
    await broker.start(ANN, lease.id)
    await world.until(broker, "ready")
    assert world.disk().formats == 1
    await world.close()


async def test_a_volume_that_failed_before_it_held_anything_is_replaced_at_the_next_start(world):
    broker = await world.broker()
    world.cloud.faults.failed_volumes = 1
    lease = await broker.ensure_lease(ANN, START)
    failed = await world.until(broker, "trouble")
    assert failed.problem.code == "volume"
    assert "another volume" in failed.problem.next_step
    await broker.start(ANN, lease.id)
    await world.until(broker, "ready")
    assert len(world.volume().quarantined) == 1
    assert world.volume().cloud_id not in world.volume().quarantined


async def test_a_volume_with_files_that_failed_is_never_replaced(world):
    broker = await world.broker()
    lease = await broker.ensure_lease(ANN, START)
    await world.until(broker, "ready")
    await broker.stop(ANN, lease.id)
    await world.until(broker, "asleep")
    row = world.cloud.volume_row(world.volume().cloud_id)
    row.seen = type(row.seen)(**{**{f: getattr(row.seen, f) for f in row.seen.__slots__}, "state": "failed"})
    await broker.start(ANN, lease.id)
    failed = await world.until(broker, "trouble")
    assert "Nothing was created in its place" in failed.problem.kept
    assert failed.volumes[0].stage == "trouble"
    assert len(world.cloud.disks) == 1


@pytest.mark.parametrize("kind", ["ebs", "instance-store"])
async def test_a_machine_killed_from_outside_is_noticed_and_start_brings_it_back(kind):
    world = MemoryWorld(kind)
    broker = await world.broker()
    lease = await broker.ensure_lease(ANN, START)
    await world.until(broker, "ready")
    world.disk().files["notes"] = "kept"
    world.cloud.kill(world.lease().instance_id)
    asleep = await world.until(broker, "asleep", limit_s=120)
    assert asleep.problem.code == "machine-died"
    assert "volume is kept" in asleep.problem.kept
    assert asleep.volumes[0].stage == "available"
    await broker.start(ANN, lease.id)
    ready = await world.until(broker, "ready")
    assert ready.problem is None
    assert world.disk().files == {"notes": "kept"}
    assert world.cloud.violations == []
    await world.close()


async def test_a_machine_killed_while_it_starts_is_started_again(world):
    broker = await world.broker()
    await broker.ensure_lease(ANN, START)
    await world.clock.drive(lambda: world.lease().instance_state == "running")
    world.cloud.kill(world.lease().instance_id)
    await world.until(broker, "ready")
    assert world.disk().formats == 1


async def test_a_token_older_than_half_an_hour_is_looked_up_and_never_sent(world):
    broker = await world.broker()
    lost = CloudUnreachableError("No answer.")
    world.cloud.faults.errors["run_instance"] = [lost] * 10_000
    await broker.ensure_lease(ANN, START)
    await world.clock.advance(1835)
    sent = world.cloud.calls["run_instance"]
    await world.clock.advance(30)
    assert world.cloud.calls["run_instance"] == sent
    assert world.lease().generation == 1
    await world.clock.advance(200)
    assert world.lease().generation == 2  # certainly absent: a new token, not the old one again
    world.cloud.faults.errors["run_instance"] = []
    await world.until(broker, "ready")
    assert len(world.cloud.machines) == 1


async def test_an_image_that_is_not_there_or_for_other_machines_is_named(world):
    broker = await world.broker()
    world.cloud.architecture = "arm64"
    lease = await broker.ensure_lease(ANN, START)
    failed = await world.until(broker, "trouble")
    assert "arm64" in failed.problem.what
    world.cloud.architecture = "x86_64"
    await broker.start(ANN, lease.id)
    await world.until(broker, "ready")


async def test_the_terminated_instance_of_a_token_is_never_taken_for_the_machine(world):
    """Eucalyptus answers a repeated token with the instance that died (E1)."""
    broker = await world.broker()
    world.cloud.faults.lost_replies["run_instance"] = 1
    world.cloud.faults.dead_on_arrival = 1
    await broker.ensure_lease(ANN, START)
    await world.until(broker, "ready")
    states = [machine.up for machine in world.cloud.machines.values()]
    assert states == [False, True]
    assert world.lease().instance_state == InstanceState.RUNNING


async def test_one_look_serves_everybody(world):
    broker = await world.broker()
    for number in range(20):
        await broker.ensure_lease(f"person {number}", START)
    await world.clock.drive(lambda: all(world.phase(f"person {n}") == "ready" for n in range(20)))
    took_s = world.clock.monotonic_s()
    assert world.cloud.calls["observe"] <= took_s / 0.3 + 2
    await world.clock.advance(220)  # a new broker sweeps for orphans more often at first
    before = world.cloud.calls["observe"]
    await world.clock.advance(600)
    assert world.cloud.calls["observe"] - before <= 11  # once a minute while nobody watches
