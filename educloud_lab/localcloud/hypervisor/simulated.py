"""The ``simulated`` hypervisor: machines as a state machine on a clock that may be virtual. It never gives SSH.

For fast tests, class-size benchmarks, and places where nothing can be virtualised. Machines live as long as the
process, unless ``keep`` names a file; faults are planted by tests through the public methods at the end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from educloud_lab.localcloud.clock import Clock, SystemClock
from educloud_lab.localcloud.hypervisor.base import (
    BootRefusedError,
    DiskSpec,
    HypervisorError,
    MachineReport,
    MachineSpec,
    MachineState,
    NoSlotError,
)
from educloud_lab.localcloud.hypervisor.simulated_journal import Journal

SLOTS = 25
PANIC = "Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)"  # as without a ramdisk
NO_SSH = "Simulated machines cannot be logged in to: there is nothing behind their addresses."


@dataclass(frozen=True, slots=True)
class Pace:
    """How long simulated machines take; nought is at once."""

    start_s: float = 0.0  # from the start to running
    stop_s: float = 0.0  # from the power button to off
    attach_s: float = 0.0
    detach_s: float = 0.0

    @classmethod
    def like_tiny(cls, factor: float = 1.0) -> Pace:
        """Return what a real ``tiny`` machine takes in software emulation on two cores, times a factor."""
        return cls(start_s=1.0 * factor, stop_s=2.0 * factor, attach_s=0.3 * factor, detach_s=0.3 * factor)


@dataclass(slots=True)
class _Machine:
    """One pretended machine."""

    console: str
    state: MachineState = MachineState.RUNNING
    reason: str = ""
    disks: dict[str, str] = field(default_factory=dict)

    def record(self) -> dict[str, object]:
        """Return what the journal keeps."""
        return {"console": self.console, "state": self.state.value, "reason": self.reason, "disks": self.disks}


class SimulatedHypervisor:
    """Pretends to run machines; keeps the contract of ``hypervisor.base.Hypervisor``.

    Parameters
    ----------
    keep : file that remembers the machines over restarts of the process, as real ones survive it.
    clock : by which machines take their time; the console tells its times.
    now : another source of the console's times.
    pace : how long machines take.
    """

    reachable = False

    def __init__(
        self,
        *,
        keep: Path | None = None,
        clock: Clock | None = None,
        now: Callable[[], datetime] | None = None,
        pace: Pace = Pace(),
    ) -> None:
        self._journal = Journal(keep) if keep is not None else None
        self._clock = clock or SystemClock()
        self._now = now or self._clock.now
        self._pace = pace
        self._machines: dict[str, _Machine] = {}
        self._changed: set[str] = set()
        self._under_way: dict[str, asyncio.Event] = {}  # starts and stops that kill() cuts short
        self._refusals: list[HypervisorError] = []
        self._attach_refusals: list[HypervisorError] = []

    async def open(self) -> None:
        """Find again the machines that an earlier process left running. Repeatable."""
        if self._journal is None:
            return
        for instance_id, data in self._journal.open().items():
            machine = _Machine(data["console"], MachineState(data["state"]), data["reason"], data["disks"])
            self._machines.setdefault(instance_id, machine)

    async def close(self) -> None:
        """Let go of every machine without stopping it."""
        if self._journal is not None:
            self._journal.close({key: machine.record() for key, machine in self._machines.items()})

    async def start(self, spec: MachineSpec) -> None:
        """Start the machine, which takes its time; running already is success.

        Raises
        ------
        BootRefusedError
            A file of the image is missing.
        HypervisorError
            It was killed before it ran.
        """
        machine = self._machines.get(spec.instance_id)
        if machine is not None and machine.state in (MachineState.RUNNING, MachineState.PAUSED):
            return
        if self._refusals:
            raise self._refusals.pop(0)
        for path in (spec.root.path, spec.kernel, spec.ramdisk):
            if path is not None and not path.exists():
                raise BootRefusedError(f"{path} is missing; nothing was started.")
        if await self._take(spec.instance_id, self._pace.start_s):
            raise HypervisorError(f"{spec.instance_id} was ended before it ran.")
        self._machines[spec.instance_id] = _Machine(
            console=str(spec.console_path), disks={disk.disk_id: disk.serial for disk in spec.disks}
        )
        forgotten = spec.kernel is not None and spec.ramdisk is None
        self._say(spec.instance_id, PANIC if forgotten else f"simulated machine: booted. {NO_SSH}")
        self._save(spec.instance_id)

    async def shut_down(self, instance_id: str, *, grace_s: float) -> None:
        """Power off; simulated guests obey, within the grace. Absent or ended is success."""
        machine = self._machines.get(instance_id)
        if machine is None or machine.state is MachineState.ENDED:
            return
        await self._take(instance_id, min(grace_s, self._pace.stop_s))
        self._end(instance_id, "guest-shutdown")

    async def kill(self, instance_id: str) -> None:
        """Cut the power, also of a machine that is still starting. Absent is success."""
        if under_way := self._under_way.get(instance_id):
            under_way.set()
        self._end(instance_id, "host-stop")

    async def reboot(self, instance_id: str, *, between: Callable[[], Awaitable[None]] | None = None) -> None:
        """Say on the console that the guest restarted."""
        self._running(instance_id)
        if between is not None:
            await between()
        self._say(instance_id, f"simulated machine: booted again. {NO_SSH}")

    async def attach(self, instance_id: str, disk: DiskSpec) -> None:
        """Plug a disk into a running machine; plugged already is success."""
        machine = self._running(instance_id)
        if disk.disk_id in machine.disks:
            return
        if self._attach_refusals:
            raise self._attach_refusals.pop(0)
        if len(machine.disks) >= SLOTS:
            raise NoSlotError(f"{instance_id} has no free slot; nothing was plugged.")
        if not disk.path.exists():
            raise HypervisorError(f"{disk.path} is missing; nothing was plugged.")
        await self._sleep(self._pace.attach_s)
        self._running(instance_id).disks[disk.disk_id] = disk.serial
        self._save(instance_id)

    async def detach(self, instance_id: str, disk_id: str) -> None:
        """Unplug a disk; not plugged is success."""
        if disk_id not in self._running(instance_id).disks:
            return
        await self._sleep(self._pace.detach_s)
        self._running(instance_id).disks.pop(disk_id, None)
        self._save(instance_id)

    async def switch_disk(self, instance_id: str, disk_id: str, overlay: Path, tag: str) -> bool:
        """Say whether a running machine has the disk; its guest writes nothing."""
        return self._has_disk(instance_id, disk_id)

    async def take_up_layers(self, instance_id: str, disk_id: str, layers: Sequence[Path], base: Path | None) -> bool:
        """Nothing to copy: files of simulated disks are empty. False, so that the files are seen to."""
        return False

    async def resize_disk(self, instance_id: str, disk_id: str, size_bytes: int) -> bool:
        """Say False, so that the file is seen to."""
        return False

    def _has_disk(self, instance_id: str, disk_id: str) -> bool:
        machine = self._machines.get(instance_id)
        live = machine is not None and machine.state in (MachineState.RUNNING, MachineState.PAUSED)
        return machine is not None and live and (disk_id == "root" or disk_id in machine.disks)

    def resident_bytes(self) -> int:
        """Nothing: they are not there."""
        return 0

    async def report(self, instance_id: str) -> MachineReport:
        """What is seen of one machine now."""
        return self._report(instance_id)

    async def report_all(self) -> Mapping[str, MachineReport]:
        """What is seen of every known machine."""
        return {instance_id: self._report(instance_id) for instance_id in self._machines}

    def changed(self) -> frozenset[str]:
        """Return the machines that ended or vanished since the last call."""
        changed, self._changed = frozenset(self._changed), set()
        return changed

    async def forget(self, instance_id: str) -> None:
        """Remove an ended machine. Repeatable."""
        machine = self._machines.get(instance_id)
        if machine is not None and machine.state is MachineState.ENDED:
            del self._machines[instance_id]
            self._save(instance_id)

    async def endpoint(self, instance_id: str, port: int) -> tuple[str, int] | None:
        """None: nothing answers."""
        return None

    # What tests and lessons about failing clouds do to it:

    def power_off_from_inside(self, instance_id: str) -> None:
        """Let the guest power itself off."""
        self._end(instance_id, "guest-shutdown")

    def kill_from_outside(self, instance_id: str) -> None:
        """Let the machine's process be killed by somebody else."""
        self._end(instance_id, "killed")

    def lose(self, instance_id: str) -> None:
        """Let the host have restarted: no trace of the machine is left."""
        self._machines.pop(instance_id, None)
        self._changed.add(instance_id)
        self._save(instance_id)

    def refuse_next_start(self, error: HypervisorError) -> None:
        """Fail the next start with this error."""
        self._refusals.append(error)

    def refuse_next_attach(self, error: HypervisorError) -> None:
        """Fail the next attach with this error."""
        self._attach_refusals.append(error)

    def serials(self, instance_id: str) -> dict[str, str]:
        """Return the serials of the plugged disks."""
        return dict(self._machines[instance_id].disks)

    async def _sleep(self, delay_s: float) -> None:
        if delay_s > 0:
            await self._clock.sleep(delay_s)

    async def _take(self, instance_id: str, delay_s: float) -> bool:
        """Take so much time; True when the machine was killed meanwhile."""
        if delay_s <= 0:
            return False
        killed = self._under_way.setdefault(instance_id, asyncio.Event())
        try:
            return await self._clock.wait(killed, delay_s)
        finally:
            self._under_way.pop(instance_id, None)

    def _report(self, instance_id: str) -> MachineReport:
        machine = self._machines.get(instance_id)
        if machine is None:
            return MachineReport(instance_id, MachineState.ABSENT)
        return MachineReport(instance_id, machine.state, machine.reason, tuple(machine.disks))

    def _running(self, instance_id: str) -> _Machine:
        machine = self._machines.get(instance_id)
        if machine is None or machine.state is not MachineState.RUNNING:
            raise HypervisorError(f"{instance_id} does not run.")
        return machine

    def _end(self, instance_id: str, reason: str) -> None:
        machine = self._machines.get(instance_id)
        if machine is not None and machine.state is not MachineState.ENDED:
            machine.state, machine.reason = MachineState.ENDED, reason
            machine.disks = {}
            self._changed.add(instance_id)
            self._save(instance_id)

    def _say(self, instance_id: str, text: str) -> None:
        with Path(self._machines[instance_id].console).open("a") as stream:
            stream.write(f"[{self._now():%Y-%m-%dT%H:%M:%SZ}] {text}\r\n")

    def _save(self, instance_id: str) -> None:
        if self._journal is not None:
            machine = self._machines.get(instance_id)
            self._journal.append(instance_id, machine.record() if machine is not None else None)
