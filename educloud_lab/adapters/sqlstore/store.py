"""The store in a database: SQLite for one computer, PostgreSQL for a class."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, select, text, update
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError, SQLAlchemyError
from sqlalchemy.pool import QueuePool

from educloud_lab.adapters.sqlstore import tables as t
from educloud_lab.adapters.sqlstore.keys import Sealer
from educloud_lab.adapters.sqlstore.schema import check
from educloud_lab.adapters.sqlstore.transaction import SqlTransaction
from educloud_lab.domain.errors import ConflictError, StoreError
from educloud_lab.ports.store import Transaction

T = TypeVar("T")

_TRIES = 5
_REPEATABLE = frozenset({"40001", "40P01"})  # PostgreSQL: serialisation failure, deadlock
_UPGRADE_LOCK = 0x65647563  # advisory lock, so that two brokers do not upgrade at once


class SqlStore:
    """Rows in a database.

    Parameters
    ----------
    url
        SQLAlchemy's; ``sqlite:////absolute/path`` or ``postgresql+psycopg://...``. SQLite files get mode 0600.
    secret_keys
        Fernet keys for private keys inside the store; the first encrypts, all decrypt.
    upgrade
        Whether :meth:`open` may bring an older schema up to date.
    """

    def __init__(self, url: str, *, secret_keys: Sequence[bytes], upgrade: bool = True) -> None:
        self._url = make_url(url)
        self._sealer = Sealer(secret_keys)
        self._upgrade = upgrade
        self._engine: Engine | None = None
        self._is_sqlite = self._url.get_backend_name() == "sqlite"
        # SQLite has one writer at a time: more threads would only wait for each other.
        self._executor = ThreadPoolExecutor(max_workers=1 if self._is_sqlite else 8, thread_name_prefix="store")
        self._reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store-version")

    async def open(self) -> None:
        """Open the database and bring its schema up to date. Repeatable.

        Raises
        ------
        SchemaError
            Another revision; says the cure.
        StoreError
            The database cannot be opened.
        """
        await asyncio.get_running_loop().run_in_executor(self._executor, self._open)

    async def close(self) -> None:
        """Let go of it. Repeatable."""
        engine, self._engine = self._engine, None  # from here on nothing new begins
        # Connections in use would outlive the pool, so what has begun is let to its end first.
        await asyncio.to_thread(self._executor.shutdown)
        await asyncio.to_thread(self._reader.shutdown)
        if engine is not None:
            await asyncio.to_thread(engine.dispose)

    async def transact(self, function: Callable[[Transaction], T]) -> T:
        """Run a function as one transaction in a worker thread."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, self._transact, function)

    async def version(self) -> int:
        """Return the change counter; never waits for a writer."""
        return await asyncio.get_running_loop().run_in_executor(self._reader, self._version)

    async def set_clock_offset_for_tests(self, offset_s: float) -> None:
        """Move the time of every process on this database."""

        def move() -> None:
            with self._engine_now().begin() as connection:
                connection.execute(update(t.counter).values(clock_offset_s=offset_s))

        await asyncio.get_running_loop().run_in_executor(self._executor, move)

    def _open(self) -> None:
        if self._engine is not None:
            return
        where = self._url.render_as_string(hide_password=True)
        try:
            engine = self._make_engine()
            with engine.begin() as connection:
                if not self._is_sqlite:
                    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _UPGRADE_LOCK})
                check(connection, upgrade=self._upgrade, where=where)
        except (SQLAlchemyError, OSError) as error:
            raise StoreError(
                f"The store ({where}) cannot be opened ({type(error).__name__}).",
                kept="Nothing was changed in it.",
                next_step="Look whether the file is readable and the disk not full, or the database server runs.",
            ) from error
        self._engine = engine

    def _make_engine(self) -> Engine:
        if not self._is_sqlite:
            return create_engine(self._url, pool_size=8, pool_pre_ping=True)
        path = Path(self._url.database or "")
        # Made here, so that nobody else can read it for a moment; its WAL takes over the mode.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        engine = create_engine(
            self._url, poolclass=QueuePool, connect_args={"check_same_thread": False, "timeout": 15.0}
        )
        event.listen(engine, "connect", _on_connect)
        event.listen(engine, "begin", _on_begin)
        return engine

    def _engine_now(self) -> Engine:
        if self._engine is None:
            raise StoreError("The store is not open.")
        return self._engine

    def _transact(self, function: Callable[[Transaction], T]) -> T:
        for tries in range(1, _TRIES + 1):
            try:
                with self._engine_now().begin() as connection:
                    transaction = SqlTransaction(connection, self._sealer)
                    result = function(transaction)
                    if transaction.changed:
                        # Last, so that versions appear in the order in which transactions commit.
                        connection.execute(update(t.counter).values(version=t.counter.c.version + 1))
                    return result
            except ConflictError as error:
                # On PostgreSQL two transactions may both find nothing and both insert; looked at again, the second
                # finds what the first one made. A conflict that stays is raised after the last try.
                if tries < _TRIES and isinstance(error.__cause__, IntegrityError):
                    continue
                raise
            except SQLAlchemyError as error:
                if tries < _TRIES and _may_be_repeated(error):
                    continue
                raise StoreError(
                    f"The store could not be read or written ({type(error).__name__}).",
                    kept="What was to be recorded was not, as a whole.",
                    next_step="It is tried again; look whether the disk is full.",
                ) from error
        raise AssertionError  # the loop returns or raises

    def _version(self) -> int:
        try:
            with self._engine_now().connect() as connection:
                if self._is_sqlite:
                    connection = connection.execution_options(educloud_read_only=True)
                version: int = connection.execute(select(t.counter.c.version)).scalar_one()
                return version
        except SQLAlchemyError as error:
            raise StoreError(f"The store could not be read ({type(error).__name__}).") from error


def _may_be_repeated(error: SQLAlchemyError) -> bool:
    if isinstance(error, OperationalError) and "locked" in str(error.orig):
        return True
    return isinstance(error, DBAPIError) and getattr(error.orig, "sqlstate", None) in _REPEATABLE


def _on_connect(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")  # survives the process's death; after a power cut the cloud is asked
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _on_begin(connection: Connection) -> None:
    read_only = connection.get_execution_options().get("educloud_read_only")
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")
