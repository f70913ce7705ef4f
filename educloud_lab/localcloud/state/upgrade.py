"""Bringing the state's schema up to date, with a copy of it as it was before."""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import time
from pathlib import Path

from sqlalchemy import Connection, Engine

from educloud_lab.localcloud.errors import SchemaTooNewError

log = logging.getLogger("educloud.cloud.state")

COPY_KEPT_S = 30 * 86400.0
"""How long the copy that is made before a migration is kept."""

MIGRATIONS = Path(__file__).with_name("migrations")

CURRENT = "0002"
"""The newest of the migrations: a state that says so needs none, and then alembic (0.2 s, 10 MB) is not loaded."""


def upgrade(engine: Engine, path: Path) -> None:
    """Bring the schema to this version's in one transaction; refuse one that this version does not know."""
    with engine.connect() as connection:
        current = _schema(connection)
    if current == CURRENT:
        _drop_old_copies(path)
        return
    # Imported here because a cloud that is up to date, as nearly always, starts without it.
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    script = ScriptDirectory.from_config(config)
    known = {revision.revision for revision in script.walk_revisions()}
    if current is not None and current not in known:
        raise SchemaTooNewError(
            f"The local cloud's state ({path}) was written by a newer version (schema {current}, this one knows"
            f" {script.get_current_head()}). Nothing was changed. Install the newer version again, or keep a copy of"
            " the file and run `educloud cloud reset` to begin afresh."
        )
    if current is not None:
        _keep_copy(path, current)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _schema(connection: Connection) -> str | None:
    """Return the revision that the state is at; None for one that is empty."""
    found = connection.exec_driver_sql("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").scalar()
    return connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar() if found else None


def known_schemas() -> frozenset[str]:
    """Return the schemas that this version can read, itself or by migrating."""
    from alembic.script import ScriptDirectory  # heavy: only who restores a backup asks

    return frozenset(revision.revision for revision in ScriptDirectory(str(MIGRATIONS)).walk_revisions())


def copy_of(path: Path, schema: str) -> Path:
    """Return where the state is kept as it was before its schema was brought up to date."""
    return path.with_name(f"{path.stem}.schema-{schema}{path.suffix}")


def copy_database(path: Path, target: Path) -> None:
    """Copy a state that may be in use, consistently, onto the disk."""
    with contextlib.closing(sqlite3.connect(path)) as source, contextlib.closing(sqlite3.connect(target)) as copy:
        source.backup(copy)
    with target.open("rb") as stream:
        os.fsync(stream.fileno())


def _keep_copy(path: Path, schema: str) -> None:
    """Copy the state before it is changed, whole or not at all: the way back to an earlier version."""
    target = copy_of(path, schema)
    temporary = target.with_suffix(".new")
    temporary.unlink(missing_ok=True)
    temporary.touch(mode=0o600)
    try:
        copy_database(path, temporary)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    temporary.replace(target)
    log.info("The state is brought from schema %s up to date; a copy as it was is in %s", schema, target)


def _drop_old_copies(path: Path) -> None:
    """Remove copies that are so old that nobody goes back to them."""
    for copy in path.parent.glob(f"{path.stem}.schema-*{path.suffix}"):
        with contextlib.suppress(OSError):
            if time.time() - copy.stat().st_mtime > COPY_KEPT_S:
                copy.unlink()
