"""The store on SQLite and PostgreSQL (SQLAlchemy, alembic)."""

from educloud_lab.adapters.sqlstore.keys import load_or_make_keys
from educloud_lab.adapters.sqlstore.store import SqlStore

__all__ = ["SqlStore", "load_or_make_keys"]
