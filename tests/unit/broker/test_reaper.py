"""What nobody owns is reported, then ended or set aside, never many at once, and never by mistake (I2, I5)."""

import asyncio
import logging
from dataclasses import replace

import pytest

from educloud_lab.adapters.memory.store import MemoryStore
from educloud_lab.adapters.memory.world import MemoryWorld
from educloud_lab.broker.config import BrokerConfig
from educloud_lab.domain import naming
from educloud_lab.domain.errors import CloudBusyError, NotFoundError
from educloud_lab.domain.job import OrphanState, ShelfKind
from educloud_lab.ports.cloud import CloudView, InstanceState, RunSpec
from educloud_lab.wire import models as wire

ANN = "ann"
START = wire.LeaseRequest(lab="01-first", machine_profile="first-steps", start=True)
GRACE_S = 400.0
CONFIG = BrokerConfig(workers=2, tick_s=10.0, heartbeat_s=3.0, orphan_grace_s=GRACE_S)


def deployment(world):
    return world.store.peek().meta["deployment"]


def tags(world, nonce, *, lease_id="nobody", generation=1, whose=None):
    return {
        naming.TAG_DEPLOYMENT: whose or deployment(world),
        naming.TAG_OWNER: "ghost",
        naming.TAG_LEASE: lease_id,
        naming.TAG_GENERATION: str(generation),
        naming.TAG_NONCE: nonce,
    }


async def machine(world, number=1, *, token=None, tagged=True, group="", whose=None, **named):
    """Run an instance that no record explains."""
    token = token or f"educloud-{number:055d}"
    named.setdefault("lease_id", f"nobody-{number}")
    if group:
        world.cloud.groups[group] = ()
    spec = RunSpec(
        image_id="emi-00000001", instance_type="t2.micro", zone="one", user_data="", group=group,
        tags=tags(world, token, whose=whose, **named) if tagged else {},
    )  # fmt: skip
    return (await world.cloud.run_instance(spec, client_token=token)).instance_id


async def volume(world, nonce="v9-1", **named):
    seen = await world.cloud.create_volume(size_gib=3, zone="one", tags=tags(world, nonce, **named))
    return seen.volume_id


def orphan(world, cloud_id):
    return world.store.peek().orphans.get(cloud_id)


async def until_state(world, cloud_id, state, limit_s=4000):
    await world.clock.drive(lambda: (row := orphan(world, cloud_id)) and row.state is state, limit_s=limit_s)


async def asked(world, question):
    """Ask a broker something that looks at the cloud: time moves meanwhile."""
    task = asyncio.ensure_future(question)
    await world.clock.drive(task.done)
    return task.result()


def state_of(world, instance_id):
    return world.cloud._instances[instance_id].seen.state


def audited(world, subject):
    return [row.what for row in world.store.peek().audits.values() if row.subject == subject]


async def test_a_machine_without_owner_is_reported_then_shut_down_and_ended(world, caplog):
    await world.broker(config=CONFIG)
    ghost = await machine(world)
    await until_state(world, ghost, OrphanState.SEEN, 120)
    row = orphan(world, ghost)
    assert (row.kind, row.person, row.reason) == ("instance", "ghost", "The records know no such machine.")
    assert f"{ghost} has no owner" in caplog.text
    seen_at = world.clock.monotonic_s()
    await until_state(world, ghost, OrphanState.REAPING)
    assert world.clock.monotonic_s() - seen_at >= GRACE_S
    await until_state(world, ghost, OrphanState.REAPED)
    assert state_of(world, ghost) is InstanceState.TERMINATED
    assert (world.cloud.calls["stop_instance"], world.cloud.calls["terminate_instance"]) == (1, 1)
    assert audited(world, ghost) == ["orphan.seen", "orphan.reap", "orphan.reaped"]
    calls = world.cloud.calls.copy()
    await world.clock.advance(1000)
    assert world.cloud.calls["terminate_instance"] == calls["terminate_instance"]


async def test_an_instance_store_machine_is_ended_at_once(store_world):
    await store_world.broker(config=CONFIG)
    ghost = await machine(store_world)
    await until_state(store_world, ghost, OrphanState.REAPED)
    assert store_world.cloud.calls["stop_instance"] == 0


async def test_what_is_owned_is_left_alone(world):
    broker = await world.broker(config=CONFIG)
    await broker.ensure_lease(ANN, START)
    await world.until(broker, "ready")
    await world.clock.advance(4 * GRACE_S)
    assert world.phase(ANN) == "ready"
    assert world.store.peek().orphans == {}


async def test_an_earlier_generation_that_still_runs_goes_and_the_present_one_stays(world):
    broker = await world.broker(config=CONFIG)
    lease = await broker.ensure_lease(ANN, START)
    await world.until(broker, "ready")
    record = world.lease()
    token = naming.client_token(deployment(world), record.key, 0)
    old = await machine(world, token=token, lease_id=lease.id, generation=0)
    world.cloud.violations.clear()  # that there are two is what this test arranged
    await until_state(world, old, OrphanState.SEEN, 120)
    assert (orphan(world, old).person, orphan(world, old).lab) == (ANN, "01-first")
    await until_state(world, old, OrphanState.REAPED)
    assert world.phase(ANN) == "ready"
    assert [row.instance_id for row in world.cloud.live_instances(lease.id)] == [record.instance_id]
    (entry, *_) = (await broker.oversight.audit(ANN, lease_id=lease.id)).entries
    assert (entry.what, entry.who, entry.whose, entry.subject) == ("orphan.reaped", "broker", ANN, old)


async def test_without_tags_only_our_token_in_our_group_proves_it(world):
    await world.broker(config=CONFIG)
    ours = await machine(world, 1, tagged=False, group=naming.group_name(deployment(world)))
    unknown = await machine(world, 2, tagged=False)
    other = await machine(world, 3, tagged=False, group="educloud-another")
    stranger = await machine(world, 4, token="somebody", tagged=False)
    foreign = await machine(world, 5, whose="f" * 32)
    await until_state(world, ours, OrphanState.REAPED)
    await world.clock.advance(GRACE_S)
    assert {state_of(world, each) for each in (unknown, other, stranger, foreign)} == {InstanceState.RUNNING}
    assert world.store.peek().orphans.keys() == {ours, unknown, other}
    (broker,) = world.brokers
    report = await broker.oversight.orphans(ANN)
    goes = {row.cloud_id: row.acts_at for row in report.orphans if row.state == "seen"}
    assert goes == {unknown: None, other: None}


async def test_a_copy_of_a_machine_with_its_tags_is_only_told_of(world):
    broker = await world.broker(config=CONFIG)
    lease = await broker.ensure_lease(ANN, START)
    await world.until(broker, "ready")
    spec = RunSpec("emi-00000001", "t2.micro", "one", "", world.cloud._instances[world.lease().instance_id].seen.tags)
    copy = (await world.cloud.run_instance(spec, client_token="by-hand")).instance_id
    world.cloud.violations.clear()
    await until_state(world, copy, OrphanState.SEEN, 200)
    await world.clock.advance(2 * GRACE_S)
    assert state_of(world, copy) is InstanceState.RUNNING
    assert (await broker.snapshot(ANN)).leases[0].id == lease.id


async def test_a_volume_without_owner_goes_into_quarantine_and_is_never_deleted(world):
    broker = await world.broker(config=CONFIG)
    lost = await volume(world)
    await until_state(world, lost, OrphanState.QUARANTINED)
    (item,) = (await broker.oversight.shelf(ANN)).items
    assert (item.cloud_id, item.quarantined, item.owner, item.size_bytes, item.delete_after) == (
        lost, True, "ghost", 3 * 1024**3, None,
    )  # fmt: skip
    await world.clock.advance(10 * GRACE_S)
    assert lost in world.cloud.disks
    assert len(world.store.peek().shelf) == 1


async def test_twins_that_a_job_set_aside_are_listed_with_their_owner(world):
    broker = await world.broker(config=CONFIG)
    await broker.ensure_lease(ANN, START)
    await world.until(broker, "ready")
    record = world.volume()
    twin = await volume(world, f"{record.id}-{record.nonce}", lease_id=record.lease_id)
    await world.store.transact(lambda tx: tx.put_volume(replace(world.volume(), quarantined=(twin, "vol-never"))))
    await world.clock.drive(lambda: world.store.peek().shelf, limit_s=300)
    (item,) = world.store.peek().shelf.values()
    assert (item.kind, item.cloud_id, item.person, item.lease_id, item.reason) == (
        ShelfKind.QUARANTINE, twin, ANN, record.lease_id, "set-aside",
    )  # fmt: skip
    await world.store.transact(lambda tx: tx.put_shelved(replace(item, ended_at=tx.now(), end="released")))
    await world.clock.advance(600)
    assert world.store.peek().orphans == {}
    assert len(world.store.peek().shelf) == 1  # what a person let go of is not taken back


async def test_what_a_job_is_making_is_nobodys_orphan(world):
    broker = await world.broker(config=CONFIG)
    lease = await broker.ensure_lease(ANN, START)
    await world.until(broker, "ready")
    world.cloud.faults.errors["stop_instance"] = [CloudBusyError("slow") for _ in range(200)]
    await broker.stop(ANN, lease.id)
    made = await volume(world, "other-1", lease_id=lease.id)
    await world.clock.advance(200)
    assert orphan(world, made) is None
    world.cloud.faults.errors.clear()
    await world.until(broker, "asleep")
    await until_state(world, made, OrphanState.SEEN)


async def test_one_that_vanishes_by_itself_is_gone_only_after_several_looks(world):
    await world.broker(config=CONFIG)
    lost = await volume(world)
    await until_state(world, lost, OrphanState.SEEN, 120)
    row = world.cloud._volumes.pop(lost)
    await world.clock.advance(60)
    assert orphan(world, lost).state is OrphanState.SEEN
    world.cloud._volumes[lost] = row
    await world.clock.advance(300)
    assert orphan(world, lost).state is OrphanState.SEEN
    del world.cloud._volumes[lost]
    await until_state(world, lost, OrphanState.GONE)


async def test_nothing_is_concluded_while_the_cloud_is_out_of_sight(world):
    broker = await world.broker(config=CONFIG)
    ghost = await machine(world)
    await until_state(world, ghost, OrphanState.SEEN, 120)
    world.cloud.faults.out_of_sight = True
    await world.clock.advance(3 * GRACE_S)
    assert orphan(world, ghost).state is OrphanState.SEEN
    report = await asked(world, broker.oversight.reap(ANN, dry_run=False))
    assert (report.acted, "does not answer" in report.halted) == ([], True)
    assert "does not answer" in (await broker.oversight.orphans(ANN)).halted
    world.cloud.faults.out_of_sight = False
    await until_state(world, ghost, OrphanState.REAPED)


async def test_at_most_five_are_ended_at_once(world):
    await world.broker(config=CONFIG)
    ghosts = [await machine(world, number) for number in range(9)]
    most = 0

    def all_over():
        nonlocal most
        rows = [orphan(world, ghost) for ghost in ghosts]
        most = max(most, sum(row is not None and row.state is OrphanState.REAPING for row in rows))
        return all(row is not None and row.state is OrphanState.REAPED for row in rows)

    await world.clock.drive(all_over, limit_s=6000)
    assert most == 5


async def test_more_than_can_be_right_halts_until_a_person_looks(world, caplog):
    broker = await world.broker(config=CONFIG)
    ghosts = [await machine(world, number) for number in range(11)]
    await world.clock.advance(3 * GRACE_S)
    assert {orphan(world, ghost).state for ghost in ghosts} == {OrphanState.SEEN}
    assert [r for r in caplog.records if r.levelno == logging.ERROR and "11 things would go" in r.getMessage()]
    report = await broker.oversight.orphans(ANN)
    assert "11 things would go" in report.halted
    dry = await asked(world, broker.oversight.reap(ANN, dry_run=True))
    assert (set(dry.acted), dry.dry_run) == (set(ghosts), True)
    assert (
        await asked(world, broker.oversight.reap(ANN, dry_run=False))
    ).acted == []  # by itself, and without names, it stays halted
    assert world.cloud.calls["terminate_instance"] + world.cloud.calls["stop_instance"] == 0
    done = await asked(world, broker.oversight.reap(ANN, dry_run=False, only=frozenset(ghosts[:7])))
    assert set(done.acted) == set(ghosts[:7])
    for ghost in ghosts[:7]:
        await until_state(world, ghost, OrphanState.REAPED)
    assert {state_of(world, ghost) for ghost in ghosts[7:]} == {InstanceState.RUNNING}
    assert "orphan.reap" in audited(world, ghosts[0])
    assert {row.who for row in world.store.peek().audits.values() if row.what == "orphan.reap"} == {ANN}


async def test_a_dry_run_changes_nothing(world):
    broker = await world.broker(config=CONFIG)
    ghost = await machine(world)
    await world.clock.advance(GRACE_S - 100)
    tables, calls = world.store.peek(), world.cloud.calls.copy()
    report = await asked(world, broker.oversight.reap(ANN, dry_run=True))
    assert ([row.cloud_id for row in report.orphans], report.acted) == ([ghost], [])
    assert world.cloud.calls - calls == {"observe": 1, "observe_snapshots": 1}
    assert world.store.peek().orphans == tables.orphans
    assert world.store.peek().audits == tables.audits


async def test_a_refused_end_is_asked_again_and_confirmed_by_the_cloud(world):
    await world.broker(config=CONFIG)
    ghost = await machine(world)
    world.cloud.faults.errors["terminate_instance"] = [CloudBusyError("slow") for _ in range(3)]
    world.cloud.faults.lost_replies["terminate_instance"] = 1
    await until_state(world, ghost, OrphanState.REAPED)
    assert world.cloud.calls["terminate_instance"] == 4
    assert state_of(world, ghost) is InstanceState.TERMINATED


async def test_two_brokers_end_it_once(world):
    await world.broker(config=CONFIG)
    await world.broker(config=CONFIG)
    ghost = await machine(world)
    lost = await volume(world)
    await until_state(world, ghost, OrphanState.REAPED)
    await until_state(world, lost, OrphanState.QUARANTINED)
    await world.clock.advance(600)
    assert audited(world, ghost) == ["orphan.seen", "orphan.reap", "orphan.reaped"]
    assert audited(world, lost) == ["orphan.seen", "orphan.quarantine"]
    assert len(world.store.peek().shelf) == 1


async def test_an_empty_store_sees_nothing_of_its_own(world):
    """Another store on the same cloud is another deployment: nothing there is its business."""
    first = await world.broker(config=CONFIG)
    await first.ensure_lease(ANN, START)
    await world.until(first, "ready")
    await first.close()
    world.brokers.clear()
    instance_id = world.lease().instance_id
    world.store = MemoryStore(world.clock)
    await world.broker(config=CONFIG)
    await world.clock.advance(2 * GRACE_S)
    assert state_of(world, instance_id) is InstanceState.RUNNING
    assert {row.cloud_id for row in world.store.peek().orphans.values()} <= set()


async def test_a_store_from_a_backup_ends_nothing(world):
    """Leases of later, and later generations of known ones: the records are older than the cloud."""
    broker = await world.broker(config=CONFIG)
    lease = await broker.ensure_lease(ANN, START)
    await world.until(broker, "ready")
    await broker.stop(ANN, lease.id)
    await world.until(broker, "asleep")
    backup = world.store._tables.copy()
    world.cloud.faults.dead_on_arrival = 0
    world.cloud.kill(world.lease().instance_id)
    await broker.delete(ANN, lease.id, confirm="01-first")
    await world.until(broker, "off")
    await broker.start(ANN, lease.id)
    await world.until(broker, "ready")
    await broker.ensure_lease("bob", START)
    await world.until(broker, "ready", person="bob")
    running = {world.lease().instance_id, world.lease("bob").instance_id}
    await broker.close()
    world.brokers.clear()
    world.store._tables = backup
    restored = await world.broker(config=CONFIG)
    await world.clock.advance(4 * GRACE_S)
    assert {state_of(world, each) for each in running} == {InstanceState.RUNNING}
    assert "newer than the records" in (await restored.oversight.orphans(ANN)).halted


async def test_only_instructors_reap_and_only_overseers_look(world):
    broker = await world.broker(course="chem-1", config=CONFIG)
    for look in (broker.oversight.orphans, broker.oversight.shelf, broker.oversight.audit):
        with pytest.raises(NotFoundError):
            await look(ANN)
    for dry_run in (True, False):
        with pytest.raises(NotFoundError):
            await asked(world, broker.oversight.reap(ANN, dry_run=dry_run))


async def test_a_sweep_costs_no_look_of_its_own_once_it_is_quiet(world):
    await world.broker(config=CONFIG)
    await world.clock.advance(600)
    before = world.cloud.calls["observe"]
    await world.clock.advance(6000)
    assert world.cloud.calls["observe"] - before <= 101  # the reconciler's own look, each 60 s


async def test_a_snapshot_without_owner_is_told_of_and_kept(world):
    broker = await world.broker(config=CONFIG)
    lost = await volume(world)
    await world.clock.advance(5)
    kept = await world.cloud.create_snapshot(lost, description="x", tags=tags(world, "s9-1"))
    await until_state(world, kept.snapshot_id, OrphanState.SEEN, 2000)
    await world.clock.advance(3 * GRACE_S)
    assert orphan(world, kept.snapshot_id).state is OrphanState.SEEN
    report = await broker.oversight.orphans(ANN)
    assert {row.kind: row.acts_at for row in report.orphans if row.state == "seen"} == {"snapshot": None}
    assert kept.snapshot_id in await world.cloud.observe_snapshots()


async def test_figures_tell_how_much_there_is(world):
    broker = await world.broker(config=CONFIG)
    ghost = await machine(world)
    await until_state(world, ghost, OrphanState.SEEN, 120)
    figures = await broker.oversight.figures()
    assert (figures.orphans, figures.ended, figures.halted, figures.oldest_intent_s) == (1, 0, False, 0.0)
    await until_state(world, ghost, OrphanState.REAPED)
    figures = await broker.oversight.figures()
    assert (figures.orphans, figures.ended) == (0, 1)


def test_views_without_anything_are_views():
    assert CloudView(MemoryWorld().clock.now(), {}, {}).snapshots == {}
