"""What people ask for, twice, at once, too early and too late; and who may."""

import asyncio
from dataclasses import replace

import pytest

from educloud_lab.adapters.memory.world import PROFILE
from educloud_lab.domain.errors import ConflictError, HostKeyError, LoginRefusedError, NotFoundError, ProfileError
from educloud_lab.ports.cloud import InstanceState
from educloud_lab.wire import models as wire

ANN = "ann"
LAB = wire.LeaseRequest(lab="01-first", machine_profile="first-steps")
START = LAB.model_copy(update={"start": True})


async def ready(world, **overrides):
    broker = await world.broker(**overrides)
    lease = await broker.ensure_lease(ANN, START)
    await world.until(broker, "ready")
    return broker, lease.id


async def test_two_starts_from_two_brokers_on_one_store_are_one_start(world):
    one, two = await world.broker(), await world.broker()
    leases = await asyncio.gather(*(broker.ensure_lease(ANN, START) for broker in (one, two) * 3))
    assert len({lease.id for lease in leases}) == 1
    await asyncio.gather(*(broker.start(ANN, leases[0].id) for broker in (one, two) * 3))
    await world.until(one, "ready")
    assert len(world.cloud.machines) == 1
    assert len(world.cloud.disks) == 1
    assert len(world.store.peek().jobs) == 1
    assert (await two.snapshot(ANN)).leases[0].phase == "ready"


async def test_start_while_stopping_follows_the_stop(world):
    broker, lease_id = await ready(world)
    await broker.stop(ANN, lease_id)
    await world.clock.drive(lambda: world.lease().status == "stopping" and world.lease().instance_state == "stopping")
    waiting = await broker.start(ANN, lease_id)
    assert waiting.phase == "waiting"
    assert "then it starts" in waiting.headline
    await world.until(broker, "ready")
    kinds = [job.kind for job in sorted(world.store.peek().jobs.values(), key=lambda job: job.created_at)]
    assert kinds == ["start", "stop", "start"]


async def test_stop_while_starting_gives_the_start_up_between_steps(world):
    broker = await world.broker()
    lease = await broker.ensure_lease(ANN, START)
    await world.clock.drive(lambda: world.lease().instance_state == "running")
    await broker.stop(ANN, lease.id)
    took_s = await world.clock.drive(lambda: world.phase(ANN) in ("asleep", "off"))
    assert took_s < 20
    assert "mount" not in world.shell.scripts
    seen = world.cloud.live_instances(lease.id)
    assert [instance.state for instance in seen] == [InstanceState.STOPPED]
    await broker.start(ANN, lease.id)
    await world.until(broker, "ready")


async def test_stop_before_anything_was_made_makes_nothing(world):
    broker = await world.broker()
    lease = await broker.ensure_lease(ANN, START)
    await broker.stop(ANN, lease.id)
    await world.until(broker, "off")
    assert world.cloud.machines == {}


async def test_delete_while_stopping_deletes_after_the_stop(world):
    broker, lease_id = await ready(world)
    await broker.stop(ANN, lease_id)
    await world.clock.advance(0.5)
    await broker.delete(ANN, lease_id, confirm=" 01-first ")
    await world.until(broker, "off")
    assert world.cloud.live_instances(lease_id) == []


async def test_somebody_elses_machine_looks_like_none(world):
    broker, lease_id = await ready(world)
    for verb in (broker.start, broker.stop, broker.extend, broker.console, broker.grant):
        with pytest.raises(NotFoundError) as theirs:
            await verb("bob", lease_id)
        with pytest.raises(NotFoundError) as none:
            await verb("bob", "ffffffffffff")
        assert str(theirs.value) == str(none.value)
    with pytest.raises(NotFoundError):
        await broker.delete("bob", lease_id, confirm="01-first")
    assert (await broker.snapshot("bob")).leases == []


async def test_a_grant_opens_ones_own_machine_and_no_other(world):
    broker, lease_id = await ready(world)
    bobs = await broker.ensure_lease("bob", START)
    await world.until(broker, "ready", person="bob")
    mine, theirs = await broker.grant(ANN, lease_id), await broker.grant("bob", bobs.id)
    assert mine.principal == f"lease-{lease_id}-g1"
    await world.shell.connect(mine)
    at_theirs = replace(mine, address=theirs.address, host_keys=theirs.host_keys)
    with pytest.raises(LoginRefusedError, match="gateway"):
        await world.shell.connect(at_theirs)
    world.frontend.lines["hole"] = (f'permitopen="{theirs.address}:22",principals="{mine.principal}"',)
    with pytest.raises(LoginRefusedError, match="machine"):
        await world.shell.connect(at_theirs)


async def test_a_grant_is_for_machines_that_run(world):
    broker = await world.broker()
    lease = await broker.ensure_lease(ANN, LAB)
    with pytest.raises(ConflictError):
        await broker.grant(ANN, lease.id)
    with pytest.raises(ConflictError):
        await broker.extend(ANN, lease.id)
    with pytest.raises(ConflictError):
        await broker.console(ANN, lease.id)


async def test_a_session_is_cut_before_the_volume_is_unmounted(world):
    broker, lease_id = await ready(world)
    connection = await world.shell.connect(await broker.grant(ANN, lease_id))
    end = connection.close

    async def cut():
        world.shell.scripts.append("cut")
        await end()

    connection.close = cut
    await broker.stop(ANN, lease_id)
    await world.until(broker, "asleep")
    assert world.shell.scripts[-2:] == ["cut", "release"]
    assert "going to sleep" in world.machine().messages[0]


async def test_the_time_limit_puts_the_machine_to_sleep_and_keep_moves_it(world):
    broker, lease_id = await ready(world)
    await world.clock.advance(PROFILE.time_limit_s - 60)
    await broker.extend(ANN, lease_id)
    await world.clock.advance(PROFILE.time_limit_s - 60)
    assert world.phase(ANN) == "ready"
    await world.clock.advance(120)
    asleep = await world.until(broker, "asleep")
    assert "time limit" in asleep.headline
    assert asleep.expires_at is None
    await broker.start(ANN, lease_id)
    await world.until(broker, "ready")


async def test_a_computer_that_slept_past_the_limit_warns_and_then_puts_the_machine_to_sleep(world):
    broker, _ = await ready(world)
    world.clock.jump(PROFILE.time_limit_s + 3600)
    woke_s = world.clock.monotonic_s()
    asleep = await world.until(broker, "asleep", limit_s=120)
    assert "time limit" in asleep.headline
    assert world.clock.monotonic_s() - woke_s >= PROFILE.warn_before_s[-1]


async def test_a_changed_host_key_is_refused_and_explained(world):
    broker, lease_id = await ready(world)
    await broker.stop(ANN, lease_id)
    await world.until(broker, "asleep")
    world.machine().own_key = "ssh-ed25519 somebodyelse"
    await broker.start(ANN, lease_id)
    failed = await world.until(broker, "trouble", limit_s=60)
    assert failed.problem.code == "host-key"
    assert HostKeyError.code == failed.problem.code
    with pytest.raises(ConflictError):
        await broker.grant(ANN, lease_id)
    await broker.delete(ANN, lease_id, confirm="01-first")
    await world.until(broker, "off")
    await broker.start(ANN, lease_id)
    await world.until(broker, "ready")


async def test_the_bootstrap_key_is_forgotten_after_first_contact(world):
    await ready(world)
    assert world.lease().bootstrap_key == ""
    assert [name for name in world.store.peek().secrets if name.startswith("bootstrap")] == []
    assert world.machine().served_key == world.machine().own_key


async def test_a_job_of_a_dead_broker_is_taken_over_within_fifteen_seconds(world):
    one = await world.broker()
    await one.ensure_lease(ANN, START)
    await world.clock.drive(lambda: world.lease().instance_state == "running")
    for task in one._reconciler._tasks:
        task.cancel()
    one._parts.holder = "dead"  # a process that was killed lets nothing go: its claim stays
    row = next(iter(world.store.peek().jobs.values()))
    until = row.claimed_until
    await world.clock.turns()
    world.store.peek().jobs[row.id] = replace(world.store.peek().jobs[row.id], claimed_until=until)
    began_s = world.clock.monotonic_s()
    two = await world.broker()
    await world.until(two, "ready")
    epoch = next(iter(world.store.peek().jobs.values())).epoch
    assert epoch == 2
    assert world.clock.monotonic_s() - began_s < 15 + 10


async def test_closing_lets_the_next_broker_go_on_at_once(world):
    one = await world.broker()
    await one.ensure_lease(ANN, START)
    await world.clock.drive(lambda: world.lease().instance_state == "running")
    world.brokers.remove(one)
    await one.close()
    two = await world.broker()
    await world.clock.advance(1.5)
    assert next(iter(world.store.peek().jobs.values())).epoch == 2
    await world.until(two, "ready")


async def test_names_in_any_script_with_quotes_and_spaces(world):
    broker = await world.broker()
    odd = START.model_copy(update={"lab": 'Übung "1" $(rm -rf /) \'; 実験', "slot": "zweite Kiste"})
    person = "Anne-Zoë O'Brien 李 <a@b>"
    lease = await broker.ensure_lease(person, odd)
    await world.until(broker, "ready", person=person)
    await broker.delete(person, lease.id, confirm=odd.lab)
    await world.until(broker, "off", person=person)


async def test_another_profile_is_a_conflict_while_the_machine_exists(world):
    other = replace(PROFILE, name="other")
    broker, lease_id = await ready(world, profiles=[PROFILE, other])
    request = LAB.model_copy(update={"machine_profile": "other"})
    with pytest.raises(ConflictError, match="first-steps"):
        await broker.ensure_lease(ANN, request)
    await broker.delete(ANN, lease_id, confirm="01-first")
    await world.until(broker, "off")
    assert (await broker.ensure_lease(ANN, request)).machine_profile.name == "other"


async def test_a_start_that_failed_over_its_profile_follows_the_mended_one(world):
    broker = await world.broker(profiles=[replace(PROFILE, image="nowhere")])
    lease = await broker.ensure_lease(ANN, START)
    await world.until(broker, "trouble")
    assert (await broker.snapshot(ANN)).leases[0].problem.code == "bad-profile"
    await broker.close()
    broker = await world.broker(profiles=[replace(PROFILE, revision=PROFILE.revision + 1)])
    assert (await broker.start(ANN, lease.id)).machine_profile.revision == PROFILE.revision + 1
    await world.until(broker, "ready")
    assert world.lease().generation == 1


async def test_profiles_that_are_missing_or_wrong_are_named(world):
    broker = await world.broker(profile_problems=[ProfileError("The file broken.toml of 'broken' has no image.")])
    with pytest.raises(NotFoundError, match="first-steps"):
        await broker.ensure_lease(ANN, LAB.model_copy(update={"machine_profile": "nowhere"}))
    with pytest.raises(ProfileError, match="no image"):
        await broker.ensure_lease(ANN, LAB.model_copy(update={"machine_profile": "broken"}))
    assert "no image" in (await broker.snapshot(ANN)).profile_problems[0].what


async def test_a_machine_that_never_answers_is_said_after_a_while(world):
    broker = await world.broker()
    world.cloud.pace.boot_s = 10_000
    await broker.ensure_lease(ANN, START)
    failed = await world.until(broker, "trouble", limit_s=900)
    assert failed.problem.code == "never-answered"
    assert "console" in failed.problem.next_step
    console = await broker.console(ANN, failed.id)
    assert "booting" in console.text


async def test_a_guest_that_refuses_the_certificate_for_a_while_is_asked_again(world):
    broker = await world.broker()
    lease = await broker.ensure_lease(ANN, START)
    await world.clock.drive(lambda: world.lease().instance_state == "running")
    world.machine().refuses_login = True
    await world.clock.advance(15)
    assert world.phase(ANN) == "starting"
    world.machine().refuses_login = False
    await world.until(broker, "ready")
    assert lease.id == world.lease().id


async def test_what_went_wrong_leaves_the_card_once_the_start_comes_further(world):
    broker = await world.broker()
    world.cloud.pace.attach_s = 100
    await broker.ensure_lease(ANN, START)
    await world.clock.drive(lambda: world.lease().instance_state == "running")
    world.machine().refuses_login = True
    await world.clock.drive(lambda: world.lease().problem is not None)
    assert world.lease().problem.code == "login-refused"
    world.machine().refuses_login = False
    await world.clock.drive(lambda: world.lease().problem is None)
    assert world.phase(ANN) == "starting"
    assert (await broker.snapshot(ANN)).leases[0].problem is None
    await world.until(broker, "ready")


async def test_a_second_failed_look_at_the_gateway_is_only_a_delay(world):
    from educloud_lab.domain.errors import MachineUnreachableError

    broker = await world.broker()
    world.frontend.errors = [MachineUnreachableError("The gateway does not answer.")] * 2
    await broker.ensure_lease(ANN, START)
    await world.until(broker, "ready")


async def test_an_attempt_that_hangs_is_joined_by_another(world):
    """A port forward accepts a connection before the guest's network is up, and then says nothing."""
    broker = await world.broker()
    connect, hung = world.shell.connect, []

    async def first_hangs(grant, *, timeout_s=15.0):
        if not hung:
            hung.append(grant)
            await world.clock.sleep(timeout_s)
        return await connect(grant, timeout_s=timeout_s)

    world.shell.connect = first_hangs
    await broker.ensure_lease(ANN, START)
    await world.until(broker, "ready")
    assert hung
    assert world.clock.monotonic_s() < 10


async def test_a_machine_left_running_after_a_failure_ends_with_its_time_too(world):
    broker = await world.broker()
    await broker.ensure_lease(ANN, START)
    await world.clock.drive(lambda: world.volume().cloud_id in world.cloud.disks)
    world.disk().unreadable = True
    failed = await world.until(broker, "trouble")
    assert world.machine().up
    assert failed.expires_at is not None
    await world.clock.advance(PROFILE.time_limit_s + 60)
    assert not world.machine().up
    assert world.phase(ANN) == "asleep"


async def test_a_slow_handshake_is_not_cut_short_by_its_followers(world):
    """On a busy computer a login takes many seconds; giving each attempt three would never get through."""
    broker = await world.broker()
    connect = world.shell.connect

    async def slow(grant, *, timeout_s=15.0):
        await world.clock.sleep(9)
        return await connect(grant, timeout_s=timeout_s)

    world.shell.connect = slow
    await broker.ensure_lease(ANN, START)
    await world.until(broker, "ready", limit_s=60)
