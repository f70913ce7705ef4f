"""Real parts for the system tests: images, a local cloud, a JupyterLab, a Chromium. What is missing is a failure."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.ports import usual_port_taken

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
CHROMIUM = "/usr/bin/chromium"
CHROMIUM_FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def default_images() -> Path:
    """Where `make test` has built the images."""
    if folder := os.environ.get("EDUCLOUD_TEST_IMAGES"):
        return Path(folder)
    data = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local/share")
    return Path(os.environ.get("EDUCLOUD_HOME") or f"{data}/educloud-lab") / "images"


def wait_for(what: str, probe: Callable[[], Any], *, timeout_s: float = 180, period_s: float = 0.2) -> Any:
    """Return the first true value of ``probe``; fail with ``what`` when there is none in time.

    The limit is for what hangs: on a slow computer whose other core is busy all takes several times as long.
    """
    end = time.monotonic() + timeout_s
    while True:
        over = time.monotonic() > end  # a probe may take long itself: there is one after the end
        if value := probe():
            return value
        if over:
            break
        time.sleep(period_s)
    pytest.fail(f"waited {timeout_s} s in vain for: {what}")


@pytest.fixture(scope="session")
def artifacts() -> Path:
    folder = Path(os.environ.get("EDUCLOUD_TEST_ARTIFACTS", ROOT / "artifacts"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def images() -> Path:
    folder = default_images()
    for name in ("tiny", "tiny-store"):
        if not (folder / name / "manifest.json").is_file():
            pytest.fail(f"No image {name} in {folder}. Build it: educloud cloud image build")
    return folder


@pytest.fixture(scope="session")
def debian_image(images: Path) -> Path:
    """Return the folder of the debian image, which `make test` builds beside the others."""
    if not (images / "debian" / "manifest.json").is_file():
        pytest.fail(f"No image debian in {images}. Build it: educloud cloud image build debian")
    return images / "debian"


@dataclass
class Bench:
    """One EDUCLOUD_HOME with its local cloud and its Jupyter servers."""

    home: Path
    env: dict[str, str]
    servers: list[JupyterLab] = field(default_factory=list)

    def educloud(self, *arguments: str, check: bool = True, timeout_s: float = 240) -> subprocess.CompletedProcess[str]:
        result = subprocess.run(
            [sys.executable, "-m", "educloud_lab", *arguments],
            env=self.env,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        if check and result.returncode:
            pytest.fail(f"educloud {' '.join(arguments)}: {result.returncode}\n{result.stdout}\n{result.stderr}")
        return result

    @property
    def cloud(self) -> dict[str, Any]:
        loaded: dict[str, Any] = json.loads((self.home / "cloud/cloud.json").read_text())
        return loaded

    def lab(
        self, folder: Path, *, base_url: str = "/", app: str = "lab", env: dict[str, str] | None = None
    ) -> JupyterLab:
        server = JupyterLab(self, folder, base_url=base_url, app=app, extra_env=env or {})
        self.servers.append(server)
        return server

    def qemu_processes(self) -> list[psutil.Process]:
        """Machines' processes; one whose memory is being saved as a template is no machine."""
        found = []
        for process in psutil.process_iter(["name", "cmdline"]):
            line = " ".join(process.info["cmdline"] or [])
            if "qemu-system" in line and str(self.home) in line and "guest=template" not in line:
                found.append(process)
        return found

    def close(self) -> None:
        for server in self.servers:
            server.stop()
        if (self.home / "cloud").is_dir():
            self.educloud("cloud", "reset", "--yes", check=False)
        for process in self.qemu_processes():
            process.kill()


class JupyterLab:
    """A real JupyterLab process."""

    def __init__(self, bench: Bench, folder: Path, *, base_url: str, app: str, extra_env: dict[str, str]) -> None:
        self.bench = bench
        self.token = secrets.token_hex(16)
        self.folder = folder
        self.base_url = base_url
        self.number = len(bench.servers)
        self.log = bench.home / f"jupyter-{self.number}.log"
        self.app = app
        self.env = bench.env | extra_env
        self.process: subprocess.Popen[bytes] | None = None
        self.url = ""
        try:
            self.start()
        except BaseException:
            self.stop()
            raise

    def start(self, *, port: int = 0) -> None:
        command = [
            str(BIN / "jupyter"),
            self.app,
            "--no-browser",
            "--expose-app-in-browser",
            f"--ServerApp.port={port}",
            "--ServerApp.port_retries=0",
            "--ServerApp.ip=127.0.0.1",
            f"--ServerApp.base_url={self.base_url}",
            f"--IdentityProvider.token={self.token}",
            f"--ServerApp.root_dir={self.folder}",
            "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        ]
        if os.geteuid() == 0:
            command.append("--allow-root")
        started = time.time()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, env=self.env, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        runtime = Path(self.env["JUPYTER_RUNTIME_DIR"])

        def listening() -> str:
            assert self.process is not None
            if self.process.poll() is not None:
                pytest.fail(f"JupyterLab ended at once:\n{self.log.read_text()[-4000:]}")
            path = runtime / f"jpserver-{self.process.pid}.json"
            if path.exists() and path.stat().st_mtime >= started - 1:
                return str(json.loads(path.read_text() or "{}").get("url", ""))
            return ""

        self.url = wait_for("JupyterLab to listen", listening)

        def answers() -> bool:
            try:
                with urllib.request.urlopen(f"{self.url}api?token={self.token}", timeout=30) as reply:
                    return bool(reply.status == 200)
            except (urllib.error.URLError, OSError):
                return False

        wait_for("JupyterLab to answer", answers)

    def restart(self) -> None:
        """End it, and start it again at the same address: pages that are open find it there."""
        port = urllib.parse.urlsplit(self.url).port
        assert port is not None
        self.stop()
        self.start(port=port)

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        return self.request(method, f"educloud/api/v1/{path}", body)

    def request(self, method: str, path: str, body: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        """Ask below the base URL."""
        request = urllib.request.Request(
            f"{self.url}{path}",
            data=None if method == "GET" else json.dumps(body or {}).encode(),
            method=method,
            headers={"Authorization": f"token {self.token}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as reply:
                return reply.status, json.loads(reply.read() or b"{}")
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    def lease(self, lab: str) -> dict[str, Any]:
        _, snapshot = self.call("GET", "snapshot")
        return next((lease for lease in snapshot["leases"] if lease["lab"] == lab), {})

    def wait_broker(self) -> None:
        """Return when the broker is there; before that a snapshot has version 0 and no leases."""
        wait_for("the broker", lambda: self.call("GET", "snapshot")[1]["version"] > 0)

    def wait_phase(self, lab: str, phase: str, *, timeout_s: float = 180) -> dict[str, Any]:
        def there() -> dict[str, Any]:
            lease = self.lease(lab)
            if lease.get("phase") == "trouble" and phase != "trouble":
                pytest.fail(f"{lab} is in trouble: {json.dumps(lease, indent=1)}")
            return lease if lease.get("phase") == phase else {}

        found: dict[str, Any] = wait_for(f"{lab} to be {phase}", there, timeout_s=timeout_s, period_s=0.3)
        return found

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        if self.process is None or self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def make_bench(folder: Path, images: Path) -> Bench:
    home = folder / "home with spaces"
    home.mkdir(mode=0o700)
    (home / "images").symlink_to(images)
    env = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("JUPYTER", "EDUCLOUD", "AWS_")) or name == "JUPYTER_PLATFORM_DIRS"
    }
    env |= {
        "EDUCLOUD_HOME": str(home),
        # Each home would boot a template of its own in the background; the tests that need one say so.
        "EDUCLOUD_WARM": os.environ.get("EDUCLOUD_WARM", "off"),
        "JUPYTER_CONFIG_DIR": str(folder / "jupyter/config"),
        "JUPYTER_DATA_DIR": str(folder / "jupyter/data"),
        "JUPYTER_RUNTIME_DIR": str(folder / "jupyter/runtime"),
        "JUPYTERLAB_SETTINGS_DIR": str(folder / "jupyter/settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(folder / "jupyter/workspaces"),
        "IPYTHONDIR": str(folder / "ipython"),
        "PATH": f"{BIN}:{os.environ['PATH']}",
    }
    (folder / "jupyter/runtime").mkdir(parents=True, mode=0o700)
    # JupyterLab asks a new user whether it may fetch news; that question would lie over what is tested.
    news = folder / "jupyter/settings/@jupyterlab/apputils-extension/notification.jupyterlab-settings"
    news.parent.mkdir(parents=True)
    news.write_text('{"fetchNews": "false", "checkForUpdates": false}')
    return Bench(home, env)


@pytest.fixture(scope="session", autouse=True)
def usual_port() -> Iterator[None]:
    """Keep the usual port taken: a cloud that is killed on it would lose it to that of a test beside it."""
    with usual_port_taken():
        yield


@pytest.fixture
def bench(tmp_path: Path, images: Path) -> Iterator[Bench]:
    made = make_bench(tmp_path, images)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def module_bench(tmp_path_factory: pytest.TempPathFactory, images: Path) -> Iterator[Bench]:
    made = make_bench(tmp_path_factory.mktemp("bench"), images)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def notebooks(tmp_path: Path) -> Path:
    folder = tmp_path / "notebooks"
    shutil.copytree(ROOT / "notebooks", folder)
    return folder


@pytest.fixture(scope="session")
def browser_path() -> str:
    if not Path(CHROMIUM).exists():
        pytest.fail("Chromium is missing. Install it: apt-get install chromium")
    return CHROMIUM
