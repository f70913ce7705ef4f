"""The tables. Columns are named as the records' fields, so that one function reads and writes all of them."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Float, ForeignKey, Index, Integer, MetaData, String, Table, Text

from educloud_lab.adapters.sqlstore.types import FindingJson, ProblemJson, ProfileJson, Texts, UtcTime, Word, Words
from educloud_lab.domain.job import (
    Consistency,
    HostKeyStage,
    JobKind,
    OrphanState,
    Outcome,
    ShelfKind,
    SnapshotState,
    StepState,
    VolumeStage,
)
from educloud_lab.domain.lease import Status, Target
from educloud_lab.ports.calls import CallOutcome

metadata = MetaData()

meta = Table("meta", metadata, Column("name", String(64), primary_key=True), Column("value", Text, nullable=False))

counter = Table(
    "counter",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("clock_offset_s", Float, nullable=False),
)
"""One row: the change counter, and the offset that only tests set."""

leases = Table(
    "leases",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("course", String(64), nullable=False),
    Column("lab", String(64), nullable=False),
    Column("person", String(255), nullable=False),
    Column("slot", String(64), nullable=False),
    Column("profile", ProfileJson, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("updated_at", UtcTime, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("target", Word(Target), nullable=False),
    Column("status", Word(Status), nullable=False),
    Column("reason", String(32), nullable=False),
    Column("problem", ProblemJson),
    Column("instance_id", String(64)),
    Column("instance_state", String(32), nullable=False),
    Column("address", String(64)),
    Column("zone", String(64), nullable=False),
    Column("image_id", String(64), nullable=False),
    Column("root_device_type", String(32), nullable=False),
    Column("launched_at", UtcTime),
    Column("client_token", String(64), nullable=False),
    Column("token_at", UtcTime),
    Column("token_sent", Boolean, nullable=False),
    Column("bootstrap_key", Text, nullable=False),
    Column("host_key", Text, nullable=False),
    Column("host_key_stage", Word(HostKeyStage), nullable=False),
    Column("started_at", UtcTime),
    Column("expires_at", UtcTime),
    Column("first_connected_at", UtcTime),
    Column("active_at", UtcTime),
    Column("active_by", String(32), nullable=False, server_default=""),
    Column("busy_until", UtcTime),
    Column("told", String(64), nullable=False, server_default=""),
    Column("guard_until", UtcTime),
    Column("exempt_since", UtcTime),
    Column("exempt_until", UtcTime),
    Column("exempt_reason", Text, nullable=False, server_default=""),
    Column("exempt_by", String(255), nullable=False, server_default=""),
    Column("finding", FindingJson),
    Index("one_lease_per_key", "course", "lab", "person", "slot", unique=True),
)

volumes = Table(
    "volumes",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("lease_id", String(32), ForeignKey("leases.id"), nullable=False, unique=True),
    Column("size_bytes", BigInteger, nullable=False),
    Column("mount_point", Text, nullable=False),
    Column("device", String(32), nullable=False),
    Column("cloud_id", String(64)),
    Column("zone", String(64), nullable=False),
    Column("stage", Word(VolumeStage), nullable=False),
    Column("nonce", Integer, nullable=False),
    Column("create_sent", Boolean, nullable=False),
    Column("file_system_uuid", String(36)),
    Column("formatted_at", UtcTime),
    Column("last_mounted_at", UtcTime),
    Column("may_be_mounted", Boolean, nullable=False),
    Column("from_snapshot", String(32)),
    Column("last_written_at", UtcTime),
    Column("mount_count", Integer),
    Column("growing_to_bytes", BigInteger),
    Column("proof", String(32), nullable=False, server_default=""),
    Column("proved_at", UtcTime),
    Column("quarantined", Words, nullable=False),
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("lease_id", String(32), ForeignKey("leases.id"), nullable=False),
    Column("volume_id", String(32), ForeignKey("volumes.id")),
    Column("kind", Word(JobKind), nullable=False),
    Column("scope", Text, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("next_attempt_at", UtcTime, nullable=False),
    Column("ended_at", UtcTime),
    Column("outcome", Word(Outcome)),
    Column("attempts", Integer, nullable=False),
    Column("strikes", Integer, nullable=False),
    Column("waiting_for", Text, nullable=False),
    Column("holder", String(128)),
    Column("epoch", Integer, nullable=False),
    Column("claimed_until", UtcTime),
    Column("asked_by", String(255), nullable=False, server_default=""),
    Column("arguments", Texts, nullable=False, server_default="{}"),
    Column("queue", String(160), nullable=False, server_default=""),
    Column("queued_at", UtcTime),
    Index("jobs_of_lease", "lease_id", "created_at"),
)
for _name, _column in (("one_job_per_lease", jobs.c.lease_id), ("one_job_per_volume", jobs.c.volume_id)):
    Index(
        _name, _column, unique=True, sqlite_where=jobs.c.ended_at.is_(None), postgresql_where=jobs.c.ended_at.is_(None)
    )

job_steps = Table(
    "job_steps",
    metadata,
    Column("job_id", String(32), ForeignKey("jobs.id"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("name", String(32), nullable=False),
    Column("state", Word(StepState), nullable=False),
    Column("waiting_for", Text, nullable=False),
    Column("started_at", UtcTime),
    Column("ended_at", UtcTime),
)

permits = Table(
    "permits",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("lease_id", String(32), ForeignKey("leases.id"), nullable=False),
    Column("volume_id", String(64), nullable=False, index=True),
    Column("serial", String(32), nullable=False),
    Column("generation", Integer, nullable=False),
    Column("file_system_uuid", String(36), nullable=False),
    Column("granted_at", UtcTime, nullable=False),
    Column("spent_at", UtcTime),
)

secrets = Table(
    "secrets",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("public", Text, nullable=False),
    Column("private", Text, nullable=False, comment="encrypted"),
)

durations = Table(
    "durations",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("scope", Text, nullable=False),
    Column("step", String(32), nullable=False),
    Column("seconds", Float, nullable=False),
    Index("durations_of_scope", "scope", "step", "id"),
)

snapshots = Table(
    "snapshots",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("lease_id", String(32), ForeignKey("leases.id"), nullable=False, index=True),
    Column("course", String(64), nullable=False),
    Column("lab", String(64), nullable=False),
    Column("person", String(255), nullable=False),
    Column("name", String(255), nullable=False),
    Column("volume_cloud_id", String(64), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("created_by", String(255), nullable=False),
    Column("cloud_id", String(64)),
    Column("nonce", Integer, nullable=False),
    Column("create_sent", Boolean, nullable=False),
    Column("state", Word(SnapshotState), nullable=False),
    Column("consistency", Word(Consistency), nullable=False),
    Column("progress_percent", Integer, nullable=False),
    Column("completed_at", UtcTime),
    Column("file_system_uuid", String(36)),
    Column("formatted_at", UtcTime),
    Column("published", Boolean, nullable=False),
)

shelf = Table(
    "shelf",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("kind", Word(ShelfKind), nullable=False),
    Column("cloud_id", String(64), nullable=False, index=True),
    Column("course", String(64), nullable=False),
    Column("lab", String(64), nullable=False),
    Column("lease_id", String(32), ForeignKey("leases.id"), index=True),
    Column("person", String(255), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("zone", String(64), nullable=False),
    Column("created_at", UtcTime),
    Column("shelved_at", UtcTime, nullable=False),
    Column("delete_after", UtcTime),
    Column("reason", String(32), nullable=False),
    Column("file_system_uuid", String(36)),
    Column("formatted_at", UtcTime),
    Column("last_mounted_at", UtcTime),
    Column("last_written_at", UtcTime),
    Column("mount_count", Integer),
    Column("from_snapshot", String(32)),
    Column("ended_at", UtcTime),
    Column("end", String(32), nullable=False),
)

orphans = Table(
    "orphans",
    metadata,
    Column("cloud_id", String(64), primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("first_seen_at", UtcTime, nullable=False),
    Column("last_seen_at", UtcTime, nullable=False),
    Column("state", Word(OrphanState), nullable=False),
    Column("reason", Text, nullable=False),
    Column("person", String(255), nullable=False),
    Column("lab", String(255), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("acted_at", UtcTime),
)

audits = Table(
    "audits",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("at", UtcTime, nullable=False),
    Column("who", String(255), nullable=False),
    Column("what", String(64), nullable=False),
    Column("course", String(64), nullable=False),
    Column("lease_id", String(32)),
    Column("whose", String(255), nullable=False),
    Column("subject", String(64), nullable=False),
    Column("result", String(64), nullable=False),
    Column("detail", Text, nullable=False),
    Index("audits_of_lease", "lease_id", "id"),
    Index("audits_of_course", "course", "id"),
    sqlite_autoincrement=True,
)
"""Appended to only: triggers of the migration refuse changes and deletes."""

buckets = Table(
    "buckets",
    metadata,
    Column("name", String(200), primary_key=True),
    Column("tokens", Float, nullable=False),
    Column("at", UtcTime, nullable=False),
)
"""How many calls may be made now, counted for all brokers on this store together."""

calls = Table(
    "calls",
    metadata,
    Column("job_id", String(32), ForeignKey("jobs.id"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("lease_id", String(32), ForeignKey("leases.id"), nullable=False, index=True),
    Column("at", UtcTime, nullable=False),
    Column("last_at", UtcTime, nullable=False),
    Column("times", Integer, nullable=False),
    Column("left_out", Integer, nullable=False),
    Column("step", String(32), nullable=False),
    Column("operation", String(64), nullable=False),
    Column("parameters", Texts, nullable=False),
    Column("duration_ms", Integer, nullable=False),
    Column("outcome", Word(CallOutcome), nullable=False),
    Column("answer", Texts, nullable=False),
    Column("error_code", String(160), nullable=False),
    Column("error", Text, nullable=False),
    Column("request_id", String(64), nullable=False),
)
"""Calls that jobs made to the cloud, of the latest jobs only."""
