"""What every operation of the local cloud works with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from educloud_lab.localcloud.accounts import Account
from educloud_lab.localcloud.clock import Clock, SystemClock
from educloud_lab.localcloud.diskusage import DiskUsage
from educloud_lab.localcloud.faults.faults import Faults
from educloud_lab.localcloud.ids import new_id
from educloud_lab.localcloud.model import InstanceType
from educloud_lab.localcloud.model.compiled import CompiledModel
from educloud_lab.localcloud.settings import Settings
from educloud_lab.localcloud.state.database import Database


def system_now() -> datetime:
    """Return the computer's time."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, in one request."""

    account: Account
    request_id: str
    endpoint: str  # as the caller reached it: scheme and host


@dataclass(slots=True)
class Cloud:
    """The parts that operations share.

    Parameters
    ----------
    wake : called after a transaction that left work for the supervisor.
    reboot : asks a running machine to restart, in the background.
    machine_memory_bytes : memory that all machines together may take; None when it is not limited.
    now : what time it is.
    clock : sleeps, and waits for wake-ups; a virtual one in tests.
    faults : what is to go wrong, because the administrator asked for it.
    disk_usage : how much room disks have.
    grow : makes a volume larger, in use or not.
    """

    settings: Settings
    database: Database
    model: CompiledModel
    types: dict[str, InstanceType]
    default_type: str
    wake: Callable[[], None]
    reboot: Callable[[str], None]
    machine_memory_bytes: Callable[[], int | None]
    now: Callable[[], datetime] = system_now
    clock: Clock = field(default_factory=SystemClock)
    faults: Faults = field(init=False)
    disk_usage: DiskUsage = field(init=False)
    grow: Callable[[str, int], Awaitable[None]] = field(init=False)  # volume, GiB; raises HypervisorError

    def __post_init__(self) -> None:
        self.faults = Faults(self)
        self.disk_usage = DiskUsage(self.settings.folders, limited=self.settings.hypervisor != "simulated")

    def new_id(self, prefix: str) -> str:
        """Return a fresh id of a resource, as long as this profile makes them."""
        return new_id(prefix, self.model.behaviour.id_digits)

    def console_path(self, instance_id: str) -> Path:
        """Return where an instance's console log is."""
        return self.settings.folders.consoles / f"{instance_id}.log"
