"""Start to the first authenticated command, split by step, beside a bare QEMU boot of the same files with ``ssh``.

The product as it is wired for a Jupyter server (broker, signed EC2 requests, local cloud, gateway, asyncssh) in homes
of its own, against :mod:`start_bare`: bare boots, first starts (a new volume is made, formatted and mounted), warm
first starts (the same, from a saved memory) and second starts (stopped before; the volume is there) take turns, and
medians are compared. The clock runs from the call that Start makes in the server.

    python bench/start.py [IMAGES] [--runs 5] [--quick]

``machine answers`` is the end of the first authenticated command, a ``true`` over the first login of the broker, as the
bare boot's ``ssh`` runs one; ``ready`` is when the card says so: the volume is mounted and the host key pinned;
``student's command`` is the first ``true`` by a person's own grant after that.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import psutil
from start_bare import bare_start_steps
from traitlets.config import Config

from educloud_lab.adapters.ssh.shell import AsyncsshShell
from educloud_lab.app import wiring
from educloud_lab.localcloud import process
from educloud_lab.localcloud.hypervisor.templates import TemplateStore
from educloud_lab.localcloud.settings import Folders, default_home
from educloud_lab.ports.shell import Completed, Connection, Grant
from educloud_lab.wire.models import DeleteRequest, Lease, LeaseRequest

PERSON = "bench"
AIM_RATIO = 1.3
WARM_AIM_S = 4.0
FIRST = "first command"
LIMIT_S = 300.0


@dataclass(slots=True)
class Log:
    """What the broker's own connections did, in seconds since the start."""

    began_s: float = 0.0
    entries: list[tuple[str, float, float]] = field(default_factory=list)

    def add(self, what: str, from_s: float) -> None:
        """Record something that ends now."""
        self.entries.append((what, from_s - self.began_s, time.monotonic() - self.began_s))


LOG = Log()


class TimedShell(AsyncsshShell):
    """The product's shell; tells when its connections and scripts began and ended."""

    async def connect(self, grant: Grant, *, timeout_s: float = 15.0) -> Connection:
        """Connect, and have every script of the connection timed."""
        from_s = time.monotonic()
        connection = await super().connect(grant, timeout_s=timeout_s)
        LOG.add("login", from_s)
        run = connection.run
        if not any(what == FIRST for what, _, _ in LOG.entries):
            # What the bare boot's ssh is asked to do as well; what follows comes so much later.
            from_s = time.monotonic()
            await run("true")
            LOG.add(FIRST, from_s)

        async def timed(script: str, **options: Any) -> Completed:
            from_s = time.monotonic()
            completed = await run(script, **options)
            words = completed.stdout.split(b"\n", 1)[0].decode(errors="replace")
            LOG.add(f"script {words.removeprefix('educloud ')}", from_s)
            return completed

        connection.run = timed  # type: ignore[method-assign]  # this instance only
        return connection


@dataclass(frozen=True, slots=True)
class Start:
    """One start; seconds since it was asked for."""

    answers_s: float
    ready_s: float
    command_s: float
    steps: dict[str, tuple[float, float]]
    log: list[tuple[str, float, float]]


class Product:
    """The broker and its local cloud in a home of their own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.broker: Any = None

    async def open(self) -> None:
        """Start the local cloud and the broker."""
        with mock.patch.object(wiring, "AsyncsshShell", TimedShell):
            self.broker = await wiring.build_broker(Config({"Educloud": {"home": str(self.home)}}))

    async def close(self) -> None:
        """End both."""
        if self.broker is not None:
            await self.broker.close()
        await asyncio.to_thread(process.stop, self.home)

    async def start(self, lab: str, profile: str) -> Start:
        """Press Start, wait until the person's own command has run, and tell the times."""
        LOG.entries = []
        LOG.began_s = began_s = time.monotonic()
        began_at = time.time()
        lease = await self.broker.ensure_lease(PERSON, LeaseRequest(lab=lab, machine_profile=profile, start=True))
        lease, job_id = await self._until(lease.id, "running")
        ready_s = time.monotonic() - began_s
        connection = await AsyncsshShell().connect(await self.broker.grant(PERSON, lease.id))
        try:
            completed = await connection.run("true")
        finally:
            command_s = time.monotonic() - began_s
            await connection.close()
        if completed.exit_status != 0:
            raise RuntimeError("the student's command failed")
        store = self.broker._parts.store
        steps = {
            row.name: (row.started_at.timestamp() - began_at, row.ended_at.timestamp() - began_at)
            for row in await store.transact(lambda tx: tx.steps(job_id))
        }
        answers_s = next(end for what, _, end in LOG.entries if what == FIRST)
        return Start(answers_s, ready_s, command_s, steps, list(LOG.entries))

    async def stop(self, lab: str, profile: str) -> None:
        """Press Stop and wait."""
        lease = await self.broker.ensure_lease(PERSON, LeaseRequest(lab=lab, machine_profile=profile))
        await self.broker.stop(PERSON, lease.id)
        await self._until(lease.id, "stopped")

    async def delete(self, lab: str, profile: str) -> None:
        """Delete the machine and wait."""
        lease = await self.broker.ensure_lease(PERSON, LeaseRequest(lab=lab, machine_profile=profile))
        await self.broker.delete(PERSON, lease.id, confirm=DeleteRequest(confirm=lab).confirm)
        await self._until(lease.id, "new")

    async def _until(self, lease_id: str, status: str) -> tuple[Lease, str]:
        job_id = ""
        async with asyncio.timeout(LIMIT_S):
            async for snapshot in self.broker.watch(PERSON):
                lease = next(lease for lease in snapshot.leases if lease.id == lease_id)
                job_id = lease.job.id if lease.job is not None else job_id
                if lease.status == "failed":
                    raise RuntimeError(f"{lease.problem}")
                if lease.status == status:
                    return lease, job_id
        raise RuntimeError("the broker stopped watching")


def acceleration(home: Path) -> str:
    """Return how the home's machines run: kvm or tcg, as their own command lines say."""
    for each in psutil.process_iter(["cmdline"]):
        words = each.info["cmdline"] or []
        if any(str(home) in word for word in words) and "-accel" in words:
            return "kvm" if words[words.index("-accel") + 1].startswith("kvm") else "tcg"
    raise RuntimeError("no machine of the bench runs")


@dataclass(slots=True)
class Measured:
    """Seconds to the bare login, and starts, one of each a run."""

    bare: list[float] = field(default_factory=list)
    first: list[Start] = field(default_factory=list)
    warm: list[Start] = field(default_factory=list)
    second: list[Start] = field(default_factory=list)


async def measure(images: Path, *, runs: int, profile: str) -> Measured:
    """Return bare logins, first starts, warm first starts and second starts, measured in turn."""
    found = Measured()
    async with contextlib.AsyncExitStack() as stack:
        cold = await stack.enter_async_context(opened(images, warm="off"))
        warm = await stack.enter_async_context(opened(images, warm="auto"))
        await warm.start("bench 0", profile)
        await warm.delete("bench 0", profile)
        template_made = await there_is_a_template(warm.home)
        if not template_made:
            print("no template was made (see the home's log): warm starts are left out", flush=True)
        for number in range(1, runs + 1):
            lab = f"bench {number}"
            found.first.append(await cold.start(lab, profile))
            accel = acceleration(cold.home)
            await cold.stop(lab, profile)
            found.second.append(await cold.start(lab, profile))
            await cold.delete(lab, profile)
            if template_made:
                found.warm.append(await warm.start(lab, profile))
                await warm.delete(lab, profile)
            found.bare.append((await bare_start_steps(images, image=profile, accel=accel)).login_s)
            kinds = {"first": found.first, "warm": found.warm, "second": found.second}
            shown = " | ".join(
                f"{kind}: answers {starts[-1].answers_s:5.2f}, ready {starts[-1].ready_s:5.2f}"
                for kind, starts in kinds.items()
                if starts
            )
            print(f"run {number} ({accel}): bare {found.bare[-1]:5.2f} s | {shown}", flush=True)
    return found


@contextlib.asynccontextmanager
async def opened(images: Path, *, warm: str) -> AsyncIterator[Product]:
    """Give a product in a home of its own; ``warm`` as ``EDUCLOUD_WARM``."""
    # A short path: sockets live below it.
    with tempfile.TemporaryDirectory(prefix="es-") as name:
        (Path(name) / "images").symlink_to(images)
        product = Product(Path(name))
        try:
            with mock.patch.dict(os.environ, {"EDUCLOUD_HOME": name, "EDUCLOUD_WARM": warm}):
                await product.open()
            yield product
        finally:
            await product.close()


async def there_is_a_template(home: Path) -> bool:
    """Wait until the cloud of ``home`` has saved a memory, for at most two minutes."""
    store = TemplateStore(Folders(home).templates)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(120):
            while not store.all():  # noqa: ASYNC110 - it is made by another process
                await asyncio.sleep(0.2)
    return bool(store.all())


def report(found: Measured) -> None:
    """Print medians, ratios and where the time went."""
    base_s = statistics.median(found.bare)
    kinds = {"first": found.first, "warm": found.warm, "second": found.second}
    kinds = {kind: starts for kind, starts in kinds.items() if starts}
    heads = "".join(f"{kind:>8}{'ratio':>8}" for kind in kinds)
    print(f"\n{'median of ' + str(len(found.bare)):34}{'bare':>8}{heads}")
    rows = (("machine answers", "answers_s"), ("ready", "ready_s"), ("student's command", "command_s"))
    for title, name in rows:
        medians = [statistics.median(getattr(start, name) for start in starts) for starts in kinds.values()]
        print(f"{title:34}{base_s:8.2f}" + "".join(f"{each:8.2f}{each / base_s:8.2f}" for each in medians))
    print(
        f"aims: the machine answers within {AIM_RATIO} times the bare boot, 8 s on two quiet cores in emulation;"
        f" warm within {WARM_AIM_S:.0f} s there"
    )
    for title, starts in kinds.items():
        print(f"\n{title} start, medians: from, to, seconds")
        for step in starts[0].steps:
            begin, end = (statistics.median(start.steps[step][i] for start in starts) for i in (0, 1))
            print(f"  {step:32}{begin:8.2f}{end:8.2f}{end - begin:8.2f}")
        for what in dict.fromkeys(what for start in starts for what, _, _ in start.log):
            spans = [(b, e) for start in starts for w, b, e in start.log if w == what]
            begin, end = (statistics.median(span[i] for span in spans) for i in (0, 1))
            print(f"    {what:30}{begin:8.2f}{end:8.2f}{end - begin:8.2f}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    default = Path(os.environ.get("EDUCLOUD_TEST_IMAGES") or default_home() / "images")
    parser.add_argument("images", type=Path, nargs="?", default=default, help="folder of built images")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="two runs")
    parser.add_argument("--profile", default="tiny", help="machine profile and image")
    options = parser.parse_args()
    images = options.images.resolve()
    if not (images / options.profile / "manifest.json").is_file():
        sys.exit(f"{images} holds no image '{options.profile}'. Run: educloud image build")
    report(asyncio.run(measure(images, runs=2 if options.quick else options.runs, profile=options.profile)))


if __name__ == "__main__":
    main()
