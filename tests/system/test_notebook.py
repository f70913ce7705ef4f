"""The first notebook: run without a browser, then shown in one without a kernel, and beside the sidebar."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.system.browser import chromium, open_lab, press, sidebar
from tests.system.conftest import Bench, JupyterLab, wait_for
from tests.system.lesson_bench import held_secrets
from tests.system.lesson_runner import run_lesson

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(400)]

LAB = "your-first-machine"
NOTEBOOK = "01-your-first-machine.ipynb"
ASLEEP = "first-machine-16"  # the cell that puts the machine to sleep
SOON_MS = 60_000  # how soon is no matter of a test: other computers are slower


@pytest.fixture(scope="module")
def server(module_bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> JupyterLab:
    folder = tmp_path_factory.mktemp("notebooks")
    module_bench.educloud("cloud", "start")
    return module_bench.lab(folder)


@pytest.fixture(scope="module")
def executed(server: JupyterLab) -> Path:
    """The notebook after a run to where its machine sleeps, against a real one; test_lessons.py runs all of it."""
    run = run_lesson(NOTEBOOK, server, until=ASLEEP)
    assert not run.failed, run.error
    said = run.said()
    lease = server.lease(LAB)
    assert lease["phase"] == "asleep"
    assert f"instance {lease['instance']['id']} at " in said
    assert (said.count("Ready\n"), said.count("Asleep\n")) == (1, 1)
    return server.folder / NOTEBOOK


def outputs(path: Path) -> list[dict[str, Any]]:
    cells = json.loads(path.read_text())["cells"]
    return [output for cell in cells if cell["cell_type"] == "code" for output in cell["outputs"]]


def test_the_saved_notebook_holds_nothing_secret(executed: Path, module_bench: Bench, server: JupyterLab) -> None:
    """Neither keys, nor tokens, nor the addresses of the server, the cloud and the gateway."""
    assert held_secrets(executed, module_bench, server) == []
    assert not re.search(r"ssh-ed25519|localhost", "".join(map(str, outputs(executed))))
    payloads = [
        output["data"]["application/vnd.educloud.panel+json"]
        for output in outputs(executed)
        if "application/vnd.educloud.panel+json" in output.get("data", {})
    ]
    assert payloads == [{"version": 1, "lab": None, "machine_profile": None, "slot": "main"}]


def kernels(server: JupyterLab) -> list[str]:
    """Return the sessions of notebooks with kernels."""
    _, listed = server.request("GET", "api/sessions")
    return [session["id"] for session in listed]  # type: ignore[index]  # a list, where our own routes give objects


@pytest.mark.browser
def test_panel_and_sidebar_show_the_same(
    executed: Path, server: JupyterLab, browser_path: str, tmp_path: Path, artifacts: Path
) -> None:
    """Also in a notebook that nobody trusts, whose kernel does not exist: the card is drawn from the server's state."""
    notebook = json.loads(executed.read_text())
    notebook["metadata"]["kernelspec"] = {"name": "gone", "display_name": "Gone", "language": "python"}
    (server.folder / "untrusted.ipynb").write_text(json.dumps(notebook))
    assert server.lease(LAB)["phase"] == "asleep"
    with chromium(browser_path, tmp_path / "profile") as page:
        open_lab(page, server.url, server.token, path="lab/tree/untrusted.ipynb")
        without_kernel(page, server)
        card = sidebar(page)
        panel = page.locator(".jp-OutputArea .educloud-LeaseCard").first
        expect(panel).to_be_visible(timeout=SOON_MS)
        expect(panel).to_contain_text("Asleep")

        # Start in the panel shows in the sidebar; Stop in the sidebar shows in the panel.
        press(panel, "Start")
        for area in (panel, card):  # a quick computer is ready before a slow browser looks
            expect(area).to_contain_text(re.compile("Waiting|Starting|Ready"), timeout=SOON_MS)
        server.wait_phase(LAB, "ready")
        expect(panel).to_contain_text("Ready", timeout=SOON_MS)
        expect(card).to_contain_text("Ready", timeout=SOON_MS)
        page.screenshot(path=str(artifacts / "panel-without-kernel.png"))

        press(card, "Stop")  # nothing is lost, so nothing is asked
        expect(card).to_contain_text(re.compile("sleep", re.I), timeout=SOON_MS)
        expect(panel).to_contain_text(re.compile("sleep", re.I), timeout=SOON_MS)
        server.wait_phase(LAB, "asleep")
        expect(card).to_contain_text("Asleep", timeout=SOON_MS)
        expect(panel).to_contain_text("Asleep", timeout=SOON_MS)

        # Still there after a reload.
        page.reload()
        page.wait_for_selector("#jupyterlab-splash", state="detached", timeout=90_000)
        without_kernel(page, server)
        expect(page.locator(".jp-OutputArea .educloud-LeaseCard").first).to_contain_text("Asleep", timeout=SOON_MS)
        assert kernels(server) == []


def without_kernel(page: Page, server: JupyterLab) -> None:
    """JupyterLab starts a kernel of its own accord: it is shut down, and the panel knows nothing of it."""
    wait_for("JupyterLab's own kernel", lambda: kernels(server))
    # One that ends while the page is still connecting to it is told in a dialog that stands before everything.
    page.wait_for_function(
        "() => [...window.jupyterapp.shell.widgets('main')]"
        ".some(widget => widget.sessionContext?.session?.kernel?.connectionStatus === 'connected')",
        timeout=SOON_MS,
    )
    for kernel in kernels(server):
        server.request("DELETE", f"api/sessions/{kernel}")
    wait_for("the kernel to be gone", lambda: not kernels(server))
    expect(page.get_by_text("No Kernel").first).to_be_visible(timeout=SOON_MS)
