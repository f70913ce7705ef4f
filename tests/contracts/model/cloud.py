"""The memory cloud and its machines with eyes of their own: what must never happen is noticed where it would happen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from educloud_lab.adapters.memory.cloud import MemoryCloud, _Row
from educloud_lab.adapters.memory.machines import MemoryMachine
from educloud_lab.adapters.memory.shell import MemoryAuthority, MemoryConnection, MemoryShell
from educloud_lab.adapters.memory.store import MemoryStore
from educloud_lab.domain import naming
from educloud_lab.domain.errors import MachineUnreachableError
from educloud_lab.domain.job import ShelfKind
from educloud_lab.ports.cloud import InstanceSeen, InstanceState, RunSpec
from educloud_lab.ports.shell import Completed, Grant, KeyPairText

OTHERS = "other-deployment"


class SpeakingAuthority(MemoryAuthority):
    """Makes keys that are the same in every replay."""

    def __init__(self) -> None:
        super().__init__()
        self.number = 0

    def new_key_pair(self) -> KeyPairText:
        """Make a pair."""
        self.number += 1
        public = f"ssh-ed25519 KEY{self.number:08d}"
        return KeyPairText(private=f"private of {public}", public=public)


class ModelStore(MemoryStore):
    """Says what time it is for the database."""

    def now(self) -> datetime:
        """Return the store's time."""
        return self._clock.now() + timedelta(seconds=self._offset_s)


@dataclass(slots=True)
class ModelCloud(MemoryCloud):
    """Writes to ``violations`` what the broker must never do, whatever fails around it."""

    store: ModelStore | None = None
    foreign: set[str] = field(default_factory=set)
    unsynced: dict[str, dict[str, str]] = field(default_factory=dict)  # by volume: written on a machine, not saved yet
    lost_on_purpose: list[str] = field(default_factory=list)
    hand_deleted: set[str] = field(default_factory=set)

    def touch(self, instance_id: str, what: str) -> None:
        """Notice a hand laid on what is not ours."""
        if instance_id in self.foreign:
            self.violations.append(f"{what} of an instance that is not ours (I2)")

    async def terminate_instance(self, instance_id: str) -> None:
        """See the port."""
        self.touch(instance_id, "the end")
        self._mounted_while_ending(instance_id)
        await MemoryCloud.terminate_instance(self, instance_id)

    async def stop_instance(self, instance_id: str) -> None:
        """See the port."""
        self.touch(instance_id, "a stop")
        await MemoryCloud.stop_instance(self, instance_id)

    async def start_instance(self, instance_id: str) -> None:
        """See the port."""
        self.touch(instance_id, "a start")
        await MemoryCloud.start_instance(self, instance_id)

    async def detach_volume(self, volume_id: str, instance_id: str) -> None:
        """See the port."""
        self.touch(instance_id, "a detachment")
        machine = self.machines.get(instance_id)
        if machine is not None and volume_id in machine.mounts.values():
            self.unsynced.pop(volume_id, None)
        await MemoryCloud.detach_volume(self, volume_id, instance_id)

    async def delete_volume(self, volume_id: str) -> None:
        """See the port. A volume that ever held a file goes only out of the bin, when its time is over (I2)."""
        assert self.store is not None
        tables = self.store.peek()
        disk = self.disks.get(volume_id)
        if disk is not None and (disk.files or disk.formats):
            now = self.store.now()
            kept = [row for row in tables.shelf.values() if row.cloud_id == volume_id]
            over = [row for row in kept if row.shelved_at + timedelta(days=7) <= now]
            if not over or any(row.kind is ShelfKind.QUARANTINE and row.ended_at is None for row in kept):
                self.violations.append(f"{volume_id} holds files and was deleted before its time (I2): {kept} at {now}")
        if any(row.cloud_id == volume_id for row in tables.volumes.values()):
            self.violations.append(f"{volume_id} is somebody's data volume and was deleted (I2)")
        await MemoryCloud.delete_volume(self, volume_id)

    async def tag(self, resource_id: str, tags: Mapping[str, str]) -> None:
        """See the port."""
        self.touch(resource_id, "new tags")
        await MemoryCloud.tag(self, resource_id, tags)

    async def run_instance(self, spec: RunSpec, *, client_token: str) -> InstanceSeen:
        """See the port."""
        if not client_token.startswith(naming.TOKEN_PREFIX):
            self.violations.append("a machine without a token of ours (I1)")
        return await MemoryCloud.run_instance(self, spec, client_token=client_token)

    def _mounted_while_ending(self, instance_id: str) -> None:
        # A power button or a termination lets a healthy guest shut down cleanly, so this is no violation.
        machine = self.machines.get(instance_id)
        if machine is not None and machine.up and not machine.hung:
            self.save(machine)

    def save(self, machine: MemoryMachine) -> None:
        """Write what a machine still holds to its disks, as sync does."""
        for volume_id in machine.mounts.values():
            if volume_id in self.disks:
                self.disks[volume_id].files.update(self.unsynced.pop(volume_id, {}))

    def lose(self, machine: MemoryMachine) -> None:
        """Forget what a machine had not written yet, as a power cut does."""
        for volume_id in machine.mounts.values():
            self.unsynced.pop(volume_id, None)

    def _enter(self, row: Any, state: InstanceState, at_s: float) -> None:
        machine = self.machines[row.seen.instance_id]
        if state is not InstanceState.RUNNING and machine.mounts:
            if machine.hung:
                self.lose(machine)
            else:
                self.save(machine)
        MemoryCloud._enter(self, row, state, at_s)

    def by_hand_kill(self, instance_id: str) -> None:
        """Cut a machine's power."""
        self._advance()
        if self._instances[instance_id].seen.state is InstanceState.TERMINATED:
            return
        self.lose(self.machines[instance_id])
        self.kill(instance_id)
        # A journal is repaired at the next mount; the person's own files survive.

    def by_hand_terminate(self, instance_id: str) -> None:
        """Delete an instance in the cloud's own console."""
        self._advance()
        row = self._instances[instance_id]
        if row.seen.state is InstanceState.TERMINATED:
            return
        self.hand_deleted.add(instance_id)
        self._go(row, InstanceState.SHUTTING_DOWN, InstanceState.TERMINATED)

    def by_hand_reboot(self, instance_id: str) -> None:
        """Reboot a machine from inside: cleanly, but its mounts are gone afterwards."""
        self._advance()
        machine = self.machines[instance_id]
        if not machine.up:
            return
        self.save(machine)
        machine.down()
        machine.boot(self.clock.monotonic_s(), self.pace.boot_s)

    def by_hand_run(self, tags: Mapping[str, str]) -> str:
        """Start somebody else's instance beside ours."""
        self._advance()
        self._count += 1
        instance_id = f"i-{self._count:08x}"
        seen = InstanceSeen(
            instance_id=instance_id,
            state=InstanceState.PENDING,
            address=None,
            launched_at=self.clock.now(),
            image_id="emi-00000001",
            instance_type="t2.micro",
            root_device_type=self.root_device_type,
            zone="one",
            tags=dict(tags),
        )
        row = _Row(seen, self.clock.monotonic_s())
        row.next_state, row.next_at_s = InstanceState.RUNNING, self.clock.monotonic_s() + self.pace.pending_s
        self._instances[instance_id] = row
        self.machines[instance_id] = MemoryMachine(instance_id, "")
        self.foreign.add(instance_id)
        return instance_id

    def unstick(self) -> None:
        """Let everything that hung go on."""
        self._advance()
        for row in self._instances.values():
            if row.seen.state is InstanceState.PENDING and row.next_state is None:
                row.next_state, row.next_at_s = InstanceState.RUNNING, self.clock.monotonic_s() + self.pace.pending_s
            if row.seen.state is InstanceState.RUNNING and row.seen.address is None:
                number = int(row.seen.instance_id[2:], 16)
                row.seen = replace(row.seen, address=f"10.0.{number // 250}.{number % 250 + 1}")
        for machine in self.machines.values():
            machine.hung = machine.refuses_login = False
            machine.holders.clear()

    def ours(self) -> list[InstanceSeen]:
        """List every instance that is not foreign and not terminated."""
        self._advance()
        rows = [row.seen for row in self._instances.values() if row.seen.instance_id not in self.foreign]
        return [seen for seen in rows if seen.state is not InstanceState.TERMINATED]


class ModelShell(MemoryShell):
    """Connections that check what the broker may never do on a machine."""

    cloud: ModelCloud

    async def connect(self, grant: Grant, *, timeout_s: float = 15.0) -> MemoryConnection:
        """Connect; a machine that shows a key which is not its own must never be let in."""
        plain = await super().connect(grant, timeout_s=timeout_s)
        machine = plain._machine
        if machine.served_key not in (machine.own_key, machine.bootstrap_key):
            self.cloud.violations.append("a connection to a machine that showed another's key (I8)")
        if machine.configured_own and machine.own_key not in grant.host_keys:
            self.cloud.violations.append("only the bootstrap key is expected after the switch (I8)")
        connection = _Connection(self, machine, grant)
        if self.frontend is not None:
            self.frontend.connections.discard(plain)
            self.frontend.connections.add(connection)
        return connection


class _Connection(MemoryConnection):
    async def run(
        self, script: str, *, arguments: Sequence[str] = (), stdin: bytes = b"", timeout_s: float = 30.0
    ) -> Completed:
        before = {k: d.formats for k, d in self._shell.cloud.disks.items()}
        mounted = dict(self._machine.mounts)
        cloud = self._shell.cloud
        assert isinstance(cloud, ModelCloud)
        if not self._machine.up:
            raise MachineUnreachableError("The connection broke.")
        try:
            return await super().run(script, arguments=arguments, stdin=stdin, timeout_s=timeout_s)
        finally:
            for place, volume_id in mounted.items():
                if place not in self._machine.mounts and volume_id in cloud.disks:
                    cloud.disks[volume_id].files.update(cloud.unsynced.pop(volume_id, {}))
            for volume_id, disk in cloud.disks.items():
                if disk.formats > before.get(volume_id, 0):
                    self._check_format(cloud, volume_id)

    def _check_format(self, cloud: ModelCloud, volume_id: str) -> None:
        assert cloud.store is not None
        disk = cloud.disks[volume_id]
        if disk.formats > 1:
            cloud.violations.append(f"{volume_id} was formatted {disk.formats} times (I3)")
        permits = [p for p in cloud.store.peek().permits.values() if p.volume_id == volume_id]
        if not any(p.spent_at is not None and p.file_system_uuid == disk.uuid for p in permits):
            cloud.violations.append(f"{volume_id} was formatted without a spent permit (I3)")
        view = cloud._volumes[volume_id].seen
        if view.snapshot_id:
            cloud.violations.append(f"{volume_id} was formatted although it is made of a snapshot (I3)")
