"""The machine's own timer, as the broker arms it: behind the hard limit, moved with it, never in a machine's way."""

from datetime import timedelta

from educloud_lab.adapters.memory.world import PROFILE
from educloud_lab.broker import grants, guard
from educloud_lab.broker.config import BrokerConfig
from educloud_lab.wire import models as wire

ANN = "ann"
START = wire.LeaseRequest(lab="01-first", machine_profile="first-steps", start=True)
CONFIG = BrokerConfig(workers=2, tick_s=5.0)  # hours pass in these tests
GRACE = timedelta(seconds=BrokerConfig().guard_grace_s)
HOUR = 3600


async def ready(world):
    broker = await world.broker(config=CONFIG)
    lease = await broker.ensure_lease(ANN, START)
    await world.until(broker, "ready")
    return broker, lease.id


def behind(world):
    """How far the timer is behind the hard end plus its grace."""
    end = world.lease().expires_at + GRACE
    return end.timestamp() - world.machine().guard[1]


async def test_it_is_armed_before_the_person_is_let_in(world):
    broker, _ = await ready(world)
    assert abs(behind(world)) < 5
    assert world.lease().guard_until.timestamp() == world.machine().guard[1]
    assert (await broker.snapshot(ANN)).leases[0].limits.guarded
    await world.clock.advance(HOUR)
    assert world.shell.scripts.count("guard") == 1  # nothing moved


async def test_keep_and_exemptions_move_it(world):
    broker, lease_id = await ready(world)
    await world.clock.advance(HOUR)
    await broker.limits.keep(ANN, lease_id)
    await world.clock.advance(30)
    assert abs(behind(world)) < 5
    until = world.clock.now() + timedelta(hours=30)
    await broker.limits.exempt(ANN, lease_id, wire.ExemptRequest(reason="renders", until=until))
    await world.clock.advance(30)
    assert abs(behind(world)) < 5
    await broker.limits.end_exemption(ANN, lease_id)
    await world.clock.advance(30)
    assert abs(behind(world)) < 5


async def test_a_machine_that_cannot_have_one_starts_all_the_same(world):
    broker = await world.broker(config=CONFIG)
    await broker.ensure_lease(ANN, START)
    await world.clock.drive(lambda: world.find_lease(ANN).instance_id in world.cloud.machines)
    world.machine().no_guard = True
    lease = await world.until(broker, "ready")
    assert not lease.limits.guarded
    tries = world.shell.scripts.count("guard")
    await world.clock.advance(HOUR)
    assert world.phase(ANN) == "ready"
    assert 2 <= world.shell.scripts.count("guard") - tries <= 9  # it is tried again, ever more rarely
    world.machine().no_guard = False
    await world.clock.advance(HOUR)
    assert abs(behind(world)) < 5


async def test_a_machine_that_does_not_answer_is_armed_when_it_does(world):
    broker, lease_id = await ready(world)
    world.machine().refuses_login = True
    await world.clock.advance(HOUR)
    await broker.limits.keep(ANN, lease_id)
    await world.clock.advance(60)
    assert behind(world) > 3000
    world.machine().refuses_login = False
    await world.clock.advance(400)
    assert abs(behind(world)) < 5


async def test_a_broker_that_dies_over_it_leaves_it_to_the_next(world):
    broker = await world.broker(config=CONFIG)
    world.shell.break_after["guard"] = 1
    await broker.ensure_lease(ANN, START)
    lease = await world.until(broker, "ready")
    await world.clock.advance(60)
    assert world.lease().guard_until is not None
    assert lease.phase == "ready"


async def test_an_older_wish_never_replaces_a_newer_one(world):
    broker, _ = await ready(world)
    version = await world.store.version()
    newer = (version + 1, world.machine().guard[1] + 7 * HOUR)
    world.machine().guard = newer  # another broker was faster: it has written since we wished

    async def newest():
        return version + 2

    lease, now = world.lease(), world.clock.now()
    connection = await world.shell.connect(await grants.broker_grant(broker._parts, lease), timeout_s=5)
    armed = await guard.arm(connection, lease, now, now=now, sequence=version, newest=newest)
    assert world.machine().guard == newer
    assert armed.timestamp() == newer[1]


async def test_keep_moves_a_timer_that_was_armed_before_an_older_store_was_brought_back(world):
    broker, lease_id = await ready(world)
    world.machine().guard = (10**9, world.machine().guard[1])
    await world.clock.advance(HOUR)
    await broker.limits.keep(ANN, lease_id)
    await world.clock.advance(10)
    assert abs(behind(world)) < 5


async def test_the_next_session_is_armed_anew(world):
    broker, lease_id = await ready(world)
    await world.clock.advance(HOUR)
    await broker.stop(ANN, lease_id)
    await world.until(broker, "asleep")
    assert world.lease().guard_until is None
    await broker.start(ANN, lease_id)
    await world.until(broker, "ready")
    assert abs(behind(world)) < 5


async def test_a_machine_that_its_timer_has_ended_reads_as_one_whose_time_was_over(world):
    broker, _ = await ready(world)
    world.brokers.remove(broker)
    await broker.close()
    world.clock.jump(PROFILE.time_limit_s + 901)
    instance_id = world.lease().instance_id
    await world.cloud.stop_instance(instance_id)
    world.clock.jump(30)
    other = await world.broker(config=CONFIG)
    asleep = await world.until(other, "asleep")
    assert "time limit" in asleep.headline
    assert asleep.problem is None


async def test_a_machine_that_goes_down_before_its_time_died(world):
    broker, _ = await ready(world)
    await world.clock.advance(60)
    await world.cloud.stop_instance(world.lease().instance_id)
    asleep = await world.until(broker, "asleep")
    assert "by itself" in asleep.headline
