"""What just happened: kept by the job's own commits, each person's own, bounded, and switched off by a setting."""

from collections import Counter

import pytest

from educloud_lab.broker.accounts import MOST_ACCOUNTS
from educloud_lab.broker.config import BrokerConfig
from educloud_lab.domain.errors import CapacityError, NotFoundError
from educloud_lab.ports.calls import CALLS
from educloud_lab.wire import models as wire

START = wire.LeaseRequest(lab="01-first", machine_profile="first-steps", start=True)


async def started(world, broker, person="ann"):
    lease = await broker.ensure_lease(person, START)
    await world.until(broker, "ready", person=person)
    return lease.id


async def stopped(world, broker, lease_id, person="ann"):
    await broker.stop(person, lease_id)
    await world.until(broker, "asleep", person=person)


async def test_a_start_and_a_stop_are_told_with_their_steps(world):
    broker = await world.broker()
    lease_id = await started(world, broker)
    await stopped(world, broker, lease_id)
    found = await broker.accounts.latest("ann", lease_id)
    assert [(account.kind, account.outcome) for account in found.accounts] == [("stop", "done"), ("start", "done")]
    stop, start = found.accounts
    run = next(call for call in start.calls if call.operation == "RunInstances")
    assert (run.step, run.outcome, run.parts) == ("Boot the machine", "ok", ["CLC", "CC", "NC", "SC"])
    assert run.answer["Instances.1.InstanceId"] == world.lease().instance_id
    assert run.parameters["UserData"].startswith("[user data, ")
    assert {"CreateVolume", "AttachVolume"} <= {call.operation for call in start.calls}
    assert [call.operation for call in stop.calls if not call.operation.startswith("Describe")] == [
        "DetachVolume", "StopInstances"
    ]  # fmt: skip
    assert all(call.aws for account in found.accounts for call in account.calls)
    assert {part.part for part in found.components} == {"CLC", "CC", "NC", "SC", "Walrus"}
    assert start.ended_at is not None


async def test_an_instance_store_machine_gets_its_image_from_walrus(store_world):
    broker = await store_world.broker()
    lease_id = await started(store_world, broker)
    (account,) = (await broker.accounts.latest("ann", lease_id)).accounts
    run = next(call for call in account.calls if call.operation == "RunInstances")
    assert run.parts == ["CLC", "CC", "NC", "Walrus"]


async def test_nothing_of_another_person_is_in_an_account(world):
    broker = await world.broker()
    ids = {}
    for person in ("ann", "bob"):
        ids[person] = (await broker.ensure_lease(person, START)).id
    for person in ("ann", "bob"):
        await world.until(broker, "ready", person=person)
    for person, other in (("ann", "bob"), ("bob", "ann")):
        told = (await broker.accounts.latest(person, ids[person])).model_dump_json()
        theirs = world.lease(other)
        assert str(world.lease(person).instance_id) in told
        for word in (other, theirs.instance_id, theirs.address, theirs.id, world.volume(other).cloud_id):
            assert f'"{word}"' not in told
            assert f"({word})" not in told
        assert "[left out]" in told  # the looks did list the other's


async def test_keys_are_in_no_account(world):
    broker = await world.broker()
    lease_id = await started(world, broker)
    told = (await broker.accounts.latest("ann", lease_id)).model_dump_json()
    assert "PRIVATE" not in told
    assert world.machine().user_data not in told
    assert world.lease().host_key
    assert "ssh-ed25519" not in repr(world.store.peek().calls)


async def test_a_lost_reply_is_told_as_such_and_the_attempts_are_one_account(world):
    broker = await world.broker()
    world.cloud.faults.lost_replies["run_instance"] = 1
    lease_id = await started(world, broker)
    (account,) = (await broker.accounts.latest("ann", lease_id)).accounts
    runs = [call.outcome for call in account.calls if call.operation == "RunInstances"]
    assert runs[0] == "lost"
    assert world.store.peek().jobs[account.job_id].attempts > 1
    assert len({call.at for call in account.calls}) > 1


async def test_refusals_that_repeat_are_one_entry(world):
    broker = await world.broker()
    world.cloud.faults.errors["run_instance"] = [CapacityError("The cloud has no room.") for _ in range(5)]
    lease_id = await started(world, broker)
    (account,) = (await broker.accounts.latest("ann", lease_id)).accounts
    runs = [(call.outcome, call.times) for call in account.calls if call.operation == "RunInstances"]
    assert runs == [("refused", 5), ("ok", 1)]


async def test_it_costs_no_transaction_and_no_call(world):
    async def cost(record):
        from educloud_lab.adapters.memory.world import MemoryWorld

        one = MemoryWorld()
        seen = Counter()
        transact = one.store.transact

        async def counted(function):
            seen["transactions"] += 1
            return await transact(function)

        one.store.transact = counted
        broker = await one.broker(config=BrokerConfig(workers=4, record_calls=record))
        lease_id = await started(one, broker)
        seen["rows"] = sum(len(rows) for rows in one.store.peek().calls.values())
        found = await broker.accounts.latest("ann", lease_id)
        await one.close()
        return seen["transactions"], dict(one.cloud.calls), seen["rows"], found

    with_it, without = await cost(True), await cost(False)
    assert with_it[:2] == without[:2]
    assert with_it[2] > 5
    assert without[2] == 0
    assert (without[3].recording, without[3].accounts) == (False, [])


async def test_a_look_outside_of_jobs_is_in_no_account(world):
    broker = await world.broker()
    lease_id = await started(world, broker)
    before = await broker.accounts.latest("ann", lease_id)
    await world.clock.advance(300.0)  # machines are looked at all the while
    await broker.doctor.why("ann", lease_id)
    await broker.console("ann", lease_id)
    assert world.cloud.calls["console_output"] >= 1
    assert await broker.accounts.latest("ann", lease_id) == before
    assert CALLS.get() is None


async def test_only_the_latest_jobs_of_a_lease_keep_theirs(world):
    broker = await world.broker(config=BrokerConfig(workers=4, keep_calls=3, forget_calls_s=5.0))
    lease_id = await started(world, broker)
    for _ in range(2):
        await stopped(world, broker, lease_id)
        await broker.start("ann", lease_id)
        await world.until(broker, "ready")
    await world.clock.drive(lambda: len(world.store.peek().calls) == 3, limit_s=120.0)
    found = await broker.accounts.latest("ann", lease_id, limit=99)
    assert [account.kind for account in found.accounts] == ["start", "stop", "start"]
    assert len(world.store.peek().jobs) == 5
    assert MOST_ACCOUNTS >= 20


async def test_somebody_elses_account_is_not_there(world):
    broker = await world.broker(course="networks")  # where nobody oversees
    lease_id = await started(world, broker)
    assert (await broker.accounts.latest("ann", lease_id)).accounts
    for asked in (lease_id, "nothing"):
        with pytest.raises(NotFoundError, match="There is no such machine, or it is not yours"):
            await broker.accounts.latest("bob", asked)


async def test_who_oversees_the_course_sees_it(world):
    broker = await world.broker()
    lease_id = await started(world, broker)
    assert (await broker.accounts.latest("bob", lease_id)).accounts


async def test_a_snapshot_is_known_by_its_record(world):
    broker = await world.broker()
    lease_id = await started(world, broker)
    await broker.volumes.snapshot("ann", lease_id, wire.SnapshotRequest(name="before lab 3"))
    await world.until(broker, "ready")
    account = (await broker.accounts.latest("ann", lease_id)).accounts[0]
    assert account.kind == "snapshot"
    looks = [call for call in account.calls if call.operation == "DescribeSnapshots"]
    assert looks[-1].answer["Snapshots.1.State"] == "completed"
    assert len(account.calls) < 12
    made = next(call for call in account.calls if call.operation == "CreateSnapshot")
    assert made.parts == ["CLC", "SC", "Walrus"]
    assert "[left out]" not in made.aws
