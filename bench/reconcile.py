"""What it costs to look after 1, 100 and 2 000 leases that run: cloud calls, processor time, memory, lag of a pass.

Each number of leases has a process of its own with a broker on a real SQLite file and a cloud in memory; nobody watches
first, then ten people do. The baseline is one lease, in the same run.

    python bench/reconcile.py [--seconds 60] [--quick]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
from cryptography.fernet import Fernet

from educloud_lab.adapters.memory.world import PROFILE, MemoryWorld
from educloud_lab.adapters.sqlstore import SqlStore
from educloud_lab.broker.broker import Broker
from educloud_lab.broker.clock import SystemClock
from educloud_lab.domain import naming
from educloud_lab.domain.lease import Status, Target
from educloud_lab.ports.cloud import RunSpec
from educloud_lab.ports.records import LeaseRecord

SIZES = (1, 100, 2000)
WATCHERS = 10
SETTLE_S = 5.0


async def fill(world: MemoryWorld, store: SqlStore, number: int) -> None:
    """Write leases that run, and their machines, as if they had been started."""
    await store.open()
    await store.transact(lambda tx: tx.set_meta("deployment", "d" * 32))
    now = datetime.now(UTC)
    leases = []
    for count in range(number):
        lease = LeaseRecord(
            id=f"{count:012x}", course="local", lab="01-first", person=f"p{count}", slot="main", profile=PROFILE,
            created_at=now, updated_at=now, generation=1, target=Target.RUNNING, status=Status.RUNNING, zone="one",
            client_token=f"token-{count}", token_sent=True, started_at=now, expires_at=now + timedelta(hours=4),
            active_at=now, first_connected_at=now, guard_until=now + timedelta(hours=5),
        )  # fmt: skip
        tags = {naming.TAG_DEPLOYMENT: "d" * 32, naming.TAG_LEASE: lease.id, naming.TAG_NONCE: lease.client_token}
        spec = RunSpec("emi-00000001", "t2.micro", "one", "", tags)
        seen = await world.cloud.run_instance(spec, client_token=lease.client_token)
        leases.append(replace(lease, instance_id=seen.instance_id, instance_state="running", root_device_type="ebs"))
    await store.transact(lambda tx: [tx.put_lease(lease) for lease in leases])


@contextlib.asynccontextmanager
async def watched(broker: Broker, number: int) -> AsyncIterator[None]:
    """Have so many people watch."""

    async def watch(person: str) -> None:
        async for _ in broker.watch(person):
            pass

    tasks = [asyncio.ensure_future(watch(f"p{count}")) for count in range(number)]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def look(world: MemoryWorld, seconds: float, passes: list[float]) -> dict[str, float]:
    """Count for so long."""
    await asyncio.sleep(SETTLE_S)
    passes.clear()
    calls, began_s, cpu_s = sum(world.cloud.calls.values()), time.monotonic(), time.process_time()
    await asyncio.sleep(seconds)
    took_s = time.monotonic() - began_s
    return {
        "calls a minute": 60 * (sum(world.cloud.calls.values()) - calls) / took_s,
        "processor %": 100 * (time.process_time() - cpu_s) / took_s,
        "longest pass ms": 1000 * max(passes, default=0.0),
    }


async def measure(number: int, seconds: float) -> dict[str, Any]:
    """Look after so many leases."""
    world = MemoryWorld(clock=SystemClock())
    with tempfile.TemporaryDirectory() as folder:
        store = SqlStore(f"sqlite:///{folder}/store.sqlite", secret_keys=[Fernet.generate_key()])
        await fill(world, store, number)
        broker = await world.broker(store=store)
        passes: list[float] = []
        plain = broker._reconciler._pass

        async def timed() -> None:
            began_s = time.monotonic()
            await plain()
            passes.append(time.monotonic() - began_s)

        broker._reconciler._pass = timed  # type: ignore[method-assign]  # measured from outside
        try:
            rest = await look(world, seconds, passes)
            async with watched(broker, min(WATCHERS, number)):
                busy = await look(world, seconds, passes)
            return {"rest": rest, "watched": busy, "resident MB": psutil.Process().memory_info().rss / 1e6}
        finally:
            await world.close()


def main() -> int:
    """Measure each size in a process of its own, and print; fail when calls grow with leases."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--quick", action="store_true", help="30 seconds each")
    parser.add_argument("--only", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    seconds = 30.0 if options.quick else options.seconds
    if options.only is not None:
        print(json.dumps(asyncio.run(measure(options.only, seconds))))
        return 0
    found = {}
    for size in SIZES:
        order = [sys.executable, str(Path(__file__)), "--only", str(size), "--seconds", str(seconds)]
        done = subprocess.run(order, check=True, capture_output=True, text=True)
        found[size] = json.loads(done.stdout.splitlines()[-1])
    print(f"{'':28}" + "".join(f"{size:>12}" for size in SIZES) + f"{'ratio':>10}  (leases; ratio: most to one)")
    for when in ("rest", "watched"):
        for row in found[1][when]:
            values = [found[size][when][row] for size in SIZES]
            ratio = values[-1] / values[0] if values[0] else float("nan")
            print(f"{when + ': ' + row:28}" + "".join(f"{value:12.1f}" for value in values) + f"{ratio:10.1f}")
    values = [found[size]["resident MB"] for size in SIZES]
    print(f"{'resident MB':28}" + "".join(f"{value:12.1f}" for value in values) + f"{values[-1] / values[0]:10.1f}")
    # One look (two calls) may fall on either side of the end.
    one_look = 2 * 60 / seconds
    grew = [
        w for w in ("rest", "watched") if found[2000][w]["calls a minute"] > found[1][w]["calls a minute"] + one_look
    ]
    if grew:
        print(f"More leases mean more calls to the cloud: {', '.join(grew)}")
    return len(grew)


if __name__ == "__main__":
    sys.exit(main())
