"""A visit to Binder, played inside its limits: prepared, started by Binder's own command, the first lesson run.

Run by test_binder.py as an ordinary user on one core, in a network namespace without a way out. Prints what happened as
one line of JSON.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import psutil
import websocket

NOTEBOOK = "notebooks/01-your-first-machine.ipynb"
BASE_URL = "/user/educloud-educloud-lab-x1y2z3/"
TOKEN = "binders-own-token"
LIMIT_S = 600  # a hang, not a measure

# What mybinder.org starts (`singleuser.cmd` of its Helm chart), shortened: python3 becomes JupyterLab if there is one.
COMMAND = "import jupyterlab, os, sys; os.execvp('jupyter-lab', sys.argv)"


def binder_environment(environ: dict[str, str], port: int) -> dict[str, str]:
    """What JupyterHub's spawner adds. The token in it is not the server's: that one is in the command line."""
    return environ | {
        "BINDER_LAUNCH_HOST": "https://binder.example.org/",
        "BINDER_SERVICE_HOST": "10.3.0.1",
        "JUPYTERHUB_API_TOKEN": "of-the-hub-not-of-this-server",
        "JPY_API_TOKEN": "of-the-hub-not-of-this-server",
        "JUPYTERHUB_SERVICE_PREFIX": BASE_URL,
        "JUPYTERHUB_SERVICE_URL": f"http://0.0.0.0:{port}{BASE_URL}",
        "JUPYTERHUB_USER": "educloud-educloud-lab-x1y2z3",
    }


def wait_for(what: str, probe: Callable[[], Any]) -> Any:
    """Return the first true value."""
    end = time.monotonic() + LIMIT_S
    while not (value := probe()):
        if time.monotonic() > end:
            raise TimeoutError(what)
        time.sleep(0.2)
    return value


class Visitor:
    """Somebody's browser, as far as the server can tell."""

    def __init__(self, port: int) -> None:
        self.address = f"127.0.0.1:{port}{BASE_URL}"

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Return what the server answers; None when it does not."""
        request = urllib.request.Request(
            f"http://{self.address}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"token {TOKEN}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as reply:
                return json.loads(reply.read() or b"true")
        except urllib.error.HTTPError:
            raise
        except (urllib.error.URLError, OSError):
            return None

    def run(self, notebook: str) -> list[dict[str, Any]]:
        """Run a notebook's cells in its kernel until one fails; return its errors."""
        cells = json.loads(Path(notebook).read_text())["cells"]
        session = self.ask(
            "POST", "api/sessions", {"path": notebook, "name": "", "type": "notebook", "kernel": {"name": "python3"}}
        )
        channels = f"ws://{self.address}api/kernels/{session['kernel']['id']}/channels?token={TOKEN}"
        kernel = websocket.create_connection(channels, timeout=LIMIT_S, suppress_origin=True)
        try:
            for cell in cells:
                if cell["cell_type"] == "code" and (error := self._cell(kernel, "".join(cell["source"]))):
                    return [error]
        finally:
            kernel.close()
        return []

    def _cell(self, kernel: websocket.WebSocket, source: str) -> dict[str, Any] | None:
        number = uuid.uuid4().hex
        header = {"msg_id": number, "msg_type": "execute_request", "username": "", "session": number, "version": "5.3"}
        content = {"code": source, "silent": False, "store_history": True, "allow_stdin": False, "stop_on_error": True}
        kernel.send(
            json.dumps({"header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": "shell"})
        )
        error = None
        while True:
            message = json.loads(kernel.recv())
            if message["parent_header"].get("msg_id") != number:
                continue
            if message["header"]["msg_type"] == "error":
                error = {"cell": source, "said": "\n".join(message["content"]["traceback"])}
            elif message["header"]["msg_type"] == "execute_reply":
                return error or (None if message["content"]["status"] == "ok" else {"cell": source, "said": "aborted"})


class Meter:
    """The most memory that everything in this network namespace had together, and what ran there."""

    def __init__(self) -> None:
        self.peak_bytes = 0
        self.at_peak: dict[str, int] = {}
        self.commands: set[str] = set()
        self.guests_mb: set[int] = set()
        self._here = Path("/proc/self/ns/net").readlink()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._over.wait(0.3):
            self.look()

    def look(self) -> None:
        """Add up what each process has for itself, and its share of what it has with others (PSS)."""
        found: dict[str, int] = {}
        for process in psutil.process_iter():
            try:
                if process.pid == os.getpid() or Path(f"/proc/{process.pid}/ns/net").readlink() != self._here:
                    continue
                line, size = process.cmdline(), process.memory_full_info().pss
            except (psutil.Error, OSError):  # it ended meanwhile, or is not ours
                continue
            name = Path(line[0]).name if line else "?"
            self.commands.add(name)
            if name.startswith("qemu-system"):
                self.guests_mb.add(int(line[line.index("-m") + 1].removesuffix("M")))
            found[f"{name} {process.pid}"] = size
        if sum(found.values()) > self.peak_bytes:
            self.peak_bytes, self.at_peak = sum(found.values()), found


def visit(port: int, log: Path) -> dict[str, Any]:
    """Play the visit from the build's last step to the end of the lesson."""
    environment = binder_environment(dict(os.environ), port)
    prepared = subprocess.run(["binder/prepare"], capture_output=True, text=True, check=False)
    if prepared.returncode:
        return {"error": f"binder/prepare: {prepared.stdout}{prepared.stderr}"}
    arguments = ["--ip=0.0.0.0", f"--port={port}"]
    for application in ("NotebookApp", "ServerApp"):
        arguments += [
            f"--{application}.base_url={BASE_URL}",
            f"--{application}.token={TOKEN}",
            f"--{application}.trust_xheaders=True",
        ]
    with Meter() as meter, log.open("wb") as output:
        server = subprocess.Popen(
            ["binder/start", "python3", "-c", COMMAND, *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
        visitor = Visitor(port)
        try:
            wait_for("JupyterLab", lambda: visitor.ask("GET", "api/status") or server.poll() is not None)
            errors = visitor.run(NOTEBOOK) if server.poll() is None else [{"said": "JupyterLab ended"}]
            snapshot = visitor.ask("GET", "educloud/api/v1/snapshot")
            meter.look()
        finally:
            server.terminate()
            server.wait(60)
            subprocess.run([".venv/bin/educloud", "cloud", "stop"], capture_output=True, check=False)
    return {
        "errors": errors,
        "phases": {lease["lab"]: lease["phase"] for lease in (snapshot or {}).get("leases", [])},
        "peak_bytes": meter.peak_bytes,
        "at_peak": meter.at_peak,
        "guests_mb": sorted(meter.guests_mb),
        "commands": sorted(meter.commands),
        "uid": os.getuid(),
        "cores": len(os.sched_getaffinity(0)),
        "networks": sorted(name for _, name in socket.if_nameindex()),
    }


def main() -> None:
    """Play the visit and say how it went."""
    port, log = int(sys.argv[1]), Path(sys.argv[2])
    print(json.dumps(visit(port, log)))


if __name__ == "__main__":
    main()
