"""The ``simulated`` hypervisor: machines as a state machine on an injected clock. It never gives SSH.

For fast tests, class-size benchmarks, and places where nothing can be virtualised. Machines live as long as the
process, unless ``keep`` names a file; faults are planted by tests through the public methods at the end.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from educloud_lab.localcloud.hypervisor.base import (
    BootRefusedError,
    DiskSpec,
    HypervisorError,
    MachineReport,
    MachineSpec,
    MachineState,
    NoSlotError,
)

SLOTS = 25


@dataclass(slots=True)
class _Machine:
    """One pretended machine."""

    address: str
    console: str
    started_at: str
    state: MachineState = MachineState.RUNNING
    reason: str = ""
    disks: dict[str, str] = field(default_factory=dict)


class SimulatedHypervisor:
    """Pretends to run machines; keeps the contract of ``hypervisor.base.Hypervisor``.

    Parameters
    ----------
    keep : file that remembers the machines over restarts of the process, as real ones survive it.
    now : the clock; the console tells its times.
    """

    def __init__(self, *, keep: Path | None = None, now: Callable[[], datetime] | None = None) -> None:
        self._keep = keep
        self._now = now or (lambda: datetime.now(UTC))
        self._machines: dict[str, _Machine] = {}
        self._refusals: list[HypervisorError] = []
        self._attach_refusals: list[HypervisorError] = []

    async def open(self) -> None:
        """Find again the machines that an earlier process left running. Repeatable."""
        if self._keep is not None and self._keep.exists():
            for instance_id, data in json.loads(self._keep.read_text()).items():
                machine = _Machine(**data)
                machine.state = MachineState(machine.state)
                self._machines.setdefault(instance_id, machine)

    async def close(self) -> None:
        """Let go of every machine without stopping it."""
        self._save()

    async def start(self, spec: MachineSpec) -> None:
        """Start the machine; running already is success."""
        machine = self._machines.get(spec.instance_id)
        if machine is not None and machine.state in (MachineState.RUNNING, MachineState.PAUSED):
            return
        if self._refusals:
            raise self._refusals.pop(0)
        for path in (spec.root.path, spec.kernel, spec.ramdisk):
            if path is not None and not path.exists():
                raise BootRefusedError(f"{path} is missing; nothing was started.")
        self._machines[spec.instance_id] = _Machine(
            address=spec.address,
            console=str(spec.console_path),
            started_at=self._now().isoformat(),
            disks={disk.disk_id: disk.serial for disk in spec.disks},
        )
        self._say(spec.instance_id, "simulated machine: booted, there is nothing to log in to")
        self._save()

    async def shut_down(self, instance_id: str, *, grace_s: float) -> None:
        """Power off; simulated guests obey at once. Absent or ended is success."""
        self._end(instance_id, "guest-shutdown")

    async def kill(self, instance_id: str) -> None:
        """Cut the power. Absent is success."""
        self._end(instance_id, "host-stop")

    async def reboot(self, instance_id: str) -> None:
        """Say on the console that the guest restarted."""
        self._running(instance_id)
        self._say(instance_id, "simulated machine: booted again")

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
        machine.disks[disk.disk_id] = disk.serial
        self._save()

    async def detach(self, instance_id: str, disk_id: str) -> None:
        """Unplug a disk; not plugged is success."""
        self._running(instance_id).disks.pop(disk_id, None)
        self._save()

    async def report(self, instance_id: str) -> MachineReport:
        """What is seen of one machine now."""
        machine = self._machines.get(instance_id)
        if machine is None:
            return MachineReport(instance_id, MachineState.ABSENT)
        return MachineReport(instance_id, machine.state, machine.reason, tuple(machine.disks))

    async def report_all(self) -> Mapping[str, MachineReport]:
        """What is seen of every known machine."""
        return {instance_id: await self.report(instance_id) for instance_id in list(self._machines)}

    async def forget(self, instance_id: str) -> None:
        """Remove an ended machine. Repeatable."""
        machine = self._machines.get(instance_id)
        if machine is not None and machine.state is MachineState.ENDED:
            del self._machines[instance_id]
            self._save()

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
        self._save()

    def refuse_next_start(self, error: HypervisorError) -> None:
        """Fail the next start with this error."""
        self._refusals.append(error)

    def refuse_next_attach(self, error: HypervisorError) -> None:
        """Fail the next attach with this error."""
        self._attach_refusals.append(error)

    def serials(self, instance_id: str) -> dict[str, str]:
        """Return the serials of the plugged disks."""
        return dict(self._machines[instance_id].disks)

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
            self._save()

    def _say(self, instance_id: str, text: str) -> None:
        with Path(self._machines[instance_id].console).open("a") as stream:
            stream.write(f"[{self._now():%Y-%m-%dT%H:%M:%SZ}] {text}\r\n")

    def _save(self) -> None:
        if self._keep is not None:
            data = {
                instance_id: {
                    "address": m.address, "console": m.console, "started_at": m.started_at, "state": m.state.value,
                    "reason": m.reason, "disks": m.disks,
                }
                for instance_id, m in self._machines.items()
            }  # fmt: skip
            temporary = self._keep.with_suffix(".new")
            temporary.write_text(json.dumps(data))
            temporary.replace(self._keep)
