"""The broker for scripts as a process: scripts start it, share it, survive its death, and it ends by itself."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import pytest

from tests.patience import until

SCRIPT = """
import sys
from educloud_lab import connect
with connect() as lab:
    print(lab.hello().api_version, lab.server.socket)
"""
STRANGER = """
import os
from educloud_lab.client import Client
from educloud_lab.client.find import Server
print(Client(Server("http://localhost/", "x", os.environ["SOCKET"])).hello())
"""
PLACE = "from educloud_lab.client.headless import place; print(place().folder)"
SETTINGS = "c.Educloud.autostart_cloud = False\nc.ServerApp.port = 1\nc.ServerApp.certfile = '/nowhere'\n"


class Home:
    def __init__(self, folder, *, idle_s):
        self.folder = folder
        self.config = folder / "config"
        self.config.mkdir()
        (self.config / "jupyter_server_config.py").write_text(SETTINGS)
        # Not below the test's own folder: its path may be too long for a socket, and then another one would be taken.
        self.runtime = Path(tempfile.mkdtemp(prefix="e-", dir="/tmp"))
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("JUPYTER", "EDUCLOUD"))}
        self.env = kept | {
            "EDUCLOUD_HOME": str(folder / "home"),
            "EDUCLOUD_BROKER_IDLE_S": str(idle_s),
            "JUPYTER_CONFIG_DIR": str(self.config),
            "JUPYTER_RUNTIME_DIR": str(folder / "jupyter"),
            "JUPYTER_PLATFORM_DIRS": "1",
            "XDG_RUNTIME_DIR": str(self.runtime),
        }

    def start(self, script=SCRIPT, **env):
        return subprocess.Popen(
            [sys.executable, "-c", script],
            env=self.env | env,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, script=SCRIPT, **env):
        process = self.start(script, **env)
        out, err = process.communicate(timeout=240)
        return process.returncode, out, err

    @property
    def places(self):
        return list(self.runtime.glob("educloud-broker-*"))

    @property
    def pid(self):
        try:
            return json.loads((self.places[0] / "broker.json").read_text())["pid"]
        except (OSError, ValueError, IndexError):
            return None

    @property
    def brokers(self):
        """All that run: whoever has this home's log open and is a broker."""
        found = []
        for process in psutil.process_iter(["cmdline", "environ"]):
            line, environ = process.info["cmdline"] or [], process.info["environ"] or {}
            if line[-1:] == ["broker"] and environ.get("EDUCLOUD_HOME") == self.env["EDUCLOUD_HOME"]:
                found.append(process)
        return found

    @property
    def log(self):
        return (self.folder / "home/broker.log").read_text()

    def end(self, number):
        """Send a signal and wait until the process is gone: it shows no command line before it has closed its files."""
        pid = self.pid
        process = psutil.Process(pid)
        os.kill(pid, number)
        until(lambda: _is_over(process))
        return pid

    def close(self):
        for process in self.brokers:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        until(lambda: not self.brokers)
        shutil.rmtree(self.runtime)


def _is_over(process):
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.fixture
def home(tmp_path):
    made = Home(tmp_path, idle_s=3600)
    yield made
    made.close()


@pytest.fixture
def quick(tmp_path):
    made = Home(tmp_path, idle_s=0.5)
    yield made
    made.close()


def test_scripts_at_once_start_one_and_share_it(home):
    scripts = [home.start() for _ in range(3)]
    told = [script.communicate(timeout=240) for script in scripts]
    assert [script.returncode for script in scripts] == [0, 0, 0], told
    assert len({out for out, _ in told}) == 1
    assert told[0][0].startswith("1 ")
    assert sum(err.count("a broker for scripts is started") for _, err in told) == 1, "who waits is told nothing"
    assert [process.pid for process in home.brokers] == [home.pid]
    (place,) = home.places
    assert {path.name: oct(path.stat().st_mode & 0o777) for path in place.iterdir() if path.name != "turn"} == {
        "broker.json": "0o600",
        "broker.sock": "0o600",
        "life": "0o600",
    }
    assert not list((home.folder / "jupyter").glob("jpserver-*")), "no Jupyter server that `jupyter server list` shows"
    token = json.loads((place / "broker.json").read_text())["token"]
    assert token not in home.log
    assert not [word for word in home.brokers[0].cmdline() if token in word]

    # Everybody on this computer may find the socket's path; only its owner gets in, and only with the token.
    code, out, err = home.run(STRANGER, SOCKET=str(place / "broker.sock"))
    assert (code, out) == (1, "")
    assert "http-403" in err or "refused" in err

    # Killed: what it left behind is cleared away by whoever comes next.
    before = home.end(signal.SIGKILL)
    assert (place / "broker.sock").exists()
    code, out, err = home.run()
    assert (code, out.startswith("1 ")) == (0, True), err
    assert home.pid != before


def test_a_script_outlives_its_broker(home):
    """A broker that ended while a script did something else is started again by the next question."""
    script = SCRIPT + "    print('asked', flush=True)\n    input()\n    print('again', lab.hello().api_version)\n"
    process = subprocess.Popen(
        [sys.executable, "-c", script], env=home.env, cwd=home.folder, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout.readline().startswith("1 ")
    assert process.stdout.readline() == "asked\n"
    first = home.end(signal.SIGTERM)
    assert not (home.places[0] / "broker.json").exists(), "who ends in order leaves nothing"
    out, err = process.communicate("\n", timeout=240)
    assert (process.returncode, out) == (0, "again 1\n"), err
    assert home.pid not in {None, first}


def test_it_ends_by_itself(quick):
    """Begun as a script begins it, but asked by nobody: a script on a slow computer might come after its end."""
    done = subprocess.run(
        [sys.executable, "-m", "educloud_lab", "broker"], env=quick.env, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    assert "Nobody has asked for 0.5 s; ending." in done.stderr + done.stdout
    assert not list(quick.places[0].glob("broker.*"))


def test_a_second_one_leaves_the_first_alone(home):
    assert home.run()[0] == 0
    pid = home.pid
    done = subprocess.run(
        [sys.executable, "-m", "educloud_lab", "broker"], env=home.env, capture_output=True, text=True, timeout=240
    )
    assert (done.returncode, home.pid) == (0, pid)
    assert "running already" in done.stderr
    status = subprocess.run(
        [sys.executable, "-m", "educloud_lab", "status"], env=home.env, capture_output=True, text=True, timeout=240
    )
    assert "The local cloud is not running" in status.stderr + status.stdout, "found, and asked"

    # One of another version of the package makes room.
    file = home.places[0] / "broker.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"version": "0.0.1"}))
    assert home.run()[0] == 0
    assert home.pid != pid
    assert [process.pid for process in home.brokers] == [home.pid]


def test_what_a_broker_that_cannot_start_said_is_told(home):
    (home.config / "jupyter_server_config.py").write_text("c.Educloud.home = 1 / 0\n")
    blocked = home.folder / "home"
    blocked.write_text("")  # no folder
    code, _, err = home.run()
    assert code == 1
    assert "could not be started" in err
    assert "Machines and volumes do not depend on it." in err
    blocked.unlink()
    Path(home.run(PLACE)[1].strip(), "broker.sock").mkdir()
    code, _, err = home.run()
    assert code == 1
    assert "ended at once" in err
    assert "broker.log" in err
