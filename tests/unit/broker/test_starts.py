"""A class presses Start in one second, three times each, at two brokers: as many machines as people, at the rate."""

import asyncio

from educloud_lab.broker.config import REMOTE_RATES, BrokerConfig
from educloud_lab.wire import models as wire

START = wire.LeaseRequest(lab="01-first", machine_profile="first-steps", start=True)


async def test_two_hundred_starts_at_once_make_two_hundred_machines(world):
    config = BrokerConfig(cloud_kind="remote", workers=16)
    brokers = [await world.broker(config=config) for _ in range(2)]
    asked = []
    plain = world.cloud._begin

    def begin(operation):
        if operation == "run_instance":
            asked.append(world.clock.monotonic_s())
        return plain(operation)

    kind = type(world.cloud)
    world.cloud.__class__ = type("Counting", (kind,), {"__slots__": (), "_begin": staticmethod(begin)})
    people = [f"p{number:03}" for number in range(200)]
    await asyncio.gather(
        *(broker.ensure_lease(person, START) for person in people for broker in (*brokers, brokers[0]))
    )
    await world.clock.drive(lambda: all(world.phase(person) == "ready" for person in people), limit_s=1200.0)
    assert len(world.cloud.machines) == len(world.cloud.disks) == len(asked) == 200
    rate = REMOTE_RATES["RunInstances"]
    for first in range(len(asked)):
        for last in range(first, len(asked)):
            assert last - first + 1 <= rate.burst + rate.per_s * (asked[last] - asked[first]) + 1e-6
