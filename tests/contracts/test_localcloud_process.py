"""``educloud cloud`` with its real processes (machines simulated): start, again, killed, stopped, reset."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from educloud_lab.localcloud import process
from educloud_lab.localcloud.errors import LocalCloudError, PortTakenError, StartFailedError
from educloud_lab.localcloud.hypervisor.qemu_process import read_stat
from educloud_lab.localcloud.processes import end, is_alive, start_ticks, wait_until


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    home = tmp_path / "home with a space"
    yield home
    process.reset(home)


def start(home, **options):
    return process.start(home, hypervisor="simulated", **options)


def kill(announcement, which):
    found = announcement["pids"][which]
    assert end(found["pid"], found["start_ticks"], signal.SIGKILL, 60)


def test_start_announces_what_runs_and_a_second_start_changes_nothing(home):
    first = start(home)
    assert json.loads((home / "cloud" / "cloud.json").read_text()) == first
    assert first["endpoint_url"].startswith("http://127.0.0.1:")
    assert first["gateway"]["host_key"].startswith("ssh-ed25519 ")
    assert (home / "cloud" / "credentials.json").stat().st_mode & 0o777 == 0o600
    assert home.stat().st_mode & 0o777 == 0o700
    assert start(home) == first
    found = process.status(home)
    assert (found.api_running, found.gateway_running, found.announcement) == (True, True, first)


def test_a_cloud_of_another_version_runs_on_and_it_is_said_how_to_change_over(home, monkeypatch):
    first, said = start(home), []
    assert start(home, say=said.append) == first
    assert "version" not in " ".join(said)
    monkeypatch.setattr(process, "package_version", lambda: "99.1")
    assert start(home, say=said.append) == first
    assert "99.1 is installed. It was left alone" in " ".join(said)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"unknown_parameters": "ignore"}, "already runs, with --unknown-parameters=error"),
        ({"hypervisor": "qemu"}, "made with --hypervisor=simulated"),
    ],
)
def test_what_only_a_start_can_change_is_not_ignored_while_it_runs(home, asked, said):
    first = start(home)
    with pytest.raises(LocalCloudError, match=said):
        process.start(home, **asked)
    assert process.start(home) == first
    process.stop(home)
    assert process.start(home)["hypervisor"] == "simulated"  # nobody meant real machines on simulated volumes


def test_two_starts_at_once_are_one(home):
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(start(home))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 3
    assert answers[0] == answers[1] == answers[2]


@pytest.mark.parametrize("which", ["api", "gateway"])
def test_a_killed_process_is_started_again_where_it_was(home, which):
    first = start(home)
    kill(first, which)
    down = process.status(home)
    assert (down.api_running, down.gateway_running) == (which != "api", which != "gateway")
    second = start(home)
    assert second["pids"][which] != first["pids"][which]
    other = "gateway" if which == "api" else "api"
    assert second["pids"][other] == first["pids"][other]
    assert second["endpoint_url"] == first["endpoint_url"]
    assert second["gateway"] == first["gateway"]


def test_stop_stops_and_start_comes_back_at_the_same_place(home):
    first = start(home)
    assert process.stop(home)
    assert not (home / "cloud" / "cloud.json").exists()
    for found in first["pids"].values():
        assert not is_alive(found["pid"], found["start_ticks"])
    assert process.stop(home) is False
    again = start(home)
    assert (again["endpoint_url"], again["gateway"]) == (first["endpoint_url"], first["gateway"])


def test_a_port_that_was_asked_for_and_is_taken_is_refused(home):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(PortTakenError, match="taken by another program"):
            start(home, port=other.getsockname()[1])
    assert process.status(home).api_running is False


def test_a_usual_port_that_is_taken_is_evaded(home, tmp_path):
    first = start(home)
    port = int(first["endpoint_url"].rsplit(":", 1)[1].split("/")[0])
    process.stop(home)
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", port))
        other.listen()
        assert start(home)["endpoint_url"] != first["endpoint_url"]


def test_another_program_at_the_recorded_port_is_not_taken_for_the_cloud(home):
    first = start(home)
    kill(first, "api")
    state = home / "cloud" / "api.state.json"
    data = json.loads(state.read_text())
    with subprocess.Popen(["sleep", "60"]) as sleeper:
        alive = {"pid": sleeper.pid, "start_ticks": start_ticks(sleeper.pid), "port": first["gateway"]["port"]}
        state.write_text(json.dumps(data | alive))
        assert process.status(home).api_running is False
        state.write_text(json.dumps(data))
        sleeper.kill()


def test_a_state_that_cannot_be_read_is_kept_and_explained(home):
    start(home)
    process.stop(home)
    state = home / "cloud" / "cloud.sqlite"
    for extra in ("cloud.sqlite-wal", "cloud.sqlite-shm"):
        (home / "cloud" / extra).unlink(missing_ok=True)
    state.write_bytes(b"this is not a database, but long enough to look at" * 100)
    with pytest.raises(StartFailedError, match="cannot be read") as caught:
        start(home)
    assert "Traceback" not in str(caught.value)
    assert state.read_bytes().startswith(b"this is not a database")
    with pytest.raises(LocalCloudError, match="cannot be read"):
        process.status(home)


def test_reset_leaves_images_and_nothing_else_of_the_cloud(home):
    first = start(home)
    (home / "images" / "mine").mkdir(parents=True)
    process.reset(home)
    assert not (home / "cloud").exists()
    assert (home / "images" / "mine").exists()
    for found in first["pids"].values():
        assert not is_alive(found["pid"], found["start_ticks"])
    process.reset(home)


def educloud(home, *arguments, typed=""):
    return subprocess.run(
        [sys.executable, "-m", "educloud_lab", "cloud", *arguments, f"--home={home}"],
        capture_output=True,
        text=True,
        input=typed,
        timeout=180,
    )


def test_the_command_line(home):
    down = educloud(home, "status")
    assert (down.returncode, "not running" in down.stdout) == (1, True)
    assert educloud(home, "env").returncode == 1
    assert educloud(home, "start", "--hypervisor=simulated").returncode == 0
    up = educloud(home, "status")
    assert (up.returncode, "running at http://127.0.0.1:" in up.stdout) == (0, True)
    exports = educloud(home, "env").stdout
    assert "export AWS_ACCESS_KEY_ID=AKIA" in exports
    asked = educloud(home, "reset", typed="yes\n")
    assert (asked.returncode, "Nothing was changed" in asked.stdout) == (1, True)
    assert educloud(home, "stop").stdout.endswith("Stopped.\n")
    assert educloud(home, "reset", typed="reset\n").returncode == 0
    assert not (home / "cloud").exists()


def test_secrets_are_not_in_the_log(home):
    start(home)
    process.stop(home)
    accounts = json.loads((home / "cloud" / "credentials.json").read_text())["accounts"]
    text = (home / "cloud" / "log" / "api.log").read_text()
    assert all(account["secret_key"] not in text for account in accounts.values())


FROZEN = """
import sys, threading
def last():
    print(flush=True)
    sys.stdin.read()
threading.Thread(target=last).start()
import ctypes
ctypes.CDLL(None).syscall(60, 0)  # exit(2) of this thread alone, on x86-64
"""


def test_a_process_is_there_for_as_long_as_one_of_its_threads():
    """As after SIGKILL, when the first thread is gone and another still waits for the disk."""
    with subprocess.Popen([sys.executable, "-c", FROZEN], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        ticks = start_ticks(process.pid)
        assert wait_until(
            lambda: Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z", 60
        )
        assert is_alive(process.pid, ticks)
        assert not read_stat(process.pid).gone
        process.stdin.close()
        assert wait_until(lambda: not is_alive(process.pid, ticks), 60)  # a zombie proper now: nobody asked for its end
        assert read_stat(process.pid).gone
