"""What just happened, over REST."""

from datetime import UTC, datetime

import pytest

from educloud_lab.domain.errors import NotFoundError
from educloud_lab.wire import models as wire

T0 = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)


class Accounts:
    def __init__(self):
        self.asked = []

    async def latest(self, person, lease_id, *, limit):
        self.asked.append((person, lease_id, limit))
        if lease_id == "l-none":
            raise NotFoundError("There is no such machine, or it is not yours.")
        return wire.Accounts(lease_id=lease_id, lab="lab", accounts=[])


@pytest.mark.parametrize(("query", "limit"), [("", 5), ("?limit=3", 3)])
async def test_the_accounts_are_the_persons_who_is_signed_in(call, broker, query, limit):
    broker.accounts = Accounts()
    status, reply, headers = await call("GET", f"leases/l-x-main/calls{query}")
    assert (status, reply["lease_id"], reply["accounts"]) == (200, "l-x-main", [])
    assert headers["Cache-Control"] == "no-store"
    assert broker.accounts.asked == [("ada", "l-x-main", limit)]


async def test_somebody_elses_machine_is_not_there(call, broker):
    broker.accounts = Accounts()
    status, reply, _ = await call("GET", "leases/l-none/calls")
    assert (status, reply["error"]["code"]) == (404, "not-found")


@pytest.mark.parametrize("limit", ["x", "-1", "1.5", "٣", "99999"])
async def test_a_limit_is_a_number(call, broker, limit):
    broker.accounts = Accounts()
    status, reply, _ = await call("GET", f"leases/l-x-main/calls?limit={limit}")
    assert (status, reply["error"]["code"]) == (400, "bad-input")
    assert broker.accounts.asked == []
