"""Write ``store-<revision>.sql``: what a store of the present schema holds after a start and with a row in each table.

Run once for each schema revision, when it is settled: ``python tests/upgrades/write_store.py``. Never for an old one.
"""

from __future__ import annotations

import asyncio
import random
import socket
import sqlite3
import tempfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from educloud_lab.adapters.memory.cloud import Pace
from educloud_lab.adapters.memory.world import MemoryWorld
from educloud_lab.adapters.sqlstore import SqlStore
from educloud_lab.adapters.sqlstore.schema import HEAD
from educloud_lab.broker.clock import SystemClock
from educloud_lab.broker.config import BrokerConfig
from educloud_lab.domain.finding import Component, Evidence, Finding
from educloud_lab.domain.job import Consistency, OrphanState, ShelfKind, SnapshotState
from educloud_lab.ports.records import OrphanRecord, ShelfRecord, SnapshotRecord
from educloud_lab.ports.store import Transaction
from educloud_lab.wire import models as wire

KEY = b"3Wk1rC0n5mJ0bq8bq3m2s9c5y7b1V6c0Zt4vQx8yH2E="
ANN = "Ann O'Neil"
WHEN = datetime(2026, 3, 2, 9, 30, 0, 123000, tzinfo=UTC)
START = wire.LeaseRequest(lab='lab é "x"', machine_profile="first-steps", start=True)


def more(tx: Transaction) -> None:
    """Put a row into each table that a plain start leaves empty."""
    (lease,) = tx.leases(course="local", person=ANN)
    finding = Finding(
        "no-address", "It has no address.", Component.CC, "likely", WHEN, (Evidence("address", "0.0.0.0"),)
    )
    tx.put_lease(replace(lease, finding=finding, exempt_reason="exam", exempt_until=WHEN, active_at=WHEN))
    owner = {"course": "local", "lab": lease.lab, "person": ANN, "lease_id": lease.id}
    tx.put_snapshot(
        SnapshotRecord(
            id="s1",
            name="before é",
            volume_cloud_id="vol-1",
            size_bytes=2**30,
            created_at=WHEN,
            created_by=ANN,
            cloud_id="snap-1",
            state=SnapshotState.COMPLETED,
            consistency=Consistency.FROZEN,
            **owner,
        )
    )
    for number, kind in enumerate(ShelfKind):
        shelved = WHEN + timedelta(days=number)
        tx.put_shelved(
            ShelfRecord(id=f"b{number}", kind=kind, cloud_id=f"vol-{number}", shelved_at=shelved, reason="x", **owner)
        )
    tx.put_orphan(
        OrphanRecord(cloud_id="i-9", kind="instance", first_seen_at=WHEN, last_seen_at=WHEN, state=OrphanState.REAPED)
    )


async def write(folder: Path) -> str:
    """Return the dump."""
    path = folder / "store.sqlite"
    store = SqlStore(f"sqlite:///{path}", secret_keys=[KEY])
    world = MemoryWorld(clock=SystemClock())
    world.cloud.pace = Pace(boot_s=0.1)
    broker = await world.broker(store=store, config=BrokerConfig(), random_source=random.Random(7))
    lease = await broker.ensure_lease(ANN, START)
    async for seen in broker.watch(ANN):
        if seen.leases and seen.leases[0].phase == "ready":
            break
    await broker.grant(ANN, lease.id)
    await store.transact(more)
    await broker.close()
    connection = sqlite3.connect(path)
    try:
        # Whose computer it was made on is nobody's business.
        return "\n".join(connection.iterdump()).replace(socket.gethostname()[:40], "a-computer") + "\n"
    finally:
        connection.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        text = asyncio.run(write(Path(place)))
    (Path(__file__).parent / f"store-{HEAD}.sql").write_text(text)
