"""The machines that one ``qemu`` hypervisor knows, one lock each, and what is done to their disks while they run."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

from educloud_lab.localcloud.hypervisor import qemu_disks, qemu_layers
from educloud_lab.localcloud.hypervisor.base import DiskSpec, HypervisorError
from educloud_lab.localcloud.hypervisor.qemu_machine import Machine
from educloud_lab.localcloud.hypervisor.qemu_monitor import Monitor, MonitorLostError

UNPLUG_LIMIT_S = 20.0


class QemuMachineDisks:
    """The part of ``QemuHypervisor`` that plugs, unplugs, switches, merges and grows disks."""

    def __init__(self) -> None:
        self._machines: dict[str, Machine] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def attach(self, instance_id: str, disk: DiskSpec) -> None:
        """Plug a disk into a running machine; plugged already is success. Raises NoSlotError, HypervisorError."""
        if not disk.path.is_file():
            raise HypervisorError(f"The file of {disk.disk_id} is missing: {disk.path}. Nothing was attached.")
        async with self._running(instance_id) as machine:
            await qemu_disks.plug(machine.monitor, disk)

    async def detach(self, instance_id: str, disk_id: str) -> None:
        """Unplug a disk and wait until the guest let go; not plugged is success. Raises HypervisorError."""
        if not self._is_running(instance_id):
            return
        async with self._lock(instance_id):
            machine = self._machines[instance_id]
            try:
                await qemu_disks.unplug(machine.monitor, disk_id, limit_s=UNPLUG_LIMIT_S)
            except MonitorLostError:
                if machine.power().alive():
                    raise  # else the machine ended meanwhile, and with it its hold on the disk

    async def switch_disk(self, instance_id: str, disk_id: str, overlay: Path, tag: str) -> bool:
        """Let the guest write to ``overlay`` from one moment on; False when nobody writes. Raises HypervisorError."""
        return await self._with_disk(instance_id, lambda monitor: qemu_layers.switch(monitor, disk_id, overlay, tag))

    async def take_up_layers(self, instance_id: str, disk_id: str, layers: Sequence[Path], base: Path | None) -> bool:
        """Copy layers of a disk in use into its top one; False when nobody uses it. Raises HypervisorError."""
        return await self._with_disk(instance_id, lambda monitor: qemu_layers.take_up(monitor, disk_id, layers, base))

    async def resize_disk(self, instance_id: str, disk_id: str, size_bytes: int) -> bool:
        """Grow a disk in use; False when nobody uses it. Raises HypervisorError."""
        return await self._with_disk(instance_id, lambda monitor: qemu_layers.resize(monitor, disk_id, size_bytes))

    async def _with_disk(self, instance_id: str, work: Callable[[Monitor], Awaitable[bool]]) -> bool:
        """Do something to a disk of a running machine. Takes no lock: a reboot that holds it may wait for this."""
        machine = self._machines.get(instance_id)
        if machine is None or not machine.power().alive():
            return False
        try:
            return await work(machine.monitor)
        except MonitorLostError:
            if machine.power().alive():
                raise
            return False  # it ended meanwhile, and nobody writes any more

    def _lock(self, instance_id: str) -> asyncio.Lock:
        return self._locks.setdefault(instance_id, asyncio.Lock())

    def _is_running(self, instance_id: str) -> bool:
        machine = self._machines.get(instance_id)
        return machine is not None and machine.power().alive()

    @contextlib.asynccontextmanager
    async def _running(self, instance_id: str) -> AsyncIterator[Machine]:
        async with self._lock(instance_id):
            if not self._is_running(instance_id):
                raise HypervisorError(f"{instance_id} does not run.")
            yield self._machines[instance_id]
