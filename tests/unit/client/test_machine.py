"""Machines and volumes for scripts: the same rules and names, blocking and not."""

import asyncio
import inspect
import json
import types
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from educloud_lab.client import aio, amachine, client, machine, plans, rules, volume
from educloud_lab.client.aio import AsyncClient
from educloud_lab.client.client import Client
from educloud_lab.client.errors import LabUnknownError, ServerUnreachableError, WaitTimeoutError
from educloud_lab.client.find import Server
from educloud_lab.domain import errors
from educloud_lab.wire import models as wire

T0 = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SERVER = Server("http://127.0.0.1:8888/", "t0k")
TINY = wire.MachineProfile(
    name="tiny", revision=1, title="Tiny", description="", image="tiny", instance_type="m1.small",
    volume_size_bytes=1 << 30, mount_point="/data", time_limit_s=3600,
)  # fmt: skip


def lease(phase="ready", **changes):
    target = {"ready": "running", "starting": "running", "waiting": "running"}.get(phase, "stopped")
    return wire.Lease(
        id="l1",
        course="local",
        lab="one",
        slot="main",
        person="ada",
        machine_profile=wire.ProfileRef(name="tiny", revision=1, title="Tiny"),
        generation=1,
        target=target,
        status="running",
        phase=phase,
        headline=f"it is {phase}",
        system_disk="kept",
        updated_at=T0,
    ).model_copy(update=changes)


def snapshot(*leases, **changes):
    return wire.Snapshot(
        version=1,
        server_time=T0,
        person="ada",
        course="local",
        cloud=wire.Cloud(kind="local", name="x", reachable=True),
        profiles=[TINY],
        leases=list(leases),
    ).model_copy(update=changes)


def stand_in(code):
    problem = wire.Problem(code=code, what="Not there.", kept="Kept.", next_step="Next.")
    cloud = wire.Cloud(kind="local", name="x", reachable=False, problem=problem)
    return snapshot(version=0, cloud=cloud)


def job(kind="restore", *, in_flight=True, outcome=None, job_id="j1", estimate_s=None):
    return wire.Job(
        id=job_id, kind=kind, created_at=T0, in_flight=in_flight, attempts=1, outcome=outcome, steps=[], progress=0.5,
        estimate_s=estimate_s,
    )  # fmt: skip


def taken(name="before", state="completed", **changes):
    return wire.VolumeSnapshot(
        id=f"s-{name}", name=name, cloud_id="snap-1", state=state, progress_percent=100, size_bytes=1 << 30,
        created_at=T0, created_by="ada",
    ).model_copy(update=changes)  # fmt: skip


class FakeServer:
    """Answers by route; a list of answers is used up, but for its last."""

    def __init__(self, **routes):
        self.routes = {key.replace("__", "/"): value for key, value in routes.items()}
        self.asked = []

    def __call__(self, request):
        path = request.url.path.removeprefix("/educloud/api/v1/")
        self.asked.append((request.method, path, json.loads(request.content) if request.content else None))
        answer = self.routes[path]
        if isinstance(answer, list):
            answer = answer.pop(0) if len(answer) > 1 else answer[0]
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, httpx.Response):
            return answer
        return httpx.Response(200, content=answer.model_dump_json() if answer is not None else b"")

    def client(self):
        return Client(SERVER, transport=httpx.MockTransport(self))

    def machine(self, **options):
        return machine.Machine(self.client(), lease(**options))


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    """Time that passes only by waiting."""

    class Clock:
        now = 0.0
        waits = 0

        def monotonic(self):
            return self.now

        def sleep(self, seconds):
            self.waits += 1
            self.now += seconds

    made = Clock()
    monkeypatch.setattr(plans, "time", made)
    monkeypatch.setattr(rules, "time", made)
    return made


def public(kind):
    return {name: value for name, value in vars(kind).items() if not name.startswith("_")}


@pytest.mark.parametrize(
    ("blocking", "coroutines"),
    [
        (client.Client, aio.AsyncClient),
        (machine.Machine, amachine.AsyncMachine),
        (volume.Volume, volume.AsyncVolume),
    ],
)
def test_both_have_the_same_names_and_signatures(blocking, coroutines):
    ours, theirs = public(blocking), public(coroutines)
    assert set(ours) == set(theirs)
    for name, member in ours.items():
        other = theirs[name]
        assert type(member) is type(other), name
        if isinstance(member, property):
            assert inspect.iscoroutinefunction(other.fget), name
        elif isinstance(member, types.FunctionType):
            assert inspect.iscoroutinefunction(other), name
            mine, its = inspect.signature(member), inspect.signature(other)
            assert list(mine.parameters.values()) == list(its.parameters.values()), name
            assert mine.return_annotation in {its.return_annotation, its.return_annotation.replace("Async", "")}, name


def test_a_machine_is_recorded_and_not_started():
    server = FakeServer(snapshot=snapshot(), leases=lease("off"))
    found = server.client().machine("one", "tiny", "left")
    assert (found.id, found.lab) == ("l1", "one")
    assert server.asked[1:] == [
        ("POST", "leases", {"lab": "one", "machine_profile": "tiny", "slot": "left", "start": False})
    ]


def test_a_machine_that_there_is_needs_no_profile():
    server = FakeServer(snapshot=snapshot(lease()))
    assert server.client().machine("one").id == "l1"
    with pytest.raises(errors.BadInputError, match=r"no machine for the lab .*Your labs: .*there are: tiny"):
        server.client().machine("two")
    with pytest.raises(errors.BadInputError):
        server.client().machine("one", slot="left")


def test_the_lab_of_the_environment(monkeypatch):
    monkeypatch.setenv("EDUCLOUD_LAB", "one")
    monkeypatch.setenv("EDUCLOUD_MACHINE_PROFILE", "tiny")
    server = FakeServer(snapshot=snapshot(), leases=lease("off"))
    server.client().machine()
    assert server.asked[-1][2]["lab"] == "one"
    assert server.client().needs().machine_profile == "tiny"
    monkeypatch.delenv("EDUCLOUD_MACHINE_PROFILE")
    with pytest.raises(LabUnknownError, match="without EDUCLOUD_MACHINE_PROFILE"):
        server.client().needs()
    assert FakeServer(snapshot=snapshot(lease())).client().machine().id == "l1"


def test_while_the_broker_is_being_started(clock):
    server = FakeServer(snapshot=[stand_in("starting"), stand_in("starting"), snapshot(lease())])
    assert server.machine().state == "ready"
    assert clock.now == pytest.approx(2 * rules.POLL_S)
    with pytest.raises(errors.CloudUnreachableError) as caught:
        FakeServer(snapshot=stand_in("cloud-unreachable")).machine().lease  # noqa: B018 - it asks
    assert (caught.value.kept, caught.value.next_step) == ("Kept.", "Next.")
    with pytest.raises(errors.EducloudError, match="Not there"):
        FakeServer(snapshot=stand_in("starting")).client().machine("one", "tiny")


def test_what_it_shows_is_asked_anew():
    instance = wire.Instance(
        id="i-1", state="running", address="172.16.64.9", instance_type="m1.small", image_id="emi-1", zone="one",
        launched_at=T0,
    )  # fmt: skip
    limits = wire.Limits(limits=[wire.Limit(kind="hard", ends_at=T0 + timedelta(seconds=90), text="")], guarded=True)
    server = FakeServer(snapshot=[snapshot(lease("off")), snapshot(lease(instance=instance, limits=limits))])
    found = server.machine()
    assert found.state == "off"
    assert (found.state, found.address, found.instance_id) == ("ready", "172.16.64.9", "i-1")
    assert (found.time_left_s, found.headline) == (90, "it is ready")
    off = FakeServer(snapshot=snapshot(lease("off"))).machine()
    assert (off.address, off.instance_id, off.time_left_s) == (None, None, None)
    assert "t0k" not in repr(found)
    assert "172" not in repr(found)


def test_wishes():
    server = FakeServer(
        leases__l1__start=lease("starting"), leases__l1__stop=lease("stopping"), leases__l1__extend=lease(),
        leases__l1__delete=lease("deleting"), snapshot=snapshot(lease()),
    )  # fmt: skip
    found = server.machine()
    assert found.start().wait().keep().stop().delete(confirm="one") is found
    assert [path for _, path, _ in server.asked] == [
        "leases/l1/start", "snapshot", "leases/l1/extend", "leases/l1/stop", "leases/l1/delete",
    ]  # fmt: skip
    assert server.asked[-1][2] == {"confirm": "one"}


def test_a_wait_tells_how_it_goes_on(clock):
    looks = [lease("starting", job=job("start", estimate_s=100)), lease("starting", job=job("start", estimate_s=1))]
    server = FakeServer(snapshot=[*map(snapshot, looks), snapshot(lease())])
    told = []
    server.machine().wait(progress=told.append)
    assert told == [*looks, lease()]
    assert clock.now == pytest.approx(2.0 + 0.25), "seldom while much is left, often at the end"


def test_a_wait_ends_when_somebody_wants_something_else(clock):
    server = FakeServer(snapshot=[snapshot(lease("starting")), snapshot(lease("stopping"))])
    with pytest.raises(errors.ConflictError, match="not going to be ready any more"):
        server.machine().wait()
    server = FakeServer(snapshot=[snapshot(lease("stopping")), snapshot(lease("starting"))])
    with pytest.raises(errors.ConflictError):
        server.machine().wait("asleep")


def test_what_is_off_is_as_good_as_asleep(clock):
    """A machine that never ran, or that is deleted meanwhile, would be waited for until the time is over."""
    off = lease("off", target="stopped", status="new")
    FakeServer(snapshot=snapshot(off)).machine().wait("asleep")
    assert clock.now == 0
    deleting = lease("deleting", target="deleted", status="deleting")
    FakeServer(snapshot=[snapshot(deleting), snapshot(off)]).machine().wait("asleep", timeout_s=3)


def test_a_wait_for_a_start_that_somebody_makes_meanwhile(clock):
    server = FakeServer(snapshot=[snapshot(lease("off")), snapshot(lease("starting")), snapshot(lease())])
    server.machine().wait()
    with pytest.raises(WaitTimeoutError, match="Nobody has started it"):
        FakeServer(snapshot=snapshot(lease("off"))).machine().wait(timeout_s=3)
    assert clock.now == pytest.approx(4.0), "the last look is at the end"


def test_a_wait_outlives_a_server_that_starts_again(clock):
    lost = httpx.ConnectError("refused")
    server = FakeServer(snapshot=[snapshot(lease("starting")), lost, lost, snapshot(lease())])
    server.machine().wait()
    server = FakeServer(snapshot=[snapshot(lease("starting")), lost])
    with pytest.raises(ServerUnreachableError):
        server.machine().wait()
    assert clock.now < 2 + rules.UNREACHABLE_S + 2 * rules.POLL_S
    with pytest.raises(ServerUnreachableError):
        FakeServer(snapshot=lost).machine().wait()


async def test_ready_leaves_the_loop_free():
    server = FakeServer(snapshot=[snapshot(lease("starting")), snapshot(lease())])
    found = server.machine()
    beats = 0

    async def beat():
        nonlocal beats
        while True:
            beats += 1
            await asyncio.sleep(0)

    heart = asyncio.create_task(beat())
    assert await found.ready() is found
    heart.cancel()
    assert beats > 10


async def test_the_same_as_coroutines():
    server = FakeServer(
        snapshot=[snapshot(), snapshot(lease("starting")), snapshot(lease(snapshots=[taken()]))],
        leases=lease("off"),
        leases__l1__start=lease("starting"),
    )
    async with AsyncClient(SERVER, transport=httpx.MockTransport(server)) as asked:
        found = await asked.machine("one", "tiny")
        await (await found.start()).wait()
        assert await found.state == "ready"
        assert await found.volume.snapshots == [taken()]
        with pytest.raises(errors.NotFoundError, match="no data volume"):
            await found.volume.size_bytes


def test_a_snapshot_is_seen_through(clock):
    pending = lease(snapshots=[taken(state="pending")])
    server = FakeServer(
        leases__l1__snapshots=pending, snapshot=[snapshot(pending), snapshot(lease(snapshots=[taken()]))]
    )
    assert server.machine().volume.snapshot(" before ").state == "completed"
    assert server.asked[0][2] == {"name": "before"}
    assert server.machine().volume.snapshot("before", timeout_s=0).state == "pending"
    failed = snapshot(lease(snapshots=[taken(state="failed")]))
    with pytest.raises(errors.EducloudError, match="could not take"):
        FakeServer(leases__l1__snapshots=pending, snapshot=failed).machine().volume.snapshot("before")
    with pytest.raises(WaitTimeoutError, match="'before' is not complete"):
        FakeServer(leases__l1__snapshots=pending, snapshot=snapshot(pending)).machine().volume.snapshot("before")


def test_a_restore_is_seen_through():
    before = lease("asleep", snapshots=[taken("failed", "failed"), taken()])
    server = FakeServer(
        leases__l1__snapshots__s_before__restore=None,
        snapshot=[
            snapshot(before),
            snapshot(before.model_copy(update={"job": job()})),
            snapshot(before.model_copy(update={"job": job(in_flight=False, outcome="done")})),
        ],
    )
    server.routes["leases/l1/snapshots/s-before/restore"] = before.model_copy(update={"job": job()})
    server.machine().volume.restore("before")
    assert [path for _, path, _ in server.asked].count("snapshot") == 3
    with pytest.raises(errors.NotFoundError, match="'before'"):
        FakeServer(snapshot=snapshot(before)).machine().volume.restore("after")


def test_a_wish_that_fails_is_the_leases_problem():
    problem = wire.Problem(code="quota", what="No room.", kept="Kept.", next_step="Next.")
    asked = lease("asleep", job=job("grow"))
    failed = lease("trouble", job=job("grow", in_flight=False, outcome="failed"), problem=problem)
    server = FakeServer(leases__l1__volume__grow=asked, snapshot=snapshot(failed))
    with pytest.raises(errors.QuotaError):
        server.machine().volume.grow(2)
    followed = lease("starting", job=job("start", job_id="j2"))
    FakeServer(leases__l1__volume__grow=asked, snapshot=snapshot(followed)).machine().volume.grow(2)


def test_checks_and_calls():
    report = wire.CheckReport(lease_id="l1", lab="one", person="ada", checked_at=T0, passed=0, results=[])
    accounts = wire.Accounts(lease_id="l1", lab="one", accounts=[])
    server = FakeServer(leases__l1__checks=report, leases__l1__calls=accounts)
    found = server.machine()
    assert found.check("port 80 answers", "/data is mounted") == report
    assert found.calls(limit=2) == accounts
    assert server.asked[0][2] == {"checks": ["port 80 answers", "/data is mounted"]}
