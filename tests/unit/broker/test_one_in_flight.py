"""One job in flight for a machine and its volume, the volume's own jobs among them; a wish meanwhile follows."""

import pytest

from educloud_lab.domain.errors import ConflictError
from educloud_lab.domain.job import JobKind, SnapshotState
from educloud_lab.wire import models as wire

ANN = "ann"
START = wire.LeaseRequest(lab="01-first", machine_profile="first-steps", start=True)


async def test_a_stop_during_a_snapshot_goes_first_and_the_snapshot_is_watched_afterwards(world):
    broker = await world.broker()
    lease = await broker.ensure_lease(ANN, START)
    await world.until(broker, "ready")
    world.cloud.faults.snapshots_pending = True
    await broker.volumes.snapshot(ANN, lease.id, wire.SnapshotRequest(name="before"))
    await world.clock.drive(lambda: any(s.progress_percent for s in world.store.peek().snapshots.values()))
    with pytest.raises(ConflictError):
        await broker.volumes.snapshot(ANN, lease.id, wire.SnapshotRequest(name="another"))
    kinds = [job.kind for job in world.store.peek().jobs.values() if job.ended_at is None]
    assert kinds == [JobKind.SNAPSHOT]
    await broker.stop(ANN, lease.id)
    await world.clock.drive(lambda: world.lease().status == "stopped", limit_s=120.0)
    world.cloud.faults.snapshots_pending = False
    taken = world.store.peek().snapshots
    await world.clock.drive(
        lambda: [s.state for s in world.store.peek().snapshots.values()] == [SnapshotState.COMPLETED], limit_s=300.0
    )
    assert len(taken) == 1
    assert world.cloud.calls["create_snapshot"] == 1
