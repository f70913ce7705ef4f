"""A broker that stands still just before a call, for longer than its claim, does not make the call when it wakes up."""

import asyncio

import pytest

from educloud_lab.ports.cloud import InstanceState
from educloud_lab.wire import models as wire

START = wire.LeaseRequest(lab="01-first", machine_profile="first-steps", start=True)


@pytest.mark.parametrize(
    ("call", "phase", "wake_in"),
    [("start-instance", "asleep", "asleep"), ("detach-volume", "ready", "ready"), ("stop-instance", "ready", "ready")],
)
async def test_a_call_whose_claim_ran_out_is_not_made(world, call, phase, wake_in):
    """What it was about to do would undo what the other broker has done since (found by the model)."""
    go_on, stood = asyncio.Event(), asyncio.Event()
    armed = False

    async def checkpoint(name):
        if armed and name == f"call {call}: before" and not stood.is_set():
            stood.set()
            await go_on.wait()

    class Stopped:
        """The store as a process that stands still has it: its heartbeat stands still too."""

        def __getattr__(self, name):
            return getattr(world.store, name)

        async def transact(self, function):
            if stood.is_set():
                await go_on.wait()
            return await world.store.transact(function)

    first = await world.broker(checkpoint=checkpoint, store=Stopped())
    lease = await first.ensure_lease("ann", START)
    await world.until(first, "ready")
    if phase == "asleep":
        await first.stop("ann", lease.id)
        await world.until(first, "asleep")
    armed = True
    await (first.start if phase == "asleep" else first.stop)("ann", lease.id)
    await world.clock.drive(stood.is_set)

    second = await world.broker()
    await world.clock.advance(30)
    if phase == "asleep":
        await second.stop("ann", lease.id)
    else:
        await world.until(second, "asleep")
        await second.start("ann", lease.id)
    await world.until(second, wake_in)
    go_on.set()
    await world.clock.advance(120)
    (seen,) = world.cloud.live_instances(lease.id)
    assert seen.state is (InstanceState.RUNNING if wake_in == "ready" else InstanceState.STOPPED)
    assert world.phase("ann") == wake_in
    if wake_in == "ready":
        assert list(world.machine().mounts) == ["/data"]
