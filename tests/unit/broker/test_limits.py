"""Limits as the broker keeps them: never early, late by at most two periods, warned of where people are."""

from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest

from educloud_lab.adapters.memory.world import PROFILE, MemoryWorld
from educloud_lab.broker.config import BrokerConfig
from educloud_lab.domain.errors import BadInputError, ConflictError, NotFoundError
from educloud_lab.wire import models as wire

ANN = "ann"
START = wire.LeaseRequest(lab="01-first", machine_profile="first-steps", start=True)
CONFIG = BrokerConfig(workers=2, tick_s=10.0)  # hours pass in these tests
PERIOD_S = CONFIG.tick_s
HOUR = 3600
LIMITED = replace(PROFILE, idle_limit_s=HOUR, first_connection_limit_s=HOUR // 2)
QUIET = replace(PROFILE, idle_limit_s=HOUR)


async def ready(world, profile=PROFILE, **overrides):
    broker = await world.broker(**{"profiles": [profile], "config": CONFIG, **overrides})
    lease = await broker.ensure_lease(ANN, START)
    await world.until(broker, "ready")
    return broker, lease.id


def since_start(world):
    return (world.store_now() - world.lease().started_at).total_seconds()


async def stopped_after(world, at_least_s, **limit):
    """Drive until the machine is meant to stop; return how late that was, by the store's clock."""
    await world.clock.drive(lambda: world.lease().target == "stopped", limit_s=at_least_s + 2 * HOUR)
    late_s = since_start(world) - at_least_s
    assert late_s >= 0, "early"
    return late_s


async def shown(broker):
    return (await broker.snapshot(ANN)).leases[0]


@pytest.fixture
async def world():
    made = MemoryWorld()
    made.offset_s = 0.0
    made.store_now = lambda: made.clock.now() + timedelta(seconds=made.offset_s)
    yield made
    await made.close()
    assert made.cloud.violations == []


async def turn_clock(world, offset_s):
    await world.store.set_clock_offset_for_tests(offset_s)
    world.offset_s = offset_s


async def test_each_warning_is_said_once_on_the_card_and_on_the_terminals(world):
    broker, _ = await ready(world)
    other = await world.broker(profiles=[PROFILE], config=CONFIG)
    seen = []

    async def note():
        for each in (broker, other):
            warning = (await shown(each)).limits.warning
            if warning is not None and warning.id not in [old.id for old in seen]:
                seen.append(warning)

    for before_s in PROFILE.warn_before_s:
        await world.clock.advance(PROFILE.time_limit_s - before_s - since_start(world) - 12)
        await note()
        count = len(seen)
        await world.clock.advance(23)
        await note()
        assert len(seen) == count + 1
    assert [warning.urgent for warning in seen] == [False, False, True]
    assert all(warning.ends_at == world.lease().expires_at for warning in seen)
    assert len(world.machine().told) == 3
    assert "put to sleep in" in world.machine().told[0]
    assert "Keep" in world.machine().told[0]
    assert "Everything on it is kept." in world.machine().told[0]
    assert await stopped_after(world, PROFILE.time_limit_s) <= 2 * PERIOD_S
    assert "time limit" in (await world.until(broker, "asleep")).headline


async def test_an_instance_store_machine_says_what_is_lost(store_world):
    broker = await store_world.broker(config=CONFIG)
    await broker.ensure_lease(ANN, START)
    await store_world.until(broker, "ready")
    await store_world.clock.advance(PROFILE.time_limit_s - 890)
    warning = (await shown(broker)).limits.warning
    assert warning.loses == "Everything outside /data is lost: the system disk goes with the machine."
    assert warning.loses in store_world.machine().told[0]
    assert "Files in /data are saved" in store_world.machine().told[0]


@pytest.mark.parametrize("left_s", [1.0, 0.001, -0.5])
async def test_keep_at_the_last_second_gives_the_full_time(world, left_s):
    broker, lease_id = await ready(world)
    await world.clock.advance(PROFILE.time_limit_s - since_start(world) - 3)
    world.clock.jump(3 - left_s)  # no broker has looked since
    kept = await broker.limits.keep(ANN, lease_id)
    assert kept.phase == "ready"
    assert kept.expires_at == world.store_now() + timedelta(seconds=PROFILE.time_limit_s)
    assert kept.limits.warning is None
    until_s = since_start(world) + PROFILE.time_limit_s
    assert await stopped_after(world, until_s) <= 2 * PERIOD_S


async def test_a_kept_machine_is_kept_by_every_broker(world):
    broker, lease_id = await ready(world)
    other = await world.broker(profiles=[PROFILE], config=CONFIG)
    await world.clock.advance(PROFILE.time_limit_s - since_start(world) - 1)
    await other.extend(ANN, lease_id)
    await world.clock.advance(HOUR)
    assert world.phase(ANN) == "ready"
    assert (await shown(broker)).limits.keep_until is not None


async def test_idle_puts_to_sleep_and_activity_does_not(world):
    broker, lease_id = await ready(world, QUIET)
    for _ in range(60):
        await broker.limits.activity(ANN, lease_id, "terminal")
        await world.clock.advance(60)
    assert world.phase(ANN) == "ready"
    last_s = since_start(world) - 60
    assert await stopped_after(world, last_s + HOUR) <= 2 * PERIOD_S
    assert "nothing happened on it for 60 min" in (await world.until(broker, "asleep")).headline
    assert len(world.machine().told) == 3


async def test_activity_is_written_once_in_half_a_minute_and_its_last_moment_counts(world):
    broker, lease_id = await ready(world, QUIET, config=BrokerConfig(workers=2))
    await world.clock.advance(60)
    rows = []
    for _ in range(290):
        await broker.limits.activity(ANN, lease_id, "terminal")
        await world.clock.advance(0.2)
        rows.append(world.lease().active_at)
    assert len(set(rows)) == 2  # the first key, and the first one half a minute later
    last_s = since_start(world) - 0.2
    await world.clock.advance(40)
    assert await stopped_after(world, last_s + HOUR) <= 2


@pytest.mark.parametrize("profile", [PROFILE, QUIET], ids=["no-idle-limit", "idle-limit"])
async def test_typing_does_not_write_a_row_for_each_key(world, profile):
    broker, lease_id = await ready(world, profile)
    await broker.limits.activity(ANN, lease_id, "terminal")
    version = await world.store.version()
    for _ in range(20):
        await broker.limits.activity(ANN, lease_id, "terminal")
    assert await world.store.version() == version


async def test_a_machine_at_work_is_not_idle_until_it_rests(world):
    broker, _ = await ready(world, QUIET)
    await world.clock.advance(60)
    world.machine().load = 0.9
    await world.clock.advance(3 * HOUR)
    assert world.phase(ANN) == "ready"
    assert (await shown(broker)).limits.active_by == "programs at work on it"
    assert world.machine().told == []
    world.machine().load = 0.0
    asked = world.shell.scripts.count("load")
    assert asked < 20  # only when a warning came near
    assert await stopped_after(world, since_start(world)) <= HOUR


async def test_programs_of_people_count_where_the_load_is_low(world):
    await ready(world, QUIET)
    world.machine().work_share = 0.2
    await world.clock.advance(3 * HOUR)
    assert world.phase(ANN) == "ready"


async def test_a_machine_that_does_not_answer_is_idle_all_the_same(world):
    await ready(world, QUIET)
    world.machine().refuses_login = True
    assert await stopped_after(world, HOUR) <= 2 * PERIOD_S


async def test_nobody_connected(world):
    broker, lease_id = await ready(world, LIMITED)
    assert [limit.kind for limit in (await shown(broker)).limits.limits] == ["first-connection", "idle", "hard"]
    assert await stopped_after(world, HOUR // 2) <= 2 * PERIOD_S
    assert "nobody connected" in (await world.until(broker, "asleep")).headline
    await broker.start(ANN, lease_id)
    await world.until(broker, "ready")
    await broker.limits.activity(ANN, lease_id, "connected")
    await world.clock.advance(HOUR // 2 + 60)
    assert world.phase(ANN) == "ready"
    assert [limit.kind for limit in (await shown(broker)).limits.limits] == ["idle", "hard"]


async def test_busy_holds_the_idle_limit_off_and_not_the_hard_one(world):
    broker, lease_id = await ready(world, QUIET)
    until = world.store_now() + timedelta(hours=2)
    busy = await broker.limits.busy(ANN, lease_id, until)
    assert busy.limits.busy_until == until
    await world.clock.advance(2.9 * HOUR)
    assert world.phase(ANN) == "ready"
    assert (await shown(broker)).limits.busy_until is None
    beyond = await broker.limits.busy(ANN, lease_id, until + timedelta(days=3))
    assert beyond.limits.busy_until == beyond.expires_at
    assert await stopped_after(world, PROFILE.time_limit_s) <= 2 * PERIOD_S


async def test_busy_no_longer_counts_from_then(world):
    broker, lease_id = await ready(world, QUIET)
    await broker.limits.busy(ANN, lease_id, world.store_now() + timedelta(hours=3))
    await world.clock.advance(2 * HOUR)
    await broker.limits.busy(ANN, lease_id, None)
    assert await stopped_after(world, since_start(world) + HOUR) <= 2 * PERIOD_S
    with pytest.raises(ConflictError):
        await broker.limits.busy(ANN, lease_id, None)


async def test_a_time_that_is_over_is_no_end(world):
    broker, lease_id = await ready(world, QUIET)
    past = world.store_now() - timedelta(seconds=1)
    with pytest.raises(BadInputError):
        await broker.limits.busy(ANN, lease_id, past)
    with pytest.raises(BadInputError):
        await broker.limits.exempt(ANN, lease_id, wire.ExemptRequest(reason="why not", until=past))
    far = world.store_now() + timedelta(days=200)
    with pytest.raises(BadInputError):
        await broker.limits.exempt(ANN, lease_id, wire.ExemptRequest(reason="why not", until=far))
    with pytest.raises(ConflictError):
        await broker.limits.end_exemption(ANN, lease_id)


async def test_a_time_of_another_zone_is_recorded_as_utc(world):
    broker, lease_id = await ready(world, QUIET)
    until = (world.store_now() + timedelta(days=2)).replace(hour=3, minute=30, second=0, microsecond=0)
    here = until.astimezone(timezone(timedelta(hours=5)))
    await broker.limits.exempt(ANN, lease_id, wire.ExemptRequest(reason="renders", until=here))
    entry = (await broker.oversight.audit(ANN, lease_id=lease_id, limit=1)).entries[0]
    assert entry.detail == f"until {until:%Y-%m-%d} 03:30 UTC: renders"
    assert world.lease().exempt_until.utcoffset() == timedelta()
    with pytest.raises(BadInputError):
        await broker.limits.busy(ANN, lease_id, datetime.fromisoformat("9999-12-31T23:59:59-14:00"))


async def test_an_exemption_holds_over_a_restart_and_the_full_time_counts_from_its_end(world):
    broker, lease_id = await ready(world, LIMITED)
    until = world.store_now() + timedelta(hours=6)
    exempt = await broker.limits.exempt("ina", lease_id, wire.ExemptRequest(reason="renders", until=until))
    assert exempt.limits.limits == []
    assert (exempt.limits.exemption.reason, exempt.limits.exemption.by) == ("renders", "ina")
    assert {a.action: a.enabled for a in exempt.actions}[wire.Action.END_EXEMPTION]
    await world.clock.advance(4 * HOUR + 600)
    await broker.stop(ANN, lease_id)
    await world.until(broker, "asleep")
    await broker.start(ANN, lease_id)
    again = await world.until(broker, "ready")
    assert again.limits.exemption is not None
    assert again.expires_at == until + timedelta(seconds=PROFILE.time_limit_s)
    await world.clock.advance((until - world.store_now()).total_seconds() + 60)
    kinds = {limit.kind: limit.ends_at for limit in (await shown(broker)).limits.limits}
    assert kinds["hard"] == until + timedelta(seconds=PROFILE.time_limit_s)
    assert kinds["idle"] == until + timedelta(hours=1)
    assert kinds["first-connection"] == until + timedelta(minutes=30)
    whats = [record.what for record in world.store.peek().audits.values()]
    assert whats.count("lease.exempt") == 1


async def test_an_exemption_is_of_one_machine_and_goes_with_it(world):
    broker, lease_id = await ready(world, LIMITED)
    until = world.store_now() + timedelta(days=30)
    await broker.limits.exempt(ANN, lease_id, wire.ExemptRequest(reason="renders", until=until))
    await broker.delete(ANN, lease_id, confirm="01-first")
    await world.until(broker, "off")
    await broker.start(ANN, lease_id)
    fresh = await world.until(broker, "ready")
    assert fresh.limits.exemption is None
    assert await stopped_after(world, HOUR // 2) <= 2 * PERIOD_S


async def test_an_exemption_that_is_ended_gives_the_full_time_from_then(world):
    broker, lease_id = await ready(world)
    until = world.store_now() + timedelta(hours=6)
    await broker.limits.exempt(ANN, lease_id, wire.ExemptRequest(reason="renders", until=until))
    await world.clock.advance(5 * HOUR)
    on = await broker.limits.end_exemption(ANN, lease_id)
    assert on.expires_at == world.store_now() + timedelta(seconds=PROFILE.time_limit_s)
    assert on.limits.exemption is None
    assert await stopped_after(world, since_start(world) + PROFILE.time_limit_s) <= 2 * PERIOD_S


async def test_what_is_not_ones_own_looks_like_none(world):
    broker, lease_id = await ready(world, QUIET)
    for call in (
        broker.limits.keep,
        lambda *a: broker.limits.activity(*a, "cell"),
        lambda *a: broker.limits.busy(*a, None),
    ):
        with pytest.raises(NotFoundError):
            await call("bob", lease_id)
    assert world.lease().first_connected_at is None
    await broker.limits.activity(ANN, lease_id, "cell")
    with pytest.raises(NotFoundError):
        await broker.limits.activity("bob", lease_id, "cell")  # also while ann's is remembered


async def test_a_broker_that_was_down_for_days_warns_first(world):
    broker, _ = await ready(world, QUIET)
    world.brokers.remove(broker)
    await broker.close()
    world.clock.jump(3 * 24 * HOUR)
    other = await world.broker(profiles=[QUIET], config=CONFIG)
    began_s = world.clock.monotonic_s()
    await world.clock.drive(lambda: world.machine().told != [])
    assert (await shown(other)).limits.warning.urgent
    await world.clock.drive(lambda: world.lease().target == "stopped")
    notice_s = world.clock.monotonic_s() - began_s
    assert 60 <= notice_s <= 60 + 3 * PERIOD_S


@pytest.mark.parametrize("offset_s", [HOUR, -HOUR])
async def test_a_clock_of_the_store_that_jumps_stops_nobody_unwarned_and_nobody_stays_for_ever(world, offset_s):
    broker, _ = await ready(world)
    await world.clock.advance(PROFILE.time_limit_s - since_start(world) - HOUR // 2)
    await turn_clock(world, offset_s)
    jumped_s = world.clock.monotonic_s()
    await world.clock.drive(lambda: world.lease().target == "stopped", limit_s=3 * HOUR)
    passed_s = world.clock.monotonic_s() - jumped_s
    assert 60 <= passed_s <= HOUR // 2 + max(0, -offset_s) + 20
    assert world.lease().told.startswith("hard ")
    assert (await world.until(broker, "asleep")).expires_at is None


async def test_a_store_an_hour_ahead_of_this_computer_changes_nothing(world):
    await turn_clock(world, HOUR)
    await ready(world)
    assert await stopped_after(world, PROFILE.time_limit_s) <= 2 * PERIOD_S


async def test_two_brokers_stop_it_once(world):
    broker, _ = await ready(world)
    await world.broker(profiles=[PROFILE], config=CONFIG)
    await stopped_after(world, PROFILE.time_limit_s)
    await world.until(broker, "asleep")
    kinds = [job.kind for job in world.store.peek().jobs.values()]
    assert sorted(kinds) == ["start", "stop"]
    suspended = [record for record in world.store.peek().audits.values() if record.what == "lease.suspend"]
    assert [record.detail for record in suspended] == ["time-limit"]


async def test_a_session_begins_with_nothing_of_the_one_before(world):
    broker, lease_id = await ready(world, QUIET)
    await broker.limits.activity(ANN, lease_id, "terminal")
    await broker.limits.busy(ANN, lease_id, world.store_now() + timedelta(hours=3))
    await broker.stop(ANN, lease_id)
    asleep = await world.until(broker, "asleep")
    assert asleep.limits is None
    await broker.start(ANN, lease_id)
    fresh = await world.until(broker, "ready")
    assert (fresh.limits.active_at, fresh.limits.busy_until, fresh.limits.warning) == (None, None, None)
    assert world.lease().first_connected_at is None
