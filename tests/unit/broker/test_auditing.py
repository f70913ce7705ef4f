"""Who did what, on whose, with which result: written where it happens, once, and without secrets."""

import json

import pytest

from educloud_lab.broker.auditing import DETAIL_LENGTH, Seldom, audit
from educloud_lab.domain.errors import CloudAuthError, ConflictError, NotFoundError
from educloud_lab.wire import models as wire

ANN = "ann"
START = wire.LeaseRequest(lab="01-first", machine_profile="first-steps", start=True)


def log(world, *, of=None):
    rows = world.store.peek().audits.values()
    return [(row.who, row.what, row.result) for row in rows if of is None or row.what.startswith(of)]


async def test_a_life_is_told_from_the_first_wish_to_the_last_result(world):
    broker = await world.broker()
    lease = await broker.ensure_lease(ANN, START)
    await broker.start(ANN, lease.id)  # the same Start
    await world.until(broker, "ready")
    instance_id, volume_id = world.lease().instance_id, world.volume().cloud_id
    await broker.grant(ANN, lease.id)
    for _ in range(3):
        await broker.console(ANN, lease.id)
    await broker.stop(ANN, lease.id)
    await world.until(broker, "asleep")
    await broker.delete(ANN, lease.id, confirm="01-first")
    await world.until(broker, "off")
    assert log(world) == [
        (ANN, "lease.start", "ok"),
        (ANN, "permit.granted", "ok"),
        (ANN, "permit.spent", "ok"),
        (ANN, "job.start.done", "ok"),
        (ANN, "grant.given", "ok"),
        (ANN, "console.read", "ok"),
        (ANN, "lease.stop", "ok"),
        (ANN, "job.stop.done", "ok"),
        (ANN, "lease.delete", "ok"),
        (ANN, "job.delete.done", "ok"),
    ]
    rows = list(world.store.peek().audits.values())
    assert {row.whose for row in rows} == {ANN}
    assert {row.lease_id for row in rows} == {lease.id}
    subjects = {row.what: row.subject for row in rows}
    assert (subjects["permit.spent"], subjects["job.start.done"]) == (volume_id, instance_id)


async def test_a_console_that_stays_open_is_one_line_in_ten_minutes(world):
    broker = await world.broker()
    lease = await broker.ensure_lease(ANN, START)
    await world.until(broker, "ready")
    for _ in range(30):
        await broker.console(ANN, lease.id)
        await world.clock.advance(25)
    assert log(world, of="console") == [(ANN, "console.read", "ok")] * 2


async def test_a_failure_is_told_with_its_code(world):
    broker = await world.broker()
    world.cloud.faults.errors["run_instance"] = [CloudAuthError("No.")]
    await broker.ensure_lease(ANN, START)
    await world.until(broker, "trouble")
    assert log(world, of="job") == [(ANN, "job.start.failed", "cloud-auth")]


async def test_a_machine_that_dies_is_told_as_the_brokers(world):
    broker = await world.broker()
    await broker.ensure_lease(ANN, START)
    await world.until(broker, "ready")
    world.cloud.kill(world.lease().instance_id)
    await world.until(broker, "asleep")
    assert log(world)[-2:] == [("broker", "lease.died", "ok"), ("broker", "job.stop.done", "ok")]


async def test_a_refusal_leaves_no_line(world):
    broker = await world.broker()
    lease = await broker.ensure_lease(ANN, START.model_copy(update={"start": False}))
    for ask in (broker.grant, broker.console):
        with pytest.raises(ConflictError):
            await ask(ANN, lease.id)
    for ask in (broker.start, broker.grant):
        with pytest.raises(NotFoundError):
            await ask("mallory", lease.id)
    assert log(world) == []


async def test_pages_are_read_newest_first_and_only_by_those_who_may(world):
    broker = await world.broker()
    lease = await broker.ensure_lease(ANN, START)
    await world.until(broker, "ready")
    first = await broker.oversight.audit(ANN, lease_id=lease.id, limit=3)
    assert [entry.what for entry in first.entries] == ["job.start.done", "permit.spent", "permit.granted"]
    second = await broker.oversight.audit(ANN, lease_id=lease.id, before_id=first.older, limit=3)
    assert ([entry.what for entry in second.entries], second.older) == (["lease.start"], None)
    assert len((await broker.oversight.audit("teacher")).entries) == 4
    with pytest.raises(NotFoundError):
        await broker.oversight.audit(ANN, lease_id="none")
    (await broker.oversight.audit(ANN, limit=10**9)).model_dump_json()


async def test_no_key_and_no_token_is_in_it(world):
    broker = await world.broker()
    lease = await broker.ensure_lease(ANN, START)
    await world.until(broker, "ready")
    grant = await broker.grant(ANN, lease.id)
    text = json.dumps([str(row) for row in world.store.peek().audits.values()])
    record = world.lease()
    for secret in (grant.private_key, grant.certificate, record.client_token, record.host_key):
        assert secret
        assert secret not in text


async def test_what_is_told_is_one_line_and_not_long(world):
    broker = await world.broker()
    lease = await broker.ensure_lease(ANN, START.model_copy(update={"start": False}))
    told = {"who": "a" * 999, "what": "x.y", "lease": world.lease(), "detail": "one\n2026 forged line\x1b[31m " * 99}
    version = await world.store.version()
    await world.store.transact(lambda tx: audit(tx, **told))
    (row,) = world.store.peek().audits.values()
    assert (len(row.who), len(row.detail)) == (255, DETAIL_LENGTH)
    assert row.detail.isprintable()
    assert row.lease_id == lease.id
    assert await world.store.version() == version


def test_repetitions_are_new_again_after_their_time():
    seldom = Seldom(10.0)
    asked = [(seldom.is_new(("a",), at), seldom.is_new(("b",), at)) for at in (0.0, 5.0, 9.9, 10.1)]
    assert asked == [(True, True), (False, False), (False, False), (True, True)]
