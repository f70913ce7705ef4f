"""What people do besides Start and Stop: limits on time, and everything about the data volume."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TypeVar

from educloud_lab.wire import models as wire
from tests.contracts.model.story import Story, step
from tests.contracts.model.world import LAB

T = TypeVar("T")


def _one(rows: Sequence[T], number: int) -> T | None:
    return rows[number % len(rows)] if rows else None


# Limits.


@step(2)
async def activity(story: Story, a: int, b: int) -> None:
    """Type something."""
    lease = story.lease(a)
    if lease is not None:
        kind = ("terminal", "cell", "desktop", "connected")[b % 4]
        await story.ask(b, lambda broker: broker.limits.activity(lease.person, lease.id, kind))


@step(2)
async def busy(story: Story, a: int, b: int) -> None:
    """Declare the machine busy for a while, or no longer."""
    lease = story.lease(a)
    if lease is not None:
        until = story.world.clock.now() + timedelta(seconds=600 * (b % 30)) if b % 3 else None
        await story.ask(b, lambda broker: broker.limits.busy(lease.person, lease.id, until))


@step(1)
async def exempt(story: Story, a: int, b: int) -> None:
    """Turn the limits off for a machine, or on again."""
    lease = story.lease(a)
    if lease is None:
        return
    if b % 3 == 0:
        await story.ask(b, lambda broker: broker.limits.end_exemption(lease.person, lease.id))
        return
    request = wire.ExemptRequest(reason="exam", until=story.world.clock.now() + timedelta(hours=1 + b % 48))
    await story.ask(b, lambda broker: broker.limits.exempt(lease.person, lease.id, request))


# The data volume.


@step(3)
async def snapshot(story: Story, a: int, b: int) -> None:
    """Take a snapshot of the data volume."""
    lease = story.lease(a)
    if lease is not None:
        request = wire.SnapshotRequest(name=f"s{b}")
        await story.ask(b, lambda broker: broker.volumes.snapshot(lease.person, lease.id, request))


@step(1)
async def forget_snapshot(story: Story, a: int, b: int) -> None:
    """Delete a snapshot."""
    lease = story.lease(a)
    if lease is None:
        return
    rows = [row for row in story.world.store.peek().snapshots.values() if row.lease_id == lease.id]
    found = _one(rows, b)
    if found is not None:
        await story.ask_any(b, lambda broker: broker.volumes.delete_snapshot(lease.person, lease.id, found.id))


@step(1)
async def publish(story: Story, a: int, b: int) -> None:
    """Make the next people's volumes of a snapshot, or no longer."""
    lease = story.lease(a)
    if lease is None:
        return
    rows = [row for row in story.world.store.peek().snapshots.values() if row.lease_id == lease.id]
    found = _one(rows, b)
    if found is not None:
        await story.ask_any(
            b,
            lambda broker: broker.volumes.publish_snapshot(lease.person, lease.id, found.id, published=bool(b % 2)),
        )


@step(3)
async def restore(story: Story, a: int, b: int) -> None:
    """Go back to a snapshot."""
    lease = story.lease(a)
    if lease is None:
        return
    rows = [row for row in story.world.store.peek().snapshots.values() if row.lease_id == lease.id]
    found = _one(rows, b)
    if found is not None:
        await story.ask_any(b, lambda broker: broker.volumes.restore(lease.person, lease.id, found.id))


@step(2)
async def grow(story: Story, a: int, b: int) -> None:
    """Make the volume larger."""
    lease = story.lease(a)
    if lease is not None:
        await story.ask(b, lambda broker: broker.volumes.grow(lease.person, lease.id, 1 + b % 4))


@step(2)
async def discard(story: Story, a: int, b: int) -> None:
    """Put the volume into the bin."""
    lease = story.lease(a)
    if lease is not None:
        await story.ask(b, lambda broker: broker.volumes.discard(lease.person, lease.id, confirm=LAB))


@step(2)
async def return_from_bin(story: Story, a: int, b: int) -> None:
    """Take a volume out of the bin again."""
    lease = story.lease(a)
    if lease is None:
        return
    rows = [row for row in story.world.store.peek().shelf.values() if row.lease_id == lease.id]
    found = _one(rows, b)
    if found is not None:
        await story.ask_any(b, lambda broker: broker.volumes.return_from_bin(lease.person, lease.id, found.id))


@step(1)
async def reap(story: Story, a: int, b: int) -> None:
    """Look for what nobody owns, now."""
    lease = story.lease(a)
    if lease is not None:
        await story.ask(b, lambda broker: broker.oversight.reap(lease.person, dry_run=bool(b % 2)))
