"""A whole small world in memory around any number of brokers, for tests of the broker and of what stands on it."""

from __future__ import annotations

import random
from typing import Any

from educloud_lab.adapters.memory.clock import FakeClock
from educloud_lab.adapters.memory.cloud import MemoryCloud
from educloud_lab.adapters.memory.machines import MemoryDisk, MemoryMachine
from educloud_lab.adapters.memory.shell import MemoryAuthority, MemoryFrontend, MemoryShell
from educloud_lab.adapters.memory.store import MemoryStore
from educloud_lab.broker.broker import Broker
from educloud_lab.broker.config import BrokerConfig
from educloud_lab.domain.lease import PHASES
from educloud_lab.domain.profile import MachineProfile, VolumeSpec
from educloud_lab.ports.clock import Clock
from educloud_lab.ports.records import LeaseRecord, VolumeRecord
from educloud_lab.wire import models as wire

PROFILE = MachineProfile(
    name="first-steps",
    revision=1,
    title="First steps",
    description="",
    image="tiny",
    instance_type="t2.micro",
    login_user="student",
    volume=VolumeSpec(size_gib=1, mount_point="/data"),
    time_limit_s=4 * 3600,
)
_RESTING = ("ready", "asleep", "off", "trouble")


class MemoryWorld:
    """Cloud, machines, gateway and store in memory.

    Parameters
    ----------
    root_device_type : ``ebs`` or ``instance-store``.
    clock : a :class:`FakeClock` by default; give a real one to run in real time.
    """

    def __init__(self, root_device_type: str = "ebs", clock: Clock | None = None) -> None:
        self.clock = clock or FakeClock()
        self.cloud = MemoryCloud(self.clock, root_device_type=root_device_type)
        self.frontend = MemoryFrontend()
        self.shell = MemoryShell(self.cloud, self.frontend)
        self.store = MemoryStore(self.clock)
        self.authority = MemoryAuthority()
        self.brokers: list[Broker] = []

    async def broker(self, **overrides: Any) -> Broker:
        """Open a broker on this world; named ports and settings replace the usual ones."""
        parts: dict[str, Any] = {
            "store": self.store,
            "cloud": self.cloud,
            "shell": self.shell,
            "authority": self.authority,
            "frontend": self.frontend,
            "clock": self.clock,
            "profiles": [PROFILE],
            "config": BrokerConfig(workers=4),
            "random_source": random.Random(7),  # noqa: S311 - the same jitter in each run
        }
        broker = Broker(**{**parts, **overrides})
        await broker.open()
        self.brokers.append(broker)
        return broker

    def phase(self, person: str) -> str:
        """Return the phase of the person's lease; "settling" while a resting one has a job in flight."""
        lease = self.find_lease(person)
        if lease is None:
            return ""
        phase = str(PHASES[lease.target, lease.status])
        jobs = self.store.peek().jobs.values()
        busy = any(job.lease_id == lease.id and job.ended_at is None for job in jobs)
        return "settling" if busy and phase in _RESTING else phase

    async def until(self, broker: Broker, phase: str, *, person: str = "ann", limit_s: float = 600.0) -> wire.Lease:
        """Drive the fake clock until the person's lease is in a phase; return it as people see it."""
        assert isinstance(self.clock, FakeClock)
        try:
            await self.clock.drive(lambda: self.phase(person) == phase, limit_s=limit_s)
        except TimeoutError as error:
            lease = self.find_lease(person)
            error.add_note(f"phase {self.phase(person)!r}, problem {lease.problem if lease else None}")
            raise
        return (await broker.snapshot(person)).leases[0]

    def find_lease(self, person: str = "ann") -> LeaseRecord | None:
        """Return the person's lease row."""
        return next((row for row in self.store.peek().leases.values() if row.person == person), None)

    def lease(self, person: str = "ann") -> LeaseRecord:
        """Return the person's lease row, which exists."""
        lease = self.find_lease(person)
        assert lease is not None
        return lease

    def volume(self, person: str = "ann") -> VolumeRecord:
        """Return the person's volume row."""
        lease_id = self.lease(person).id
        return next(row for row in self.store.peek().volumes.values() if row.lease_id == lease_id)

    def disk(self, person: str = "ann") -> MemoryDisk:
        """Return the content of the person's volume."""
        cloud_id = self.volume(person).cloud_id
        assert cloud_id is not None
        return self.cloud.disks[cloud_id]

    def machine(self, person: str = "ann") -> MemoryMachine:
        """Return the inside of the person's machine."""
        instance_id = self.lease(person).instance_id
        assert instance_id is not None
        return self.cloud.machines[instance_id]

    async def close(self) -> None:
        """Close all brokers."""
        for broker in self.brokers:
            await broker.close()
