"""The product's adapter and broker against the local cloud while it fails on purpose: one machine, one volume."""

from __future__ import annotations

import asyncio

import pytest

from educloud_lab.adapters.ec2.cloud import Ec2Cloud
from educloud_lab.adapters.ec2.session import Endpoint
from educloud_lab.adapters.memory.world import MemoryWorld
from educloud_lab.broker.clock import SystemClock
from educloud_lab.domain.errors import CapacityError, CloudAuthError, CloudUnreachableError, QuotaError
from educloud_lab.ports.cloud import RunSpec
from educloud_lab.wire import models as wire
from tests.contracts.faulty_cloud import FaultyCloud

LIMIT_S = 120


@pytest.fixture(scope="module")
def cloud(tmp_path_factory):
    cloud = FaultyCloud(tmp_path_factory.mktemp("home"))
    yield cloud
    cloud.close()


@pytest.fixture
def faults(cloud):
    client = cloud.faults()
    yield client
    client.clear()


@pytest.fixture
def port(cloud):
    port = Ec2Cloud(Endpoint(cloud.endpoint, *cloud.keys("educloud")))
    yield port
    port.close()


async def spec(port):
    (image,) = await port.images()
    (zone,) = await port.zones()
    return RunSpec(image_id=image.image_id, instance_type="t2.micro", zone=zone, user_data="", tags={})


@pytest.mark.parametrize(
    ("kind", "options", "error"),
    [
        ("capacity", {}, CapacityError),
        ("quota", {}, QuotaError),
        ("clock-skew", {}, CloudAuthError),
        ("lost-reply", {}, CloudUnreachableError),
        ("lost-request", {}, CloudUnreachableError),
        ("truncated-xml", {}, CloudUnreachableError),
        ("internal-error", {}, CloudUnreachableError),
        ("throttling", {}, CloudUnreachableError),
    ],
)
async def test_the_adapter_says_what_it_was_and_the_next_try_works(cloud, faults, port, kind, options, error):
    wanted = await spec(port)
    made = await asyncio.to_thread(faults.add, kind, **options)
    with pytest.raises(error):
        await port.run_instance(wanted, client_token=f"after-{kind}")
    await asyncio.to_thread(faults.clear, made.id)
    first = await port.run_instance(wanted, client_token=f"after-{kind}")
    again = await port.run_instance(wanted, client_token=f"after-{kind}")
    assert first.instance_id == again.instance_id


async def test_a_start_through_lost_replies_and_cut_answers_makes_one_machine_and_one_volume(cloud, faults, port):
    before = await port.observe()
    await asyncio.to_thread(faults.add, "delayed-visibility", delay_s=2)
    for kind, operation, count in (
        ("lost-reply", "CreateVolume", 1),
        ("lost-reply", "RunInstances", 1),
        ("internal-error", "DescribeInstances", 2),
        ("truncated-xml", "DescribeVolumes", 2),
    ):
        await asyncio.to_thread(faults.add, kind, operation=operation, count=count)
    world = MemoryWorld(clock=SystemClock())
    broker = await world.broker(cloud=port)

    try:
        request = wire.LeaseRequest(lab="01-first", machine_profile="first-steps", start=True)
        lease = await broker.ensure_lease("ann", request)
        async with asyncio.timeout(LIMIT_S):
            # The two steps run side by side, and a struck one is taken up again later: either may be last.
            while world.lease().instance_id is None or world.volume().cloud_id is None:  # noqa: ASYNC110 (rows tell nobody)
                await asyncio.sleep(0.1)
        struck = {(f.kind, f.operation): f.struck for f in await asyncio.to_thread(faults.faults)}
        await asyncio.to_thread(faults.clear)  # those that nobody met yet must not meet us
        after = await port.observe()
        assert set(after.instances) - set(before.instances) == {world.lease().instance_id}
        ours = [v for v in after.volumes.values() if lease.id in v.tags.values()]
        assert [v.volume_id for v in ours] == [world.volume().cloud_id]
        assert struck["lost-reply", "CreateVolume"] == struck["lost-reply", "RunInstances"] == 1
    finally:
        await world.close()
