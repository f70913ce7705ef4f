"""What lies about after a lesson's work in a real page: no key, no token, no address, nobody else's names.

One person works in a notebook; another has a machine in the same store and the same account of the cloud. Then the
saved notebook, what the browser keeps, JupyterLab's saved state and the server's log are searched.
"""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import pytest
from playwright.sync_api import Page, expect

from tests.patience import until
from tests.system.at_lab import start
from tests.system.browser import chromium, open_lab, press, type_line, wait_terminal
from tests.system.conftest import Bench, JupyterLab

pytestmark = [pytest.mark.qemu, pytest.mark.browser, pytest.mark.timeout(600)]

LAB, NOTEBOOK = "canary", "canary.ipynb"
OTHER, OTHER_LAB = "zilpah-quince", "zilpahs-own-lab"
GONE_TOKEN = "t0ken0f0neth4t1sg0ne"
SOON_MS = 120_000
PRINTS_ADDRESS = "print(machine.address, machine.instance_id, machine.lease)"
ASKED = {PRINTS_ADDRESS, "print(machine.calls())"}
"""What a person asks for whole, and gets."""
HOLD = """%%check
the machine is ready
/data is mounted from your volume
the group allows only 22
port 8099 does not answer"""
HOLD_NOT = """%%check
port 8099 answers
port 80 answers with "x"
host 192.0.2.1 answers from your machine
the group allows only 8099
command "exit 3" succeeds
the image "nosuch" exists"""
GONE = """
import asyncio, os
from educloud_lab.client.find import Server
from educloud_lab.client.machine import Machine
gone = Server(os.environ["CANARY_URL"], os.environ["CANARY_TOKEN"])
lost = educloud_lab.connect(gone)
"""
CELLS = (
    "import educloud_lab\nfrom educloud_lab import CloudPanel\npanel = CloudPanel()\npanel",
    "%load_ext educloud_lab\nlab = educloud_lab.connect()\nmachine = lab.machine()",
    "lab",
    "machine",
    "[machine.client.server, machine.volume, panel.state, panel.headline]",
    "%%vm\necho hello; echo mischief >&2; pwd",
    "%%vm\necho before; exit 3",
    "%%vm --background\nsleep 1000",
    "%vm_jobs",
    "from pathlib import Path\n_ = Path('sent.txt').write_text('sent')",
    "%vm_put sent.txt /data/",
    "%vm_get /data/sent.txt back.txt",
    "%vm_get /data/there-is-none back.txt",
    HOLD,
    HOLD_NOT,
    'machine.run("exit 5")',
    'machine.upload("there-is-none", "/data/")',
    'machine.volume.restore("never taken")',
    "machine.calls()",
    "print(machine.calls())",
    "machine.why()",
    GONE + "gone",
    "lost",
    "lost.snapshot()",
    'Machine(lost, machine.lease).run("true")',
    'Machine(lost, machine.lease).upload("sent.txt", "/data/")',
    "async with educloud_lab.connect_async(gone) as away:\n    await away.snapshot()",
    "%xmode Verbose",
    "lost.snapshot()",
    'Machine(lost, machine.lease).run("true")',
    'machine.run("exit 5")',
    PRINTS_ADDRESS,
    "print('canary', 6 * 7)",
)
STORED = """
async () => {
  const found = [JSON.stringify({...localStorage}), JSON.stringify({...sessionStorage}), document.cookie];
  for (const {name, version} of await indexedDB.databases()) {
    const base = await new Promise((good, bad) => {
      const asked = indexedDB.open(name, version);
      asked.onsuccess = () => good(asked.result);
      asked.onerror = () => bad(asked.error);
    });
    for (const store of base.objectStoreNames) {
      const rows = base.transaction(store).objectStore(store);
      for (const asked of [rows.getAll(), rows.getAllKeys()]) {
        found.push(await new Promise((good, bad) => {
          asked.onsuccess = () => good(JSON.stringify(asked.result));
          asked.onerror = () => bad(asked.error);
        }));
      }
    }
    base.close();
  }
  return found.join('\\n');
}
"""


@dataclass
class Scene:
    """A person at work, and what must not be left behind."""

    bench: Bench
    server: JupyterLab
    others: dict[str, Any]
    gone_port: int

    @property
    def path(self) -> Path:
        return self.server.folder / NOTEBOOK

    @property
    def keys(self) -> dict[str, str]:
        """Keys and tokens, which may lie nowhere."""
        accounts = json.loads((self.bench.home / "cloud/credentials.json").read_text())["accounts"]
        found = {f"{kind} of {name}": keys[kind] for name, keys in accounts.items() for kind in keys if "key" in kind}
        assert len(found) >= 2
        return found | {
            "the token": self.server.token,
            "a token": GONE_TOKEN,
            "the store's key": (self.bench.home / "secret.key").read_text().split()[0],
            "a private key": "PRIVATE KEY",
            "a certificate": "cert-v01",
        }

    @property
    def addresses(self) -> dict[str, str]:
        """Where the server, the cloud and its gateway answer."""
        cloud = self.bench.cloud
        return {
            "the server": self.server.url.split("/")[2],
            "the server that is gone": f"127.0.0.1:{self.gone_port}",
            "the port that is gone": f", {self.gone_port})",
            "the cloud": cloud["endpoint_url"].split("/")[2],
            "the gateway": f":{cloud['gateway']['port']}",
            "the gateway's key": cloud["gateway"]["host_key"].split()[1],
            "a loopback address": "127.0.0.1",
            "a URL of a server": "http://localhost",
        }

    @property
    def names(self) -> dict[str, str]:
        """Of the other person."""
        lease = self.others
        return {
            "their name": OTHER,
            "their lab": OTHER_LAB,
            "their lease": lease["id"],
            "their instance": lease["instance"]["id"],
            "their volume": lease["volumes"][0]["id"],
            "their address": lease["instance"]["address"],
        }


@pytest.fixture
def scene(bench: Bench, tmp_path: Path) -> Iterator[Scene]:
    for name in ("course", "elsewhere"):
        (tmp_path / name).mkdir()
    cells = [
        nbformat.v4.new_code_cell(source.strip(), id=f"c{number}", metadata={"tags": ["raises-exception"]})
        for number, source in enumerate(CELLS)
    ]
    made = nbformat.v4.new_notebook(cells=cells)
    made.metadata["educloud"] = {"lab": LAB, "machine_profile": "tiny"}
    made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(made, tmp_path / "course" / NOTEBOOK)
    bench.educloud("cloud", "start")
    with closing(socket.socket()) as taken:  # bound and not listening: nobody answers, and nobody else gets it
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        other = bench.lab(tmp_path / "elsewhere", env={"JUPYTERHUB_USER": OTHER})
        other.wait_broker()
        start(other, OTHER_LAB)
        gone = {"CANARY_URL": f"http://127.0.0.1:{port}/", "CANARY_TOKEN": GONE_TOKEN}
        server = bench.lab(tmp_path / "course", env={"JUPYTERHUB_USER": "ann", **gone})
        server.wait_broker()
        theirs = other.wait_phase(OTHER_LAB, "ready")
        yield Scene(bench, server, theirs, port)


def work(page: Page, scene: Scene) -> str:
    """Do all that the cells do, and use the terminal; return what the browser keeps once all is saved."""
    open_lab(page, scene.server.url, scene.server.token, path=f"lab/tree/{NOTEBOOK}")
    page.wait_for_function(
        "() => window.jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'",
        timeout=SOON_MS,
    )
    run(page, "@jupyter-widgets/jupyterlab-manager:saveWidgetState")
    run(page, "notebook:run-cell-and-select-next")
    panel = page.locator(".jp-OutputArea .educloud-LeaseCard").first
    press(panel, "Start")
    expect(panel).to_contain_text(re.compile("Ready"), timeout=SOON_MS)
    scene.server.wait_phase(LAB, "ready")
    page.evaluate("() => void window.jupyterapp.commands.execute('notebook:run-all-cells')")
    # Outputs and the reply that ends a cell come by different ways: both are waited for, then both in the file.
    page.wait_for_function(
        "() => JSON.stringify(window.jupyterapp.shell.currentWidget.content.model.toJSON()).includes('canary 42')",
        timeout=SOON_MS,
    )
    page.wait_for_function(
        "() => window.jupyterapp.shell.currentWidget.content.model.toJSON().cells"
        ".every(cell => cell.execution_count !== null && cell.execution_count !== undefined)",
        timeout=SOON_MS,
    )
    page.wait_for_function(
        "() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.status === 'idle'",
        timeout=SOON_MS,
    )
    run(page, "docmanager:save")
    until(lambda: all_ran(scene.path), "the notebook to be saved")
    press(panel, "Terminal")
    wait_terminal(page, r"\$ ")
    type_line(page, "echo canary-$((6 * 7))")
    wait_terminal(page, "canary-42")
    # JupyterLab saves in its own time what is open.
    until(lambda: "terminal" in workspaces(scene), "the workspace to be saved")
    return str(page.evaluate(STORED))


def all_ran(path: Path) -> bool:
    """Whether all cells have ended in the file; it may be half written."""
    try:
        cells = json.loads(path.read_text())["cells"]
    except ValueError:
        return False
    return all(cell["execution_count"] is not None for cell in cells) and "canary 42" in json.dumps(cells[-1])


def run(page: Page, command: str) -> None:
    page.evaluate("async id => { await window.jupyterapp.commands.execute(id); }", command)


def workspaces(scene: Scene) -> str:
    return json.dumps(scene.server.request("GET", "lab/api/workspaces"))


def kept_files(scene: Scene) -> dict[str, str]:
    """What lies in the course's folder and in JupyterLab's and IPython's own: checkpoints, settings, history."""
    folders = [scene.server.folder] + [
        Path(scene.bench.env[name]) for name in ("JUPYTERLAB_SETTINGS_DIR", "JUPYTERLAB_WORKSPACES_DIR", "IPYTHONDIR")
    ]
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    return {str(path): path.read_bytes().decode("utf-8", "replace") for path in files}


def found(canaries: dict[str, str], where: str, text: str) -> list[str]:
    return [f"{what} in {where}" for what, word in canaries.items() if word in text]


def test_nothing_is_left_behind(scene: Scene, browser_path: str, tmp_path: Path) -> None:
    with chromium(browser_path, tmp_path / "profile") as page:
        stored = work(page, scene)
    lease = scene.server.lease(LAB)
    own = {"the machine's address": lease["instance"]["address"]}
    # JupyterLab's own list of recent documents names its folder; outputs name none.
    folders = {"the server's folder": str(scene.server.folder), "the product's folder": str(scene.bench.home)}
    secrets = scene.keys | scene.addresses | scene.names
    saved = nbformat.read(scene.path, as_version=4)
    assert len(saved.cells) == len(CELLS)
    outcomes = [(cell["source"], json.dumps(cell["outputs"], ensure_ascii=False)) for cell in saved.cells]
    assert_all_happened(outcomes)

    left = found(secrets, "the notebook's metadata", json.dumps(saved.metadata))
    for source, output in outcomes:
        # A person may print where their own machine is; nothing tells it unasked.
        left += found(secrets | folders | ({} if source in ASKED else own), source, output)
    kept = {"the browser": stored, "the workspaces": workspaces(scene), **kept_files(scene)}
    assert "jupyterlab" in stored, "the browser's storage was read"
    page_itself = {"the server", "a loopback address"}  # a browser knows which page it shows
    for where, text in kept.items():
        unasked = {what: word for what, word in secrets.items() if what not in page_itself}
        left += found(unasked if where == "the browser" else secrets, where, text)
    log = scene.server.log.read_text()
    assert "kernel" in log.lower()
    left += found(scene.keys | scene.names | {"the cloud": scene.addresses["the cloud"]}, "the log", log)
    assert left == []


def assert_all_happened(outcomes: list[tuple[str, str]]) -> None:
    """Assert that the cells did what they are there for: what is not there proves nothing otherwise."""
    for part, said in {
        "echo hello": "hello",
        "echo before": "exit status 3",
        "%vm_get /data/sent.txt": "/data/sent.txt",
        "the machine is ready": "4 of 4 hold",
        "port 8099 answers\n": "CheckFailedError",
        'machine.run("exit 5")': "CommandFailedError",
        "machine.calls()": "RunInstances",
        "lost.snapshot()": "ServerUnreachableError",
        'Machine(lost, machine.lease).run("true")': "ServerUnreachableError",
        "away.snapshot()": "ServerUnreachableError",
        PRINTS_ADDRESS: "phase",
    }.items():
        of = [output for source, output in outcomes if part in source]
        assert of, part
        assert all(said in output for output in of), (part, of)
