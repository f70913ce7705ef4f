"""Checks over REST: who asks, with what, and how much."""

from datetime import UTC, datetime

import pytest

from educloud_lab.domain.errors import NotFoundError
from educloud_lab.wire import models as wire

T0 = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class Checks:
    def __init__(self):
        self.asked = []

    async def check(self, person, lease_id, checks):
        self.asked.append((person, lease_id, checks))
        if lease_id == "l-none":
            raise NotFoundError("There is no such machine, or it is not yours.")
        result = wire.CheckResult(text="<b>", state=wire.CheckState.UNKNOWN, seen="<i>", judged_from="the cloud")
        return wire.CheckReport(lease_id=lease_id, lab="x", person="ada", checked_at=T0, passed=0, results=[result])

    async def machines(self, person, lab):
        self.asked.append((person, lab))
        machine = wire.LabMachine(
            lease_id="l-1", person="ben", lab=lab, slot="main", machine_profile="tiny", phase="ready"
        )
        return wire.LabMachines(lab=lab, machines=[machine])


@pytest.fixture
def checks(broker):
    broker.checks = Checks()
    return broker.checks


async def test_checks_are_asked_as_the_person_who_is_signed_in(call, checks):
    status, reply, headers = await call("POST", "leases/l-1/checks", {"checks": ["port 80 answers"]})
    assert (status, reply["passed"], reply["results"][0]["state"]) == (200, 0, "unknown")
    assert headers["Content-Type"].startswith("application/json")
    assert checks.asked == [("ada", "l-1", ["port 80 answers"])]


@pytest.mark.parametrize(
    "body", [{}, {"checks": []}, {"checks": [""]}, {"checks": ["x"] * 51}, {"checks": ["x" * 501]}, {"checks": "x"}]
)
async def test_too_little_and_too_much_is_refused(call, checks, body):
    status, reply, _ = await call("POST", "leases/l-1/checks", body)
    assert (status, reply["error"]["code"], checks.asked) == (400, "bad-input", [])


async def test_somebody_elses_machine_is_not_there(call, checks):
    status, reply, _ = await call("POST", "leases/l-none/checks", {"checks": ["port 80 answers"]})
    assert (status, reply["error"]["code"]) == (404, "not-found")


async def test_the_machines_of_a_lab(call, checks):
    status, reply, _ = await call("GET", "lab-machines?lab=web%20server")
    assert (status, reply["machines"][0]["person"], checks.asked) == (200, "ben", [("ada", "web server")])
    for query in ("", "?lab=", f"?lab={'x' * 201}"):
        status, reply, _ = await call("GET", f"lab-machines{query}")
        assert (status, reply["error"]["code"]) == (400, "bad-input")
    assert len(checks.asked) == 1
