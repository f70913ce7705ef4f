"""One SQLite database, spoken to from one worker thread: each transaction is a plain function."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DatabaseError
from sqlalchemy.orm import Session
from sqlalchemy.pool import StaticPool

from educloud_lab.localcloud.errors import LocalCloudError, SchemaTooNewError

T = TypeVar("T")

MIGRATIONS = Path(__file__).with_name("migrations")


class Database:
    """The cloud's state. Transactions are serialised; each is ``BEGIN IMMEDIATE`` and commits or leaves nothing."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="cloud-state")
        self._engine: Engine | None = None

    async def open(self) -> None:
        """Open the file, bringing its schema up to date.

        Raises
        ------
        SchemaTooNewError
            A newer version wrote it; nothing was changed.
        LocalCloudError
            The file is damaged or the disk is full.
        """
        await asyncio.get_running_loop().run_in_executor(self._executor, self._open)

    async def close(self) -> None:
        """Finish what runs and let go of the file. Repeatable."""
        with contextlib.suppress(RuntimeError):  # the executor was shut down before
            await asyncio.get_running_loop().run_in_executor(self._executor, self._dispose)
        self._executor.shutdown()

    async def run(self, work: Callable[[Session], T]) -> T:
        """Run one transaction in the worker thread and return its result."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, self._transact, work)

    def _transact(self, work: Callable[[Session], T]) -> T:
        if self._engine is None:
            raise RuntimeError("the state is not open")
        with Session(self._engine, expire_on_commit=False) as session, session.begin():
            return work(session)

    def _open(self) -> None:
        # User data of machines is in it: for its owner only, whatever the umask says.
        self.path.touch(mode=0o600)
        engine = create_engine(
            f"sqlite:///{self.path}", poolclass=StaticPool, connect_args={"check_same_thread": False, "timeout": 10}
        )
        event.listen(engine, "connect", _on_connect)
        event.listen(engine, "begin", _on_begin)
        try:
            upgrade(engine, self.path)
        except DatabaseError as error:
            engine.dispose()
            raise LocalCloudError(
                f"The local cloud's state ({self.path}) cannot be read: {error.orig}. It was left as it is. If the disk"
                " is full, free some space; otherwise keep a copy and run `educloud cloud reset` to begin afresh."
            ) from error
        except BaseException:
            engine.dispose()
            raise
        self._engine = engine

    def _dispose(self) -> None:
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None


def upgrade(engine: Engine, path: Path) -> None:
    """Bring the schema to this version's; refuse one that this version does not know."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    script = ScriptDirectory.from_config(config)
    known = {revision.revision for revision in script.walk_revisions()}
    with engine.connect() as connection:
        current = MigrationContext.configure(connection).get_current_revision()
    if current is not None and current not in known:
        raise SchemaTooNewError(
            f"The local cloud's state ({path}) was written by a newer version (schema {current}, this one knows"
            f" {script.get_current_head()}). Nothing was changed. Install the newer version again, or keep a copy of"
            " the file and run `educloud cloud reset` to begin afresh."
        )
    if current == script.get_current_head():
        return
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _on_connect(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")  # survives death of the process; WAL keeps the file whole
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _on_begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")
