"""The panel in a real page, whatever happens around it: it shows what the server says, or says that it cannot.

The server half plays from a script (fake_server.py); kernels, widgets and files are real.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.system.browser import press
from tests.system.conftest import wait_for
from tests.system.lab_page import BIN, Lab, execute, fresh_page, loaded, open_page, phase, serve, show_sidebar

pytestmark = pytest.mark.browser

LAB = "Shell basics"
OTHER = "Another lab"
LINKED = """
from ipywidgets import Label, VBox
from traitlets import dlink
label = Label()
dlink((panel, "state"), (label, "value"), "It is {}.".format)
VBox([panel, label])
"""
CELLS = (
    "from educloud_lab import CloudPanel\npanel = CloudPanel()\npanel",
    f"CloudPanel('{LAB}', 'tiny')",
    f"CloudPanel('{OTHER}', 'tiny')",
    LINKED,
    "from pathlib import Path\nimport time\nwhile not Path('go-on').exists():\n    time.sleep(0.1)",
    "panel.stop()\nprint('stopped from the cell:', panel.state in {'stopping', 'asleep'})",
)
WITHDRAWN = "The panel of your machine is not shown"


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    yield from serve(tmp_path / "server", "lab", fake=True)


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    with fresh_page(tmp_path / "chromium") as page:
        yield page


def notebook() -> dict[str, Any]:
    return {
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": {
            "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
            "educloud": {"lab": LAB, "machine_profile": "tiny"},
        },
        "cells": [
            {
                "cell_type": "code",
                "id": f"c{index}",
                "metadata": {},
                "source": source,
                "execution_count": None,
                "outputs": [],
            }
            for index, source in enumerate(CELLS)
        ],
    }


def cell(page: Page, index: int) -> Locator:
    return page.locator(".jp-Notebook .jp-Cell").nth(index).locator(".jp-OutputArea")


def kernel(page: Page, status: str) -> None:
    page.wait_for_function(
        "s => window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel?.status === s", arg=status
    )


def test_it_shows_the_truth_whatever_the_kernel_does(lab: Lab, page: Page, tmp_path: Path) -> None:
    path = lab.root / "truth.ipynb"
    path.write_text(json.dumps(notebook()))
    lab.scene(scene="ready")
    open_page(page, lab, "lab/tree/truth.ipynb?reset")
    kernel(page, "idle")
    execute(page, "@jupyter-widgets/jupyterlab-manager:saveWidgetState")
    page.evaluate("() => void window.jupyterapp.commands.execute('notebook:run-all-cells')")

    # Several panels of one lab and of two, as outputs and inside another widget, which a busy kernel does not hold up.
    cards = [cell(page, index).locator(".educloud-panel") for index in (0, 1, 3)]
    label = cell(page, 3).locator(".widget-label")
    for card in cards:
        phase(card, "Ready")
    phase(cell(page, 2).locator(".educloud-panel"), "Off")
    expect(label).to_have_text("It is ready.")
    kernel(page, "busy")
    lab.scene(scene="asleep")
    for card in cards:
        phase(card, "Asleep")
    expect(label).to_have_text("It is asleep.")

    # Both ways: a press in a panel is seen in Python and in the sidebar, what a cell does is seen in the page.
    press(cards[1], "Start")
    phase(show_sidebar(page), "Ready")
    phase(cards[2], "Ready")
    expect(label).to_have_text("It is ready.")
    (lab.root / "go-on").touch()
    expect(cell(page, 5)).to_contain_text("stopped from the cell: True")
    phase(cards[0], "Asleep")
    phase(show_sidebar(page), "Asleep")
    kernel(page, "idle")
    # Its own "are you sure" is not what is looked at here.
    execute(page, "docmanager:save")
    saved = json.loads(wait_for("the file", lambda: WITHDRAWN in (text := path.read_text()) and text))

    # What is saved with the notebook, widgets' state with it, and what the browser and the workspace keep.
    kept = page.evaluate("() => JSON.stringify([{...localStorage}, {...sessionStorage}])")
    kept += json.dumps(lab.request("lab/api/workspaces"))
    snapshot = lab.request("educloud/api/v1/snapshot")
    (lease,) = snapshot["leases"]
    canaries = {
        "token": lab.token,
        "server": lab.url.split("/")[2],
        "volume": lease["volumes"][0]["id"],
        "address": "172.16.",
    }
    states = [
        one["state"]
        for one in saved["metadata"]["widgets"]["application/vnd.jupyter.widget-state+json"]["state"].values()
        if one["model_module"] == "educloud-lab"
    ]
    assert len(states) == 3, "the widgets' state was saved"
    kinds = {name for name in states[0] if not name.startswith("_")}
    assert kinds <= {"lab", "machine_profile", "slot", "layout", "tabbable", "tooltip"}
    assert [name for name, text in canaries.items() if text in json.dumps(saved)] == []
    assert [name for name, text in canaries.items() if text in kept.replace(lab.url, "")] == []

    # Without a kernel's help: it is started anew, and then dead.
    page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
    lab.scene(scene="ready")
    for card in cards:
        phase(card, "Ready")
    page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")
    lab.scene(scene="asleep")
    for card in cards:
        phase(card, "Asleep")

    # In another tab of the same person.
    tab = page.context.new_page()
    open_page(tab, lab, "lab/workspaces/second/tree/truth.ipynb")
    phase(cell(tab, 1).locator(".educloud-panel"), "Asleep")
    press(cell(tab, 1).locator(".educloud-panel"), "Start")
    phase(cards[0], "Ready")
    tab.close()

    reads_well_elsewhere(path, saved, page, tmp_path)


def reads_well_elsewhere(path: Path, saved: dict[str, Any], page: Page, tmp_path: Path) -> None:
    """The saved file for another person, in a page without our extension, and in a file of nbconvert's."""
    for theirs in serve(tmp_path / "theirs", "lab", fake=True):
        # Copied into a notebook of their own, which is about no lab, or about another.
        copied = saved | {"metadata": {"kernelspec": saved["metadata"]["kernelspec"]}}
        (theirs.root / "theirs.ipynb").write_text(path.read_text())
        (theirs.root / "copied.ipynb").write_text(json.dumps(copied))
        theirs.scene(scene="off")
        open_page(page, theirs, "lab/tree/theirs.ipynb?reset")
        for index in (0, 1):
            phase(cell(page, index).locator(".educloud-panel"), "Off")
        assert not [one for one in theirs.requests if one.startswith("claim")], "nothing starts by itself"
        open_page(page, theirs, "lab/tree/copied.ipynb?reset")
        expect(cell(page, 0)).to_contain_text("This notebook does not name a lab")
        phase(cell(page, 1).locator(".educloud-panel"), "Off")

        disabled = tmp_path / "theirs/config/labconfig/page_config.json"
        disabled.parent.mkdir()
        disabled.write_text(json.dumps({"disabledExtensions": {"educloud-lab": True}}))
        open_page(page, theirs, "lab/tree/theirs.ipynb?reset")
        for index in (0, 1, 2):
            expect(cell(page, index)).to_contain_text(WITHDRAWN)
        expect(page.locator("#educloud-sidebar")).to_have_count(0)
        loaded(page)

    html = subprocess.run(
        [str(BIN / "jupyter-nbconvert"), "--to", "html", "--stdout", str(path)],
        capture_output=True,
        text=True,
        check=True,
        stdin=subprocess.DEVNULL,
        timeout=300,
    ).stdout
    assert html.count(f"<p>{WITHDRAWN}") == 3
    assert html.count('<script type="application/vnd.jupyter.widget-view+json">') == 1, "of the box around a panel"


def test_it_looks_right_where_there_is_little_room(lab: Lab, page: Page, artifacts: Path) -> None:
    """Half a window, dark, and at 200 %: nothing is cut off or lies over something else."""
    output = {
        "output_type": "display_data",
        "metadata": {},
        "data": {"text/plain": "CloudPanel()", "application/vnd.educloud.panel+json": {"version": 1}},
    }
    book = notebook()
    book["cells"] = [book["cells"][0] | {"outputs": [output]}]
    (lab.root / "small.ipynb").write_text(json.dumps(book))
    lab.scene(scene="soon")
    page.set_viewport_size({"width": 640, "height": 430})  # 1280 by 860 at 200 %
    open_page(page, lab, "lab/tree/small.ipynb?reset")
    execute(page, "application:toggle-left-area")
    card = cell(page, 0).locator(".educloud-panel")
    for theme in ("JupyterLab Light", "JupyterLab Dark"):
        execute(page, "apputils:change-theme", theme=theme)
        page.wait_for_function("t => document.body.dataset.jpThemeName === t", arg=theme)
        for width in (640, 460, 380):
            page.set_viewport_size({"width": width, "height": 430})
            phase(card, "Ready")
            card.scroll_into_view_if_needed()
            page.screenshot(path=str(artifacts / f"panel-{width}-{theme.rsplit(' ', 1)[1].lower()}.png"))
            cut = card.evaluate(
                "card => [...card.querySelectorAll('button, p, h2, h3, .educloud-chip')]"
                ".filter(one => one.scrollWidth > one.clientWidth + 1 && one.clientWidth > 0"
                " && getComputedStyle(one).overflow !== 'visible')"
                ".map(one => one.textContent)"
            )
            assert cut == []
            wider = card.evaluate("card => card.scrollWidth > card.clientWidth + 1")
            assert not wider, f"it is wider than its cell at {width}"
