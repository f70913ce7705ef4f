"""SSH in memory whose machines run the broker's disk scripts for real, and which sees that no permit is bypassed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from educloud_lab.adapters.memory.shell import MemoryConnection, MemoryShell
from educloud_lab.adapters.memory.world import MemoryWorld
from educloud_lab.broker.scripts import disk as scripts
from educloud_lab.domain.naming import disk_serial
from educloud_lab.ports.shell import Completed, Grant
from tests.contracts.disks.guest import NAMES, Guest


class RealDisksShell(MemoryShell):
    """Connects as the shell in memory does."""

    def __init__(self, world: MemoryWorld, guest: Guest) -> None:
        super().__init__(world.cloud, world.frontend)
        self.world = world
        self.guest = guest
        self.violations: list[str] = []
        self.asked = 0
        self._boots: tuple[str, float] | None = None

    async def connect(self, grant: Grant, *, timeout_s: float = 15.0) -> Any:
        made = await super().connect(grant, timeout_s=timeout_s)
        boot = (made._machine.instance_id, made._machine.ssh_up_at_s)
        if boot != self._boots:
            self.guest.boot()
            self._boots = boot
        return RealDisksConnection(self, made)

    def check_permit(self, serial: str, file_system_uuid: str) -> None:
        """See that each time mkfs is asked for, one more permit for exactly this disk was spent before (I3)."""
        self.asked += 1
        lease, volume = self.world.lease(), self.world.volume()
        exact = [
            permit
            for permit in self.world.store.peek().permits.values()
            if permit.spent_at is not None
            and (permit.lease_id, permit.generation) == (lease.id, lease.generation)
            and (permit.volume_id, permit.serial) == (volume.cloud_id, serial)
            and permit.file_system_uuid == file_system_uuid
        ]
        if len(exact) != self.asked:
            self.violations.append(
                f"mkfs of {serial} is asked for the {self.asked}. time; {len(exact)} permits are spent"
            )


class RealDisksConnection:
    """One connection: the disk scripts run in the guest, anything else as in memory."""

    def __init__(self, shell: RealDisksShell, inner: MemoryConnection) -> None:
        self._shell = shell
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def run(
        self, script: str, *, arguments: Sequence[str] = (), stdin: bytes = b"", timeout_s: float = 30.0
    ) -> Completed:
        name = NAMES.get(script)
        if name is None:
            return await self._inner.run(script, arguments=arguments, stdin=stdin, timeout_s=timeout_s)
        inner, shell, machine = self._inner, self._shell, self._inner._machine
        if script == scripts.FORMAT:
            shell.check_permit(arguments[0], arguments[1])
        inner._break(shell.break_before, name)
        disks = shell.cloud.attached_disks(machine.instance_id)
        serials = [disk_serial(volume_id, device) for volume_id, (_, device) in disks.items()]
        if serials:
            shell.guest.plug(serials[0])
        completed = shell.guest.run(script, list(arguments))
        # What the cloud in memory watches over (I4).
        if name == "mount" and b"state mounted" in completed.stdout:
            machine.mounts[arguments[2]] = next(iter(disks))
        if name == "release" and b"state free" in completed.stdout:
            machine.mounts.pop(arguments[1], None)
        inner._break(shell.break_after, name)
        return completed
