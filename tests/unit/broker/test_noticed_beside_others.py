"""A machine that died is noticed also while somebody else keeps looking at the cloud (found by the model)."""

import asyncio

from educloud_lab.wire import models as wire

START = wire.LeaseRequest(lab="01-first", machine_profile="first-steps", start=True)


async def test_looks_of_others_do_not_put_off_the_comparison_with_the_records(world):
    broker = await world.broker()
    await broker.ensure_lease("ann", START)
    await world.until(broker, "ready")

    async def others():
        while True:
            await broker._parts.sight.look()
            await world.clock.sleep(2.0)

    looking = asyncio.create_task(others())
    try:
        world.cloud.kill(world.lease().instance_id)
        await world.until(broker, "asleep", limit_s=150.0)
    finally:
        looking.cancel()
    assert world.lease().problem.code == "machine-died"
