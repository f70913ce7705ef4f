"""Tables of the local cloud's state. Times are aware UTC; sizes carry their unit in the name."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, DateTime, Dialect, Index, String, Text, TypeDecorator
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class UtcDateTime(TypeDecorator[datetime]):
    """Aware UTC datetimes, stored without zone (SQLite has none)."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse naive times; store UTC."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("naive datetime")
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:
        """Give the zone back."""
        return None if value is None else value.replace(tzinfo=UTC)


class Base(DeclarativeBase):
    """Base of all tables."""

    type_annotation_map = {datetime: UtcDateTime, dict[str, Any]: JSON, list[Any]: JSON}  # noqa: RUF012 (SQLAlchemy's own form)


class Meta(Base):
    """Small facts about the cloud itself (e.g. the address given out last)."""

    __tablename__ = "meta"
    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[str] = mapped_column(Text)


class Node(Base):
    """A node controller: a host with a hypervisor, in one availability zone."""

    __tablename__ = "node"
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    zone: Mapped[str] = mapped_column(String(64))
    hypervisor: Mapped[str] = mapped_column(String(32))
    enabled: Mapped[bool] = mapped_column(default=True)


class Image(Base):
    """A registered machine image, kernel or ramdisk. ``key`` names manifest, version and role, and stays."""

    __tablename__ = "image"
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    key: Mapped[str] = mapped_column(String(255), unique=True)
    kind: Mapped[str] = mapped_column(String(16))  # machine, kernel, ramdisk
    name: Mapped[str] = mapped_column(String(128))
    version: Mapped[str] = mapped_column(String(64))
    description: Mapped[str] = mapped_column(Text, default="")
    owner: Mapped[str] = mapped_column(String(12))
    state: Mapped[str] = mapped_column(String(16))  # available, failed, deregistered
    message: Mapped[str] = mapped_column(Text, default="")
    architecture: Mapped[str] = mapped_column(String(16))
    virtualization_type: Mapped[str] = mapped_column(String(16))
    root_device_type: Mapped[str] = mapped_column(String(16))
    kernel_id: Mapped[str] = mapped_column(String(32), default="")
    ramdisk_id: Mapped[str] = mapped_column(String(32), default="")
    snapshot_id: Mapped[str] = mapped_column(String(32), default="")
    root_size_bytes: Mapped[int] = mapped_column(default=0)
    min_memory_bytes: Mapped[int] = mapped_column(default=0)
    kernel_args: Mapped[str] = mapped_column(Text, default="")
    folder: Mapped[str] = mapped_column(Text, default="")  # where the cloud keeps the files, relative to its folder
    files: Mapped[dict[str, Any]] = mapped_column(default=dict)  # role -> file name
    created_at: Mapped[datetime]
    public: Mapped[bool] = mapped_column(default=True, server_default="1")
    request_id: Mapped[str] = mapped_column(String(36), default="", server_default="")  # the last that changed it
    # Registered by a caller (RegisterImage, CreateImage), not found in images/: stays until it is deregistered.
    registered: Mapped[bool] = mapped_column(default=False, server_default="0")
    location: Mapped[str] = mapped_column(Text, default="", server_default="")  # ImageLocation as the caller gave it
    mappings: Mapped[list[Any]] = mapped_column(default=list, server_default="[]")  # further BlockDeviceMappings
    source_instance_id: Mapped[str] = mapped_column(String(32), default="", server_default="")  # CreateImage


class LaunchPermission(Base):
    """An account that may launch a private image."""

    __tablename__ = "launch_permission"
    image_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    account_id: Mapped[str] = mapped_column(String(12), primary_key=True)


class Snapshot(Base):
    """A snapshot; that of an image has no volume of its own."""

    __tablename__ = "snapshot"
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    owner: Mapped[str] = mapped_column(String(12))
    volume_id: Mapped[str] = mapped_column(String(32), default="")
    size_gib: Mapped[int]
    state: Mapped[str] = mapped_column(String(16))
    description: Mapped[str] = mapped_column(Text, default="")
    file: Mapped[str] = mapped_column(Text, default="")  # relative to the cloud's folder
    created_at: Mapped[datetime]
    progress_percent: Mapped[int] = mapped_column(default=100, server_default="100")
    completed_at: Mapped[datetime | None]
    deleted_at: Mapped[datetime | None]  # its file may stay for as long as disks are built on it
    public: Mapped[bool] = mapped_column(default=False, server_default="0")
    request_id: Mapped[str] = mapped_column(String(36), default="", server_default="")  # the last that changed it
    # The image whose root it descends from: a system disk that boots needs that image's kernel and ramdisk.
    boots_like: Mapped[str] = mapped_column(String(32), default="", server_default="")


class SnapshotPermission(Base):
    """An account that may make volumes from a snapshot of another."""

    __tablename__ = "snapshot_permission"
    snapshot_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    account_id: Mapped[str] = mapped_column(String(12), primary_key=True)


class Instance(Base):
    """One instance. ``state`` is the wanted one as well: transitional states are work for the supervisor."""

    __tablename__ = "instance"
    __table_args__ = (
        Index("instance_token", "owner", "client_token"),
        Index("instance_state", "state"),
        Index("instance_promise", "state", "instance_type"),
        Index("instance_address", "address"),
    )
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    reservation_id: Mapped[str] = mapped_column(String(32), index=True)
    launch_index: Mapped[int]
    owner: Mapped[str] = mapped_column(String(12))
    node: Mapped[str] = mapped_column(String(64))
    zone: Mapped[str] = mapped_column(String(64))
    image_id: Mapped[str] = mapped_column(String(32))
    kernel_id: Mapped[str] = mapped_column(String(32), default="")
    ramdisk_id: Mapped[str] = mapped_column(String(32), default="")
    instance_type: Mapped[str] = mapped_column(String(32))
    root_device_type: Mapped[str] = mapped_column(String(16))
    key_name: Mapped[str] = mapped_column(String(255), default="")
    key_material: Mapped[str] = mapped_column(Text, default="")
    groups: Mapped[list[Any]] = mapped_column(default=list)  # [[id, name], ...]
    user_data: Mapped[str] = mapped_column(Text, default="")  # base64, as it came
    state: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str] = mapped_column(Text, default="")
    force_stop: Mapped[bool] = mapped_column(default=False)
    resume: Mapped[bool] = mapped_column(default=False)  # shut down with the cloud; boot again with it
    address: Mapped[str] = mapped_column(String(15), default="")
    address_shown: Mapped[bool] = mapped_column(default=False)
    mac: Mapped[str] = mapped_column(String(17))
    client_token: Mapped[str] = mapped_column(String(255), default="")
    disable_termination: Mapped[bool] = mapped_column(default=False)
    ever_ran: Mapped[bool] = mapped_column(default=False)
    shutdown_behavior: Mapped[str] = mapped_column(
        String(16), default="stop", server_default="stop"
    )  # see EC2; profile aws only
    template: Mapped[str] = mapped_column(String(64), default="", server_default="")  # warm start's template; '' cold
    request_id: Mapped[str] = mapped_column(String(36), default="", server_default="")  # the last that changed it
    launched_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]


class Volume(Base):
    """A block volume; the roots of EBS-backed instances are volumes as well."""

    __tablename__ = "volume"
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    owner: Mapped[str] = mapped_column(String(12))
    zone: Mapped[str] = mapped_column(String(64))
    size_gib: Mapped[int]
    snapshot_id: Mapped[str] = mapped_column(String(32), default="")
    state: Mapped[str] = mapped_column(String(16), index=True)
    created_at: Mapped[datetime]
    deleted_at: Mapped[datetime | None]
    request_id: Mapped[str] = mapped_column(String(36), default="", server_default="")  # the last that changed it
    boots_like: Mapped[str] = mapped_column(String(32), default="", server_default="")  # as Snapshot.boots_like
    client_token: Mapped[str] = mapped_column(String(255), default="", server_default="")  # profile aws only


class Attachment(Base):
    """A volume at an instance; at most one a volume."""

    __tablename__ = "attachment"
    volume_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    instance_id: Mapped[str] = mapped_column(String(32), index=True)
    device: Mapped[str] = mapped_column(String(32))
    state: Mapped[str] = mapped_column(String(16), index=True)  # attaching, attached, detaching
    is_root: Mapped[bool] = mapped_column(default=False)
    delete_on_termination: Mapped[bool] = mapped_column(default=False)
    attached_at: Mapped[datetime]


class KeyPair(Base):
    """The public half of a key pair."""

    __tablename__ = "key_pair"
    owner: Mapped[str] = mapped_column(String(12), primary_key=True)
    name: Mapped[str] = mapped_column(String(255), primary_key=True)
    fingerprint: Mapped[str] = mapped_column(String(64))
    public_key: Mapped[str] = mapped_column(Text)


class Tag(Base):
    """A tag of an instance, volume, snapshot, image or group, seen by its account only."""

    __tablename__ = "tag"
    owner: Mapped[str] = mapped_column(String(12), primary_key=True)
    resource_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    key: Mapped[str] = mapped_column(String(127), primary_key=True)
    resource_type: Mapped[str] = mapped_column(String(32))
    value: Mapped[str] = mapped_column(Text, default="")


class SecurityGroup(Base):
    """A security group by name (EC2-Classic: no VPC)."""

    __tablename__ = "security_group"
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    owner: Mapped[str] = mapped_column(String(12), index=True)
    name: Mapped[str] = mapped_column(String(255))
    description: Mapped[str] = mapped_column(Text, default="")


class SecurityGroupRule(Base):
    """What a security group lets in (Eucalyptus's EDGE mode has no egress rules): from a network or from a group."""

    __tablename__ = "security_group_rule"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    group_id: Mapped[str] = mapped_column(String(32), index=True)
    protocol: Mapped[str] = mapped_column(String(8))  # tcp, udp, icmp, a number, or -1 for all
    from_port: Mapped[int] = mapped_column(default=-1)
    to_port: Mapped[int] = mapped_column(default=-1)
    cidr: Mapped[str] = mapped_column(String(18), default="")
    source_owner: Mapped[str] = mapped_column(String(12), default="")
    source_group_id: Mapped[str] = mapped_column(String(32), default="")
    source_group_name: Mapped[str] = mapped_column(String(255), default="")


class Fault(Base):
    """A fault that the administrator asked for; see ``localcloud/faults``."""

    __tablename__ = "fault"
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    kind: Mapped[str] = mapped_column(String(48))
    account_id: Mapped[str] = mapped_column(String(12), default="")  # '' everybody
    operation: Mapped[str] = mapped_column(String(64), default="")  # '' every one that it concerns
    resource: Mapped[str] = mapped_column(String(400), default="")  # an id or tag:KEY=VALUE; '' any
    zone: Mapped[str] = mapped_column(String(64), default="")  # '' any
    parameters: Mapped[dict[str, Any]] = mapped_column(default=dict)
    remaining: Mapped[int | None]  # times it still strikes; None until it is cleared
    struck: Mapped[int] = mapped_column(default=0)
    held: Mapped[dict[str, Any]] = mapped_column(default=dict)  # resources that it keeps in its grip, and since when
    created_at: Mapped[datetime]
    until: Mapped[datetime | None]


class Event(Base):
    """Something that happened, for people who watch the cloud. Old ones are dropped."""

    __tablename__ = "event"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    at: Mapped[datetime]
    kind: Mapped[str] = mapped_column(String(32))  # instance, volume, snapshot, image, fault, cloud
    resource_id: Mapped[str] = mapped_column(String(64), default="")
    owner: Mapped[str] = mapped_column(String(12), default="")
    text: Mapped[str] = mapped_column(Text)
    request_id: Mapped[str] = mapped_column(String(36), default="")
