"""What people see: versions that only grow, steps with estimates, reasons beside buttons."""

import asyncio

import pytest

from educloud_lab.broker.headlines import actions, headline
from educloud_lab.domain.errors import CapacityError
from educloud_lab.domain.lease import PHASES, Status, Target
from educloud_lab.wire import models as wire

ANN = "ann"
LAB = wire.LeaseRequest(lab="01-first", machine_profile="first-steps")
START = LAB.model_copy(update={"start": True})


class Watcher:
    """Keeps what a watch yields."""

    def __init__(self, broker, person=ANN):
        self.seen = []
        self.task = asyncio.ensure_future(self._run(broker, person))

    async def _run(self, broker, person):
        async for snapshot in broker.watch(person):
            self.seen.append(snapshot)

    async def close(self):
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


async def test_a_watch_shows_each_step_and_versions_only_grow(world):
    broker = await world.broker()
    watcher = Watcher(broker)
    await world.clock.turns()
    assert len(watcher.seen) == 1
    await broker.ensure_lease(ANN, START)
    await world.until(broker, "ready")
    await world.clock.turns()
    versions = [snapshot.version for snapshot in watcher.seen]
    assert versions == sorted(set(versions))
    last = watcher.seen[-1]
    assert last == last.model_copy(update={"version": (await broker.snapshot(ANN)).version})
    doing = {step.name for s in watcher.seen for lease in s.leases for step in lease.job.steps if step.state == "doing"}
    assert {"volume", "instance", "connect"} <= doing
    await watcher.close()


async def test_a_change_by_another_broker_is_seen_within_a_second(world):
    one, two = await world.broker(), await world.broker()
    watcher = Watcher(two)
    await world.clock.turns()
    await one.ensure_lease(ANN, LAB)
    await world.clock.advance(0.5)
    assert watcher.seen[-1].leases[0].lab == "01-first"
    await watcher.close()


async def test_progress_grows_and_estimates_come_from_the_former_start(world):
    broker = await world.broker()
    lease = await broker.ensure_lease(ANN, START)
    first = (await broker.snapshot(ANN)).leases[0].job
    assert first.estimate_s is None
    assert all(step.estimate_s is None for step in first.steps)
    await world.until(broker, "ready")
    await broker.delete(ANN, lease.id, confirm="01-first")
    await world.until(broker, "off")
    await broker.start(ANN, lease.id)
    seen = []
    while world.phase(ANN) != "ready":
        await world.clock.advance(0.5)
        seen.append((await broker.snapshot(ANN)).leases[0].job)
    in_flight = [job.progress for job in seen if job.in_flight and job.kind == "start"]
    assert in_flight == sorted(in_flight)
    assert 0 < in_flight[-1] < 1
    assert seen[0].estimate_s > 3
    assert {step.name: step.estimate_s for step in seen[0].steps}["connect"] > 3
    assert seen[-1].progress == 1


async def test_waiting_for_room_is_shown_on_the_step_and_the_job(world):
    broker = await world.broker()
    world.cloud.faults.errors["run_instance"] = [CapacityError("Full.")] * 5
    await broker.ensure_lease(ANN, START)
    await world.clock.drive(lambda: world.lease().problem is not None)
    job = (await broker.snapshot(ANN)).leases[0].job
    waits = {step.name: step.waiting_for for step in job.steps}
    assert waits["instance"] == "Waiting for room in the cloud"
    assert job.next_attempt_at is not None
    await world.until(broker, "ready")


@pytest.mark.parametrize("target", list(Target))
@pytest.mark.parametrize("status", list(Status))
async def test_every_pair_has_a_headline_and_a_reason_for_each_closed_door(world, target, status):
    from dataclasses import replace

    broker = await world.broker()
    await broker.ensure_lease(ANN, LAB)
    lease = replace(world.lease(), target=target, status=status, instance_id="i-1", instance_state="running")
    assert headline(lease, None)
    shown = actions(lease, lease.updated_at, {})
    assert [state.action for state in shown] == list(wire.Action)
    assert all(state.enabled != bool(state.reason) for state in shown)
    doors = {state.action.value: state.enabled for state in shown}
    phase = PHASES[target, status].value
    assert doors["terminal"] == doors["extend"] == (phase == "ready")
    assert doors["start"] == (phase not in ("ready", "starting") and not (phase == "waiting" and target == "running"))


async def test_a_fresh_lease_offers_start_and_nothing_else(world):
    broker = await world.broker()
    lease = await broker.ensure_lease(ANN, LAB)
    assert [state.action.value for state in lease.actions if state.enabled] == ["start"]
    assert lease.instance is None
    assert lease.volumes[0].stage == "planned"
    assert lease.host_key_source == "none"


async def test_no_secret_is_in_what_people_see(world):
    broker = await world.broker()
    await broker.ensure_lease(ANN, START)
    await world.clock.drive(lambda: world.lease().bootstrap_key != "")
    text = (await broker.snapshot(ANN)).model_dump_json()
    assert "private" not in text
    assert world.lease().client_token not in text
