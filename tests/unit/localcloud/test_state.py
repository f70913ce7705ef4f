"""The state's schema: made by migrations, equal to the tables, refused when it is newer."""

from __future__ import annotations

import sqlite3

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from educloud_lab.localcloud.errors import SchemaTooNewError
from educloud_lab.localcloud.state.database import Database
from educloud_lab.localcloud.state.tables import Base, Meta


@pytest.fixture
async def database(tmp_path):
    database = Database(tmp_path / "cloud.sqlite")
    await database.open()
    yield database
    await database.close()


async def test_migrations_make_exactly_the_tables(database):
    engine = create_engine(f"sqlite:///{database.path}")
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": False})
        assert compare_metadata(context, Base.metadata) == []
    engine.dispose()


async def test_opening_again_changes_nothing_and_keeps_everything(database):
    await database.run(lambda session: session.add(Meta(key="a", value="1")))
    await database.close()
    again = Database(database.path)
    await again.open()
    assert await again.run(lambda session: session.get(Meta, "a").value) == "1"
    await again.close()


async def test_only_its_owner_may_read_it(database):
    assert database.path.stat().st_mode & 0o777 == 0o600


async def test_a_newer_schema_is_refused_with_the_cure_and_left_alone(database):
    await database.close()
    connection = sqlite3.connect(database.path)
    connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.commit()
    connection.close()
    newer = Database(database.path)
    with pytest.raises(SchemaTooNewError, match="newer version"):
        await newer.open()
    await newer.close()
    connection = sqlite3.connect(database.path)
    assert connection.execute("SELECT version_num FROM alembic_version").fetchone() == ("9999",)
    connection.close()


async def test_a_transaction_that_fails_leaves_nothing(database):
    def work(session):
        session.add(Meta(key="a", value="1"))
        session.flush()
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await database.run(work)
    assert await database.run(lambda session: session.get(Meta, "a")) is None
