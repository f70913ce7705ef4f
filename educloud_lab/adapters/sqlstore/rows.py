"""Records to rows and back, by the names that they share."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, TypeVar

from sqlalchemy import Connection, Row, Table
from sqlalchemy.dialects import postgresql, sqlite

R = TypeVar("R")


def to_row(record: Any) -> dict[str, Any]:
    """Return a record's fields by name."""
    return {field.name: getattr(record, field.name) for field in fields(record)}


def from_row(cls: type[R], row: Row[Any]) -> R:
    """Return the record of a row."""
    return cls(**row._mapping)


def upsert(connection: Connection, table: Table, record: Any) -> None:
    """Insert a record or replace the one with the same primary key."""
    upsert_row(connection, table, to_row(record))


def upsert_row(connection: Connection, table: Table, row: dict[str, Any]) -> None:
    """Insert a row or replace the one with the same primary key."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    keys = [column.name for column in table.primary_key]
    statement = dialect.insert(table).values(row)
    rest = {name: statement.excluded[name] for name in row if name not in keys}
    connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=rest))


def insert_missing(connection: Connection, table: Table, row: dict[str, Any]) -> None:
    """Insert a row unless there is one with the same primary key, whoever put it there."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    connection.execute(dialect.insert(table).values(row).on_conflict_do_nothing())
