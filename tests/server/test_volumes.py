"""The routes of the data volume: each hands one wish to the broker, with the person and nothing else."""

import pytest

LEASE = "leases/l-lab-main"


class Recorder:
    """Stands where the broker's volumes are; remembers what was asked and answers with the lease."""

    def __init__(self, broker):
        self.broker = broker
        self.asked = []

    def __getattr__(self, name):
        async def ask(person, lease_id, *arguments, **named):
            self.asked.append((name, *arguments, *named.items()))
            return self.broker._find(name, person, lease_id)

        return ask


@pytest.fixture
async def volumes(broker, call):
    await call("POST", "leases", {"lab": "lab", "machine_profile": "tiny"})
    broker.volumes = Recorder(broker)
    return broker.volumes


@pytest.mark.parametrize(
    ("path", "body", "asked"),
    [
        ("snapshots/s1/delete", {}, ("delete_snapshot", "s1")),
        ("snapshots/s1/restore", None, ("restore", "s1")),
        ("snapshots/s1/publish", {"published": True}, ("publish_snapshot", "s1", ("published", True))),
        ("volume/grow", {"size_gib": 3}, ("grow", 3)),
        ("volume/discard", {"confirm": "lab"}, ("discard", ("confirm", "lab"))),
        ("bin/b1/return", {}, ("return_from_bin", "b1")),
    ],
)
async def test_a_wish_reaches_the_broker_and_the_reply_is_the_lease(call, volumes, path, body, asked):
    status, reply, _ = await call("POST", f"{LEASE}/{path}", body)
    assert (status, reply["id"]) == (200, "l-lab-main")
    assert volumes.asked == [asked]


async def test_a_snapshot_has_a_name(call, volumes):
    status, _, _ = await call("POST", f"{LEASE}/snapshots", {"name": "before the exam"})
    assert status == 200
    ((what, request),) = volumes.asked
    assert (what, request.name) == ("snapshot", "before the exam")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("snapshots", {"name": ""}),
        ("snapshots", {"name": "x" * 101}),
        ("snapshots/s1/publish", {}),
        ("volume/grow", {"size_gib": 0}),
        ("volume/grow", {"size_gib": 1, "force": True}),
        ("volume/discard", {}),
    ],
)
async def test_what_is_not_such_a_request_is_refused_and_reaches_nobody(call, volumes, path, body):
    status, reply, _ = await call("POST", f"{LEASE}/{path}", body)
    assert (status, reply["error"]["code"]) == (400, "bad-input")
    assert volumes.asked == []


async def test_somebody_elses_lease_looks_like_none(call, volumes):
    status, reply, _ = await call("POST", "leases/l-other-main/bin/b1/return", {})
    assert (status, reply["error"]["code"]) == (404, "not-found")
