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


class Instance(Base):
    """One instance. ``state`` is the wanted one as well: transitional states are work for the supervisor."""

    __tablename__ = "instance"
    __table_args__ = (Index("instance_token", "owner", "client_token"), Index("instance_state", "state"))
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
    state: Mapped[str] = mapped_column(String(16))
    created_at: Mapped[datetime]
    deleted_at: Mapped[datetime | None]


class Attachment(Base):
    """A volume at an instance; at most one a volume."""

    __tablename__ = "attachment"
    volume_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    instance_id: Mapped[str] = mapped_column(String(32), index=True)
    device: Mapped[str] = mapped_column(String(32))
    state: Mapped[str] = mapped_column(String(16))  # attaching, attached, detaching
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
