"""Commands by a machine: what is sent, what comes back, and when a failure is an error."""

import asyncio

import pytest

from educloud_lab.client import amachine, arunning, copying, machine, running
from educloud_lab.client.aio import AsyncClient
from educloud_lab.client.client import Client
from educloud_lab.client.find import Server
from educloud_lab.domain import errors
from educloud_lab.wire.run import RunEnded, RunRequest

SERVER = Server("http://127.0.0.1:8888/", "t0k")


class Lease:
    id, lab, slot = "l1", "one", "main"


class Fake:
    """Stands for a command that runs; it has these pieces and this end."""

    hint = ""

    def __init__(self, *pieces, status=0, why="", hint=""):
        self.pieces, self.hint, self.closed = pieces, hint, 0
        self.ended = RunEnded(exit_status=status, why=why, duration_s=1.5)
        self.asked = None

    def begin(self, server, lease_id, request):
        self.asked = (server, lease_id, request)
        return self

    async def abegin(self, server, lease_id, request):
        return self.begin(server, lease_id, request)

    def __iter__(self):
        return iter(self.pieces)

    async def __aiter__(self):
        for piece in self.pieces:
            yield piece

    def wait(self):
        return self.ended

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.closed += 1

    async def __aenter__(self):
        made = Fake(*self.pieces, hint=self.hint)
        made.ended, made.wait = self.ended, self.await_
        return made

    async def await_(self):
        return self.ended

    async def __aexit__(self, *_):
        self.closed += 1


@pytest.fixture(params=["blocking", "coroutines"])
def run(request, monkeypatch):
    """Run a command on a machine whose server does as a fake says, either way."""

    def run(fake, *arguments, **options):
        monkeypatch.setattr(running, "begin", fake.begin)
        monkeypatch.setattr(arunning, "abegin", fake.abegin)
        if request.param == "blocking":
            return machine.Machine(Client(SERVER), Lease).run(*arguments, **options)
        return asyncio.run(amachine.AsyncMachine(AsyncClient(SERVER), Lease).run(*arguments, **options))

    return run


def test_what_it_printed(run):
    fake = Fake(("stdout", "a"), ("stderr", "b"), ("stdout", "c"))
    told = []
    done = run(
        fake, "make", folder="/data", environment={"A": "1"}, keep="k", timeout_s=9, on_output=lambda *p: told.append(p)
    )
    assert (done.stdout, done.stderr, done.exit_status, done.duration_s) == ("ac", "b", 0, 1.5)
    assert told == list(fake.pieces)
    assert fake.asked == (
        SERVER, "l1", RunRequest(script="make", limit_s=9, folder="/data", environment={"A": "1"}, keep="k"),
    )  # fmt: skip
    assert fake.closed == 1


def test_a_failure_is_an_error_unless_said_otherwise(run):
    fake = Fake(("stdout", "out"), ("stderr", "no such file\n"), status=2, hint="Give it a file.")
    with pytest.raises(errors.CommandFailedError, match="exit status 2:\nno such file") as caught:
        run(fake, "cat x")
    assert (caught.value.exit_status, caught.value.output) == (2, "outno such file\n")
    assert caught.value.next_step == "Give it a file."
    assert run(fake, "cat x", check=False).exit_status == 2
    with pytest.raises(errors.CommandFailedError, match="`first…` ended"):
        run(Fake(status=1), "first\nsecond")


def test_a_limit_on_its_time(run):
    fake = Fake(status=143, why="limit")
    with pytest.raises(errors.CommandTimeoutError, match="within 2 s"):
        run(fake, "sleep 9", timeout_s=2)
    assert run(fake, "sleep 9", timeout_s=2, check=False).exit_status == 143


def test_what_cannot_be_sent(run):
    fake = Fake()
    for options in ({"environment": {"A B": "1"}}, {"timeout_s": -1}, {"folder": "a\nb"}, {"keep": "../x"}):
        with pytest.raises(errors.BadInputError, match=next(iter(options)).replace("timeout_s", "limit_s")):
            run(fake, "x", **options)
    with pytest.raises(errors.BadInputError, match="script"):
        run(fake, "")
    assert fake.asked is None


def test_an_interrupt_there_is_an_interrupt_here(monkeypatch):
    monkeypatch.setattr(running, "begin", Fake(status=130, why="interrupted").begin)
    with pytest.raises(KeyboardInterrupt):
        machine.Machine(Client(SERVER), Lease).run("sleep 9", check=False)


def test_a_callback_that_fails_ends_the_command(run):
    fake = Fake(("stdout", "a"))
    with pytest.raises(ZeroDivisionError):
        run(fake, "yes", on_output=lambda *_: 1 / 0)
    assert fake.closed == 1


def test_begin(monkeypatch):
    fake = Fake(("stdout", "a"))
    monkeypatch.setattr(running, "begin", fake.begin)
    assert machine.Machine(Client(SERVER), Lease).begin("make", keep="k") is fake
    assert fake.asked[2].keep == "k"


@pytest.mark.parametrize("way", ["upload", "download"])
async def test_copies(monkeypatch, way):
    asked = []

    def copy(*arguments, progress):
        asked.append((*arguments, progress))
        return "copied"

    async def acopy(*arguments, progress):
        return copy(*arguments, progress=progress)

    monkeypatch.setattr(copying, way, copy)
    monkeypatch.setattr(copying, f"a{way}", acopy)
    assert getattr(machine.Machine(Client(SERVER), Lease), way)("a", "b", progress=print) == "copied"
    assert await getattr(amachine.AsyncMachine(AsyncClient(SERVER), Lease), way)("a", "b", progress=print) == "copied"
    assert asked == [(SERVER, "l1", "a", "b", print)] * 2


def test_a_command_that_was_let_go_takes_no_interrupts_any_more():
    """An iteration that was left on an error lives on in the error's traceback, and would go on catching them."""

    class Inner:
        ended, interrupts, pieces = None, 0, [arunning.Piece("stdout", "x", 1)]

        async def next(self):
            return self.pieces.pop() if self.pieces else await asyncio.Event().wait()

        async def interrupt(self):
            self.interrupts += 1

        async def close(self):
            pass

    inner = Inner()
    command = running.Running(inner)
    iteration = iter(command)
    assert next(iteration) == ("stdout", "x")
    command.close()
    with pytest.raises(KeyboardInterrupt):
        command._pressed(2, None)
    iteration.close()
    assert inner.interrupts == 0
