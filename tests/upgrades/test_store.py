"""Stores written by former versions open and keep everything. One dump a schema revision; never edit an old one."""

import sqlite3
from pathlib import Path

import pytest

from educloud_lab.adapters.sqlstore import SqlStore
from educloud_lab.adapters.sqlstore.schema import HEAD
from educloud_lab.domain.lease import Status, Target

KEY = b"3Wk1rC0n5mJ0bq8bq3m2s9c5y7b1V6c0Zt4vQx8yH2E="
DUMPS = sorted(Path(__file__).parent.glob("store-*.sql"))


def _snapshots(tx):
    return tx.snapshots()


def _shelf(tx):
    return tx.shelf()


def _orphans(tx):
    return tx.orphans()


def test_there_is_a_dump_of_the_present_schema():
    assert f"store-{HEAD}.sql" in [dump.name for dump in DUMPS]


@pytest.mark.parametrize("dump", DUMPS, ids=[dump.stem for dump in DUMPS])
async def test_it_opens_and_keeps_everything(dump, tmp_path):
    path = tmp_path / "store.sqlite"
    connection = sqlite3.connect(path)
    connection.executescript(dump.read_text())
    connection.close()
    store = SqlStore(f"sqlite:///{path}", secret_keys=[KEY])
    await store.open()
    (lease,) = await store.transact(lambda tx: tx.leases(course="local", person="Ann O'Neil"))
    assert (lease.target, lease.status, lease.generation) == (Target.RUNNING, Status.RUNNING, 1)
    assert lease.profile.volume.mount_point == "/data"
    volume = await store.transact(lambda tx: tx.volume_of(lease.id))
    assert volume.file_system_uuid
    assert volume.formatted_at is not None
    job = await store.transact(lambda tx: tx.last_job(lease.id))
    assert job.ended_at is not None
    assert len(await store.transact(lambda tx: tx.steps(job.id))) == 9
    assert [p.spent_at is not None for p in await store.transact(lambda tx: tx.permits(volume.cloud_id))] == [True]
    assert (await store.transact(lambda tx: tx.secret("user-ca"))).private.startswith("private of ssh-ed25519")
    assert await store.transact(lambda tx: tx.meta("deployment"))
    later = dump.stem >= "store-0002"
    assert bool(await store.transact(lambda tx: tx.audits(course="local"))) is later
    assert [len(await store.transact(look)) for look in (_snapshots, _shelf, _orphans)] == (
        [1, 2, 1] if later else [0] * 3
    )
    assert (lease.finding is not None, lease.exempt_reason) == (later, "exam" if later else "")
    calls = await store.transact(lambda tx: tx.calls(job.id))
    assert ("RunInstances" in [call.operation for call in calls]) is (dump.stem >= "store-0003")
    await store.close()
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchone() == (HEAD,)
    connection.close()
