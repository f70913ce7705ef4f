"""What only a database can get wrong: file modes, raw rows, revisions, keys."""

import sqlite3

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from cryptography.fernet import Fernet
from sqlalchemy import create_engine

from educloud_lab.adapters.sqlstore import SqlStore, load_or_make_keys
from educloud_lab.adapters.sqlstore.schema import HEAD, MIGRATIONS
from educloud_lab.adapters.sqlstore.tables import metadata
from educloud_lab.domain.errors import SchemaError, StoreError
from educloud_lab.ports.shell import KeyPairText

KEY = Fernet.generate_key()


@pytest.fixture
async def path(tmp_path):
    file = tmp_path / "store.sqlite"
    store = SqlStore(f"sqlite:///{file}", secret_keys=[KEY])
    await store.open()
    await store.transact(lambda tx: tx.put_secret("ca", KeyPairText("TOP-SECRET-KEY", "public")))
    await store.close()
    await store.close()
    return file


async def test_the_file_is_for_its_owner_only(path):
    assert path.stat().st_mode & 0o777 == 0o600


async def test_private_keys_are_not_in_the_raw_file(path):
    raw = b"".join(file.read_bytes() for file in path.parent.iterdir())
    assert b"TOP-SECRET-KEY" not in raw
    assert sqlite3.connect(path).execute("SELECT public FROM secrets").fetchone() == ("public",)


async def test_a_new_key_first_still_reads_what_the_old_one_wrote(path):
    store = SqlStore(f"sqlite:///{path}", secret_keys=[Fernet.generate_key(), KEY])
    await store.open()
    assert (await store.transact(lambda tx: tx.secret("ca"))).private == "TOP-SECRET-KEY"
    await store.close()


async def test_a_wrong_key_is_explained(path):
    store = SqlStore(f"sqlite:///{path}", secret_keys=[Fernet.generate_key()])
    await store.open()
    with pytest.raises(StoreError, match="another secret key"):
        await store.transact(lambda tx: tx.secret("ca"))
    await store.close()


def test_no_key_and_a_broken_key_are_refused(tmp_path):
    for keys in ([], [b"short"]):
        with pytest.raises(StoreError):
            SqlStore(f"sqlite:///{tmp_path / 'x'}", secret_keys=keys)


async def test_a_newer_schema_is_refused_with_the_cure(path):
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    store = SqlStore(f"sqlite:///{path}", secret_keys=[KEY])
    with pytest.raises(SchemaError, match="Install the newer"):
        await store.open()
    await store.close()


async def test_an_old_schema_is_not_upgraded_where_that_is_not_allowed(tmp_path):
    store = SqlStore(f"sqlite:///{tmp_path / 'x.sqlite'}", secret_keys=[KEY], upgrade=False)
    with pytest.raises(SchemaError, match="Back it up"):
        await store.open()
    await store.close()


async def test_a_file_that_is_no_database_is_explained(tmp_path):
    file = tmp_path / "store.sqlite"
    file.write_text("this is not a database, and long enough to be looked at as one" * 20)
    store = SqlStore(f"sqlite:///{file}", secret_keys=[KEY])
    with pytest.raises(StoreError, match="cannot be opened"):
        await store.open()
    await store.close()


def test_the_named_head_is_the_newest_script():
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    assert ScriptDirectory.from_config(config).get_current_head() == HEAD


async def test_the_migrations_make_exactly_the_tables(path):
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


def test_keys_are_made_once_and_for_their_owner_only(tmp_path):
    file = tmp_path / "secret.key"
    keys = load_or_make_keys(file)
    assert load_or_make_keys(file) == keys
    assert file.stat().st_mode & 0o777 == 0o600
    file.chmod(0o644)
    with pytest.raises(StoreError, match="chmod 600"):
        load_or_make_keys(file)
