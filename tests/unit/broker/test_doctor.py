"""The doctor on a world in memory: what it says of machines that hang, and nothing of those that do not."""

import pytest

from educloud_lab.domain.errors import CapacityError, CloudUnreachableError, NotFoundError, QuotaError
from educloud_lab.wire import models as wire

ANN = "ann"
NO_CLUSTER = "Not enough resources: no cluster controller is currently available to run instances."
START = wire.LeaseRequest(lab="01-first", machine_profile="first-steps", start=True)


async def ask(world, broker, lease_id):
    """Ask the doctor, who may have to wait before it looks again."""
    import asyncio

    task = asyncio.ensure_future(broker.doctor.why(ANN, lease_id))
    await world.clock.drive(task.done, limit_s=120)
    return await task


async def after(world, seconds):
    broker = await world.broker()
    lease = await broker.ensure_lease(ANN, START)
    await world.clock.advance(seconds)
    return broker, await ask(world, broker, lease.id)


async def test_a_machine_that_starts_as_usual_is_healthy(world):
    for seconds in (1, 3, 60):
        _, why = await after(world, seconds)
        assert why.healthy
        assert why.findings == []
        assert "takes its usual course" in why.text


async def test_pending_without_address(world):
    world.cloud.faults.pending_for_ever = True
    _, why = await after(world, 120)
    first = why.findings[0]
    assert (first.code, first.component, first.sure) == ("pending-no-address", "network", "likely")
    assert not why.healthy
    seen = {item.what: item.seen for item in first.evidence}
    assert "pending for" in seen["age"]
    assert first.hidden
    assert first.by_itself
    assert first.student_can
    assert world.lease().instance_id in why.text
    assert "UTC" in why.text
    assert "eucanetd" in why.text
    assert ANN not in why.text


async def test_running_without_address(world):
    world.cloud.faults.no_address = True
    _, why = await after(world, 120)
    assert (why.findings[0].code, why.findings[0].component) == ("running-no-address", "network")


async def hanging(world, console, seconds=200):
    """A machine whose SSH never comes up and whose console says something."""
    world.cloud.pace.boot_s = 1e9
    broker = await world.broker()
    lease = await broker.ensure_lease(ANN, START)
    await world.clock.drive(lambda: world.lease().instance_state == "running")
    world.machine().console = console
    await world.clock.advance(seconds)
    return await ask(world, broker, lease.id)


async def test_running_without_ssh_by_what_the_console_says(world):
    panic = (
        "[    1.2] VFS: Cannot open root device\n[    1.3] Kernel panic - not syncing: VFS: Unable to mount root fs\n"
    )
    why = await hanging(world, panic, 30)
    assert (why.findings[0].code, why.findings[0].component, why.findings[0].sure) == (
        "no-root-disk",
        "image",
        "certain",
    )
    assert "Kernel panic" in why.console_tail


async def test_running_without_ssh_and_an_empty_console(world):
    why = await hanging(world, "")
    assert (why.findings[0].code, why.findings[0].component) == ("no-boot", "image")


async def test_somebody_elses_machine_looks_like_none(world, monkeypatch):
    monkeypatch.setattr("educloud_lab.broker.owning.role_of", lambda *_: None)
    broker = await world.broker()
    lease = await broker.ensure_lease(ANN, START)
    with pytest.raises(NotFoundError):
        await broker.doctor.why("bob", lease.id)


async def test_an_instructor_may_ask_for_a_machine_of_the_course(world):
    broker = await world.broker()
    lease = await broker.ensure_lease(ANN, START)
    await world.until(broker, "ready")
    assert (await broker.doctor.why("ida", lease.id)).healthy


@pytest.mark.parametrize(
    ("error", "code", "component"),
    [
        (CapacityError("No room: Not enough resources (0 in one < 1): vm instances."), "no-capacity", "CLC"),
        (CapacityError("No room: InsufficientAddressCapacity, Insufficient addresses."), "addresses-empty", "network"),
        (CapacityError(f"No room: {NO_CLUSTER}"), "zone-unavailable", "CC"),
        (QuotaError("A limit: Quota exceeded while trying to create: instance by user: a."), "quota-instances", "CLC"),
        (CloudUnreachableError("No usable answer: Request limit exceeded."), "throttled", "network"),
        (CloudUnreachableError("No usable answer: InternalFailure."), "cloud-internal-error", "CLC"),
    ],
)  # fmt: skip
async def test_what_the_cloud_refuses_is_told_apart(world, error, code, component):
    world.cloud.faults.errors["run_instance"] = [error] * 1000
    _, why = await after(world, 150)
    assert (why.findings[0].code, why.findings[0].component) == (code, component)


async def test_the_card_says_it_while_it_hangs_and_no_longer(world):
    broker = await world.broker()
    world.cloud.faults.no_address = True
    lease = await broker.ensure_lease(ANN, START)
    await world.clock.drive(lambda: world.lease().finding is not None, limit_s=300)
    card = (await broker.snapshot(ANN)).leases[0]
    assert (card.finding.code, card.finding.component_name) == ("running-no-address", "network")
    await broker.stop(ANN, lease.id)
    await world.until(broker, "asleep")
    await world.clock.advance(30)
    assert (await broker.snapshot(ANN)).leases[0].finding is None


async def test_a_panic_is_on_the_card_and_a_failed_start_keeps_its_finding(world):
    world.cloud.pace.boot_s = 1e9
    broker = await world.broker()
    await broker.ensure_lease(ANN, START)
    await world.clock.drive(lambda: world.lease().instance_state == "running")
    world.machine().console = "Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)\n"
    await world.clock.drive(lambda: world.lease().finding is not None, limit_s=300)
    assert world.lease().finding.code == "no-root-disk"
    failed = await world.until(broker, "trouble", limit_s=900)
    await world.clock.advance(30)
    assert failed.finding.code == "no-root-disk"
    assert world.lease().finding.code == "no-root-disk"


async def test_rounds_cost_no_calls_while_all_is_well_and_few_while_many_hang(world):
    broker = await world.broker()
    for number in range(30):
        await broker.ensure_lease(f"person {number}", START)
    await world.clock.drive(lambda: all(world.phase(f"person {n}") == "ready" for n in range(30)))
    await world.clock.advance(120)
    assert world.cloud.calls["zone_states"] == world.cloud.calls["console_output"] == 0
    world.cloud.pace.boot_s = 1e9
    for number in range(30, 60):
        await broker.ensure_lease(f"person {number}", START)
    await world.clock.advance(240)
    assert 1 <= world.cloud.calls["zone_states"] <= 5
    assert 1 <= world.cloud.calls["console_output"] <= 240 / 15 + 1
    assert world.cloud.calls["instance_health"] == world.cloud.calls["lets_in"] == 0
