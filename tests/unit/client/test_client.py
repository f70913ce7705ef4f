"""The client: what it sends, what it returns, what it raises."""

import json
from datetime import UTC, datetime

import httpx
import pytest

from educloud_lab.client import plans, rules
from educloud_lab.client.client import Client
from educloud_lab.client.errors import ServerUnreachableError, WaitTimeoutError, error_of
from educloud_lab.client.find import Server
from educloud_lab.domain import errors
from educloud_lab.wire import models as wire

T0 = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SERVER = Server("http://127.0.0.1:8888/user/a%20b/", "t0k")


def lease(phase="ready", **changes):
    return wire.Lease(
        id="l1",
        course="local",
        lab="one",
        slot="main",
        person="ada",
        machine_profile=wire.ProfileRef(name="tiny", revision=1, title="Tiny"),
        generation=1,
        target="running",
        status="running",
        phase=phase,
        headline=f"it is {phase}",
        system_disk="kept",
        updated_at=T0,
    ).model_copy(update=changes)


def snapshot(*leases):
    return wire.Snapshot(
        version=1,
        server_time=T0,
        person="ada",
        course="local",
        cloud=wire.Cloud(kind="local", name="x", reachable=True),
        profiles=[],
        leases=list(leases),
    )


class Answers:
    """Answers in turn, the last one for ever, and keeps what was asked."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.requests = []

    def __call__(self, request):
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, httpx.Response):
            return answer
        return httpx.Response(200, content=answer.model_dump_json())

    def client(self):
        return Client(SERVER, transport=httpx.MockTransport(self))


def refusal(status, code, what="What."):
    problem = wire.Problem(code=code, what=what, kept="Kept.", next_step="Next.")
    return httpx.Response(status, content=wire.ErrorReply(error=problem, request_id="r").model_dump_json())


@pytest.mark.parametrize(
    ("ask", "method", "path", "body"),
    [
        (lambda c: c.ensure(lab="one", machine_profile="tiny", start=True), "POST", "leases",
         {"lab": "one", "machine_profile": "tiny", "slot": "main", "start": True}),
        (lambda c: c.start("l1"), "POST", "leases/l1/start", None),
        (lambda c: c.stop("l1"), "POST", "leases/l1/stop", None),
        (lambda c: c.extend("l1"), "POST", "leases/l1/extend", None),
        (lambda c: c.busy("l1", None), "POST", "leases/l1/busy", {"until": None}),
        (lambda c: c.exempt("l1", reason="renders", until=T0), "POST", "leases/l1/exempt",
         {"reason": "renders", "until": "2026-01-02T03:04:05Z"}),
        (lambda c: c.end_exemption("l1"), "POST", "leases/l1/end-exemption", None),
        (lambda c: c.delete("l1", confirm="one"), "POST", "leases/l1/delete", {"confirm": "one"}),
    ],
)  # fmt: skip
def test_actions(ask, method, path, body):
    answers = Answers(lease())
    with answers.client() as client:
        assert ask(client) == lease()
    (request,) = answers.requests
    assert (request.method, request.url.raw_path.decode()) == (method, f"/user/a%20b/educloud/api/v1/{path}")
    assert request.headers["Authorization"] == "token t0k"
    assert (json.loads(request.content) if request.content else None) == body
    if body:
        assert request.headers["Content-Type"] == "application/json"


def test_reading():
    with Answers(snapshot(lease())).client() as client:
        assert client.snapshot().leases == [lease()]
        assert client.lease("l1") == lease()
        with pytest.raises(errors.NotFoundError):
            client.lease("l2")
    with Answers(wire.Console(lease_id="l1", text="boot", read_at=T0)).client() as client:
        assert client.console("l1") == "boot"
    with Answers(wire.Hello(api_version=1, package_version="1")).client() as client:
        assert client.hello().api_version == 1


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (409, "conflict", errors.ConflictError),
        (503, "capacity", errors.CapacityError),
        (404, "not-found", errors.NotFoundError),
        (502, "command-failed", errors.EducloudError),
        (500, "internal", errors.EducloudError),
    ],
)
def test_a_refusal_is_the_same_error_as_on_the_server(status, code, kind):
    with Answers(refusal(status, code)).client() as client, pytest.raises(kind) as caught:
        client.start("l1")
    error = caught.value
    assert type(error) is kind
    assert (error.code, error.what, error.kept, error.next_step) == (code, "What.", "Kept.", "Next.")
    assert errors.EducloudError.code == "error", "an instance's code must not become the class's"


def tree(kind):
    yield kind
    for child in kind.__subclasses__():
        yield from tree(child)


def test_every_code_of_the_tree_is_understood():
    for kind in tree(errors.EducloudError):
        if kind.__module__ == errors.__name__:
            assert error_of(kind.code, "w", "", "").code == kind.code


@pytest.mark.parametrize("answer", [httpx.Response(200, text="<html>"), httpx.Response(404, text="<html>")])
def test_an_answer_that_is_not_ours(answer):
    with Answers(answer).client() as client, pytest.raises(ServerUnreachableError) as caught:
        client.snapshot()
    assert "restart the server, not the kernel" in caught.value.next_step


def test_no_answer_never_shows_the_token():
    with Answers(httpx.ConnectError("refused")).client() as client, pytest.raises(ServerUnreachableError) as caught:
        client.snapshot()
    assert "t0k" not in str(caught.value)
    assert "t0k" not in repr(client)
    assert "t0k" not in repr(SERVER)


@pytest.fixture
def clock(monkeypatch):
    """Time that passes only by waiting."""

    class Clock:
        now = 0.0

        def monotonic(self):
            return self.now

        def sleep(self, seconds):
            self.now += seconds

    made = Clock()
    monkeypatch.setattr(plans, "time", made)
    monkeypatch.setattr(rules, "time", made)
    return made


def test_waiting_until_it_is_there(clock):
    answers = Answers(snapshot(lease("starting")), snapshot(lease("starting")), snapshot(lease("ready")))
    with answers.client() as client:
        assert client.wait("l1").phase is wire.Phase.READY
    assert len(answers.requests) == 3
    assert clock.now == pytest.approx(1.0)


def test_waiting_in_vain(clock):
    with (
        Answers(snapshot(lease("starting"))).client() as client,
        pytest.raises(WaitTimeoutError, match="it is starting"),
    ):
        client.wait("l1", timeout_s=10)
    assert clock.now == pytest.approx(10)


def test_trouble_ends_the_wait_with_the_leases_own_problem(clock):
    problem = wire.Problem(code="capacity", what="No room.", next_step="Wait.")
    with Answers(snapshot(lease("trouble", problem=problem))).client() as client, pytest.raises(errors.CapacityError):
        client.wait("l1")
    assert clock.now == 0


def test_a_phase_that_does_not_exist(clock):
    with Answers(snapshot(lease())).client() as client, pytest.raises(ValueError, match="redy"):
        client.wait("l1", phase="redy")
