"""The state's schema: made by migrations, equal to the tables, refused when it is newer."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from datetime import UTC, datetime

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, select

from educloud_lab.localcloud import events
from educloud_lab.localcloud.errors import SchemaTooNewError
from educloud_lab.localcloud.state.database import Database
from educloud_lab.localcloud.state.tables import Base, Meta, Volume
from educloud_lab.localcloud.state.upgrade import CURRENT, MIGRATIONS
from educloud_lab.localcloud.tracing import on_behalf_of

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


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


def test_the_newest_migration_is_the_one_that_needs_none():
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    assert ScriptDirectory.from_config(config).get_current_head() == CURRENT


async def test_transactions_that_are_committed_together_do_not_share_an_error(database):
    """What is asked for at once becomes one commit; one that fails leaves nothing of its own and harms no other."""
    begun, go_on = threading.Event(), threading.Event()

    def hold(_session):
        begun.set()
        assert go_on.wait(60)

    def add(session, number):
        session.add(Meta(key=str(number), value="x"))
        session.flush()
        if number % 3 == 0:
            raise ValueError(str(number))
        return number

    holding = asyncio.create_task(database.run(hold))
    await asyncio.to_thread(begun.wait, 60)
    asked = [asyncio.create_task(database.run(lambda session, n=n: add(session, n))) for n in range(9)]
    await asyncio.sleep(0)  # each has asked by its first turn
    assert database.waiting == 9
    before = database.changes
    go_on.set()
    await holding
    results = await asyncio.gather(*asked, return_exceptions=True)
    good = [n for n in range(9) if n % 3]
    assert [r for r in results if isinstance(r, int)] == good
    assert [str(r) for r in results if isinstance(r, ValueError)] == ["0", "3", "6"]
    assert sorted(await database.run(lambda s: [row.key for row in s.scalars(select(Meta))])) == [str(n) for n in good]
    assert database.changes > before


async def test_a_full_disk_fails_all_that_were_to_be_committed_together(database, monkeypatch):
    """SQLite ends the whole transaction then: nobody may be told that theirs was kept."""
    begun, go_on = threading.Event(), threading.Event()

    def hold(_session):
        begun.set()
        assert go_on.wait(60)

    def end_the_transaction(session):
        session.connection().connection.driver_connection.execute("ROLLBACK")
        raise OSError("disk full")

    holding = asyncio.create_task(database.run(hold))
    await asyncio.to_thread(begun.wait, 60)
    first = asyncio.create_task(database.run(lambda session: session.add(Meta(key="a", value="1"))))
    second = asyncio.create_task(database.run(end_the_transaction))
    await asyncio.sleep(0)
    assert database.waiting == 2
    go_on.set()
    await holding
    results = await asyncio.gather(first, second, return_exceptions=True)
    assert all(isinstance(result, Exception) for result in results)
    assert await database.run(lambda session: session.get(Meta, "a")) is None


async def test_what_is_committed_is_never_answered_as_failed(database, caplog):
    """A fault that shows older states keeps copies of them, for which there may be no memory."""

    def no_memory(_raw):
        raise MemoryError

    database.after_commit = no_memory
    await database.run(lambda session: session.add(Meta(key="a", value="1")))
    database.after_commit = None
    assert await database.run(lambda session: session.get(Meta, "a").value) == "1"
    assert "is not kept" in caplog.text


async def test_a_row_remembers_the_request_that_changed_it_last(database):
    def make(session):
        session.add(Volume(id="vol-1", owner="1", zone="one", size_gib=1, state="creating", created_at=NOW))
        events.record(session, NOW, "volume", "vol-1", "is made")

    with on_behalf_of("r-1"):
        await database.run(make)
    await database.run(lambda session: setattr(session.get(Volume, "vol-1"), "state", "available"))
    assert (await database.run(lambda session: session.get(Volume, "vol-1"))).request_id == "r-1"
    with on_behalf_of("r-2"):
        await database.run(lambda session: setattr(session.get(Volume, "vol-1"), "state", "deleting"))
    assert (await database.run(lambda session: session.get(Volume, "vol-1"))).request_id == "r-2"
    assert [event.request_id for event in await database.run(lambda s: events.latest(s, 10))] == ["r-1"]


async def test_old_events_go(database):
    def record(session):
        for number in range(150):
            events.record(session, NOW, "cloud", "cloud", f"event {number}")

    for _ in range(20):
        await database.run(record)
    kept = await database.run(lambda session: events.latest(session, 10_000))
    assert events.KEPT <= len(kept) < events.KEPT + 400
    assert await database.run(events.total) == 3000
    assert kept[-1].id == 3000
