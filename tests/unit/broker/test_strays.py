"""A machine at rest that somebody started by the cloud's own means does not run for ever."""

from educloud_lab.ports.cloud import InstanceState
from educloud_lab.wire import models as wire

START = wire.LeaseRequest(lab="01-first", machine_profile="first-steps", start=True)


async def at_rest(world):
    broker = await world.broker()
    lease = await broker.ensure_lease("ann", START)
    await world.until(broker, "ready")
    await broker.stop("ann", lease.id)
    await world.until(broker, "asleep")
    return broker, lease.id


def is_up(world):
    return any(seen.state is InstanceState.RUNNING for seen in world.cloud.live_instances(world.lease().id))


async def test_it_is_stopped_again_and_that_is_on_record(world):
    broker, lease_id = await at_rest(world)
    await world.clock.advance(600)
    await world.cloud.start_instance(world.lease().instance_id)
    await world.clock.drive(lambda: is_up(world))
    await world.clock.drive(lambda: not is_up(world), limit_s=180.0)
    await world.until(broker, "asleep")
    page = await broker.oversight.audit("ann", lease_id=lease_id)
    assert "lease.stray" in [entry.what for entry in page.entries]


async def test_start_takes_it_over_as_it_is(world):
    broker, lease_id = await at_rest(world)
    await world.clock.advance(600)
    await world.cloud.start_instance(world.lease().instance_id)
    before = world.lease().instance_id
    await broker.start("ann", lease_id)
    await world.until(broker, "ready")
    assert world.lease().instance_id == before


async def test_what_a_lagging_cloud_still_shows_is_not_taken_for_a_start(world):
    _, lease_id = await at_rest(world)
    await world.cloud.start_instance(world.lease().instance_id)
    await world.clock.advance(30)
    calls = [row for row in world.store.peek().audits.values() if row.what == "lease.stray"]
    assert calls == []
    assert lease_id == world.lease().id
