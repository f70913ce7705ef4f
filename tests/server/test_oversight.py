"""Audit, orphans, bin and quarantine over REST: who asks, and with what."""

from datetime import UTC, datetime

import pytest

from educloud_lab.domain.errors import NotFoundError
from educloud_lab.wire import models as wire

T0 = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class Oversight:
    def __init__(self):
        self.asked = []

    async def audit(self, person, *, lease_id=None, before_id=None, limit=100):
        self.asked.append((person, "audit", lease_id, before_id, limit))
        if lease_id == "l-none":
            raise NotFoundError("There is no such machine, or it is not yours.")
        entry = wire.AuditEntry(id=7, at=T0, who=person, what="lease.start", course="local", detail="<script>")
        return wire.AuditPage(entries=[entry], older=7)

    async def orphans(self, person):
        self.asked.append((person, "orphans"))
        return wire.OrphanReport(dry_run=True, halted="wait", orphans=[], acted=[])

    async def reap(self, person, *, dry_run, only=None):
        self.asked.append((person, "reap", dry_run, only))
        return wire.OrphanReport(dry_run=dry_run, orphans=[], acted=sorted(only or ()))

    async def shelf(self, person):
        self.asked.append((person, "shelf"))
        return wire.Shelf(items=[])


@pytest.fixture
def oversight(broker):
    broker.oversight = Oversight()
    return broker.oversight


async def test_each_is_asked_as_the_person_who_is_signed_in(call, oversight):
    for path in ("audit", "leases/l-1/audit?before=9&limit=3", "orphans", "shelf"):
        status, _, headers = await call("GET", path)
        assert status == 200
        assert headers["Content-Type"].startswith("application/json")
        assert headers["Cache-Control"] == "no-store"
    assert oversight.asked == [
        ("ada", "audit", None, None, 100),
        ("ada", "audit", "l-1", 9, 3),
        ("ada", "orphans"),
        ("ada", "shelf"),
    ]


@pytest.mark.parametrize("query", ["limit=ten", "before=-1", "before=1e9", f"limit={'9' * 99}", "limit="])
async def test_what_is_not_a_number_is_refused(call, oversight, query):
    status, reply, _ = await call("GET", f"audit?{query}")
    assert (status, reply["error"]["code"], oversight.asked) == (400, "bad-input", [])


async def test_nothing_is_reaped_unless_that_is_said(call, oversight):
    for body, asked in (
        ({}, ("ada", "reap", True, None)),
        ({"dry_run": False}, ("ada", "reap", False, None)),
        ({"dry_run": False, "only": ["i-1"]}, ("ada", "reap", False, frozenset({"i-1"}))),
    ):
        status, reply, _ = await call("POST", "orphans/reap", body)
        assert (status, reply["dry_run"], oversight.asked[-1]) == (200, asked[2], asked)
    status, _, _ = await call("POST", "orphans/reap", {"dry_run": "perhaps"})
    assert (status, len(oversight.asked)) == (400, 3)


async def test_somebody_elses_log_is_not_there(call, oversight):
    status, reply, _ = await call("GET", "leases/l-none/audit")
    assert (status, reply["error"]["code"]) == (404, "not-found")
