"""``educloud start``, ``stop`` and ``run``: what they ask, what they say, how they end."""

from datetime import UTC, datetime

import pytest

from educloud_lab.app.copy_app import Bar, GetApp, PutApp
from educloud_lab.app.machine_app import StartApp, StopApp, Told
from educloud_lab.app.status_app import StatusApp
from educloud_lab.app.work_app import RunApp
from educloud_lab.client import copying, headless, running
from educloud_lab.client.errors import ServerNotFoundError, SeveralServersError
from educloud_lab.client.find import Server
from educloud_lab.domain import errors
from educloud_lab.wire import models as wire
from educloud_lab.wire.run import RunEnded

T0 = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SERVER = Server("http://127.0.0.1:8888/", "t0k")


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


class Machine:
    def __init__(self, lease):
        self.id = lease.id


class FakeClient:
    """Has these leases; keeps what was asked."""

    server = SERVER

    def __init__(self, *leases):
        self.leases = list(leases)
        self.asked = []

    def snapshot(self):
        cloud = wire.Cloud(kind="local", name="x", reachable=True)
        return wire.Snapshot(
            version=1, server_time=T0, person="ada", course="local", cloud=cloud, profiles=[], leases=self.leases
        )

    settled = snapshot

    def _alive(self):
        return self.server

    def machine(self, lab, machine_profile, slot):
        self.asked.append(("machine", lab, machine_profile, slot))
        return Machine(lease())

    def start(self, lease_id):
        self.asked.append(("start", lease_id))
        return lease("starting")

    def stop(self, lease_id):
        self.asked.append(("stop", lease_id))
        return lease("stopping") if self.leases[0].phase != "off" else self.leases[0]

    def wait(self, lease_id, *, phase="ready", timeout_s, progress):
        self.asked.append(("wait", lease_id, phase, timeout_s))
        progress(lease("starting"))
        progress(lease("starting"))
        return lease(phase, login="student@172.16.64.9" if phase == "ready" else None)


def run(kind, client, *arguments):
    """Run a command as typed; return its exit status."""
    app = kind()
    try:
        app.initialize(list(arguments))
        app.ask(client) if app.extra_args else app.start()
    except SystemExit as end:
        return end.code or 0
    finally:
        kind.clear_instance()
    return 0


def test_start_and_wait(capsys):
    client = FakeClient(lease("off"))
    assert run(StartApp, client, "one", "--timeout=9") == 0
    assert client.asked == [("start", "l1"), ("wait", "l1", "ready", 9.0)]
    out, err = capsys.readouterr()
    assert out == "one: ready, student@172.16.64.9\n"
    assert err == "it is starting\n", "each headline once"


def test_start_of_what_is_new(monkeypatch):
    client = FakeClient()
    assert run(StartApp, client, "one", "--profile=tiny", "--slot=left", "--no-wait") == 0
    assert client.asked == [("machine", "one", "tiny", "left"), ("start", "l1")]
    monkeypatch.setenv("EDUCLOUD_MACHINE_PROFILE", "tiny")
    client = FakeClient()
    run(StartApp, client, "one", "--no-wait")
    assert client.asked[0] == ("machine", "one", "tiny", "main")


def test_start_of_a_lab_with_several_machines_asks_which():
    client = FakeClient(lease(), lease(id="l2", slot="left"))
    with pytest.raises(errors.NotFoundError, match="several machines"):
        run(StartApp, client, "one")
    assert client.asked == []
    run(StartApp, client, "l2", "--no-wait")
    assert client.asked == [("start", "l2")]


def test_start_of_a_machine_by_its_id_with_a_profile():
    """An id is no lab's name: a new lab of that name would be made otherwise."""
    client = FakeClient(lease(), lease(id="l2", slot="left"))
    run(StartApp, client, "l2", "--profile=debian", "--no-wait")
    assert client.asked == [("machine", "one", "debian", "left"), ("start", "l2")]


@pytest.mark.parametrize("kind", [StartApp, StopApp, StatusApp])
def test_an_interrupt_before_anything_is_waited_for(kind, monkeypatch, capsys):
    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(kind, "find", interrupted)
    app = kind()
    app.extra_args = [] if kind is StatusApp else ["one"]
    with pytest.raises(SystemExit) as caught:
        app.start()
    assert caught.value.code == 130
    assert "goes on by itself" in capsys.readouterr().err


def test_stop(capsys):
    client = FakeClient(lease())
    assert run(StopApp, client, "one") == 0
    assert client.asked == [("stop", "l1"), ("wait", "l1", "asleep", 600.0)]
    client = FakeClient(lease("off"))
    assert run(StopApp, client, "one") == 0
    assert client.asked == [("stop", "l1")], "what never ran does not come to sleep"
    with pytest.raises(errors.NotFoundError, match="no machine 'two'"):
        run(StopApp, client, "two")


def test_an_interrupt_ends_the_waiting_only(capsys, monkeypatch):
    client = FakeClient(lease())

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(client, "wait", interrupted)
    assert run(StopApp, client, "one") == 130
    assert "goes on by itself" in capsys.readouterr().err


def test_how_far_a_start_is(capsys):
    step = wire.Step(name="boot", title="Boot the machine", state="doing")
    job = wire.Job(id="j", kind="start", created_at=T0, in_flight=True, attempts=1, steps=[step], progress=0.25)
    Told()(lease("starting", job=job))
    assert capsys.readouterr().err == "Boot the machine, 25%\n"


class Command:
    """Stands for a command that runs."""

    hint = ""

    def __init__(self, *pieces, status=0, why="", hint=""):
        self.pieces, self.hint, self.closed = pieces, hint, False
        self.ended = RunEnded(exit_status=status, why=why, duration_s=1)

    def __call__(self, server, lease_id, request):
        self.asked = (server, lease_id, request)
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.closed = True

    def __iter__(self):
        return iter(self.pieces)

    def wait(self):
        return self.ended


@pytest.fixture
def command(monkeypatch):
    def put(made):
        monkeypatch.setattr(running, "begin", made)
        return made

    return put


@pytest.mark.parametrize(
    ("typed", "script"),
    [
        (["make", "-C", "/my data"], "make -C '/my data'"),
        (["cd /data && make"], "cd /data && make"),
        (["echo", "--", "$HOME"], "echo -- '$HOME'"),
        (["--help"], "--help"),
    ],
)
def test_a_command_as_typed(command, typed, script):
    made = command(Command())
    assert run(RunApp, FakeClient(lease()), "one", "--folder=/data", "--timeout=5", "--", *typed) == 0
    assert made.asked[:2] == (SERVER, "l1")
    assert (made.asked[2].script, made.asked[2].folder, made.asked[2].limit_s) == (script, "/data", 5)


def test_output_and_exit_status_are_passed_on(command, capsys):
    made = command(Command(("stdout", "out\x1b[31m"), ("stderr", "err"), status=7, hint="Use --yes."))
    assert run(RunApp, FakeClient(lease()), "one", "--", "x") == 7
    out, err = capsys.readouterr()
    assert out == "out\x1b[31m"
    assert err.startswith("err")
    assert "Use --yes." in err
    assert made.closed


@pytest.mark.parametrize(("why", "status"), [("interrupted", 130), ("limit", 143)])
def test_how_it_was_ended(command, why, status):
    command(Command(status=143, why=why))
    assert run(RunApp, FakeClient(lease()), "one", "--timeout=5", "--", "x") == status


@pytest.mark.parametrize(
    ("kind", "typed"),
    [(RunApp, ["one"]), (RunApp, ["one", "x"]), (RunApp, ["--", "x"]), (StartApp, []), (StopApp, ["one", "two"])],
)
def test_what_is_not_understood(kind, typed, capsys):
    app = kind()
    app.initialize(typed)
    with pytest.raises(SystemExit) as caught:
        app.start()
    kind.clear_instance()
    assert caught.value.code == 2
    assert "Nothing was done" in capsys.readouterr().err


def test_who_starts_a_broker(monkeypatch):
    """What does something starts one where nothing runs; what looks does not, nor who meant a certain server."""
    monkeypatch.delenv("EDUCLOUD_URL", raising=False)
    monkeypatch.setattr(headless, "ensure", lambda: SERVER)

    def none():
        raise ServerNotFoundError("None.")

    monkeypatch.setattr("educloud_lab.client.find.find_any_server", none)
    assert StartApp().find() is SERVER
    assert RunApp().find() is SERVER
    with pytest.raises(ServerNotFoundError):
        StatusApp().find()
    monkeypatch.setenv("EDUCLOUD_URL", "wrong")
    with pytest.raises(ServerNotFoundError):
        StartApp().find()
    monkeypatch.delenv("EDUCLOUD_URL")

    def several():
        raise SeveralServersError("Several.")

    monkeypatch.setattr("educloud_lab.client.find.find_any_server", several)
    with pytest.raises(SeveralServersError):
        StartApp().find()


@pytest.mark.parametrize(("kind", "way"), [(PutApp, "upload"), (GetApp, "download")])
def test_copies(kind, way, monkeypatch, capsys):
    asked = []

    def copy(server, lease_id, source, target, *, progress):
        asked.append((lease_id, source, target))
        progress(1, 2)
        return copying.Copied("/data/a.csv", 2, "")

    monkeypatch.setattr(copying, way, copy)
    assert run(kind, FakeClient(lease()), "one", "a.csv", "/data/") == 0
    assert asked == [("l1", "a.csv", "/data/")]
    out, err = capsys.readouterr()
    assert out.endswith(" as /data/a.csv\n")
    assert err == "", "no bar but on a terminal"

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(copying, way, interrupted)
    assert run(kind, FakeClient(lease()), "one", "a.csv", "/data/") == 130


def test_a_bar_on_a_terminal(monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    bar = Bar("a\x1b[2J.csv")
    for done in (0, 1, 1000, 2000):
        bar(done, 2000)
    Bar("empty")(0, 0)
    assert capsys.readouterr().err == "\ra[2J.csv: 0 %\ra[2J.csv: 50 %\ra[2J.csv: 100 %\n\rempty: 100 %\n"
