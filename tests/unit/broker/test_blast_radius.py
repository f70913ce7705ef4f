"""Whatever the cloud answers, only what is certainly ours and nobody's goes, and never many (SAFETY.md, row 22)."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from educloud_lab.broker.config import BrokerConfig
from educloud_lab.broker.orphans import Survey, plan
from educloud_lab.domain import naming
from educloud_lab.domain.job import OrphanState
from educloud_lab.domain.lease import LeaseKey
from educloud_lab.domain.orphans import Kind, Known, LeaseKnown, Standing, Thing, judge
from educloud_lab.ports.records import OrphanRecord

OURS, OTHER = "d" * 32, "e" * 32
NOW = datetime(2026, 3, 2, tzinfo=UTC)
CONFIG = BrokerConfig()
LEASES = {
    f"l{n}": LeaseKnown(
        id=f"l{n}",
        key=LeaseKey("local", "lab", f"p{n}", "main"),
        generation=3,
        client_token=naming.client_token(OURS, LeaseKey("local", "lab", f"p{n}", "main"), 3),
        instance_id=f"i-own-{n}",
    )
    for n in range(30)
}
KNOWN = Known(deployment=OURS, leases=LEASES, volumes=frozenset(f"vol-own-{n}" for n in range(30)))
ALL = sorted(KNOWN.recorded)

tag = st.sampled_from(["", OURS, OTHER, "l1", "l2", "l99", "1", "3", "9", "educloud-x", LEASES["l1"].client_token])
names = st.sampled_from(
    [naming.TAG_DEPLOYMENT, naming.TAG_LEASE, naming.TAG_GENERATION, naming.TAG_NONCE, naming.TAG_COURSE, "Name"]
)
odd = st.builds(
    Thing,
    kind=st.sampled_from(list(Kind)),
    cloud_id=st.integers(0, 500).map(lambda n: f"x-{n}"),
    tags=st.dictionaries(names, tag),
    client_token=st.one_of(tag, st.text(max_size=20)),
    groups=st.lists(st.sampled_from([f"educloud-{OURS}", f"educloud-{OTHER}", "default"]), max_size=2).map(tuple),
)
foreign = st.builds(
    Thing,
    kind=st.sampled_from(list(Kind)),
    cloud_id=st.integers(0, 500).map(lambda n: f"f-{n}"),
    tags=st.dictionaries(names, tag).map(lambda tags: {**tags, naming.TAG_DEPLOYMENT: OTHER}),
    client_token=tag,
    groups=st.just((f"educloud-{OURS}",)),
)


def own(cloud_id):
    n = cloud_id.rpartition("-")[2]
    kind = Kind.INSTANCE if cloud_id.startswith("i-") else Kind.VOLUME
    tags = {naming.TAG_DEPLOYMENT: OURS, naming.TAG_LEASE: f"l{n}", naming.TAG_GENERATION: "3"}
    token = LEASES[f"l{n}"].client_token if kind is Kind.INSTANCE else ""
    return Thing(kind=kind, cloud_id=cloud_id, tags={**tags, naming.TAG_NONCE: token or "v"}, client_token=token)


def decide(things, rows=(), **changes):
    """Decide about a view with everything as ripe as it can be: seen often, long ago, absent for long."""
    judged = {thing.cloud_id: (thing, judge(thing, KNOWN)) for thing in things}
    found = Survey(
        seen_at=NOW,
        found={
            k: b for k, b in judged.items() if b[1].standing in (Standing.ORPHAN, Standing.UNPROVEN, Standing.AHEAD)
        },
        undecided=frozenset(),
        explained=frozenset(k for k, b in judged.items() if b[1].standing in (Standing.OWNED, Standing.FOREIGN)),
        listed=frozenset(judged),
        known=KNOWN,
    )
    ripe = {
        key: OrphanRecord(cloud_id=key, kind=thing.kind.value, first_seen_at=NOW - timedelta(days=9), last_seen_at=NOW)
        for key, (thing, _) in judged.items()
    }
    rows = [*{**ripe, **{row.cloud_id: row for row in rows}}.values()]
    return plan(rows, found, NOW, CONFIG, sure=lambda _: True, absent=lambda _: True, **changes), judged


def gone(done):
    return {row.cloud_id for row in (*done.reap, *done.quarantine)}


@given(st.lists(st.sampled_from(ALL), unique=True), st.lists(foreign, max_size=40))
@settings(max_examples=300)
def test_a_partial_view_of_our_own_and_anything_of_others_ends_nothing(shown, others):
    done, _ = decide([*map(own, shown), *others])
    assert gone(done) == set()


@given(st.lists(odd, max_size=60, unique_by=lambda thing: thing.cloud_id), st.integers(0, len(ALL)))
@settings(max_examples=400)
def test_only_what_is_certainly_ours_and_nobodys_goes_and_never_many(things, shown):
    done, judged = decide([*map(own, ALL[:shown]), *things])
    for cloud_id in gone(done):
        thing, judgement = judged[cloud_id]
        assert judgement.standing is Standing.ORPHAN
        ours = thing.tags.get(naming.TAG_DEPLOYMENT) == OURS
        by_group = naming.TAG_DEPLOYMENT not in thing.tags and f"educloud-{OURS}" in thing.groups
        by_token = any(
            naming.client_token(OURS, lease.key, g) == thing.client_token for lease in LEASES.values() for g in (1, 2)
        )
        assert ours or by_group or by_token
        if thing.kind is Kind.INSTANCE and ours:
            assert thing.client_token == thing.tags[naming.TAG_NONCE] != ""
    assert len(done.reap) <= CONFIG.orphans_at_once
    assert len(gone(done)) <= max(CONFIG.orphans_halt, CONFIG.orphans_halt_share * len(ALL))
    if 2 * shown < len(ALL):
        assert gone(done) == set()


@given(st.lists(odd, max_size=30, unique_by=lambda thing: thing.cloud_id))
def test_a_wrong_account_ends_nothing_even_for_a_person(things):
    done, judged = decide(things, only=frozenset(thing.cloud_id for thing in things))
    assert gone(done) == set()
    assert done.halted
    assert done.blind
    del judged


@given(st.integers(0, 40), st.integers(0, 40), st.booleans())
def test_what_went_within_a_day_counts(went, due, recent):
    ghosts = [
        Thing(
            kind=Kind.INSTANCE,
            cloud_id=f"g-{n}",
            tags={naming.TAG_DEPLOYMENT: OURS, naming.TAG_NONCE: f"educloud-{n}", naming.TAG_LEASE: "l99"},
            client_token=f"educloud-{n}",
        )
        for n in range(due)
    ]
    at = NOW - timedelta(hours=1 if recent else 30)
    old = OrphanRecord(cloud_id="", kind="instance", first_seen_at=at, last_seen_at=at, state=OrphanState.REAPED)
    rows = [replace(old, cloud_id=f"r-{n}", acted_at=at) for n in range(went)]
    done, _ = decide([*map(own, ALL), *ghosts], rows)
    may = due + (went if recent else 0) <= 12  # 20 % of 60 on record
    assert len(done.reap) == (min(due, CONFIG.orphans_at_once) if may else 0)


def test_an_empty_view_ends_nothing():
    done, _ = decide([])
    assert gone(done) == set()
