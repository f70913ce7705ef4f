"""The verbs: what they ask of the broker and what they answer."""

from __future__ import annotations

import json
import logging
import re

import pytest

from educloud_lab.domain import errors
from educloud_lab.wire import models as wire


async def test_hello_answers_before_there_is_a_broker(call, broker):
    status, reply, headers = await call("GET", "hello")
    assert status == 200
    hello = wire.Hello.model_validate(reply)
    assert hello.api_version == wire.API_VERSION
    assert hello.problem is None
    assert headers["Content-Type"].startswith("application/json")
    assert headers["Cache-Control"] == "no-store"
    assert broker.calls == []


async def test_a_lease_from_first_wish_to_deletion(call, broker):
    status, reply, _ = await call("POST", "leases", {"lab": "lab one", "machine_profile": "tiny"})
    assert status == 200
    lease = wire.Lease.model_validate(reply)
    assert (lease.lab, lease.slot, lease.person) == ("lab one", "main", "ada")

    for verb, target in (("start", "running"), ("start", "running"), ("stop", "stopped")):
        status, reply, _ = await call("POST", f"leases/{lease.id}/{verb}", {})
        assert (status, reply["target"]) == (200, target)
    status, reply, _ = await call("POST", f"leases/{lease.id}/extend")
    assert (status, reply["expires_at"]) == (200, "2026-01-02T03:04:05Z")

    status, reply, _ = await call("POST", f"leases/{lease.id}/delete", {"confirm": "lab two"})
    assert (status, reply["error"]["code"], reply["error"]["kept"]) == (
        409,
        "confirmation-needed",
        "Nothing was deleted.",
    )
    assert broker.leases[lease.id].target == "stopped"
    status, reply, _ = await call("POST", f"leases/{lease.id}/delete", {"confirm": "lab one"})
    assert (status, reply["target"]) == (200, "deleted")

    status, reply, _ = await call("GET", "snapshot")
    snapshot = wire.Snapshot.model_validate(reply)
    assert [found.id for found in snapshot.leases] == [lease.id]


async def test_console_is_text_in_json(call):
    _, lease, _ = await call("POST", "leases", {"lab": "x", "machine_profile": "tiny"})
    status, reply, headers = await call("GET", f"leases/{lease['id']}/console")
    assert status == 200
    assert reply["text"] == "login: \x1b[31m<script>"
    assert headers["Content-Type"].startswith("application/json")
    assert headers["X-Content-Type-Options"] == "nosniff"


async def test_the_person_is_the_servers_owner_whatever_the_request_says(call, broker):
    await call("GET", "snapshot?person=eve", headers={"X-Person": "eve"})
    assert ("snapshot", "ada") in broker.calls
    assert {person for _, person in broker.calls} == {"ada"}


async def test_a_lease_of_somebody_else_looks_like_none(call, broker):
    await broker.ensure_lease("eve", wire.LeaseRequest(lab="secret", machine_profile="tiny"))
    theirs = await call("POST", "leases/l-secret-main/start", {})
    absent = await call("POST", "leases/l-absent-main/start", {})
    assert theirs[0] == absent[0] == 404
    assert theirs[1]["error"] == absent[1]["error"]


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b"", "body"),
        (b"{", "body"),
        (b"[]", "body"),
        (b"null", "body"),
        (b'{"lab": "x"}', "machine_profile"),
        (b'{"lab": "", "machine_profile": "tiny"}', "lab"),
        (b'{"lab": "   ", "machine_profile": "tiny"}', "lab"),
        (b'{"lab": "' + b"x" * 65 + b'", "machine_profile": "tiny"}', "lab"),
        (b'{"lab": 7, "machine_profile": "tiny"}', "lab"),
        (b'{"lab": "x", "machine_profile": "tiny", "stat": true}', "stat"),
        (b'{"lab": "x", "machine_profile": "tiny", "start": "perhaps"}', "start"),
        (b'{"lab": "\xff", "machine_profile": "tiny"}', "body"),
    ],
)
async def test_a_malformed_body_is_a_400_that_names_the_field(call, broker, body, named):
    status, reply, _ = await call.raw("POST", "leases", body)
    assert status == 400
    assert reply["error"]["code"] == "bad-input"
    assert named in reply["error"]["what"]
    assert reply["error"]["kept"] == "Nothing was changed."
    assert broker.leases == {}


async def test_names_with_quotes_and_letters_of_all_kinds_survive(call):
    lab = 'L\'été "β" 🧪 <b>'
    status, reply, _ = await call("POST", "leases", {"lab": lab, "machine_profile": "tiny"})
    assert (status, reply["lab"]) == (200, lab)


async def test_a_large_body_is_refused(call):
    status, reply, _ = await call("POST", "leases", {"lab": "x" * 70_000, "machine_profile": "tiny"})
    assert (status, reply["error"]["code"]) == (413, "http-413")


async def test_a_form_is_refused(call, broker):
    status, reply, _ = await call(
        "POST",
        "leases",
        {"lab": "x", "machine_profile": "tiny"},
        headers={"Content-Type": "text/plain"},
    )
    assert (status, reply["error"]["code"]) == (415, "http-415")
    assert broker.leases == {}


async def test_an_unknown_exception_says_nothing_of_the_inside(call, broker, caplog):
    await call("GET", "snapshot")
    broker.failure = RuntimeError("password=hunter2 at /home/ada/secret")
    with caplog.at_level(logging.ERROR):
        status, reply, _ = await call("GET", "snapshot?token2=t0psecret")
    assert status == 500
    error = wire.ErrorReply.model_validate(reply)
    assert error.error.code == "internal"
    assert "hunter2" not in json.dumps(reply)
    assert re.fullmatch("[0-9a-f]{16}", error.request_id)
    assert error.request_id in caplog.text
    assert "t0psecret" not in "".join(r.getMessage() for r in caplog.records if error.request_id in r.getMessage())


async def test_an_error_of_ours_comes_whole(call, broker):
    await call("GET", "snapshot")
    broker.failure = errors.CapacityError("No room.", kept="All kept.", next_step="Wait.")
    status, reply, _ = await call("GET", "snapshot")
    assert status == 503
    assert reply["error"] == {
        "code": "capacity",
        "what": "No room.",
        "kept": "All kept.",
        "next_step": "Wait.",
        "at": None,
    }


@pytest.mark.parametrize("odd", ["a%2Fb", "..", "x" * 65, "a;b", "%00", "a b".replace(" ", "%20")])
async def test_an_identifier_of_another_form_is_no_route(call, broker, odd):
    status, _, _ = await call("POST", f"leases/{odd}/start", {})
    assert status == 404
    assert broker.calls == []
