"""The broker's whole story on real databases, two brokers on one store, in real time with a quick cloud in memory."""

import asyncio
import os
import uuid

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import create_engine, text

from educloud_lab.adapters.memory.cloud import Pace
from educloud_lab.adapters.memory.world import MemoryWorld
from educloud_lab.adapters.sqlstore import SqlStore
from educloud_lab.broker.clock import SystemClock
from educloud_lab.broker.config import BrokerConfig
from educloud_lab.wire import models as wire

POSTGRESQL = "EDUCLOUD_TEST_POSTGRESQL_URL"
ANN = "ann"
START = wire.LeaseRequest(lab="01-first", machine_profile="first-steps", start=True)
QUICK = BrokerConfig(workers=4, tick_s=0.1, busy_poll_s=0.05, claim_s=1.0, heartbeat_s=0.3, version_poll_s=0.1)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def url(request, tmp_path):
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'store.sqlite'}"
        return
    base = os.environ.get(POSTGRESQL)
    if not base:
        pytest.fail(f"Set {POSTGRESQL} to postgresql+psycopg://user:password@host/database of a server for tests.")
    schema = f"t{uuid.uuid4().hex}"
    engine = create_engine(base)
    with engine.begin() as connection:
        connection.execute(text(f"CREATE SCHEMA {schema}"))
    yield f"{base}{'&' if '?' in base else '?'}options=-csearch_path%3D{schema}"
    with engine.begin() as connection:
        connection.execute(text(f"DROP SCHEMA {schema} CASCADE"))
    engine.dispose()


@pytest.fixture
async def world():
    made = MemoryWorld(clock=SystemClock())
    made.cloud.pace = Pace(pending_s=0.1, boot_s=0.3, stop_s=0.1, volume_s=0.1, attach_s=0.1)
    yield made
    await made.close()
    assert made.cloud.violations == []


async def until(broker, phase, *, limit_s=180.0):
    """Watch until the lease is in a phase with nothing in flight."""
    async with asyncio.timeout(limit_s):
        async for snapshot in broker.watch(ANN):
            lease = snapshot.leases[0] if snapshot.leases else None
            if lease is not None and lease.phase == phase and not (lease.job and lease.job.in_flight):
                return lease
    raise AssertionError


async def test_the_whole_story_seen_by_a_second_broker(world, url):
    keys = [Fernet.generate_key()]
    one = await world.broker(store=SqlStore(url, secret_keys=keys), config=QUICK)
    two = await world.broker(store=SqlStore(url, secret_keys=keys), config=QUICK)
    leases = await asyncio.gather(*(broker.ensure_lease(ANN, START) for broker in (one, two) * 3))
    assert len({lease.id for lease in leases}) == 1
    lease_id = leases[0].id
    seen = await until(two, "ready")
    assert seen.host_key_source == "pinned"
    assert len(world.cloud.machines) == len(world.cloud.disks) == 1
    await world.shell.connect(await two.grant(ANN, lease_id))
    await two.stop(ANN, lease_id)
    await until(one, "asleep")
    await one.start(ANN, lease_id)
    await until(two, "ready")
    await two.delete(ANN, lease_id, confirm="01-first")
    await until(one, "off")
    assert world.cloud.live_instances(lease_id) == []
    assert [disk.formats for disk in world.cloud.disks.values()] == [1]


async def test_a_broker_that_vanishes_is_followed_by_the_other(world, url):
    keys = [Fernet.generate_key()]
    store = SqlStore(url, secret_keys=keys)
    one = await world.broker(store=store, config=QUICK)
    await one.ensure_lease(ANN, START)
    await asyncio.sleep(0.2)
    # Its connections are gone at once, so nothing that it does on the way out reaches the store.
    await store.close()
    two = await world.broker(store=SqlStore(url, secret_keys=keys), config=QUICK)
    await until(two, "ready")
    assert len(world.cloud.machines) == 1
