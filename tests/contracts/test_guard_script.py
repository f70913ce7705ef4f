"""The program of the dead-man's timer in real shells: it fires when both its clocks say so, and not before."""

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from educloud_lab.broker.scripts import guard as scripts
from educloud_lab.broker.scripts import presence
from educloud_lab.broker.scripts.grammar import read_answer
from educloud_lab.ports.shell import Completed

# Not BusyBox: its shell prefers its own applets to what the path names, poweroff among them.
SHELLS = [shell for shell in ("dash", "bash") if shutil.which(shell)]
STUBS = {
    "date": 'cat "$EDUCLOUD_PROC/now"',
    "sleep": 'echo . >>"$EDUCLOUD_PROC/rounds"; exec /bin/sleep 0.02',
    "umount": 'echo "umount $1" >>"$EDUCLOUD_PROC/did"',
    "sync": 'echo sync >>"$EDUCLOUD_PROC/did"',
    "poweroff": 'echo poweroff >>"$EDUCLOUD_PROC/did"; kill -9 $PPID',
}
NOW = 1_800_000_000
LIMIT_S = 60


class Machine:
    """A machine's folders, its clocks, and the program that watches them."""

    def __init__(self, path: Path, shell: str) -> None:
        self.path, self.shell = path, shell
        for name in ("proc", "run", "dev/pts", "bin"):
            (path / name).mkdir(parents=True)
        for name, text in STUBS.items():
            (path / "bin" / name).write_text(f"#!/bin/sh\n{text}\n")
            (path / "bin" / name).chmod(0o755)
        self.terminal = path / "dev/pts/0"
        self.terminal.write_text("")
        (path / "guard.sh").write_text(scripts.GUARD)
        self.clocks(uptime_s=100, now=NOW)
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "EDUCLOUD_PATH": str(self.path / "bin"),
            "EDUCLOUD_PROC": str(self.path / "proc"),
            "EDUCLOUD_DEV": str(self.path / "dev"),
            "EDUCLOUD_RUN": str(self.path / "run"),
            "EDUCLOUD_GUARD_STATE": str(self.path / "guard"),
        }

    def clocks(self, *, uptime_s: int, now: int) -> None:
        """Set both, each whole at once."""
        for name, text in (("uptime", f"{uptime_s}.00 1.00\n"), ("now", f"{now}\n")):
            (self.path / "new").write_text(text)
            (self.path / "new").rename(self.path / "proc" / name)

    def arm(self, sequence: int, *, until: int, length_s: int, grace_s: int = 900) -> None:
        (self.path / "new").write_text(f"{sequence} {until} {length_s} {grace_s} - /data\n")
        (self.path / "new").rename(self.path / "guard")

    def start(self) -> None:
        self.process = subprocess.Popen([self.shell, str(self.path / "guard.sh")], env=self.environment)

    def read(self, name: str) -> str:
        path = self.path / name
        return path.read_text() if path.exists() else ""

    def rounds(self, count: int = 4) -> None:
        """Wait until it has looked so many more times; it must be alive for that."""
        wanted = len(self.read("proc/rounds").splitlines()) + count
        end = time.monotonic() + LIMIT_S
        while len(self.read("proc/rounds").splitlines()) < wanted:
            assert self.process is not None
            assert self.process.poll() is None, "it has ended"
            assert time.monotonic() < end
            time.sleep(0.01)

    def end(self) -> list[str]:
        """Wait for its end; return what it did."""
        assert self.process is not None
        self.process.wait(LIMIT_S)
        return self.read("proc/did").splitlines()

    def noticed_first(self, uptime_s: int, now: int) -> list[str]:
        """See that it says so and waits when its end came in its sleep; return what it does after that."""
        end = time.monotonic() + LIMIT_S
        while "turns itself off in 300 s" not in self.read("dev/pts/0"):
            assert time.monotonic() < end
            time.sleep(0.01)
        self.rounds()
        assert self.read("proc/did") == ""
        self.clocks(uptime_s=uptime_s + 300, now=now + 300)
        return self.end()

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()


@pytest.fixture(params=SHELLS)
def machine(tmp_path, request):
    made = Machine(tmp_path, request.param)
    yield made
    made.close()


def test_it_fires_when_both_are_over_saves_and_unmounts_first(machine):
    machine.arm(7, until=NOW + 600, length_s=600)
    machine.start()
    machine.rounds()
    machine.clocks(uptime_s=100 + 310, now=NOW + 310)
    machine.rounds()
    assert "turns itself off in 290 s" in machine.read("dev/pts/0")
    for second in (400, 500):
        machine.clocks(uptime_s=100 + second, now=NOW + second)
        machine.rounds()
    machine.clocks(uptime_s=100 + 600, now=NOW + 600)
    assert machine.end() == ["sync", "umount /data", "poweroff"]
    assert "turns itself off now" in machine.read("dev/pts/0")


def test_a_clock_that_is_wrong_by_years_does_not_make_it_fire(machine):
    machine.arm(7, until=NOW + 600, length_s=600)
    machine.clocks(uptime_s=100, now=NOW + 10**8)
    machine.start()
    machine.rounds()
    machine.clocks(uptime_s=100 + 599, now=NOW + 10**8)
    machine.rounds()
    assert machine.read("proc/did") == ""


def test_a_machine_that_slept_longer_by_its_uptime_than_by_the_clock_waits_for_the_clock(machine):
    machine.arm(7, until=NOW + 600, length_s=10)
    machine.start()
    machine.rounds()
    machine.clocks(uptime_s=100 + 500, now=NOW + 100)
    machine.rounds()
    assert machine.read("proc/did") == ""
    machine.clocks(uptime_s=100 + 500, now=NOW + 600)
    assert machine.noticed_first(100 + 500, NOW + 600)[-1] == "poweroff"


def test_arming_it_anew_moves_it(machine):
    machine.arm(7, until=NOW + 600, length_s=600)
    machine.start()
    machine.rounds()
    machine.clocks(uptime_s=100 + 590, now=NOW + 590)
    machine.rounds()
    machine.arm(8, until=NOW + 5000, length_s=4410)
    machine.rounds()
    machine.clocks(uptime_s=100 + 700, now=NOW + 700)
    machine.rounds()
    assert machine.read("proc/did") == ""
    machine.clocks(uptime_s=100 + 5000, now=NOW + 5000)
    assert machine.noticed_first(100 + 5000, NOW + 5000)[-1] == "poweroff"


def test_who_slept_through_the_end_is_told_first_and_once(machine):
    machine.arm(7, until=NOW + 600, length_s=600)
    machine.start()
    machine.rounds()
    machine.clocks(uptime_s=100 + 310, now=NOW + 310)
    machine.rounds()
    machine.terminal.write_text("")  # what was said before the lid was closed
    slept = 9 * 3600
    machine.clocks(uptime_s=100 + slept, now=NOW + slept)
    machine.rounds()
    assert "turns itself off in 300 s" in machine.read("dev/pts/0")
    machine.clocks(uptime_s=100 + slept + 299, now=NOW + slept + 299)
    machine.rounds()
    assert machine.read("proc/did") == ""
    machine.clocks(uptime_s=100 + 2 * slept, now=NOW + 2 * slept)  # and sleeps again
    assert machine.end()[-1] == "poweroff"


def test_after_a_boot_it_goes_on_with_what_was_left_and_at_least_the_grace(machine):
    machine.arm(7, until=NOW + 600, length_s=600, grace_s=50)
    machine.start()
    machine.rounds()
    machine.clocks(uptime_s=100 + 590, now=NOW + 590)
    machine.rounds()
    machine.close()
    assert machine.read("guard.left").split()[0] == "7"
    # The machine was off for an hour; its uptime begins again.
    machine.clocks(uptime_s=5, now=NOW + 3600)
    machine.start()
    machine.rounds()
    machine.clocks(uptime_s=5 + 9, now=NOW + 3609)
    machine.rounds()
    assert machine.read("proc/did") == ""
    machine.clocks(uptime_s=5 + 60, now=NOW + 3660)
    assert machine.end()[-1] == "poweroff"


def test_without_a_state_it_does_nothing_and_takes_one_up_when_it_comes(machine):
    machine.start()
    machine.rounds()
    machine.arm(1, until=NOW - 1, length_s=0)
    assert machine.noticed_first(100, NOW)[-1] == "poweroff"


def test_a_broken_state_ends_nothing(machine):
    (machine.path / "guard").write_text("\n")
    machine.start()
    machine.rounds()
    assert machine.read("proc/did") == ""


def run(script, *arguments, **environment):
    done = subprocess.run(
        ["sh", "-c", script, "sh", *arguments], env={**os.environ, **environment}, capture_output=True, check=False
    )
    return Completed(done.returncode, done.stdout, done.stderr)


def test_the_load_of_a_machine_counts_its_people_and_whoever_sits_at_a_terminal(tmp_path):
    (tmp_path / "loadavg").write_text("0.42 0.10 0.05 1/99 1234\n")
    (tmp_path / "stat").write_text("cpu  1 2 3\ncpu0 1 2 3\ncpu1 1 2 3\nintr 5\n")
    (tmp_path / "uptime").write_text("321.50 600.00\n")
    me = os.getuid()

    def process(pid, name, *, tty, owner, ticks):
        folder = tmp_path / str(pid)
        folder.mkdir()
        numbers = ["S", "1", "1", "1", str(tty), "-1", *(["0"] * 5), *map(str, ticks), "20", "0"]
        (folder / "stat").write_text(f"{pid} ({name}) {' '.join(numbers)}\n")
        (folder / "status").write_text(f"Name:\tx\nUmask:\t0022\nUid:\t{owner}\t{owner}\t{owner}\t{owner}\n")

    process(10, "bash", tty=34816, owner=12345, ticks=(1, 2, 3, 4))
    process(11, "odd ) name (x", tty=0, owner=me, ticks=(10, 20, 0, 0))
    process(12, "daemon", tty=0, owner=12345, ticks=(1000, 0, 0, 0))
    (tmp_path / "13").mkdir()  # it ended meanwhile
    user = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()
    answer = read_answer("load", run(presence.LOAD, user, EDUCLOUD_PROC=str(tmp_path)), presence.LOAD_FORMS)
    assert answer == {"load": "0.42", "cores": "2", "uptime": "321.50", "ticks": "40"}


def test_what_is_told_reaches_every_terminal_as_it_is(tmp_path):
    (tmp_path / "pts").mkdir()
    for name in ("0", "17", "ptmx"):
        (tmp_path / "pts" / name).write_text("")
    text = "it's 100% $HOME \\n `x`"
    answer = read_answer("tell", run(presence.TELL, text, EDUCLOUD_DEV=str(tmp_path)), presence.TELL_FORMS)
    assert answer == {"terminals": "2"}
    assert (tmp_path / "pts/17").read_text() == f"\n{text}\n"  # read with \r\n as \n
    assert (tmp_path / "pts/ptmx").read_text() == ""
