"""One contract for every store: memory, SQLite, and PostgreSQL where a server is given."""

import os
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import create_engine, text

from educloud_lab.adapters.memory.clock import FakeClock
from educloud_lab.adapters.memory.store import MemoryStore
from educloud_lab.adapters.sqlstore import SqlStore
from educloud_lab.domain.errors import ConflictError, StaleClaimError, StoreError
from educloud_lab.domain.finding import Component, Evidence, Finding
from educloud_lab.domain.job import Consistency, JobKind, OrphanState, ShelfKind, SnapshotState, StepState, wanted_job
from educloud_lab.domain.lease import LeaseKey, Problem, Status, Target
from educloud_lab.domain.profile import MachineProfile, VolumeSpec
from educloud_lab.ports.calls import CallOutcome
from educloud_lab.ports.records import (
    AuditRecord,
    CallRecord,
    Claim,
    JobRecord,
    LeaseRecord,
    OrphanRecord,
    PermitRecord,
    ShelfRecord,
    SnapshotRecord,
    StepRecord,
    VolumeRecord,
)
from educloud_lab.ports.shell import KeyPairText
from educloud_lab.ports.store import HISTORY, Rate

POSTGRESQL = "EDUCLOUD_TEST_POSTGRESQL_URL"
WHEN = datetime(2026, 3, 2, 9, 30, 0, 123000, tzinfo=UTC)
PROFILE = MachineProfile("first", 1, "First", "", "tiny", "t2.micro", "student", VolumeSpec(1, "/data"), 3600)


@pytest.fixture(params=["memory", "sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
async def pair(request, tmp_path):
    """Two handles on one store, as two brokers have them."""
    keys = [Fernet.generate_key()]
    if request.param == "memory":
        store = MemoryStore(FakeClock())
        yield store, store
        return
    if request.param == "sqlite":
        urls = f"sqlite:///{tmp_path / 'store.sqlite'}"
    else:
        base = os.environ.get(POSTGRESQL)
        if not base:
            pytest.fail(f"Set {POSTGRESQL} to postgresql+psycopg://user:password@host/database of a server for tests.")
        schema = f"t{uuid.uuid4().hex}"
        engine = create_engine(base)
        with engine.begin() as connection:
            connection.execute(text(f"CREATE SCHEMA {schema}"))
        urls = f"{base}{'&' if '?' in base else '?'}options=-csearch_path%3D{schema}"
    stores = SqlStore(urls, secret_keys=keys), SqlStore(urls, secret_keys=keys)
    for store in stores:
        await store.open()
    yield stores
    for store in stores:
        await store.close()
    if request.param == "postgresql":
        with engine.begin() as connection:
            connection.execute(text(f"DROP SCHEMA {schema} CASCADE"))
        engine.dispose()


@pytest.fixture
def store(pair):
    return pair[0]


def lease(name="l1", **changes):
    fields = {"id": name, "course": "local", "lab": "lab é \"x'", "person": "Ann Ö'Neil", "slot": "main"}
    return LeaseRecord(**{**fields, "profile": PROFILE, "created_at": WHEN, "updated_at": WHEN, **changes})


def job(name="j1", lease_id="l1", **changes):
    fields = {"id": name, "lease_id": lease_id, "volume_id": None, "kind": JobKind.START, "scope": "s"}
    times = {"created_at": WHEN, "next_attempt_at": datetime(2020, 1, 1, tzinfo=UTC)}
    return JobRecord(**{**fields, **times, **changes})


async def put(store, *leases):
    await store.transact(lambda tx: [tx.put_lease(row) for row in leases or [lease()]])


async def test_a_lease_comes_back_as_it_was_put(store):
    problem = Problem("capacity", "No room.", "Nothing lost.", "Wait.", WHEN)
    before = lease(problem=problem, target=Target.RUNNING, status=Status.FAILED, token_at=WHEN, expires_at=WHEN)
    await put(store, before)
    after = await store.transact(lambda tx: tx.lease("l1"))
    assert replace(after, updated_at=WHEN) == before
    assert await store.transact(lambda tx: tx.lease_by_key(before.key)) == after
    assert await store.transact(lambda tx: tx.leases(course="local", person="Ann Ö'Neil")) == [after]
    assert await store.transact(lambda tx: tx.leases(course="local", person="Bob")) == []
    assert await store.transact(lambda tx: tx.lease("l2")) is None
    assert await store.transact(lambda tx: tx.lease_by_key(LeaseKey("local", "x", "y", "z"))) is None


async def test_one_lease_per_course_lab_person_and_slot(store):
    await put(store)
    with pytest.raises(ConflictError):
        await put(store, lease("l2"))
    await put(store, lease("l3", slot="second"))


async def test_a_volume_comes_back_as_it_was_put(store):
    await put(store)
    volume = VolumeRecord(
        id="v1", lease_id="l1", size_bytes=5 * 2**40, mount_point="/data", device="/dev/vdf", quarantined=("a", "b")
    )
    await store.transact(lambda tx: tx.put_volume(volume))
    assert await store.transact(lambda tx: tx.volume_of("l1")) == volume
    changed = replace(volume, formatted_at=WHEN, may_be_mounted=True)
    await store.transact(lambda tx: tx.put_volume(changed))
    assert await store.transact(lambda tx: tx.volume_of("l1")) == changed


async def test_a_transaction_that_raises_leaves_nothing(store):
    def fails(tx):
        tx.put_lease(lease())
        tx.set_meta("a", "b")
        raise KeyError("stop")

    before = await store.version()
    with pytest.raises(KeyError):
        await store.transact(fails)
    assert await store.transact(lambda tx: (tx.lease("l1"), tx.meta("a"))) == (None, None)
    assert await store.version() == before


async def test_the_version_grows_with_changes_only_and_is_seen_by_others(pair):
    mine, other = pair
    first = await other.version()
    await put(mine)
    second = await other.version()
    assert second == first + 1
    await mine.transact(lambda tx: tx.lease("l1"))
    assert await other.version() == second == await mine.transact(lambda tx: tx.version())


async def test_one_job_in_flight_per_lease_and_per_volume(store):
    await put(store, lease(), lease("l2", slot="two"))
    volume = VolumeRecord(id="v1", lease_id="l1", size_bytes=1, mount_point="/data", device="/dev/vdf")
    await store.transact(lambda tx: tx.put_volume(volume))
    await store.transact(lambda tx: tx.add_job(job(volume_id="v1"), []))
    with pytest.raises(ConflictError):
        await store.transact(lambda tx: tx.add_job(job("j2"), []))
    with pytest.raises(ConflictError):
        await store.transact(lambda tx: tx.add_job(job("j3", "l2", volume_id="v1"), []))
    await store.transact(lambda tx: tx.put_job(job(volume_id="v1", ended_at=WHEN)))
    await store.transact(lambda tx: tx.add_job(job("j4", created_at=WHEN + timedelta(seconds=1)), []))
    assert (await store.transact(lambda tx: tx.last_job("l1"))).id == "j4"
    assert await store.transact(lambda tx: tx.jobs_in_flight()) == 1


async def test_only_one_of_two_claims_a_job_and_an_expired_claim_is_taken_over(pair):
    mine, other = pair
    await put(mine)
    await mine.transact(lambda tx: tx.add_job(job(), []))
    assert await other.transact(lambda tx: tx.due_jobs()) == ["j1"]
    first = await mine.transact(lambda tx: tx.claim_job("j1", "A", for_s=10))
    assert (first.holder, first.epoch) == ("A", 1)
    assert await other.transact(lambda tx: tx.claim_job("j1", "B", for_s=10)) is None
    assert await other.transact(lambda tx: tx.due_jobs()) == []
    claim = Claim("j1", "A", 1)
    await mine.transact(lambda tx: tx.check_claim(claim))
    await mine.set_clock_offset_for_tests(11)
    second = await other.transact(lambda tx: tx.claim_job("j1", "B", for_s=10))
    assert (second.holder, second.epoch) == ("B", 2)
    for late in (lambda tx: tx.check_claim(claim), lambda tx: tx.renew_claim(claim, for_s=10)):
        with pytest.raises(StaleClaimError):
            await mine.transact(late)


async def test_a_stale_write_is_dropped_as_a_whole(pair):
    mine, other = pair
    await put(mine)
    await mine.transact(lambda tx: tx.add_job(job(), []))
    await mine.transact(lambda tx: tx.claim_job("j1", "A", for_s=0))
    await other.transact(lambda tx: tx.claim_job("j1", "B", for_s=10))

    def write(tx):
        tx.put_lease(lease(status=Status.RUNNING))
        tx.check_claim(Claim("j1", "A", 1))

    with pytest.raises(StaleClaimError):
        await mine.transact(write)
    assert (await other.transact(lambda tx: tx.lease("l1"))).status is Status.NEW


async def test_a_job_that_ended_can_neither_be_claimed_nor_written(store):
    await put(store)
    await store.transact(lambda tx: tx.add_job(job(), []))
    await store.transact(lambda tx: tx.claim_job("j1", "A", for_s=10))
    await store.transact(lambda tx: tx.put_job(job(ended_at=WHEN)))
    with pytest.raises(StaleClaimError):
        await store.transact(lambda tx: tx.check_claim(Claim("j1", "A", 1)))
    await store.set_clock_offset_for_tests(60)
    assert await store.transact(lambda tx: tx.claim_job("j1", "B", for_s=10)) is None


async def test_putting_a_job_keeps_its_claim(store):
    await put(store)
    await store.transact(lambda tx: tx.add_job(job(), []))
    await store.transact(lambda tx: tx.claim_job("j1", "A", for_s=10))
    await store.transact(lambda tx: tx.put_job(job(attempts=3)))
    await store.transact(lambda tx: tx.check_claim(Claim("j1", "A", 1)))
    assert (await store.transact(lambda tx: tx.job("j1"))).attempts == 3


async def test_a_job_that_waits_is_not_due(store):
    await put(store)
    now = await store.transact(lambda tx: tx.now())
    await store.transact(lambda tx: tx.add_job(job(next_attempt_at=now + timedelta(seconds=30)), []))
    assert await store.transact(lambda tx: tx.claim_job("j1", "A", for_s=10)) is None
    await store.set_clock_offset_for_tests(31)
    assert await store.transact(lambda tx: tx.due_jobs()) == ["j1"]


async def test_a_clock_that_was_put_back_by_an_hour_does_not_hold_jobs_up(pair):
    mine, other = pair
    await put(mine, lease(), lease("l2", slot="two"))
    await mine.set_clock_offset_for_tests(3600)
    later = await mine.transact(lambda tx: tx.now()) + timedelta(seconds=30)
    await mine.transact(lambda tx: tx.add_job(job(), []))
    await mine.transact(lambda tx: tx.add_job(job("j2", "l2", next_attempt_at=later), []))
    await mine.transact(lambda tx: tx.claim_job("j1", "A", for_s=10))
    await mine.set_clock_offset_for_tests(0)
    assert set(await other.transact(lambda tx: tx.due_jobs())) == {"j1", "j2"}
    taken = await other.transact(lambda tx: tx.claim_job("j1", "B", for_s=10))
    assert (taken.holder, taken.epoch) == ("B", 2)


async def test_who_waits_in_a_queue_may_wait_for_longer(store):
    await put(store)
    later = await store.transact(lambda tx: tx.now()) + timedelta(minutes=10)
    await store.transact(lambda tx: tx.add_job(job(next_attempt_at=later, queue="one:t2.micro", queued_at=WHEN), []))
    assert await store.transact(lambda tx: (list(tx.due_jobs()), tx.claim_job("j1", "A", for_s=10))) == ([], None)


async def test_steps_keep_their_order_and_times(store):
    await put(store)
    rows = [StepRecord(job_id="j1", position=i, name=f"s{i}") for i in range(3)]
    await store.transact(lambda tx: tx.add_job(job(), rows))
    done = replace(rows[1], state=StepState.DONE, started_at=WHEN, ended_at=WHEN + timedelta(seconds=1))
    await store.transact(lambda tx: tx.put_step(done))
    assert await store.transact(lambda tx: tx.steps("j1")) == [rows[0], done, rows[2]]


async def test_a_permit_is_spent_once(store):
    await put(store)
    permit = PermitRecord(
        id="p1",
        lease_id="l1",
        volume_id="vol-1",
        serial="euca-vol-1",
        generation=1,
        file_system_uuid=str(uuid.UUID(int=7)),
        granted_at=WHEN,
    )
    await store.transact(lambda tx: tx.add_permit(permit))
    assert await store.transact(lambda tx: tx.permits("vol-1")) == [permit]
    assert await store.transact(lambda tx: tx.spend_permit("p1"))
    assert not await store.transact(lambda tx: tx.spend_permit("p1"))
    assert not await store.transact(lambda tx: tx.spend_permit("p2"))
    assert (await store.transact(lambda tx: tx.permits("vol-1")))[0].spent_at is not None


async def test_secrets_are_kept_replaced_and_forgotten(store):
    await store.transact(lambda tx: tx.put_secret("ca", KeyPairText("private", "public")))
    await store.transact(lambda tx: tx.put_secret("ca", KeyPairText("private 2", "public 2")))
    assert await store.transact(lambda tx: tx.secret("ca")) == KeyPairText("private 2", "public 2")
    await store.transact(lambda tx: tx.drop_secret("ca"))
    await store.transact(lambda tx: tx.drop_secret("ca"))
    assert await store.transact(lambda tx: tx.secret("ca")) is None


async def test_the_last_durations_are_remembered(store):
    for i in range(HISTORY + 2):
        await store.transact(lambda tx, i=i: tx.add_duration("start", "boot", float(i)))
    await store.transact(lambda tx: tx.add_duration("stop", "boot", 99.0))
    found = await store.transact(lambda tx: tx.durations("start"))
    assert {k: list(v) for k, v in found.items()} == {"boot": [float(i) for i in range(2, HISTORY + 2)]}


async def test_the_clock_is_aware_and_moves_by_the_offset_for_everybody(pair):
    mine, other = pair
    before = await other.transact(lambda tx: tx.now())
    assert before.tzinfo is not None
    await mine.set_clock_offset_for_tests(3600)
    after = await other.transact(lambda tx: tx.now())
    assert timedelta(seconds=3590) < after - before < timedelta(seconds=3700)


async def test_meta_is_kept_and_replaced(store):
    await store.transact(lambda tx: tx.set_meta("deployment", "a"))
    await store.transact(lambda tx: tx.set_meta("deployment", "b"))
    assert await store.transact(lambda tx: tx.meta("deployment")) == "b"


async def test_a_bucket_gives_its_burst_and_then_its_rate(pair):
    one, two = pair
    rate = {"calls": Rate(0.5, 3.0)}
    waits = [await store.transact(lambda tx: tx.take_tokens(rate)) for store in (one, two, one, two)]
    assert waits[:3] == [0.0, 0.0, 0.0]
    assert 0.0 < waits[3] <= 2.0
    await one.set_clock_offset_for_tests(-60.0)  # a clock that is put back gives nothing
    assert await two.transact(lambda tx: tx.take_tokens(rate)) > 0.0
    await one.set_clock_offset_for_tests(3600.0)  # a computer that slept finds one burst and not an hour of calls
    assert [await one.transact(lambda tx: tx.take_tokens(rate)) for _ in range(3)] == [0.0] * 3
    assert await two.transact(lambda tx: tx.take_tokens(rate)) > 0.0


async def test_tokens_are_taken_from_all_buckets_or_from_none(store):
    both = {"one": Rate(0.001, 1.0), "all": Rate(0.001, 5.0)}
    await store.transact(lambda tx: tx.set_tokens("one", 0.0))
    before = await store.version()
    assert await store.transact(lambda tx: tx.take_tokens(both)) > 900.0
    await store.transact(lambda tx: tx.set_tokens("one", 1.0))
    assert await store.transact(lambda tx: tx.take_tokens(both)) == 0.0
    rest = {"all": Rate(0.001, 5.0)}
    assert [await store.transact(lambda tx: tx.take_tokens(rest)) for _ in range(4)] == [0.0] * 4
    assert await store.transact(lambda tx: tx.take_tokens(rest)) > 0.0
    assert await store.version() == before  # nobody's page is made anew for it


async def test_a_job_is_hastened_and_leaves_its_queue(store):
    def begin(tx):
        tx.put_lease(lease())
        later = tx.now() + timedelta(minutes=2)
        tx.add_job(job(next_attempt_at=later, queue="one:t2.micro", queued_at=WHEN), [])
        return "j1"

    job_id = await store.transact(begin)
    assert await store.transact(lambda tx: (list(tx.due_jobs()), len(tx.queued_jobs()))) == ([], 1)
    await store.transact(lambda tx: tx.hasten_job(job_id))
    assert await store.transact(lambda tx: (list(tx.due_jobs()), len(tx.queued_jobs()))) == ([job_id], 1)
    before = await store.version()
    await store.transact(lambda tx: tx.hasten_job(job_id))
    assert await store.version() == before
    await store.transact(lambda tx: tx.hasten_job(job_id, leave_queue=True))
    assert await store.transact(lambda tx: (list(tx.due_jobs()), len(tx.queued_jobs()))) == ([job_id], 0)
    await store.transact(lambda tx: tx.put_job(replace(tx.job(job_id), ended_at=tx.now())))
    await store.transact(lambda tx: tx.hasten_job(job_id, leave_queue=True))
    assert await store.transact(lambda tx: tx.job(job_id).ended_at) is not None


async def test_what_limits_and_the_doctor_keep_of_a_lease_comes_back(store):
    finding = Finding(
        code="no-address", what="It has no address.", component=Component.CC, sure="likely", at=WHEN, hidden="x",
        evidence=(Evidence("address", "0.0.0.0", "é"),),
    )  # fmt: skip
    before = lease(
        first_connected_at=WHEN, active_at=WHEN, active_by="cell", busy_until=WHEN, told="10 min", guard_until=WHEN,
        exempt_since=WHEN, exempt_until=WHEN, exempt_reason='exam "é"', exempt_by="Ö", finding=finding,
    )  # fmt: skip
    await put(store, before)
    assert replace(await store.transact(lambda tx: tx.lease("l1")), updated_at=WHEN) == before
    await put(store, replace(before, finding=None, active_at=None))
    after = await store.transact(lambda tx: tx.lease("l1"))
    assert (after.finding, after.active_at) == (None, None)


async def test_what_a_volume_remembers_comes_back_and_all_are_listed(store):
    await put(store, lease(), lease("l2", slot="two"))
    volumes = [
        VolumeRecord(
            id=f"v{n}", lease_id=f"l{n}", size_bytes=n, mount_point="/data", device="/dev/vdf", from_snapshot="s1",
            last_written_at=WHEN, mount_count=7, growing_to_bytes=9, proof="same", proved_at=WHEN,
        )
        for n in (2, 1)
    ]  # fmt: skip
    await store.transact(lambda tx: [tx.put_volume(row) for row in volumes])
    assert await store.transact(lambda tx: list(tx.volumes())) == [volumes[1], volumes[0]]


async def test_a_job_keeps_who_asked_and_with_what(store):
    await put(store)
    kept = job(asked_by="Ann Ö'Neil", arguments={"snapshot": "s1", "é": '"'}, kind=JobKind.RESTORE)
    await store.transact(lambda tx: tx.add_job(kept, []))
    assert await store.transact(lambda tx: tx.job("j1")) == kept


async def test_jobs_that_wait_for_room_are_listed_first_come_first_served(store):
    await put(store, *(lease(f"l{n}", slot=str(n)) for n in range(5)))
    times = {0: 3, 1: 1, 2: 2, 3: 0}
    for n in range(5):
        queued = WHEN + timedelta(seconds=times[n]) if n in times else None
        queue = "" if queued is None else ("b" if n == 3 else "a")
        row = job(f"j{n}", f"l{n}", queue=queue, queued_at=queued, ended_at=WHEN if n == 2 else None)
        await store.transact(lambda tx, row=row: tx.add_job(row, []))
    assert [row.id for row in await store.transact(lambda tx: tx.queued_jobs())] == ["j1", "j0", "j3"]


def a_snapshot(name="s1", **changes):
    fields = {"id": name, "lease_id": "l1", "course": "local", "lab": "x", "person": "Ann", "name": "before é"}
    more = {"volume_cloud_id": "vol-1", "size_bytes": 5 * 2**40, "created_at": WHEN, "created_by": "Bob"}
    return SnapshotRecord(**{**fields, **more, **changes})


async def test_snapshots_come_back_as_they_were_put_oldest_first(store):
    await put(store, lease(), lease("l2", slot="two"))
    late = a_snapshot(
        "s0", created_at=WHEN + timedelta(seconds=1), cloud_id="snap-1", create_sent=True, nonce=2, published=True,
        state=SnapshotState.COMPLETED, consistency=Consistency.FROZEN, progress_percent=100, completed_at=WHEN,
        file_system_uuid=str(uuid.UUID(int=1)), formatted_at=WHEN,
    )  # fmt: skip
    rows = [a_snapshot(), late, a_snapshot("s2", lease_id="l2", state=SnapshotState.DELETED)]
    await store.transact(lambda tx: [tx.put_snapshot(row) for row in rows])
    assert await store.transact(lambda tx: tx.snapshot("s0")) == late
    assert await store.transact(lambda tx: tx.snapshot("s9")) is None
    assert list(await store.transact(lambda tx: tx.snapshots())) == [rows[0], rows[2], late]
    assert list(await store.transact(lambda tx: tx.snapshots(lease_id="l1"))) == [rows[0], late]
    changed = replace(rows[0], state=SnapshotState.FAILED)
    await store.transact(lambda tx: tx.put_snapshot(changed))
    assert await store.transact(lambda tx: tx.snapshot("s1")) == changed


async def test_the_shelf_lists_what_is_on_it_and_keeps_what_left(store):
    await put(store)
    mine = ShelfRecord(
        id="b1", kind=ShelfKind.BIN, cloud_id="vol-1", course="local", lab="x", lease_id="l1", person="Ann",
        size_bytes=5 * 2**40, zone="one", created_at=WHEN, shelved_at=WHEN, delete_after=WHEN + timedelta(days=7),
        reason="discarded", file_system_uuid="u", formatted_at=WHEN, last_mounted_at=WHEN, last_written_at=WHEN,
        mount_count=3, from_snapshot="s1",
    )  # fmt: skip
    nobodys = ShelfRecord(
        id="q1", kind=ShelfKind.QUARANTINE, cloud_id="vol-2", course="local", shelved_at=WHEN - timedelta(days=1)
    )
    await store.transact(lambda tx: [tx.put_shelved(row) for row in (mine, nobodys)])
    assert list(await store.transact(lambda tx: tx.shelf())) == [nobodys, mine]
    assert list(await store.transact(lambda tx: tx.shelf(lease_id="l1"))) == [mine]
    left = replace(mine, ended_at=WHEN, end="returned")
    await store.transact(lambda tx: tx.put_shelved(left))
    assert list(await store.transact(lambda tx: tx.shelf())) == [nobodys]
    assert await store.transact(lambda tx: (tx.shelved("b1"), tx.shelved("b9"))) == (left, None)


async def test_orphans_come_back_one_row_for_each_id(store):
    first = OrphanRecord(cloud_id="i-1", kind="instance", first_seen_at=WHEN, last_seen_at=WHEN, reason="é", person="x")
    second = replace(first, cloud_id="vol-1", kind="volume", first_seen_at=WHEN - timedelta(days=1), size_bytes=2**40)
    await store.transact(lambda tx: [tx.put_orphan(row) for row in (first, second)])
    assert list(await store.transact(lambda tx: tx.orphans())) == [second, first]
    reaped = replace(first, state=OrphanState.REAPED, acted_at=WHEN, lab="y")
    await store.transact(lambda tx: tx.put_orphan(reaped))
    assert list(await store.transact(lambda tx: tx.orphans())) == [second, reaped]


def entry(what, **changes):
    fields = {"at": WHEN, "who": "Ann Ö'Neil", "what": what, "course": "local", "lease_id": "l1", "whose": "Bob"}
    return AuditRecord(**{**fields, "subject": "i-1", "result": "capacity", "detail": "é '\" line", **changes})


async def test_the_audit_log_is_read_in_pages_newest_first(pair):
    mine, other = pair
    before = await mine.version()
    for n in range(5):
        await mine.transact(lambda tx, n=n: tx.add_audit(entry(f"e{n}", lease_id="l2" if n == 3 else "l1")))
    await mine.transact(lambda tx: tx.add_audit(entry("elsewhere", course="chem")))
    await mine.transact(lambda tx: tx.add_audit(entry("nobody's", lease_id=None)))
    rows = list(await other.transact(lambda tx: tx.audits(course="local")))
    assert [row.what for row in rows] == ["nobody's", "e4", "e3", "e2", "e1", "e0"]
    assert [row.id for row in rows] == sorted({row.id for row in rows}, reverse=True)
    assert replace(rows[-1], id=0) == entry("e0")
    page = await other.transact(lambda tx: tx.audits(course="local", before_id=rows[2].id, limit=2))
    assert [row.what for row in page] == ["e2", "e1"]
    page = await other.transact(lambda tx: tx.audits(course="local", lease_id="l1", limit=2))
    assert [row.what for row in page] == ["e4", "e2"]
    assert await other.version() == before  # nothing that anybody watches changed


async def test_what_a_transaction_that_fails_says_to_the_audit_log_is_not_there(store):
    def fails(tx):
        tx.add_audit(entry("never"))
        raise KeyError("stop")

    with pytest.raises(KeyError):
        await store.transact(fails)
    assert list(await store.transact(lambda tx: tx.audits(course="local"))) == []


@pytest.mark.parametrize("statement", ["UPDATE audits SET who = 'nobody'", "DELETE FROM audits"])
@pytest.mark.parametrize("pair", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)], indirect=True)
async def test_nobody_changes_the_audit_log(pair, statement):
    store, other = pair
    await store.transact(lambda tx: tx.add_audit(entry("kept")))
    with pytest.raises(StoreError):
        await store.transact(lambda tx: tx._connection.execute(text(statement)))
    (row,) = await other.transact(lambda tx: tx.audits(course="local"))
    assert replace(row, id=0) == entry("kept")


@pytest.mark.postgresql
@pytest.mark.parametrize("pair", ["postgresql"], indirect=True)
async def test_nobody_empties_the_audit_log(pair):
    await pair[0].transact(lambda tx: tx.add_audit(entry("kept")))
    with pytest.raises(StoreError):
        await pair[0].transact(lambda tx: tx._connection.execute(text("TRUNCATE audits")))
    assert len(await pair[1].transact(lambda tx: tx.audits(course="local"))) == 1


async def test_leases_in_need_are_those_that_want_a_job_and_have_none(store):
    def fill(tx):
        for target in Target:
            for status in Status:
                name = f"{target}-{status}"
                tx.put_lease(lease(name, target=target, status=status, slot=name))
        past, future = tx.now() - timedelta(seconds=1), tx.now() + timedelta(hours=1)
        tx.put_lease(lease("over", target=Target.RUNNING, status=Status.FAILED, slot="over", expires_at=past))
        tx.put_lease(lease("not-over", target=Target.RUNNING, status=Status.FAILED, slot="not-over", expires_at=future))
        tx.put_lease(lease("busy", target=Target.RUNNING, status=Status.STARTING, slot="busy"))
        tx.add_job(job("jb", lease_id="busy"), [])

    await store.transact(fill)
    found = {each.id for each in await store.transact(lambda tx: tx.leases_in_need(course="local"))}
    wanting = {f"{target}-{status}" for target in Target for status in Status if wanted_job(target, status) is not None}
    assert found == wanting | {"over"}
    assert await store.transact(lambda tx: tx.leases_in_need(course="another")) == []


async def test_leases_that_are_on_their_way_failed_or_carry_a_finding_are_listed(store):
    finding = Finding(code="x", what="y", component=Component.NC, sure="likely", at=WHEN)
    rows = [lease(status.value, lab=status.value, status=status) for status in Status]
    await put(
        store, *rows, lease("found", lab="found", finding=finding), lease("other", course="other", finding=finding)
    )
    names = [row.id for row in await store.transact(lambda tx: tx.leases_to_watch(course="local"))]
    assert sorted(names) == ["deleting", "failed", "found", "starting", "stopping"]


def a_call(number=0, job_id="j1", **changes):
    fields = {"job_id": job_id, "number": number, "lease_id": "l1", "at": WHEN, "last_at": WHEN}
    return CallRecord(**{**fields, "operation": "RunInstances", "outcome": CallOutcome.OK, **changes})


async def test_calls_come_back_as_they_were_put_in_their_order_and_are_replaced(store):
    await put(store)
    await store.transact(lambda tx: tx.add_job(job(), []))
    told = {"ImageId": "emi-1", "Tag.1.Value": 'Ö\'Neil "x"'}
    calls = [a_call(1, outcome=CallOutcome.LOST), a_call(0, parameters=told, answer={"State": "é"}, times=3)]
    version = await store.version()
    await store.transact(lambda tx: tx.put_calls(calls))
    await store.transact(lambda tx: tx.put_calls([]))
    assert list(await store.transact(lambda tx: tx.calls("j1"))) == calls[::-1]
    again = [a_call(1, error_code="503 x", error="No.", left_out=2), a_call(2)]
    await store.transact(lambda tx: tx.put_calls(again))
    assert list(await store.transact(lambda tx: tx.calls("j1"))) == [calls[1], *again]
    assert list(await store.transact(lambda tx: tx.calls("j2"))) == []
    assert await store.version() == version  # nothing that anybody watches


async def test_only_the_newest_jobs_of_each_lease_keep_their_calls(store):
    await put(store, lease(), lease("l2", lab="other"))

    def fill(tx):
        for number in range(4):
            times = {"created_at": WHEN + timedelta(hours=number), "ended_at": WHEN}
            tx.add_job(job(f"j{number}", **times), [])
            tx.put_calls([a_call(0, f"j{number}"), a_call(1, f"j{number}")])
        tx.add_job(job("k0", "l2", ended_at=WHEN), [])
        tx.put_calls([a_call(0, "k0", lease_id="l2")])

    await store.transact(fill)
    newest = await store.transact(lambda tx: tx.jobs_with_calls("l1", limit=2))
    assert [row.id for row in newest] == ["j3", "j2"]
    assert await store.transact(lambda tx: tx.drop_old_calls(keep=3)) == 1
    assert await store.transact(lambda tx: tx.drop_old_calls(keep=3)) == 0
    kept = await store.transact(lambda tx: [len(tx.calls(name)) for name in ("j0", "j1", "j3", "k0")])
    assert kept == [0, 2, 2, 1]
    assert await store.transact(lambda tx: tx.job("j0")) is not None
