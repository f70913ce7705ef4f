"""A cloud in memory with Eucalyptus's states and oddities, moved by a clock, with faults on demand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from educloud_lab.adapters.memory import storage
from educloud_lab.adapters.memory.faults import Faults
from educloud_lab.adapters.memory.machines import MemoryDisk, MemoryMachine
from educloud_lab.adapters.memory.telling import telling
from educloud_lab.domain.errors import (
    CloudError,
    CloudNotFoundError,
    CloudStateError,
    CloudTakesNoTagsError,
    CloudUnreachableError,
)
from educloud_lab.domain.naming import TAG_LEASE
from educloud_lab.ports.clock import Clock
from educloud_lab.ports.cloud import (
    AttachmentSeen,
    CloudView,
    GroupSeen,
    ImageSeen,
    InstanceHealth,
    InstanceSeen,
    InstanceState,
    RuleSeen,
    RunSpec,
    SnapshotSeen,
    VolumeSeen,
    VolumeState,
)

GIB = 1024**3
_ANYWHERE = ("0.0.0.0/0",)
_OWN_RULES = (RuleSeen("tcp", 22, 22, _ANYWHERE), RuleSeen("icmp", -1, -1, _ANYWHERE))


@dataclass(slots=True)
class _Row:
    """One instance with what happens to it next."""

    seen: InstanceSeen
    listed_at_s: float
    next_state: InstanceState | None = None
    next_at_s: float = 0.0


@dataclass(slots=True)
class _VolumeRow:
    """One volume with what happens to it next."""

    seen: VolumeSeen
    listed_at_s: float
    next_seen: VolumeSeen | None = None
    next_at_s: float = 0.0


@dataclass(slots=True, kw_only=True)
class Pace:
    """How long things take, in seconds."""

    pending_s: float = 0.5
    boot_s: float = 4.0  # from running to SSH
    stop_s: float = 2.0
    volume_s: float = 0.4
    attach_s: float = 0.3
    snapshot_s: float = 0.7  # from the answer to the storage's own beginning, as on Eucalyptus


@telling
@dataclass(slots=True)
class MemoryCloud:
    """See the module. ``calls`` counts operations; ``violations`` names what must never happen."""

    clock: Clock
    pace: Pace = field(default_factory=Pace)
    root_device_type: str = "ebs"
    faults: Faults = field(default_factory=Faults)
    machines: dict[str, MemoryMachine] = field(default_factory=dict)
    disks: dict[str, MemoryDisk] = field(default_factory=dict)
    calls: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    architecture: str = "x86_64"
    groups: dict[str, tuple[int, ...]] = field(default_factory=dict)  # the ports that each lets in, besides SSH's
    group_rules: dict[str, list[RuleSeen]] = field(default_factory=dict)  # of groups whose rules were changed
    keys: set[str] = field(default_factory=set)  # names of key pairs
    image_tags: dict[str, str] = field(default_factory=dict)
    snapshots: dict[str, storage.SnapshotRow] = field(default_factory=dict)
    _instances: dict[str, _Row] = field(default_factory=dict)
    _volumes: dict[str, _VolumeRow] = field(default_factory=dict)
    _count: int = 0

    # What the world does by itself.

    def _advance(self) -> float:
        now_s = self.clock.monotonic_s()
        for row in self._instances.values():
            if row.next_state is not None and row.next_at_s <= now_s:
                self._enter(row, row.next_state, row.next_at_s)
        for volume in self._volumes.values():
            if volume.next_seen is not None and volume.next_at_s <= now_s:
                volume.seen, volume.next_seen = volume.next_seen, None
        storage.advance(self, now_s)
        return now_s

    def _enter(self, row: _Row, state: InstanceState, at_s: float) -> None:
        machine = self.machines[row.seen.instance_id]
        row.next_state = None
        if state is InstanceState.RUNNING:
            number = int(row.seen.instance_id[2:], 16)
            address = None if self.faults.no_address else f"10.0.{number // 250}.{number % 250 + 1}"
            row.seen = replace(row.seen, state=state, address=address)
            machine.boot(at_s, self.pace.boot_s)
            return
        machine.down()
        row.seen = replace(row.seen, state=state, address=None)
        if state is InstanceState.TERMINATED:
            for volume in self._volumes.values():
                self._drop_attachment(volume, row.seen.instance_id)

    def _drop_attachment(self, volume: _VolumeRow, instance_id: str) -> None:
        rest = tuple(a for a in volume.seen.attachments if a.instance_id != instance_id)
        if rest != volume.seen.attachments:
            state = VolumeState.IN_USE if rest else VolumeState.AVAILABLE
            volume.seen, volume.next_seen = replace(volume.seen, attachments=rest, state=state), None

    def kill(self, instance_id: str) -> None:
        """End a machine from outside, as SIGKILL ends its hypervisor: nothing is saved."""
        self._advance()
        row = self._instances[instance_id]
        for volume_id in self.machines[instance_id].mounts.values():
            self.disks[volume_id].dirty = "journal"
        ebs = row.seen.root_device_type == "ebs"
        self._enter(row, InstanceState.STOPPED if ebs else InstanceState.TERMINATED, self.clock.monotonic_s())

    def live_instances(self, lease_id: str) -> list[InstanceSeen]:
        """List a lease's instances that are not terminated."""
        self._advance()
        rows = [row.seen for row in self._instances.values() if row.seen.tags.get(TAG_LEASE) == lease_id]
        return [seen for seen in rows if seen.state is not InstanceState.TERMINATED]

    def machine_at(self, address: str) -> MemoryMachine | None:
        """Return the machine that answers at an address, None when nobody does."""
        now_s = self._advance()
        for row in self._instances.values():
            if row.seen.address == address and row.seen.state is InstanceState.RUNNING:
                machine = self.machines[row.seen.instance_id]
                return machine if machine.up and not machine.hung and now_s >= machine.ssh_up_at_s else None
        return None

    def lose_volume(self, volume_id: str) -> None:
        """Take a volume away behind everybody's back, as a reset of the cloud does."""
        del self._volumes[volume_id]
        del self.disks[volume_id]

    def attached_disks(self, instance_id: str) -> dict[str, tuple[MemoryDisk, str]]:
        """Return a machine's disks by volume id, each with the device name asked for."""
        self._advance()
        return {
            row.seen.volume_id: (self.disks[row.seen.volume_id], a.device)
            for row in self._volumes.values()
            for a in row.seen.attachments
            if a.instance_id == instance_id and a.state == "attached"
        }

    # The port.

    def _begin(self, operation: str) -> float:
        self.calls[operation] += 1
        self.faults.before(operation)
        return self._advance()

    async def observe(self) -> CloudView:
        """Look at everything that is listed already."""
        now_s = self._begin("observe")
        if self.faults.out_of_sight:
            raise CloudUnreachableError("The cloud does not answer.", next_step="It is asked again.")
        instances = {k: r.seen for k, r in self._instances.items() if r.listed_at_s <= now_s}
        volumes = {k: r.seen for k, r in self._volumes.items() if r.listed_at_s <= now_s}
        return CloudView(seen_at=self.clock.now(), instances=instances, volumes=volumes)

    async def images(self) -> tuple[ImageSeen, ...]:
        """List the one image."""
        self._begin("images")
        seen = ImageSeen(
            "emi-00000001", "tiny", "available", self.architecture, self.root_device_type, "hvm", dict(self.image_tags)
        )
        return (seen,)

    async def zones(self) -> tuple[str, ...]:
        """List the one zone."""
        self._begin("zones")
        return ("one",)

    async def zone_states(self) -> Mapping[str, str]:
        """Return the state of the one zone."""
        self._begin("zone_states")
        return {"one": self.faults.zone_state}

    async def instance_health(self, instance_id: str) -> InstanceHealth | None:
        """Return what the fault says of a running instance."""
        self._begin("instance_health")
        running = self._row(instance_id).seen.state is InstanceState.RUNNING
        return InstanceHealth(self.faults.system_status, "ok") if running else InstanceHealth("not-applicable")

    async def lets_in(self, instance_id: str, port: int) -> bool | None:
        """Say whether the groups let it in: they do so for SSH unless the fault closed it."""
        self._begin("lets_in")
        opened = {port for group in self._row(instance_id).seen.groups for port in self.groups.get(group, ())}
        return port in opened | {22} and not self.faults.closed_port

    async def security_groups(self) -> tuple[GroupSeen, ...]:
        """List the groups with their rules."""
        self._begin("security_groups")
        return tuple(
            GroupSeen(f"sg-{name}", name, tuple(self.group_rules.get(name, _OWN_RULES))) for name in self.groups
        )

    async def key_pairs(self) -> tuple[str, ...]:
        """List the key pairs."""
        self._begin("key_pairs")
        return tuple(sorted(self.keys))

    def clock_offset_s(self) -> float | None:
        """Return what the fault says."""
        return self.faults.clock_offset_s

    async def ensure_group(self, name: str, ports: tuple[int, ...] = ()) -> None:
        """Make the group where it is missing, with these ports and no others."""
        self._begin("ensure_group")
        self.groups[name] = ports
        self.faults.after("ensure_group")

    async def run_instance(self, spec: RunSpec, *, client_token: str) -> InstanceSeen:
        """Run one instance; the same token gives the same one, even a dead one."""
        now_s = self._begin("run_instance")
        for row in self._instances.values():
            if row.seen.client_token == client_token:
                return row.seen
        if spec.group and spec.group not in self.groups:
            raise CloudNotFoundError(f"The security group '{spec.group}' does not exist.")
        if self.live_instances(spec.tags.get(TAG_LEASE, "")):
            self.violations.append("a second live instance of one lease (I1)")
        self._count += 1
        seen = InstanceSeen(
            instance_id=f"i-{self._count:08x}",
            state=InstanceState.PENDING,
            address=None,
            launched_at=self.clock.now(),
            image_id=spec.image_id,
            instance_type=spec.instance_type,
            root_device_type=self.root_device_type,
            zone=spec.zone,
            client_token=client_token,
            tags=dict(spec.tags),
            groups=(spec.group,) if spec.group else (),
        )
        row = _Row(seen, now_s + self.faults.lag_s)
        if self.faults.dead_on_arrival > 0:
            self.faults.dead_on_arrival -= 1
            row.next_state = InstanceState.TERMINATED
        elif not self.faults.pending_for_ever:
            row.next_state = InstanceState.RUNNING
        row.next_at_s = now_s + self.pace.pending_s
        self._instances[seen.instance_id] = row
        self.machines[seen.instance_id] = MemoryMachine(seen.instance_id, spec.user_data)
        self.faults.after("run_instance")
        return seen

    def _row(self, instance_id: str) -> _Row:
        row = self._instances.get(instance_id)
        if row is None:
            raise CloudNotFoundError(f"The instance ID '{instance_id}' does not exist.")
        return row

    async def start_instance(self, instance_id: str) -> None:
        """Start a stopped instance; say nothing when it is not stopped."""
        now_s = self._begin("start_instance")
        row = self._row(instance_id)
        if row.seen.state is InstanceState.STOPPED:
            row.seen = replace(row.seen, state=InstanceState.PENDING)
            if not self.faults.pending_for_ever:
                row.next_state, row.next_at_s = InstanceState.RUNNING, now_s + self.pace.pending_s
        self.faults.after("start_instance")

    async def stop_instance(self, instance_id: str) -> None:
        """Stop an EBS-backed instance by its power button."""
        self._begin("stop_instance")
        row = self._row(instance_id)
        if row.seen.root_device_type != "ebs":
            raise CloudStateError("The instance does not have an 'ebs' root device type and cannot be stopped.")
        if row.seen.state in (InstanceState.SHUTTING_DOWN, InstanceState.TERMINATED):
            raise CloudStateError(f"This instance '{instance_id}' is not in a state from which it can be stopped.")
        self._go(row, InstanceState.STOPPING, InstanceState.STOPPED)
        self.faults.after("stop_instance")

    async def terminate_instance(self, instance_id: str) -> None:
        """End an instance."""
        self._begin("terminate_instance")
        row = self._row(instance_id)
        if row.seen.state is not InstanceState.TERMINATED:
            self._go(row, InstanceState.SHUTTING_DOWN, InstanceState.TERMINATED)
        self.faults.after("terminate_instance")

    def _go(self, row: _Row, state: InstanceState, then: InstanceState) -> None:
        if row.seen.state in (state, then):
            return
        machine = self.machines[row.seen.instance_id]
        if machine.hung:
            for volume_id in machine.mounts.values():
                self.disks[volume_id].dirty = "journal"
        row.seen = replace(row.seen, state=state)
        row.next_state, row.next_at_s = then, self.clock.monotonic_s() + self.pace.stop_s

    async def console_output(self, instance_id: str) -> str:
        """Return the console's text."""
        self._begin("console_output")
        return self.machines[self._row(instance_id).seen.instance_id].console

    async def create_volume(
        self, *, size_gib: int, zone: str, tags: Mapping[str, str], snapshot_id: str = "", untagged: bool = False
    ) -> VolumeSeen:
        """Create a volume, each time another one."""
        now_s = self._begin("create_volume")
        if tags and not untagged and self.faults.no_tags_at_creation:
            raise CloudTakesNoTagsError("The cloud takes no tags when it creates a volume.")
        source = storage.source_of(self, snapshot_id, size_gib) if snapshot_id else None
        self._count += 1
        seen = VolumeSeen(
            volume_id=f"vol-{self._count:08x}",
            state=VolumeState.CREATING,
            size_bytes=size_gib * GIB,
            zone=zone,
            created_at=self.clock.now(),
            snapshot_id=snapshot_id,
            tags={} if untagged else dict(tags),
        )
        failed = self.faults.failed_volumes > 0
        self.faults.failed_volumes -= failed
        state = VolumeState.FAILED if failed else VolumeState.AVAILABLE
        row = _VolumeRow(seen, now_s + self.faults.lag_s, replace(seen, state=state), now_s + self.pace.volume_s)
        self._volumes[seen.volume_id] = row
        blank = MemoryDisk(seen.volume_id, seen.size_bytes)
        self.disks[seen.volume_id] = (
            storage.copy_of(source, seen.volume_id, seen.size_bytes) if source is not None else blank
        )
        self.faults.after("create_volume")
        return seen

    async def delete_volume(self, volume_id: str) -> None:
        """Delete a volume for ever."""
        self._begin("delete_volume")
        storage.delete_volume(self, volume_id)
        self.faults.after("delete_volume")

    async def grow_volume(self, volume_id: str, size_gib: int) -> None:
        """Enlarge a volume that nothing has."""
        self._begin("grow_volume")
        storage.grow(self, volume_id, size_gib)
        self.faults.after("grow_volume")

    async def observe_snapshots(self) -> Mapping[str, SnapshotSeen]:
        """Look at all snapshots that are listed already."""
        return await storage.observe(self, self._begin("observe_snapshots"))

    async def create_snapshot(self, volume_id: str, *, description: str, tags: Mapping[str, str]) -> SnapshotSeen:
        """Ask for a snapshot, each time another one."""
        now_s = self._begin("create_snapshot")
        self._count += 1
        shown = {} if self.faults.no_tags_at_creation else tags
        seen = storage.create(self, now_s, self._count, volume_id, description, shown)
        self.faults.after("create_snapshot")
        return seen

    async def delete_snapshot(self, snapshot_id: str) -> None:
        """Delete a snapshot."""
        self._begin("delete_snapshot")
        storage.delete(self, snapshot_id)
        self.faults.after("delete_snapshot")

    def find_volume_row(self, volume_id: str) -> _VolumeRow | None:
        """Return a volume's row, None when there is none."""
        return self._volumes.get(volume_id)

    def volume_row(self, volume_id: str) -> _VolumeRow:
        """Return a volume's row, for tests that change it."""
        row = self._volumes.get(volume_id)
        if row is None:
            raise CloudNotFoundError(f"The volume '{volume_id}' does not exist.")
        return row

    async def attach_volume(self, volume_id: str, instance_id: str, device: str) -> None:
        """Attach a volume; silently nothing when the fault says so."""
        now_s = self._begin("attach_volume")
        row, instance = self.volume_row(volume_id), self._row(instance_id)
        if any(a.instance_id == instance_id for a in row.seen.attachments):
            return
        if row.seen.attachments:
            raise CloudStateError(f"Volume already attached: {volume_id}")
        if row.seen.state is not VolumeState.AVAILABLE:
            raise CloudStateError(f"The volume is '{row.seen.state}'.")
        if instance.seen.state not in (InstanceState.RUNNING, InstanceState.STOPPED):
            raise CloudStateError(f"Instance '{instance_id}' is not 'running'")
        attaching = AttachmentSeen(volume_id, instance_id, device, "attaching")
        row.seen = replace(row.seen, state=VolumeState.IN_USE, attachments=(attaching,))
        row.next_at_s = now_s + self.pace.attach_s
        if self.faults.silent_attaches > 0:
            self.faults.silent_attaches -= 1
            row.next_seen = replace(row.seen, state=VolumeState.AVAILABLE, attachments=())
        else:
            row.next_seen = replace(row.seen, attachments=(replace(attaching, state="attached"),))
        self.faults.after("attach_volume")

    async def detach_volume(self, volume_id: str, instance_id: str) -> None:
        """Detach a volume, whatever the guest does with it: that is the violation this looks for."""
        now_s = self._begin("detach_volume")
        row = self.volume_row(volume_id)
        machine = self.machines.get(instance_id)
        if machine is not None and volume_id in machine.mounts.values():
            self.violations.append("a volume was detached while mounted (I4)")
        if self.faults.silent_detaches > 0 and machine is not None and machine.up:
            self.faults.silent_detaches -= 1
        elif any(a.instance_id == instance_id for a in row.seen.attachments):
            detaching = tuple(replace(a, state="detaching") for a in row.seen.attachments)
            row.seen = replace(row.seen, attachments=detaching)
            row.next_seen = replace(row.seen, state=VolumeState.AVAILABLE, attachments=())
            row.next_at_s = now_s + self.pace.attach_s
        self.faults.after("detach_volume")

    async def tag(self, resource_id: str, tags: Mapping[str, str]) -> None:
        """Set tags."""
        self._begin("tag")
        if resource_id in self._instances:
            row = self._instances[resource_id]
            row.seen = replace(row.seen, tags={**row.seen.tags, **tags})
        elif resource_id in self._volumes:
            volume = self._volumes[resource_id]
            volume.seen = replace(volume.seen, tags={**volume.seen.tags, **tags})
        elif resource_id in self.snapshots:
            snapshot = self.snapshots[resource_id]
            snapshot.seen = replace(snapshot.seen, tags={**snapshot.seen.tags, **tags})
        else:
            raise CloudError(f"There is no {resource_id}.")
