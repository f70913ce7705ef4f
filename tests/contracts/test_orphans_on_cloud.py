"""The sweep against the local cloud's real interface: an instance of ours without record goes, a foreign one stays."""

from __future__ import annotations

import random
import secrets

import pytest

from educloud_lab.adapters.ec2.cloud import Ec2Cloud
from educloud_lab.adapters.ec2.session import Endpoint
from educloud_lab.adapters.memory.world import MemoryWorld
from educloud_lab.broker.clock import SystemClock
from educloud_lab.broker.config import BrokerConfig
from educloud_lab.domain import naming
from educloud_lab.domain.job import OrphanState
from educloud_lab.ports.cloud import InstanceState, RunSpec
from tests.contracts.faulty_cloud import FaultyCloud
from tests.patience import eventually

CONFIG = BrokerConfig(
    workers=1,
    busy_poll_s=0.05,
    orphan_first_s=0.1,
    orphan_first_sweeps=1_000_000,
    orphan_looks=2,
    orphan_age_s=0.0,
    orphan_grace_s=0.2,
)


@pytest.fixture(scope="module", params=["eucalyptus-6", "eucalyptus-4.4", "aws"])
def cloud(request, tmp_path_factory):
    cloud = FaultyCloud(tmp_path_factory.mktemp("home"), profile=request.param)
    cloud.instance_type = "m1.small" if request.param == "eucalyptus-4.4" else "t2.micro"
    yield cloud
    cloud.close()


async def test_an_instance_without_record_goes_and_a_foreign_one_stays(cloud):
    port = Ec2Cloud(Endpoint(cloud.endpoint, *cloud.keys("educloud")))
    world = MemoryWorld(clock=SystemClock())
    broker = await world.broker(cloud=port, config=CONFIG, random_source=random.Random(1))
    deployment = world.store.peek().meta["deployment"]
    (image,), (zone,) = await port.images(), await port.zones()

    async def run(whose, *, tagged=True, group=""):
        token = (naming.TOKEN_PREFIX + secrets.token_hex(40))[: naming.TOKEN_LENGTH]
        tags = {naming.TAG_DEPLOYMENT: whose, naming.TAG_LEASE: "nobody", naming.TAG_NONCE: token}
        if group:
            await port.ensure_group(group)
        spec = RunSpec(image.image_id, cloud.instance_type, zone, "", tags if tagged else {}, group)
        return (await port.run_instance(spec, client_token=token)).instance_id

    ours = await run(deployment)
    bare = await run(deployment, tagged=False, group=naming.group_name(deployment))
    foreign = await run("f" * 32)
    stranger = await run("", tagged=False)
    tags = {naming.TAG_DEPLOYMENT: deployment, naming.TAG_LEASE: "nobody", naming.TAG_NONCE: "v-1"}
    volume = (await port.create_volume(size_gib=1, zone=zone, tags={})).volume_id
    await port.tag(volume, tags)

    def state(cloud_id):
        row = world.store.peek().orphans.get(cloud_id)
        return row.state if row is not None else None

    await eventually(lambda: {state(ours), state(bare)} == {OrphanState.REAPED}, "both are ended")
    await eventually(lambda: state(volume) is OrphanState.QUARANTINED, "the volume is in quarantine")
    await eventually(lambda: state(stranger) is OrphanState.SEEN, "the stranger is told of")
    view = await port.observe()
    states = {key: seen.state for key, seen in view.instances.items()}
    assert {states[ours], states[bare]} == {InstanceState.TERMINATED}
    assert InstanceState.TERMINATED not in {states[foreign], states[stranger]}
    assert foreign not in world.store.peek().orphans
    assert view.volumes[volume].size_bytes == 1 << 30
    await broker.close()
    port.close()
