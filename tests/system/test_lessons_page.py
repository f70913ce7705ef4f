"""Three lessons as a person does them: Start in the panel, cells with Shift+Enter, the terminal, a block's button."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from playwright.sync_api import Page, expect

from tests.system.browser import chromium, open_lab, press, wait_terminal
from tests.system.conftest import Bench, JupyterLab, wait_for
from tests.system.lesson_bench import checks_passed, left_by_hand
from tests.system.lesson_runner import NOTEBOOKS, Run, metadata

pytestmark = [pytest.mark.qemu, pytest.mark.browser, pytest.mark.timeout(1200)]

LONG_MS = 180_000
FIRST = "01-your-first-machine.ipynb"
VOLUMES = "02-volumes-outlive-machines.ipynb"
GROUPS = "05-security-groups-and-a-web-server.ipynb"
CELLS = """
() => JSON.stringify(window.jupyterapp.shell.currentWidget.content.widgets.map(cell => cell.model.sharedModel.toJSON()))
"""


@pytest.fixture(scope="module")
def server(module_bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> JupyterLab:
    folder = tmp_path_factory.mktemp("lessons")
    for name in (FIRST, VOLUMES, GROUPS):
        (folder / name).write_text((NOTEBOOKS / name).read_text())
    module_bench.educloud("cloud", "start")
    return module_bench.lab(folder)


def cells(page: Page) -> list[dict[str, Any]]:
    """Return the cells of the notebook in front, with their outputs as they are now."""
    loaded: list[dict[str, Any]] = json.loads(page.evaluate(CELLS))
    return loaded


def code(page: Page) -> list[dict[str, Any]]:
    """Return those that can be run and say something."""
    return [cell for cell in cells(page) if cell["cell_type"] == "code" and "".join(cell["source"]).strip()]


def open_lesson(page: Page, server: JupyterLab, name: str) -> None:
    """Open it, and select its first code cell as a person does: by a click."""
    open_lab(
        page, server.url, server.token, path=f"lab/workspaces/lesson-{name[:2]}/tree/{name}"
    )  # or the last one is there too
    # JupyterLab asks for a kernel when its list came late, and lays the question over what is pressed.
    question = page.locator(".jp-Dialog")
    page.add_locator_handler(question, lambda: page.locator(".jp-Dialog .jp-mod-accept").click())
    expect(page.get_by_text("Python 3 (ipykernel) | Idle")).to_be_visible(timeout=LONG_MS)
    page.get_by_text("from educloud_lab import CloudPanel").locator("visible=true").first.click()


def run_on(page: Page, times: int) -> None:
    for _ in range(times):
        page.keyboard.press("Shift+Enter")


def run_all(page: Page, name: str) -> Run:
    """Press Shift+Enter from the selected cell to the last one, and wait until all have been run."""
    last = len(cells(page))
    active: int = page.evaluate("() => window.jupyterapp.shell.currentWidget.content.activeCellIndex")
    run_on(page, last - active)

    def over() -> bool:
        there = code(page)
        failed = any(output["output_type"] == "error" for cell in there for output in cell["outputs"])
        return failed or all(cell["execution_count"] for cell in there)

    wait_for(f"the cells of {name}", over, timeout_s=600, period_s=0.5)
    expect(page.get_by_text("Python 3 (ipykernel) | Idle")).to_be_visible(timeout=LONG_MS)
    notebook = nbformat.v4.new_notebook(cells=[nbformat.from_dict(cell) for cell in code(page)])
    for cell in notebook.cells:
        cell.source = "".join(cell.source)
    run = Run(notebook)
    failed = [cell.id for cell in notebook.cells for output in cell.outputs if output.output_type == "error"]
    assert not failed, run.said(failed[0])
    return run


def test_the_first_lesson(server: JupyterLab, browser_path: str, tmp_path: Path, artifacts: Path) -> None:
    with chromium(browser_path, tmp_path / "profile") as page:
        open_lesson(page, server, FIRST)
        run_on(page, 1)
        panel = page.locator(".jp-OutputArea .educloud-LeaseCard >> visible=true").first
        expect(panel).to_be_visible(timeout=LONG_MS)
        press(panel, "Start")
        server.wait_phase(metadata(FIRST)["lab"], "ready")
        expect(panel).to_contain_text("Ready", timeout=LONG_MS)

        # The button beside a block opens the terminal and types at its prompt; Enter is the person's.
        block = page.locator(".jp-MarkdownCell", has_text="uptime").locator(".educloud-typein button")
        block.scroll_into_view_if_needed(timeout=LONG_MS)
        expect(block).to_have_text(re.compile("Type into the terminal"), timeout=LONG_MS)
        block.click()
        text = wait_terminal(page, r"ps aux \| head")
        assert "load average" not in text  # nothing has run
        page.keyboard.press("Enter")
        wait_terminal(page, r"load average[\s\S]*Mem:[\s\S]*PID")
        page.screenshot(path=str(artifacts / "lesson-1-command-block.png"))

        page.locator(".lm-TabBar-tab", has_text=FIRST).first.click()
        page.get_by_text("connect().machine(").first.click()
        run = run_all(page, FIRST)
        checks_passed(run)
        assert server.lease(metadata(FIRST)["lab"])["phase"] == "asleep"
        expect(panel).to_contain_text("Asleep", timeout=LONG_MS)
        page.screenshot(path=str(artifacts / "lesson-1-end.png"))


@pytest.mark.parametrize("name", [GROUPS, VOLUMES])
def test_a_lesson_with_work_by_hand(
    name: str, server: JupyterLab, module_bench: Bench, browser_path: str, tmp_path: Path, artifacts: Path
) -> None:
    lab = metadata(name)["lab"]
    with chromium(browser_path, tmp_path / "profile") as page:
        open_lesson(page, server, name)
        run_on(page, 1)
        panel = page.locator(".jp-OutputArea .educloud-LeaseCard >> visible=true").first
        expect(panel).to_be_visible(timeout=LONG_MS)
        press(panel, "Start")
        # Keys go to what was clicked last: back to the cells.
        page.get_by_text("connect().machine(").locator("visible=true").first.click()
        run = run_all(page, name)
        checks_passed(run)
        assert server.lease(lab)["phase"] == "asleep"
        page.screenshot(path=str(artifacts / f"lesson-{name[:2]}-end.png"))
    assert left_by_hand(module_bench) == {}
