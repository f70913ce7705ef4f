"""A broker on the local cloud's real API, with its own time standing still while a request is under way.

Machines of a simulated cloud have no SSH; what the broker does inside them is done by machines in memory, which exist
where and as long as the cloud shows an instance that runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

from educloud_lab.adapters.ec2.cloud import Ec2Cloud
from educloud_lab.adapters.ec2.session import Endpoint
from educloud_lab.adapters.memory.clock import FakeClock
from educloud_lab.adapters.memory.machines import MemoryDisk, MemoryMachine
from educloud_lab.adapters.memory.shell import MemoryShell
from educloud_lab.adapters.memory.world import MemoryWorld
from educloud_lab.broker.config import BrokerConfig
from educloud_lab.ports.cloud import CloudView, InstanceState
from educloud_lab.wire import models as wire

CONFIG = BrokerConfig(
    workers=4, tick_s=2.0, busy_poll_s=6.0, heartbeat_s=20.0, claim_s=120.0, connect_retry_s=6.0, version_poll_s=5.0
)
"""Fewer looks than usual: each one is two real requests."""


class PatientClock(FakeClock):
    """Moves only while no request is under way: nothing depends on how fast the computer is."""

    def __init__(self) -> None:
        super().__init__(datetime.now(UTC).replace(microsecond=0))
        self.flying: Callable[[], int] = int

    async def turns(self, count: int = 25) -> None:
        """Let every other task run, and every request come back."""
        await super().turns(count)
        while self.flying():
            await asyncio.sleep(0.0005)
            await super().turns(count)


class CountingCloud(Ec2Cloud):
    """The product's adapter, which counts its requests under way and remembers what it saw."""

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__(endpoint)
        self.flying = 0
        self.view: CloudView | None = None
        self.user_data: dict[str, str] = {}

    async def _call(self, function):
        self.flying += 1
        try:
            return await super()._call(function)
        finally:
            self.flying -= 1

    async def observe(self):
        self.view = await super().observe()
        return self.view

    async def run_instance(self, spec, *, client_token):
        seen = await super().run_instance(spec, client_token=client_token)
        self.user_data[seen.instance_id] = spec.user_data
        return seen


class Insides:
    """What is inside the instances: machines and disks in memory, by what the cloud shows."""

    def __init__(self, port: CountingCloud, clock: FakeClock) -> None:
        self._port = port
        self.clock = clock
        self.machines: dict[str, MemoryMachine] = {}
        self.disks: dict[str, MemoryDisk] = {}
        self.violations: list[str] = []
        self.silent = False

    def machine_at(self, address: str) -> MemoryMachine | None:
        for seen in (self._port.view.instances if self._port.view else {}).values():
            if seen.address == address and seen.state is InstanceState.RUNNING:
                key = seen.instance_id
                machine = self.machines.setdefault(key, MemoryMachine(key, self._port.user_data.get(key, "")))
                if not machine.up:
                    machine.boot(self.clock.monotonic_s(), 0.0)
                return None if self.silent or machine.hung else machine
        return None

    def attached_disks(self, instance_id: str) -> dict[str, tuple[MemoryDisk, str]]:
        found = {}
        for seen in (self._port.view.volumes if self._port.view else {}).values():
            for a in seen.attachments:
                if a.instance_id == instance_id and a.state == "attached" and a.device == "/dev/vdf":
                    disk = self.disks.setdefault(seen.volume_id, MemoryDisk(seen.volume_id, seen.size_bytes))
                    found[seen.volume_id] = (disk, a.device)
        return found


class ApiWorld(MemoryWorld):
    """A world whose cloud is the local cloud behind HTTP."""

    def __init__(self, endpoint: Endpoint) -> None:
        clock = PatientClock()
        super().__init__(clock=clock)
        self.port = CountingCloud(endpoint)
        clock.flying = lambda: self.port.flying
        self.insides = Insides(self.port, clock)
        self.shell = MemoryShell(self.insides, self.frontend)  # type: ignore[arg-type]  # it looks at nothing else

    async def broker(self, **overrides):
        return await super().broker(**{"cloud": self.port, "shell": self.shell, "config": CONFIG, **overrides})

    async def close(self) -> None:
        await super().close()
        self.port.close()


async def ask(world: MemoryWorld, broker, person: str = "ann") -> wire.Why:
    """Ask the doctor about a person's machine; she may have to wait before she looks again."""
    lease = world.lease(person)
    task = asyncio.ensure_future(broker.doctor.why(person, lease.id))
    await world.clock.drive(task.done, limit_s=300)
    return await task
