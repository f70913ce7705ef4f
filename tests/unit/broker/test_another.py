"""A machine that stays pending is ended once and followed by another: never two, and never one with files on it."""

from educloud_lab.broker.another import ENDED
from educloud_lab.broker.config import BrokerConfig
from educloud_lab.ports.cloud import InstanceState
from educloud_lab.wire import models as wire

ANN = "ann"
START = wire.LeaseRequest(lab="01-first", machine_profile="first-steps", start=True)
LIMIT_S = 60
CONFIG = BrokerConfig(workers=4, launch_limit_s=LIMIT_S, limited_retries=1, busy_poll_s=1.0)


async def pending(world, broker):
    world.cloud.faults.pending_for_ever = True
    lease = await broker.ensure_lease(ANN, START)
    await world.clock.drive(lambda: world.lease().instance_id is not None)
    return lease, world.lease().instance_id


async def test_it_is_ended_seen_dead_and_followed_by_one_other(world):
    broker = await world.broker(config=CONFIG)
    lease, first = await pending(world, broker)
    await world.clock.advance(LIMIT_S - 15)
    assert world.cloud.calls["terminate_instance"] == 0
    world.cloud.faults.pending_for_ever = False  # the next one runs
    ready = await world.until(broker, "ready", limit_s=300)
    assert ready.instance.id != first
    assert world.lease().generation == 2
    assert world.cloud.calls["terminate_instance"] == 1
    assert [seen.instance_id for seen in world.cloud.live_instances(lease.id)] == [ready.instance.id]
    (line,) = [row for row in world.store.peek().audits.values() if row.what == "machine.replaced"]
    assert line.subject == first
    assert world.disk().formats == 1


async def test_once_for_each_press_on_start(world):
    broker = await world.broker(config=CONFIG)
    lease, _ = await pending(world, broker)
    await world.until(broker, "trouble", limit_s=1200)
    assert world.cloud.calls["terminate_instance"] == 1
    assert len(world.cloud.machines) == 2
    assert len(world.cloud.live_instances(lease.id)) == 1
    await broker.start(ANN, lease.id)
    await world.clock.drive(lambda: world.lease().generation == 3, limit_s=1200)
    await world.clock.drive(lambda: world.lease().instance_id is not None)
    assert world.cloud.calls["terminate_instance"] == 2
    assert len(world.cloud.live_instances(lease.id)) == 1


async def test_stop_while_it_is_pending_makes_no_other(world):
    broker = await world.broker(config=CONFIG)
    lease, _ = await pending(world, broker)
    await world.clock.advance(LIMIT_S - 15)
    await broker.stop(ANN, lease.id)
    world.cloud.faults.pending_for_ever = False
    await world.clock.advance(1200)
    assert len(world.cloud.machines) == 1
    assert world.lease().generation == 1


async def test_a_machine_that_ran_before_is_never_ended_for_being_pending(world):
    broker = await world.broker(config=CONFIG)
    lease = await broker.ensure_lease(ANN, START)
    ready = await world.until(broker, "ready")
    await broker.stop(ANN, lease.id)
    await world.until(broker, "asleep")
    world.cloud.faults.pending_for_ever = True
    await broker.start(ANN, lease.id)
    await world.until(broker, "trouble", limit_s=1200)
    assert world.cloud.calls["terminate_instance"] == 0
    assert world.lease().instance_id == ready.instance.id
    (live,) = world.cloud.live_instances(lease.id)
    assert live.state is InstanceState.PENDING


async def test_a_lost_reply_to_the_end_is_asked_again_for_the_same_machine_only(world):
    broker = await world.broker(config=CONFIG)
    lease, first = await pending(world, broker)
    world.cloud.faults.lost_replies["terminate_instance"] = 1
    await world.clock.drive(lambda: world.cloud.calls["terminate_instance"] >= 1, limit_s=LIMIT_S + 60)
    world.cloud.faults.pending_for_ever = False
    await world.until(broker, "ready", limit_s=600)
    jobs = [job for job in world.store.peek().jobs.values() if job.lease_id == lease.id]
    assert [job.arguments.get(ENDED) for job in jobs] == [first]
    assert len(world.cloud.machines) == 2
    assert len(world.cloud.live_instances(lease.id)) == 1
