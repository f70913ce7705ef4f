"""Limits on time, snapshots, bin and quarantine, orphans, the audit log, and the queue for room in the cloud."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_SQLITE = """
CREATE TRIGGER audits_no_{word} BEFORE {action} ON audits
BEGIN SELECT RAISE(ABORT, 'the audit log is only appended to'); END
"""
_POSTGRESQL = (
    """
    CREATE FUNCTION audits_only_appended() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'the audit log is only appended to'; END $$
    """,
    """
    CREATE TRIGGER audits_only_appended BEFORE UPDATE OR DELETE OR TRUNCATE ON audits
    EXECUTE FUNCTION audits_only_appended()
    """,
)


def upgrade() -> None:
    """Bring the schema forward."""
    op.add_column("leases", sa.Column("first_connected_at", sa.DateTime(timezone=True)))
    op.add_column("leases", sa.Column("active_at", sa.DateTime(timezone=True)))
    op.add_column("leases", sa.Column("active_by", sa.String(length=32), nullable=False, server_default=""))
    op.add_column("leases", sa.Column("busy_until", sa.DateTime(timezone=True)))
    op.add_column("leases", sa.Column("told", sa.String(length=64), nullable=False, server_default=""))
    op.add_column("leases", sa.Column("guard_until", sa.DateTime(timezone=True)))
    op.add_column("leases", sa.Column("exempt_since", sa.DateTime(timezone=True)))
    op.add_column("leases", sa.Column("exempt_until", sa.DateTime(timezone=True)))
    op.add_column("leases", sa.Column("exempt_reason", sa.Text(), nullable=False, server_default=""))
    op.add_column("leases", sa.Column("exempt_by", sa.String(length=255), nullable=False, server_default=""))
    op.add_column("leases", sa.Column("finding", sa.Text()))
    op.add_column("volumes", sa.Column("from_snapshot", sa.String(length=32)))
    op.add_column("volumes", sa.Column("last_written_at", sa.DateTime(timezone=True)))
    op.add_column("volumes", sa.Column("mount_count", sa.Integer()))
    op.add_column("volumes", sa.Column("growing_to_bytes", sa.BigInteger()))
    op.add_column("volumes", sa.Column("proof", sa.String(length=32), nullable=False, server_default=""))
    op.add_column("volumes", sa.Column("proved_at", sa.DateTime(timezone=True)))
    op.add_column("jobs", sa.Column("asked_by", sa.String(length=255), nullable=False, server_default=""))
    op.add_column("jobs", sa.Column("arguments", sa.Text(), nullable=False, server_default="{}"))
    op.add_column("jobs", sa.Column("queue", sa.String(length=160), nullable=False, server_default=""))
    op.add_column("jobs", sa.Column("queued_at", sa.DateTime(timezone=True)))
    op.create_table(
        "snapshots",
        sa.Column("id", sa.String(length=32), primary_key=True),
        sa.Column("lease_id", sa.String(length=32), sa.ForeignKey("leases.id"), nullable=False),
        sa.Column("course", sa.String(length=64), nullable=False),
        sa.Column("lab", sa.String(length=64), nullable=False),
        sa.Column("person", sa.String(length=255), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("volume_cloud_id", sa.String(length=64), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.String(length=255), nullable=False),
        sa.Column("cloud_id", sa.String(length=64)),
        sa.Column("nonce", sa.Integer(), nullable=False),
        sa.Column("create_sent", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("consistency", sa.String(length=32), nullable=False),
        sa.Column("progress_percent", sa.Integer(), nullable=False),
        sa.Column("completed_at", sa.DateTime(timezone=True)),
        sa.Column("file_system_uuid", sa.String(length=36)),
        sa.Column("formatted_at", sa.DateTime(timezone=True)),
        sa.Column("published", sa.Boolean(), nullable=False),
    )
    op.create_index("ix_snapshots_lease_id", "snapshots", ["lease_id"], unique=False)
    op.create_table(
        "shelf",
        sa.Column("id", sa.String(length=32), primary_key=True),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("cloud_id", sa.String(length=64), nullable=False),
        sa.Column("course", sa.String(length=64), nullable=False),
        sa.Column("lab", sa.String(length=64), nullable=False),
        sa.Column("lease_id", sa.String(length=32), sa.ForeignKey("leases.id")),
        sa.Column("person", sa.String(length=255), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("zone", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True)),
        sa.Column("shelved_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("delete_after", sa.DateTime(timezone=True)),
        sa.Column("reason", sa.String(length=32), nullable=False),
        sa.Column("file_system_uuid", sa.String(length=36)),
        sa.Column("formatted_at", sa.DateTime(timezone=True)),
        sa.Column("last_mounted_at", sa.DateTime(timezone=True)),
        sa.Column("last_written_at", sa.DateTime(timezone=True)),
        sa.Column("mount_count", sa.Integer()),
        sa.Column("from_snapshot", sa.String(length=32)),
        sa.Column("ended_at", sa.DateTime(timezone=True)),
        sa.Column("end", sa.String(length=32), nullable=False),
    )
    op.create_index("ix_shelf_cloud_id", "shelf", ["cloud_id"], unique=False)
    op.create_index("ix_shelf_lease_id", "shelf", ["lease_id"], unique=False)
    op.create_table(
        "orphans",
        sa.Column("cloud_id", sa.String(length=64), primary_key=True),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("first_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("person", sa.String(length=255), nullable=False),
        sa.Column("lab", sa.String(length=255), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("acted_at", sa.DateTime(timezone=True)),
    )
    op.create_table(
        "audits",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("who", sa.String(length=255), nullable=False),
        sa.Column("what", sa.String(length=64), nullable=False),
        sa.Column("course", sa.String(length=64), nullable=False),
        sa.Column("lease_id", sa.String(length=32)),
        sa.Column("whose", sa.String(length=255), nullable=False),
        sa.Column("subject", sa.String(length=64), nullable=False),
        sa.Column("result", sa.String(length=64), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("audits_of_course", "audits", ["course", "id"], unique=False)
    op.create_index("audits_of_lease", "audits", ["lease_id", "id"], unique=False)
    op.create_table(
        "buckets",
        sa.Column("name", sa.String(length=200), primary_key=True),
        sa.Column("tokens", sa.Float(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
    )
    if op.get_bind().dialect.name == "postgresql":
        for statement in _POSTGRESQL:
            op.execute(statement)
    else:
        for action in ("UPDATE", "DELETE"):
            op.execute(_SQLITE.format(word=action.lower(), action=action))
