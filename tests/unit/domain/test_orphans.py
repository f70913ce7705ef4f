"""Whose is what the cloud shows, and when nothing may be done: rules for people's machines, so each has its case."""

import pytest

from educloud_lab.domain import naming
from educloud_lab.domain.lease import LeaseKey
from educloud_lab.domain.orphans import COPY, UNNAMED, Kind, Known, LeaseKnown, Standing, Thing, halt_reason, judge

OURS, OTHER = "d" * 32, "e" * 32
KEY = LeaseKey("local", "01-first", "ann", "main")


def token(generation, key=KEY, deployment=OURS):
    return naming.client_token(deployment, key, generation)


def lease(**changes):
    fields = {"id": "l1", "key": KEY, "generation": 4, "client_token": token(4), "instance_id": "i-4"}
    return LeaseKnown(**{**fields, **changes})


def known(*leases, **changes):
    return Known(deployment=OURS, leases={row.id: row for row in leases or (lease(),)}, **changes)


def instance(cloud_id, generation=None, *, lease_id="l1", deployment=OURS, tagged=True, groups=(), **changes):
    client_token = changes.get("client_token", token(generation) if generation is not None else "")
    tags = {
        naming.TAG_DEPLOYMENT: deployment,
        naming.TAG_LEASE: lease_id,
        naming.TAG_GENERATION: str(generation),
        naming.TAG_NONCE: client_token,
    }
    return Thing(
        kind=Kind.INSTANCE,
        cloud_id=cloud_id,
        tags={**tags, **changes.get("tags", {})} if tagged else {},
        client_token=client_token,
        groups=groups,
    )


@pytest.mark.parametrize(
    ("thing", "standing"),
    [
        (instance("i-4", 4), Standing.OWNED),
        (instance("i-4", 4, tagged=False), Standing.OWNED),
        (instance("i-3", 3), Standing.ORPHAN),
        (instance("i-3", 3, tagged=False), Standing.ORPHAN),
        (instance("i-5", 5), Standing.AHEAD),
        (instance("i-5", 5, tagged=False), Standing.AHEAD),
        (instance("i-9", 4, lease_id="gone", client_token="educloud-9"), Standing.ORPHAN),
        (instance("i-9", 4, deployment=OTHER), Standing.FOREIGN),
        (instance("i-9", tagged=False), Standing.FOREIGN),
        (instance("i-9", tagged=False, client_token="somebody's"), Standing.FOREIGN),
        (instance("i-9", tagged=False, client_token="educloud-9"), Standing.UNPROVEN),
        (instance("i-9", tagged=False, client_token="educloud-9", groups=(f"educloud-{OTHER}",)), Standing.UNPROVEN),
        (instance("i-9", tagged=False, client_token="educloud-9", groups=(f"educloud-{OURS}",)), Standing.ORPHAN),
        (instance("i-9", tagged=False, groups=(f"educloud-{OURS}",)), Standing.FOREIGN),
        # Somebody made "more like this one": our tags, another token.
        (instance("i-9", 3, tags={naming.TAG_NONCE: token(4)}), Standing.UNPROVEN),
        (instance("i-9", 3, tags={naming.TAG_NONCE: ""}), Standing.UNPROVEN),
    ],
)
def test_whose_an_instance_is(thing, standing):
    assert judge(thing, known()).standing is standing


def test_an_instance_that_a_job_may_still_adopt_is_its_leases():
    waiting = lease(instance_id=None)
    assert judge(instance("i-4", 4), known(waiting)).standing is Standing.OWNED
    by_tags = instance("i-9", 4, client_token="", tags={naming.TAG_NONCE: token(4)})
    assert judge(by_tags, known(waiting)).standing is Standing.OWNED
    assert judge(by_tags, known()).standing is Standing.UNPROVEN


def test_the_same_generation_under_a_lease_that_forgot_it_is_nobodys():
    forgot = lease(instance_id=None, client_token="")
    assert judge(instance("i-4", 4), known(forgot)).standing is Standing.ORPHAN


def test_reasons_name_generations_and_lease():
    found = judge(instance("i-3", 3), known())
    assert (found.lease_id, found.reason) == ("l1", "It is machine 3 of a lease that has machine 4 now.")
    assert judge(instance("i-9", 3, tags={naming.TAG_NONCE: token(4)}), known()).reason == COPY
    assert judge(instance("i", tagged=False, client_token="educloud-9"), known()).reason == UNNAMED


def volume(cloud_id, nonce="v1-1", *, lease_id="l1", deployment=OURS, kind=Kind.VOLUME):
    tags = {naming.TAG_DEPLOYMENT: deployment, naming.TAG_LEASE: lease_id, naming.TAG_NONCE: nonce}
    return Thing(kind=kind, cloud_id=cloud_id, tags=tags)


@pytest.mark.parametrize(
    ("thing", "standing"),
    [
        (volume("vol-1"), Standing.OWNED),
        (volume("vol-bin", "x"), Standing.OWNED),
        (volume("vol-new", "v2-1"), Standing.OWNED),
        (volume("vol-2"), Standing.ORPHAN),
        (volume("vol-2", "v1-0"), Standing.ORPHAN),
        (volume("vol-2", lease_id="gone"), Standing.ORPHAN),
        (volume("vol-2", lease_id="busy"), Standing.BUSY),
        (volume("vol-2", deployment=OTHER), Standing.FOREIGN),
        (Thing(kind=Kind.VOLUME, cloud_id="vol-3"), Standing.FOREIGN),
        (volume("snap-1", kind=Kind.SNAPSHOT), Standing.OWNED),
        (volume("snap-2", "s2-1", kind=Kind.SNAPSHOT), Standing.OWNED),
        (volume("snap-3", "s3-1", kind=Kind.SNAPSHOT), Standing.ORPHAN),
        (volume("snap-3", "s3-1", lease_id="busy", kind=Kind.SNAPSHOT), Standing.BUSY),
        (volume("snap-3", deployment=OTHER, kind=Kind.SNAPSHOT), Standing.FOREIGN),
    ],
)
def test_whose_a_volume_or_snapshot_is(thing, standing):
    records = known(
        lease(),
        lease(id="busy", instance_id=None, client_token="", busy=True),
        volumes=frozenset({"vol-1"}),
        aside=frozenset({"vol-bin"}),
        volume_nonces={"v1-1": "vol-1", "v2-1": None},
        snapshots=frozenset({"snap-1"}),
        snapshots_being_made=frozenset({"s2"}),
    )
    assert judge(thing, records).standing is standing


def halted(would_go=0, recorded=(), listed=(), ahead=()):
    return halt_reason(
        would_go=would_go, recorded=frozenset(recorded), listed=frozenset(listed), ahead=ahead, most=10, share=0.2
    )


def test_nothing_is_done_when_what_is_seen_cannot_be_the_whole():
    hundred = [f"i-{n}" for n in range(100)]
    assert halted(1, hundred, hundred) == ""
    assert halted(1, hundred, hundred[:50]) == ""
    assert "49 of 100" in halted(1, hundred, hundred[:49])
    assert "0 of 1 " in halted(0, ["i-1"], [])
    assert halted(0, [], []) == ""
    assert "old copy" in halted(1, hundred, hundred, ["i-5"])


@pytest.mark.parametrize(("count", "may"), [(0, 10), (50, 10), (51, 10), (100, 20), (1000, 200)])
def test_no_more_go_than_can_be_right(count, may):
    recorded = [f"i-{n}" for n in range(count)]
    assert halted(may, recorded, recorded) == ""
    assert f"{may + 1} things would go" in halted(may + 1, recorded, recorded)
