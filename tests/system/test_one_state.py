"""Panel, sidebar, client and command line show one state, whichever of the four changes it, whatever is restarted."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import pytest
from playwright.sync_api import Locator, Page, expect

from educloud_lab.client.client import Client
from educloud_lab.client.find import Server
from educloud_lab.client.machine import Machine
from tests.patience import until
from tests.system.browser import chromium, open_lab, press, sidebar
from tests.system.conftest import Bench, JupyterLab

pytestmark = [pytest.mark.qemu, pytest.mark.browser, pytest.mark.timeout(900)]

LAB = "one-state"
NOTEBOOK = "one-state.ipynb"
SOON_MS = 120_000
WORDS = {"off": re.compile("Off"), "ready": re.compile("Ready"), "asleep": re.compile("Asleep")}
CELL = """
from pathlib import Path
from educloud_lab import CloudPanel
panel = CloudPanel()
panel.observe(lambda change: Path("kernel-sees.txt").write_text(change["new"]), "state")
Path("kernel-sees.txt").write_text(panel.state)
panel
"""


def write_notebook(folder: Path) -> None:
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL.strip())])
    made.metadata["educloud"] = {"lab": LAB, "machine_profile": "tiny"}
    made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(made, folder / NOTEBOOK)


@dataclass
class Four:
    """The four that watch, and Python's half of the panel."""

    bench: Bench
    server: JupyterLab
    page: Page

    @property
    def panel(self) -> Locator:
        return self.page.locator(".jp-OutputArea .educloud-LeaseCard").first

    @property
    def sidebar(self) -> Locator:
        return sidebar(self.page)

    @property
    def machine(self) -> Machine:
        """The client, as a script has it."""
        return Client(Server(self.server.url, self.server.token)).machine(LAB, "tiny")

    def command_line(self) -> dict[str, Any]:
        """What `educloud status` says; it finds the server by itself."""
        leases = json.loads(self.bench.educloud("status", "--json").stdout)["leases"]
        return next((lease for lease in leases if lease["lab"] == LAB), {})

    def kernel_sees(self) -> str:
        try:
            return (self.server.folder / "kernel-sees.txt").read_text()
        except OSError:
            return ""

    def show(self, phase: str) -> None:
        """All show it, and the same instance and volume."""
        expect(self.panel).to_contain_text(WORDS[phase], timeout=SOON_MS)
        expect(self.sidebar).to_contain_text(WORDS[phase], timeout=SOON_MS)
        until(lambda: self.kernel_sees() == phase, f"the kernel to see {phase}, not {self.kernel_sees()!r}")
        lease, told = self.machine.lease, self.command_line()
        assert (lease.phase, told["phase"]) == (phase, phase)
        assert (told["id"], told["generation"]) == (lease.id, lease.generation)
        assert (told["instance"] or {}).get("id") == (lease.instance.id if lease.instance else None)
        assert [volume["id"] for volume in told["volumes"]] == [volume.id for volume in lease.volumes]

    def run_cells(self) -> None:
        self.server.folder.joinpath("kernel-sees.txt").unlink(missing_ok=True)
        self.page.evaluate("window.jupyterapp.commands.execute('notebook:run-all-cells')")
        until(lambda: self.kernel_sees() != "", "the cell to run")

    def save(self) -> None:
        """Save the notebook, and see that the panel is in its file."""
        self.page.evaluate("window.jupyterapp.commands.execute('docmanager:save')")
        until(lambda: "vnd.educloud.panel" in (self.server.folder / NOTEBOOK).read_text(), "the notebook to be saved")

    def opened(self) -> None:
        """Open the notebook in a page that is loaded anew, and see its kernel connected."""
        open_lab(self.page, self.server.url, self.server.token, path=f"lab/tree/{NOTEBOOK}")
        self.connected()

    def connected(self) -> None:
        self.page.wait_for_function(
            "() => [...window.jupyterapp.shell.widgets('main')]"
            ".some(widget => widget.sessionContext?.session?.kernel?.connectionStatus === 'connected')",
            timeout=SOON_MS,
        )


@pytest.fixture
def four(bench: Bench, tmp_path: Path, browser_path: str) -> Iterator[Four]:
    folder = tmp_path / "course"
    folder.mkdir()
    write_notebook(folder)
    bench.educloud("cloud", "start")
    server = bench.lab(folder)
    server.wait_broker()
    with chromium(browser_path, tmp_path / "profile") as page:
        yield Four(bench, server, page)


def test_one_state(four: Four, artifacts: Path) -> None:
    four.opened()
    four.run_cells()
    assert four.machine.state == "off"
    four.show("off")

    press(four.panel, "Start")
    four.show("ready")

    four.save()
    four.page.reload()
    four.page.wait_for_selector("#jupyterlab-splash", state="detached", timeout=SOON_MS)
    four.show("ready")

    press(four.sidebar, "Stop")
    four.show("asleep")

    four.connected()
    (kernel,) = {session["kernel"]["id"] for session in four.server.request("GET", "api/sessions")[1]}  # type: ignore[index]  # a list, where our own routes give objects
    four.server.request("POST", f"api/kernels/{kernel}/restart")
    expect(four.panel).to_contain_text(WORDS["asleep"])
    told = four.bench.educloud("start", LAB)
    assert "ready" in told.stdout
    expect(four.panel).to_contain_text(WORDS["ready"], timeout=SOON_MS)
    four.connected()
    four.run_cells()
    four.show("ready")

    # The server is restarted: the page that is open finds it again, and its kernel is a new one.
    four.save()
    four.server.restart()
    four.server.wait_broker()
    four.machine.stop().wait("asleep")
    expect(four.panel).to_contain_text(WORDS["asleep"], timeout=SOON_MS)
    expect(four.sidebar).to_contain_text(WORDS["asleep"], timeout=SOON_MS)
    four.page.screenshot(path=str(artifacts / "one-state-restarted.png"))
    four.opened()
    four.run_cells()
    four.show("asleep")
