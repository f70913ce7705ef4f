"""Two hundred people press Start in one second: how many machines, how long a press takes, how fast the cloud is asked.

A broker on a SQLite file and the local cloud with simulated machines, over signed requests. Baseline: presses one after
the other, in the same run. Nobody logs in (simulated machines have no SSH), so what counts is the machines.

    python bench/starts.py [IMAGES] [--starts 200] [--quick]      # --quick: 40 starts
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet

from educloud_lab.adapters.memory.shell import MemoryAuthority, MemoryShell
from educloud_lab.adapters.memory.world import PROFILE, MemoryWorld
from educloud_lab.adapters.sqlstore import SqlStore
from educloud_lab.app.local_cloud import LocalEc2Cloud
from educloud_lab.broker.broker import Broker
from educloud_lab.broker.clock import SystemClock
from educloud_lab.broker.config import REMOTE_RATES, BrokerConfig
from educloud_lab.broker.pace import OPERATIONS
from educloud_lab.localcloud import process
from educloud_lab.localcloud.settings import default_home
from educloud_lab.ports.store import Rate
from educloud_lab.wire import models as wire

START = wire.LeaseRequest(lab="01-first", machine_profile=PROFILE.name, start=True)
LIMIT_S = 1200.0
_SLACK_S = 0.25  # between a token and the call that it is for


class Counted:
    """A cloud that remembers when it was asked what."""

    def __init__(self, cloud: LocalEc2Cloud) -> None:
        self._cloud = cloud
        self.at: dict[str, list[float]] = defaultdict(list)

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._cloud, name)
        if name not in OPERATIONS:
            return method

        async def call(*arguments: Any, **named: Any) -> Any:
            for operation in OPERATIONS[name]:
                self.at[operation].append(time.monotonic())
            return await method(*arguments, **named)

        return call


def over(times: list[float], rate: Rate) -> int:
    """Return by how many calls the bucket was passed at worst."""
    worst = 0.0
    for first, began_s in enumerate(times):
        for last in range(first, len(times)):
            allowed = rate.burst + rate.per_s * (times[last] - began_s + _SLACK_S)
            worst = max(worst, last - first + 1 - allowed)
    return int(worst)


async def press(broker: Broker, person: str) -> float:
    """Press Start; return how long the answer took."""
    began_s = time.monotonic()
    await broker.ensure_lease(person, START)
    return time.monotonic() - began_s


async def measure(home: Path, starts: int) -> int:
    """Press, wait for the machines, print; return what is wrong."""
    await asyncio.to_thread(process.start, home, hypervisor="simulated")
    try:
        cloud = Counted(LocalEc2Cloud(home))
        store = SqlStore(f"sqlite:///{home}/bench.sqlite", secret_keys=[Fernet.generate_key()])
        world = MemoryWorld(clock=SystemClock())
        broker = Broker(
            store=store,
            cloud=cloud,  # type: ignore[arg-type]  # stands before the port with every method of it
            shell=MemoryShell(world.cloud),
            authority=MemoryAuthority(),
            frontend=None,
            clock=SystemClock(),
            profiles=[PROFILE],
            # Nobody ever gets through to a simulated machine: who waits for that must not keep others from starting.
            config=BrokerConfig(cloud_kind="local", rates=REMOTE_RATES, workers=2 * starts + 40),
        )
        await broker.open()
        try:
            alone = [await press(broker, f"alone{number}") for number in range(20)]
            people = [f"p{number:03}" for number in range(starts)]
            at_once = await asyncio.gather(*(press(broker, person) for person in people for _ in range(3)))
            wanted = starts + len(alone)
            async with asyncio.timeout(LIMIT_S):
                while len((await cloud._cloud.observe()).instances) < wanted:  # noqa: ASYNC110 - another process's
                    await asyncio.sleep(1.0)
            await asyncio.sleep(3.0)  # one too many would come now
            machines = len((await cloud._cloud.observe()).instances)
        finally:
            await broker.close()
    finally:
        await asyncio.to_thread(process.stop, home)
    p95 = [statistics.quantiles(times, n=20)[-1] for times in (alone, at_once)]
    passed = {name: over(times, REMOTE_RATES.get(name, REMOTE_RATES["other"])) for name, times in cloud.at.items()}
    print(f"machines: {machines} for {wanted} people, three presses each")
    print(f"p95 of a press: {1000 * p95[0]:.1f} ms alone, {1000 * p95[1]:.1f} ms at once, ratio {p95[1] / p95[0]:.1f}")
    worst = {name: calls for name, calls in passed.items() if calls} or "none"
    print(f"calls: {sum(map(len, cloud.at.values()))}; over a bucket: {worst}")
    return (machines != wanted) + any(passed.values())


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    default = Path(os.environ.get("EDUCLOUD_TEST_IMAGES") or default_home() / "images")
    parser.add_argument("images", type=Path, nargs="?", default=default, help="folder of built images")
    parser.add_argument("--starts", type=int, default=200)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    if not (options.images / "tiny" / "manifest.json").is_file():
        sys.exit(f"{options.images} holds no image 'tiny'. Run: educloud cloud image build tiny")
    with tempfile.TemporaryDirectory(prefix="ec-") as name:
        (Path(name) / "images").symlink_to(options.images.resolve())
        return asyncio.run(measure(Path(name), 40 if options.quick else options.starts))


if __name__ == "__main__":
    sys.exit(main())
