"""The schema's revision: compared at start, brought up to date, or refused with the cure."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sqlalchemy import Connection, inspect, text

from educloud_lab.domain.errors import SchemaError

MIGRATIONS: Final = Path(__file__).with_name("migrations")
HEAD: Final = "0003"
"""The newest revision; a test compares it with the scripts. Named here so that a start needs no import of alembic."""


def revision_of(connection: Connection) -> str | None:
    """Return the database's revision, None for an empty one."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return revision


def check(connection: Connection, *, upgrade: bool, where: str) -> None:
    """Bring the schema to :data:`HEAD`, or refuse.

    Raises
    ------
    SchemaError
        It is newer than this program, or older and ``upgrade`` is false.
    """
    revision = revision_of(connection)
    if revision == HEAD:
        return
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if revision is not None and revision not in known:
        raise SchemaError(
            f"The store ({where}) was written by a newer version (schema {revision}, this one knows {HEAD}).",
            kept="Nothing was changed in it.",
            next_step="Install the newer educloud-lab again.",
        )
    if not upgrade:
        raise SchemaError(
            f"The store ({where}) has schema {revision or 'none'}, this version needs {HEAD}.",
            kept="Nothing was changed in it.",
            next_step="Back it up, then start one broker with upgrading allowed.",
        )
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
