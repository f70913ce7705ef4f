"""``%%vm`` and ``%vm``: what is sent, what is shown, how it ends."""

import subprocess
import sys
from types import SimpleNamespace

import pytest
from IPython.core.completer import provisionalcompleter
from IPython.core.error import UsageError

from educloud_lab.client import runs
from educloud_lab.client.errors import ServerUnreachableError
from educloud_lab.client.hints import HINT
from educloud_lab.domain.errors import CommandFailedError, ConflictError, NotFoundError
from educloud_lab.notebook import magics_words as words
from educloud_lab.notebook.magics_errors import MachinesFailedError
from tests.unit.notebook.fake_machines import FakeMachine, FakeRunning, interrupt_here

NOTHING = {"timeout_s": None, "folder": None, "environment": None, "keep": None}


def test_a_cell_reaches_the_machine_letter_by_letter(notebook):
    notebook.shell.user_ns["HOME"] = "of Python"
    cell = 'echo "$HOME" {HOME} `date`\n  cat <<X\n{a: 1} \\n %d\nX\n'
    notebook.machine.running = FakeRunning([("stdout", "one\n"), ("stderr", "bad\n"), ("stdout", "two\n")])
    done = notebook.run("%%vm\n" + cell)
    assert done.error is None
    assert (done.stdout, done.stderr) == ("one\ntwo\n", "bad\n")
    assert notebook.machine.begun == [(cell, NOTHING)]
    result = notebook.shell.user_ns["_vm"]
    assert (result.exit_status, result.stdout, result.stderr, result.is_whole) == (0, "one\ntwo\n", "bad\n", True)


@pytest.mark.parametrize(
    ("line", "command", "options"),
    [
        ("%vm echo $HOME {HOME}  'a  b'", "echo $HOME {HOME}  'a  b'", {}),
        ("%vm --folder /srv --timeout 2.5 ls -l --all", "ls -l --all", {"folder": "/srv", "timeout_s": 2.5}),
        ("%vm --keep=a --env 'A=1 2' -- -odd", "-odd", {"keep": "a", "environment": {"A": "1 2"}}),
        ("%vm --env HOME true", "true", {"environment": {"HOME": "7"}}),
    ],
)
def test_a_line(notebook, line, command, options):
    notebook.shell.user_ns["HOME"] = 7
    assert notebook.run(line).error is None
    assert notebook.machine.begun == [(command, NOTHING | options)]


def test_the_machine_is_looked_up_once(notebook):
    for _ in range(3):
        assert notebook.run("%vm true").error is None
    assert notebook.client.asked == [(None, "main")]


@pytest.mark.parametrize(
    ("status", "word"),
    [(3, "exit status 3"), (127, "found no such command"), (137, "killed"), (None, "without an exit status")],
)
def test_another_exit_status_is_a_short_error(notebook, status, word):
    notebook.machine.running = FakeRunning([("stdout", "so far\n")], exit_status=status)
    done = notebook.run("%%vm\nfalse")
    assert isinstance(done.error, CommandFailedError)
    assert "so far\n" in done.stdout
    shown = done.error._render_traceback_()
    assert len(shown) == 2
    assert word in shown[0]
    assert "--ok" in shown[1]
    assert "Traceback" not in done.stdout
    assert notebook.shell.user_ns["_vm"].exit_status == status


def test_another_exit_status_can_be_allowed_and_looked_at(notebook):
    notebook.machine.running = FakeRunning([("stdout", "x")], exit_status=4)
    assert notebook.run("%%vm --ok --out answer\nfalse").error is None
    assert notebook.shell.user_ns["answer"].exit_status == 4
    assert notebook.shell.user_ns["answer"] is notebook.shell.user_ns["_vm"]


@pytest.mark.parametrize("said", ["EOFError: EOF when reading a line\n", "sudo: a terminal is required\n"])
def test_what_asks_is_told_that_nobody_answers(notebook, said):
    notebook.machine.running = FakeRunning([("stderr", said)], exit_status=1)
    assert notebook.run("%vm python3 ask.py").error.next_step == HINT


@pytest.mark.parametrize(
    ("cell", "says"),
    [
        ("%%vm --foldr x\nls", "--foldr"),
        ("%vm", "%vm uname -a"),
        ("%vm --folder x", "%vm uname -a"),
        ("%vm --env NOT_THERE ls", "no Python variable NOT_THERE"),
        ("%vm --env 1A=2 ls", "cannot be the name"),
        ("%vm --timeout 0 ls", "greater than 0"),
        ("%%vm --out a-b\nls", "variable"),
        ("%%vm --env 'A\nls", "No closing quotation"),
        ("%vm --background --timeout 5 ls", "timeout 60"),
        ("%vm_jobs dance", "dance"),
    ],
)
def test_a_slip_is_told_in_one_line(notebook, cell, says):
    done = notebook.run(cell)
    assert type(done.error) is UsageError
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert notebook.machine.begun == []


@pytest.mark.parametrize(
    ("cell", "name"),
    [("%%vm --lab x\ntrue", "%%vm"), ("%vm --lab x", "%vm"), ("%%check a b\nx", "%%check"), ("%vm_get", "%vm_get")],
)
def test_words_that_a_magic_does_not_take_say_where_it_is_told(notebook, cell, name):
    done = notebook.run(cell)
    assert type(done.error) is UsageError
    assert str(done.error).startswith(f"{name}: ")
    assert str(done.error).endswith(f" Nothing was done. What it takes is shown by {name}?")


def test_a_machine_that_is_not_ready_says_what_to_do(notebook):
    notebook.machine.state, notebook.machine.headline = "asleep", "Asleep"
    done = notebook.run("%%vm\nls")
    assert "Nothing was run: the machine is not ready (Asleep)." in str(done.error)
    assert "Press Start" in str(done.error)
    assert "--start" in str(done.error)
    assert notebook.run("%%vm --start\nls").error is None
    assert notebook.machine.started
    assert [command for command, _ in notebook.machine.begun] == ["ls\n", "ls\n"]


def test_after_the_server_was_away_everything_is_looked_up_anew(notebook):
    notebook.machine.error = ServerUnreachableError("Gone.")
    assert isinstance(notebook.run("%vm true").error, ServerUnreachableError)
    notebook.machine.error = None
    assert notebook.run("%vm true").error is None
    assert notebook.client.asked == [(None, "main")] * 2
    assert notebook.client.closed == 1


def test_an_error_of_ours_has_no_traceback_and_a_mistake_has_one(notebook):
    notebook.machine.error = NotFoundError("No such machine.", next_step="Look.")
    done = notebook.run("%vm true")
    assert done.error._render_traceback_() == ["\x1b[31mNotFoundError\x1b[0m: No such machine.", "Look."]
    notebook.machine.error = ZeroDivisionError("ours")
    assert not hasattr(notebook.run("%vm true").error, "_render_traceback_")


def test_an_error_on_the_way_comes_after_what_was_said(notebook):
    notebook.machine.running = FakeRunning([("stdout", "begun\n"), ServerUnreachableError("It went away.")])
    done = notebook.run("%vm true")
    assert done.stdout.startswith("begun\n")
    assert isinstance(done.error, ServerUnreachableError)


def test_the_kernels_interrupt_stops_it_there_and_the_cell(notebook):
    def once_shown(running):
        while "on" not in sys.stdout.getvalue():
            pass
        interrupt_here(running)

    notebook.machine.running = FakeRunning([("stdout", "on"), once_shown], ends_on_interrupt=1)
    done = notebook.run("%%vm\nsleep 100")
    assert isinstance(done.error, KeyboardInterrupt)
    assert done.error._render_traceback_()[0].endswith(words.INTERRUPTED)
    assert "\n" + words.INTERRUPTS[0] + "\n" in done.stdout
    assert notebook.machine.running.interrupts == 1
    assert notebook.shell.user_ns["_vm"].exit_status == 130
    assert notebook.run("1 + 1").value == 2, "the kernel's own handler is back"


def test_a_second_interrupt_goes_there_too(notebook):
    def twice(running):
        interrupt_here(running)
        while running.interrupts == 0:
            pass
        interrupt_here(running)

    notebook.machine.running = FakeRunning([twice], ends_on_interrupt=2)
    done = notebook.run("%%vm\nsleep 100")
    assert isinstance(done.error, KeyboardInterrupt)
    assert words.INTERRUPTS[1] in done.stdout
    assert notebook.machine.running.interrupts == 2


def test_the_fourth_interrupt_lets_it_go(notebook):
    def stubborn(running):
        for number in range(4):
            interrupt_here(running)
            while running.interrupts == number < 3:
                pass
        assert running.stopped.wait(60)

    notebook.machine.running = FakeRunning([stubborn])
    done = notebook.run("%%vm\nsleep 100")
    assert done.error._render_traceback_()[0].endswith(words.ABANDONED)
    assert notebook.machine.running.interrupts == 3
    assert notebook.machine.running.closed


def test_what_its_time_limit_ended_says_so(notebook):
    notebook.machine.running = FakeRunning([], exit_status=143, why="limit")
    assert "after 2.5 s" in str(notebook.run("%vm --timeout 2.5 sleep 9").error)
    assert notebook.shell.user_ns["_vm"].was_timed_out


def several(notebook, **machines):
    for label, machine in machines.items():
        notebook.client.machines[None, label] = machine
    return machines


def test_several_machines_at_once(notebook):
    several(
        notebook,
        a=FakeMachine(FakeRunning([("stdout", "from a\n"), ("stderr", "oh\n"), ("stdout", "more\n")])),
        b=FakeMachine(FakeRunning([("stdout", "from b\n")], exit_status=2)),
    )
    done = notebook.run("%%vm --slots a,b\nhostname")
    assert isinstance(done.error, MachinesFailedError)
    assert "1 of 2" in str(done.error)
    blocks, summary = done.stdout.rsplit("a  ", 1)
    assert "── a: ended with exit status 0" in blocks
    assert "from a\nstderr| oh\nmore\n" in blocks
    assert "── b: ended with exit status 2" in blocks
    assert "exit status 0" in summary.splitlines()[0]
    assert summary.splitlines()[1].startswith("b  ended with exit status 2")
    results = notebook.shell.user_ns["_vm"]
    assert {label: result.exit_status for label, result in results.items()} == {"a": 0, "b": 2}


def test_an_interrupt_stops_all_machines(notebook):
    machines = several(
        notebook,
        a=FakeMachine(FakeRunning([], ends_on_interrupt=1)),
        b=FakeMachine(FakeRunning([interrupt_here], ends_on_interrupt=1)),
    )
    assert isinstance(notebook.run("%%vm --slots a,b\nsleep 100").error, KeyboardInterrupt)
    assert [machine.running.interrupts for machine in machines.values()] == [1, 1]


def test_one_that_cannot_begin_does_not_stop_the_others(notebook):
    machines = several(notebook, a=FakeMachine(state="asleep", headline="Asleep"), b=FakeMachine())
    done = notebook.run("%%vm --slots a,b\nls")
    assert "a" in str(done.error)
    assert machines["b"].begun == [("ls\n", NOTHING)]
    assert "not running" in done.stdout
    assert "--start" in str(done.error)


def test_what_cannot_be_saved_or_drawn_any_longer_is_ended_there(notebook, monkeypatch):
    notebook.machine.running = FakeRunning([("stdout", "x"), OSError("No space left on device")])
    assert isinstance(notebook.run("%vm yes").error, OSError)
    assert notebook.machine.running.closed

    def refuse(*_, **__):
        raise BrokenPipeError

    notebook.machine.running = FakeRunning([("stdout", "x")], ends_on_interrupt=1)
    monkeypatch.setattr("educloud_lab.notebook.magics_screen.StreamScreen.draw", refuse)
    assert isinstance(notebook.run("%vm yes").error, BrokenPipeError)
    assert notebook.machine.running.stopped.wait(60)
    assert notebook.machine.running.closed


def test_loading_the_magics_loads_nothing_heavy():
    """Not even what draws the panel: all of it comes with the first cell that needs it."""
    script = """
import sys
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
before = set(sys.modules)
shell.run_line_magic("load_ext", "educloud_lab")
print(sorted({name.partition(".")[0] for name in set(sys.modules) - before}))
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = set(eval(result.stdout.splitlines()[-1]))
    assert "educloud_lab" in loaded
    heavy = {"pydantic", "httpx", "websockets", "ipywidgets", "boto3", "asyncssh", "sqlalchemy", "tornado"}
    assert not loaded & heavy, loaded & heavy


def test_labs_by_name(notebook):
    notebook.client.machines["web", "main"] = FakeMachine()
    notebook.client.machines["web", "db"] = FakeMachine()
    assert notebook.run("%%vm web\nls").error is None
    assert notebook.run("%vm --on web --slots db ls").error is None
    assert notebook.client.asked == [("web", "main"), ("web", "db")]


@pytest.fixture
def background(notebook, monkeypatch):
    """What the machine has: begun commands, newest first."""
    kept = []

    def begin(machine, command, **options):
        if machine.state != "ready":
            raise ConflictError("Not running.")
        kept.insert(
            0,
            SimpleNamespace(
                id=f"{len(kept):08x}",
                state="running",
                exit_status=None,
                command=command.splitlines()[0],
                output_path="/home/student/.cache/x",
                options=options,
            ),
        )
        return kept[0].id

    def find(_machine, run_id):
        return next(run for run in kept if run.id == run_id)

    def output(machine, run_id, most_bytes):
        run = find(machine, run_id)
        if most_bytes == 1:  # somebody waits
            run.state, run.exit_status = "ended", 3
        return SimpleNamespace(run=run, text="10%\r100%\ndone\n", cut_bytes=5000)

    def stop(machine, run_id):
        run = find(machine, run_id)
        run.state, run.exit_status = "ended", 143
        return run

    monkeypatch.setattr(runs, "begin", begin)
    monkeypatch.setattr(runs, "listed", lambda _: SimpleNamespace(runs=kept))
    monkeypatch.setattr(runs, "output", output)
    monkeypatch.setattr(runs, "stop", stop)
    return kept


def test_in_the_background(notebook, background):
    assert "--background begins" in notebook.run("%vm_jobs").stdout
    done = notebook.run("%%vm --background --keep a\nmake all\nmake more")
    assert done.error is None
    assert "[00000000] runs in the background" in done.stdout
    assert background[0].options == {"folder": None, "environment": None, "keep": "a"}
    notebook.run("%vm --background make again")
    assert notebook.run("%vm_jobs").stdout == "[00000001] running: make again\n[00000000] running: make all\n"
    said = notebook.run("%vm_jobs output 00000000").stdout
    assert said.startswith("[00000000] running: make all\n[… 5.0 kB left out")
    assert said.endswith("/home/student/.cache/x]\n100%\ndone\n")
    assert "exit status 143 (it was told to end): make again" in notebook.run("%vm_jobs stop").stdout
    assert "exit status 3: make all" in notebook.run("%vm_jobs wait 00000000").stdout


def test_the_background_of_a_machine_that_is_not_ready(notebook, background):
    notebook.machine.state = "asleep"
    assert "--start" in str(notebook.run("%%vm --background\nls").error)
    assert type(notebook.run("%vm_jobs output").error) is UsageError


def test_unloading_takes_them_away(notebook):
    notebook.run("%vm true")
    notebook.run("%unload_ext educloud_lab")
    assert notebook.client.closed == 1
    assert type(notebook.run("%vm ls").error) is UsageError
    notebook.run("%load_ext educloud_lab")
    assert notebook.run("%vm ls").error is None


@pytest.mark.parametrize(
    ("text", "options"),
    [("%%vm --fo", {"--folder"}), ("%vm_put --s", {"--slot"}), ("%%check --", {"--slot", "--partial"})],
)
def test_options_are_completed(notebook, text, options):
    with provisionalcompleter():
        found = {completion.text for completion in notebook.shell.Completer.completions(text, len(text))}
    assert {name for name in found if name.startswith("--")} == options
