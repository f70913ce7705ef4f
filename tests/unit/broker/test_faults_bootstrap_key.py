"""Whoever kept the bootstrap host key cannot pose as the machine after first contact (I8)."""

import pytest

from educloud_lab.domain.errors import HostKeyError
from educloud_lab.wire import models as wire

ANN = "ann"
START = wire.LeaseRequest(lab="01-first", machine_profile="first-steps", start=True)


async def test_the_bootstrap_key_opens_nothing_after_first_contact(world):
    broker = await world.broker()
    lease = await broker.ensure_lease(ANN, START)
    await world.clock.drive(lambda: world.lease().bootstrap_key != "")
    bootstrap = world.lease().bootstrap_key
    await world.until(broker, "ready")
    grant = await broker.grant(ANN, lease.id)
    assert bootstrap not in grant.host_keys
    await (await world.shell.connect(grant)).close()
    world.machine().served_key = bootstrap
    with pytest.raises(HostKeyError):
        await world.shell.connect(grant)
    sent = list(world.shell.scripts)
    await broker.stop(ANN, lease.id)
    await world.until(broker, "asleep", limit_s=600)  # by its power button
    assert world.shell.scripts == sent  # nothing was sent to whoever showed it
