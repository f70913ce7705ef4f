"""Limits over REST: what is asked reaches the broker as the server's own person, and nothing else is accepted."""

from datetime import UTC, datetime

import pytest

from educloud_lab.wire import models as wire

UNTIL = "2026-03-02T18:00:00Z"
AT = datetime(2026, 3, 2, 18, 0, tzinfo=UTC)


class FakeLimits:
    """Remembers what it was asked."""

    def __init__(self, broker):
        self.broker = broker
        self.asked = []

    async def activity(self, person, lease_id, kind):
        self.broker._find("activity", person, lease_id)
        self.asked.append((person, lease_id, kind))

    async def busy(self, person, lease_id, until):
        self.asked.append((person, lease_id, until))
        return self.broker._find("busy", person, lease_id)

    async def exempt(self, person, lease_id, request):
        self.asked.append((person, lease_id, request))
        return self.broker._find("exempt", person, lease_id)

    async def end_exemption(self, person, lease_id):
        self.asked.append((person, lease_id, "end"))
        return self.broker._find("end-exemption", person, lease_id)


@pytest.fixture
async def lease(call, broker):
    broker.limits = FakeLimits(broker)
    _, reply, _ = await call("POST", "leases", {"lab": "x", "machine_profile": "tiny"})
    return reply["id"]


async def test_what_is_asked_reaches_the_broker(call, broker, lease):
    status, _, _ = await call.raw("POST", f"leases/{lease}/activity", b'{"kind": "cell"}')
    assert status == 204
    for verb, body in (
        ("busy", {"until": UNTIL}),
        ("busy", {"until": None}),
        ("exempt", {"reason": "renders", "until": UNTIL}),
        ("end-exemption", None),
    ):
        status, reply, _ = await call("POST", f"leases/{lease}/{verb}", body)
        assert (status, reply["id"]) == (200, lease)
    assert broker.limits.asked == [
        ("ada", lease, "cell"),
        ("ada", lease, AT),
        ("ada", lease, None),
        ("ada", lease, wire.ExemptRequest(reason="renders", until=AT)),
        ("ada", lease, "end"),
    ]


@pytest.mark.parametrize(
    ("verb", "body"),
    [
        ("activity", {"kind": "output"}),
        ("activity", {"kind": "cell", "person": "bob"}),
        ("busy", {}),
        ("busy", {"until": "soon"}),
        ("exempt", {"until": UNTIL}),
        ("exempt", {"reason": "x", "until": UNTIL}),
    ],
)
async def test_what_is_no_such_request_is_refused(call, broker, lease, verb, body):
    status, reply, _ = await call("POST", f"leases/{lease}/{verb}", body)
    assert (status, reply["error"]["code"]) == (400, "bad-input")
    assert broker.limits.asked == []


async def test_somebody_elses_lease_looks_like_none(call, lease):
    status, reply, _ = await call("POST", "leases/ffffffffffff/activity", {"kind": "cell"})
    assert (status, reply["error"]["code"]) == (404, "not-found")
