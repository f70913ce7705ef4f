"""The first notebook in a page, without a kernel and beside the sidebar, with a real machine."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Page, expect

from tests.system.browser import chromium, open_lab, press, sidebar
from tests.system.conftest import Bench, JupyterLab, wait_for
from tests.system.lesson_runner import NOTEBOOKS

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(400)]

LAB = "your-first-machine"
NOTEBOOK = "01-your-first-machine.ipynb"
SOON_MS = 60_000  # how soon is no matter of a test: other computers are slower


@pytest.fixture(scope="module")
def server(module_bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> JupyterLab:
    folder = tmp_path_factory.mktemp("notebooks")
    module_bench.educloud("cloud", "start")
    return module_bench.lab(folder)


@pytest.fixture
def untrusted(server: JupyterLab) -> Path:
    """The first lesson as somebody else has run and saved it; test_lessons.py runs it."""
    notebook = nbformat.read(NOTEBOOKS / NOTEBOOK, nbformat.NO_CONVERT)
    cell = next(cell for cell in notebook.cells if "CloudPanel()" in cell.source)
    payload = {"version": 1, "lab": None, "machine_profile": None, "slot": "main"}
    shown = {"text/plain": "CloudPanel()", "application/vnd.educloud.panel+json": payload}
    cell.outputs = [nbformat.v4.new_output("display_data", data=shown)]
    notebook.metadata.kernelspec = {"name": "gone", "display_name": "Gone", "language": "python"}
    path = server.folder / "untrusted.ipynb"
    nbformat.write(notebook, path)
    return path


def kernels(server: JupyterLab) -> list[str]:
    """Return the sessions of notebooks with kernels."""
    _, listed = server.request("GET", "api/sessions")
    return [session["id"] for session in listed]  # type: ignore[index]  # a list, where our own routes give objects


@pytest.mark.browser
def test_panel_and_sidebar_show_the_same(
    untrusted: Path, server: JupyterLab, browser_path: str, tmp_path: Path, artifacts: Path
) -> None:
    """Also in a notebook that nobody trusts, whose kernel does not exist: the card is drawn from the server's state."""
    with chromium(browser_path, tmp_path / "profile") as page:
        open_lab(page, server.url, server.token, path=f"lab/tree/{untrusted.name}")
        without_kernel(page, server)
        card = sidebar(page)
        panel = page.locator(".jp-OutputArea .educloud-LeaseCard").first
        expect(panel).to_be_visible(timeout=SOON_MS)
        expect(panel).to_contain_text("Off")

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
