"""The cloud, as the broker needs it: EC2's nouns, three-valued sight, and calls whose repetition is defined.

All methods raise only :class:`educloud_lab.domain.errors.CloudError` and its children. After
``CloudUnreachableError`` the effect of a changing call is unknown (I5): look before repeating.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol


class InstanceState(StrEnum):
    """EC2's instance states (codes 0 to 80)."""

    PENDING = "pending"
    RUNNING = "running"
    SHUTTING_DOWN = "shutting-down"
    TERMINATED = "terminated"
    STOPPING = "stopping"
    STOPPED = "stopped"


class VolumeState(StrEnum):
    """EC2's volume states with Eucalyptus's own (EUCALYPTUS.md: creating ... unavailable)."""

    CREATING = "creating"
    AVAILABLE = "available"
    IN_USE = "in-use"
    DELETING = "deleting"
    DELETED = "deleted"
    FAILED = "failed"
    ERROR = "error"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True, slots=True)
class AttachmentSeen:
    """One attachment of a volume as the cloud lists it."""

    volume_id: str
    instance_id: str
    device: str
    state: str  # attaching, attached, detaching, busy


@dataclass(frozen=True, slots=True)
class InstanceSeen:
    """An instance as the cloud lists it. ``address`` is None while Eucalyptus shows 0.0.0.0."""

    instance_id: str
    state: InstanceState
    address: str | None
    launched_at: datetime | None
    image_id: str
    instance_type: str
    root_device_type: str  # ebs or instance-store
    zone: str
    reason: str = ""
    client_token: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    root_volume_id: str = ""  # of an EBS-backed instance, where the cloud shows it
    groups: tuple[str, ...] = ()  # names of its security groups


@dataclass(frozen=True, slots=True)
class InstanceHealth:
    """What the cloud says about an instance's status. Words: ok, impaired, initializing, not-applicable, ''.

    On Eucalyptus only ``system`` means anything: impaired once the node has not reported for five minutes.
    """

    system: str
    instance: str = ""


@dataclass(frozen=True, slots=True)
class VolumeSeen:
    """A volume as the cloud lists it."""

    volume_id: str
    state: VolumeState
    size_bytes: int
    zone: str
    created_at: datetime | None
    snapshot_id: str = ""
    attachments: tuple[AttachmentSeen, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SnapshotSeen:
    """A snapshot as the cloud lists it."""

    snapshot_id: str
    volume_id: str
    state: str  # pending, completed, error ("failed" in Eucalyptus)
    progress_percent: int
    size_bytes: int
    created_at: datetime | None
    description: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CloudView:
    """One batched look at everything: two calls for all leases together, never per lease.

    ``snapshots`` are in it only where they were asked for (:meth:`Cloud.observe_snapshots`).
    """

    seen_at: datetime
    instances: Mapping[str, InstanceSeen]
    volumes: Mapping[str, VolumeSeen]
    snapshots: Mapping[str, SnapshotSeen] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ImageSeen:
    """An image that the account may run."""

    image_id: str
    name: str
    state: str
    architecture: str
    root_device_type: str
    virtualization_type: str
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RuleSeen:
    """One rule by which a security group lets something in.

    ``protocol`` is tcp, udp, icmp, a number, or ``-1`` for all; ports are -1 where they mean nothing.
    """

    protocol: str
    first_port: int
    last_port: int
    sources: tuple[str, ...]  # networks (CIDR), and names or ids of groups


@dataclass(frozen=True, slots=True)
class GroupSeen:
    """A security group as the cloud lists it."""

    group_id: str
    name: str
    rules: tuple[RuleSeen, ...] = ()


@dataclass(frozen=True, slots=True)
class RunSpec:
    """What RunInstances needs; ``group`` names a group of :meth:`Cloud.ensure_group`, '' is the account's default."""

    image_id: str
    instance_type: str
    zone: str
    user_data: str
    tags: Mapping[str, str]
    group: str = ""


class Cloud(Protocol):
    """An EC2-compatible cloud seen with one set of credentials."""

    async def observe(self) -> CloudView:
        """Look at all instances and volumes of the account (those of others stay out by tag or account)."""

    async def images(self) -> tuple[ImageSeen, ...]:
        """List the images that may be run."""

    async def zones(self) -> tuple[str, ...]:
        """List the names of the available zones."""

    async def zone_states(self) -> Mapping[str, str]:
        """Return the state of every zone by its name, unavailable ones too."""

    async def instance_health(self, instance_id: str) -> InstanceHealth | None:
        """Return the cloud's own status of an instance; None when it tells none."""

    async def lets_in(self, instance_id: str, port: int) -> bool | None:
        """Say whether any rule of the instance's security groups lets TCP in at a port; None when that is not shown."""

    async def security_groups(self) -> tuple[GroupSeen, ...]:
        """List the account's security groups with their rules: one call."""

    async def key_pairs(self) -> tuple[str, ...]:
        """List the names of the account's key pairs."""

    def clock_offset_s(self) -> float | None:
        """Return how far the cloud's clock was ahead of this computer's at its last answer; None before the first.

        Good to about a second: the answer's ``Date`` tells no fractions.
        """

    async def ensure_group(self, name: str, ports: tuple[int, ...] = ()) -> None:
        """See to it that the account has a security group of this name that lets SSH (tcp 22) and ICMP in.

        Besides these it lets in exactly the TCP ``ports``: others that it let in from the same network are closed.
        Repeatable, by any number of processes at once. Clouds let nothing in to a machine that no rule of its groups
        lets in. A group that was found so is not looked at again by the same process for the same ports.
        """

    async def run_instance(self, spec: RunSpec, *, client_token: str) -> InstanceSeen:
        """Run one instance; the same token gives the same instance, even a dead one (SAFETY.md, E1).

        Raises ``CloudNotFoundError`` for an image or a group that the cloud does not have.
        """

    async def start_instance(self, instance_id: str) -> None:
        """Start a stopped instance. The cloud says nothing when it was not stopped (EUCALYPTUS.md item 8)."""

    async def stop_instance(self, instance_id: str) -> None:
        """Ask an EBS-backed instance to stop; stopping or stopped is success."""

    async def terminate_instance(self, instance_id: str) -> None:
        """Ask for the end of an instance; terminated is success."""

    async def console_output(self, instance_id: str) -> str:
        """Return the last 64 KB of the console as text; '' when there is none yet."""

    async def create_volume(
        self, *, size_gib: int, zone: str, tags: Mapping[str, str], snapshot_id: str = "", untagged: bool = False
    ) -> VolumeSeen:
        """Create a volume, blank or from a snapshot. Not idempotent (SAFETY.md, E2): look by tag first.

        With ``untagged`` it is created without tags, which the caller sets afterwards: on a cloud that takes none with
        the call (Eucalyptus 4.4) the caller has looked at what there was before, and no other caller creates meanwhile.

        Raises
        ------
        CloudTakesNoTagsError
            ``untagged`` is needed here; nothing was created.
        """

    async def delete_volume(self, volume_id: str) -> None:
        """Delete a volume for ever; deleted already is success. Only for what a person put into the bin."""

    async def grow_volume(self, volume_id: str, size_gib: int) -> None:
        """Enlarge a volume that nothing has; that size already is success. It never shrinks.

        Raises
        ------
        CloudStateError
            It is attached (Eucalyptus enlarges available volumes only).
        CannotGrowError
            This cloud knows no way to enlarge a volume (Eucalyptus 4.4 and 5).
        """

    async def observe_snapshots(self) -> Mapping[str, SnapshotSeen]:
        """Look at all snapshots that the account owns: one call."""

    async def create_snapshot(self, volume_id: str, *, description: str, tags: Mapping[str, str]) -> SnapshotSeen:
        """Ask for a snapshot of a volume as it is. Not idempotent: look by description first.

        Tags are set as well as the cloud can; the description (at most 255 characters) always comes with the call.
        AWS takes the volume as it is when it answers; Eucalyptus's storage may begin with it a moment later (its
        ``DASManager.createSnapshotPoint`` does nothing), which its progress shows.
        """

    async def delete_snapshot(self, snapshot_id: str) -> None:
        """Delete a snapshot; deleted already is success."""

    async def attach_volume(self, volume_id: str, instance_id: str, device: str) -> None:
        """Ask for an attachment; already attached to this very instance is success (E3)."""

    async def detach_volume(self, volume_id: str, instance_id: str) -> None:
        """Ask for the end of an attachment; not attached is success. The caller has unmounted it (I4)."""

    async def tag(self, resource_id: str, tags: Mapping[str, str]) -> None:
        """Set tags; repeatable."""
