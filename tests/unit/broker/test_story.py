"""Start, stop, start again, delete, start again: one disk, formatted once, files kept."""

import pytest

from educloud_lab.domain.errors import ConfirmationError
from educloud_lab.wire import models as wire

ANN = "ann"
LAB = wire.LeaseRequest(lab="01-first", machine_profile="first-steps")


async def test_start_gives_a_machine_with_its_volume_mounted(world):
    broker = await world.broker()
    lease = await broker.ensure_lease(ANN, LAB)
    assert lease.phase == "off"
    await broker.start(ANN, lease.id)
    lease = await world.until(broker, "ready")
    assert world.machine().mounts == {"/data": world.volume().cloud_id}
    assert world.disk().formats == 1
    assert lease.host_key_source == "pinned"
    assert [step.state for step in lease.job.steps] == [wire.StepState.DONE] * 9
    assert lease.expires_at is not None
    grant = await broker.grant(ANN, lease.id)
    assert grant.host_keys == (world.machine().own_key,)
    connection = await world.shell.connect(grant)
    assert connection.host_key == world.machine().own_key


async def test_files_survive_stop_start_and_delete(world):
    broker = await world.broker()
    lease = await broker.ensure_lease(ANN, LAB.model_copy(update={"start": True}))
    await world.until(broker, "ready")
    world.disk().files["notes.txt"] = "hello"
    await broker.stop(ANN, lease.id)
    stopped = await world.until(broker, "asleep")
    assert stopped.volumes[0].stage == "available"
    await broker.start(ANN, lease.id)
    await world.until(broker, "ready")
    assert world.lease().generation == 1
    with pytest.raises(ConfirmationError):
        await broker.delete(ANN, lease.id, confirm="yes")
    await broker.delete(ANN, lease.id, confirm="01-first")
    await world.until(broker, "off")
    assert world.cloud.live_instances(lease.id) == []
    await broker.start(ANN, lease.id)
    await world.until(broker, "ready")
    assert world.lease().generation == 2
    assert world.disk().files == {"notes.txt": "hello"}
    assert world.disk().formats == 1


async def test_an_instance_store_machine_is_terminated_by_stop_and_its_volume_kept(store_world):
    world = store_world
    broker = await world.broker()
    lease = await broker.ensure_lease(ANN, LAB.model_copy(update={"start": True}))
    ready = await world.until(broker, "ready")
    assert ready.system_disk == "lost"
    world.disk().files["notes.txt"] = "hello"
    await broker.stop(ANN, lease.id)
    await world.until(broker, "asleep")
    assert world.cloud.live_instances(lease.id) == []
    await broker.start(ANN, lease.id)
    await world.until(broker, "ready")
    assert world.disk().files == {"notes.txt": "hello"}
    assert world.disk().formats == 1
