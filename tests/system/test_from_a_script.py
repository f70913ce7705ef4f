"""Without any Jupyter server: a terminal and a script have a machine, through the broker that they start and share."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.patience import until
from tests.system.conftest import Bench

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(900)]

LAB = "from-a-script"
SCRIPT = """
import sys
from educloud_lab import connect
from educloud_lab.domain.errors import CommandFailedError, ConflictError

with connect() as lab:
    machine = lab.machine()
    assert machine.state == "ready", machine.state
    before = machine.instance_id
    pieces = []
    done = machine.run("echo out; echo err >&2; cat /data/there.txt", on_output=lambda *piece: pieces.append(piece))
    assert (done.stdout, done.stderr) == ("out\\nfrom here\\n", "err\\n"), done
    assert ("stderr", "err\\n") in pieces
    try:
        machine.run("exit 3")
    except CommandFailedError as error:
        assert error.exit_status == 3
    else:
        sys.exit("no error")
    told = []
    taken = machine.volume.snapshot("before lab 3", progress=told.append)
    assert taken.state == "completed" and told
    try:
        machine.volume.restore("before lab 3")
    except ConflictError as error:
        assert error.next_step or error.what
    else:
        sys.exit("restored under a running machine")
    assert machine.time_left_s > 0
    copied = machine.download("/data/there.txt", "back.txt")
    assert copied.size_bytes == len("from here\\n")
    print(before, machine.volume.size_bytes)
"""


@pytest.fixture
def alone(bench: Bench) -> Iterator[Bench]:
    """A bench without a Jupyter server, whose broker for scripts is its own and is ended with it."""
    # Not below the test's own folder: its path may be too long for a socket, and then another one would be taken.
    runtime = Path(tempfile.mkdtemp(prefix="e-", dir="/tmp"))
    bench.env |= {"XDG_RUNTIME_DIR": str(runtime), "EDUCLOUD_BROKER_IDLE_S": "3600"}
    try:
        yield bench
    finally:
        end(runtime, signal.SIGTERM)
        shutil.rmtree(runtime)


def end(runtime: Path, number: int) -> int:
    """End the broker for scripts, and return when it is gone; 0 when there is none."""
    found = [json.loads(path.read_text())["pid"] for path in runtime.glob("educloud-broker-*/broker.json")]
    for pid in found:
        process = psutil.Process(pid)
        os.kill(pid, number)
        until(lambda process=process: is_over(process))
    return found[0] if found else 0


def is_over(process: psutil.Process) -> bool:
    """Whether it has ended, also when it ends just now."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_a_terminal_and_a_script(alone: Bench, tmp_path: Path) -> None:
    runtime = Path(alone.env["XDG_RUNTIME_DIR"])
    told = alone.educloud("start", LAB, "--profile=tiny")
    assert told.stdout.startswith(f"{LAB}: ready, student@")
    assert "a broker for scripts is started" in told.stderr
    lease = next(each for each in json.loads(alone.educloud("status", "--json").stdout)["leases"] if each["lab"] == LAB)

    (tmp_path / "here.txt").write_text("from here\n")
    alone.educloud("put", LAB, str(tmp_path / "here.txt"), "/data/there.txt")
    failing = alone.educloud("run", LAB, "--folder=/data", "--", "pwd; echo 'a b' >&2; exit 7", check=False)
    assert (failing.returncode, failing.stdout, failing.stderr) == (7, "/data\n", "a b\n")
    typed = alone.educloud("run", LAB, "--", "printf", "%s|", "a b", "$HOME", "--help")
    assert typed.stdout == "a b|$HOME|--help|"

    # An interrupt here is an interrupt there, and what ran there is gone.
    running = subprocess.Popen(
        [sys.executable, "-m", "educloud_lab", "run", LAB, "--", "echo begun; sleep 987654"],
        env=alone.env, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert running.stdout is not None
    assert running.stdout.readline() == "begun\n"
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=240)
    assert running.returncode == 130
    until(lambda: alone.educloud("run", LAB, "--", "pgrep -f '[s]leep 987654'", check=False).returncode == 1)

    # The broker is killed: the machine does not notice, and the next script starts another.
    assert end(runtime, signal.SIGKILL)
    script = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=600,
        env=alone.env | {"EDUCLOUD_LAB": LAB, "EDUCLOUD_MACHINE_PROFILE": "tiny"},
    )  # fmt: skip
    assert script.returncode == 0, script.stderr
    assert script.stdout.split() == [lease["instance"]["id"], str(lease["volumes"][0]["size_bytes"])]
    assert (tmp_path / "back.txt").read_text() == "from here\n"
    alone.educloud("get", LAB, "/data/there.txt", f"{tmp_path}/")
    assert (tmp_path / "there.txt").read_text() == "from here\n"

    stopped = alone.educloud("stop", LAB)
    assert stopped.stdout.startswith(f"{LAB}: ")
    leases = json.loads(alone.educloud("status", "--json").stdout)["leases"]
    assert [each["phase"] for each in leases if each["lab"] == LAB] == ["asleep"]
    refused = alone.educloud("run", LAB, "--", "true", check=False)
    assert refused.returncode == 1
    assert "educloud run: " in refused.stderr
