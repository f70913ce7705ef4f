"""The page in a real Chromium on a real JupyterLab, against a server half that plays from a script (fake_server.py).

Screenshots of every state in three themes go to ``artifacts/page``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.system.browser import press, type_line, wait_terminal
from tests.system.conftest import wait_for
from tests.system.lab_page import (
    ROOT,
    THEMES,
    Lab,
    execute,
    fresh_page,
    open_page,
    phase,
    reload,
    serve,
    shooter,
    show_sidebar,
    toasts,
    use_theme,
    without_kernel,
)

pytestmark = pytest.mark.browser

LAB = "Shell basics"
NEEDS = "() => window.jupyterapp.shell.currentWidget.model.getMetadata('educloud')"
CHOICE = {"lab": LAB, "machine_profile": "tiny"}
MIME = "application/vnd.educloud.panel+json"

WIDGET = """
import ipywidgets, traitlets
class CloudPanel(ipywidgets.DOMWidget):
    _model_name = traitlets.Unicode('CloudPanelModel').tag(sync=True)
    _model_module = traitlets.Unicode('educloud-lab').tag(sync=True)
    _model_module_version = traitlets.Unicode('^1.0.0').tag(sync=True)
    _view_name = traitlets.Unicode('CloudPanelView').tag(sync=True)
    _view_module = traitlets.Unicode('educloud-lab').tag(sync=True)
    _view_module_version = traitlets.Unicode('^1.0.0').tag(sync=True)
    lab = traitlets.Unicode('Shell basics').tag(sync=True)
    machine_profile = traitlets.Unicode('tiny').tag(sync=True)
    slot = traitlets.Unicode('main').tag(sync=True)
ipywidgets.VBox([CloudPanel()])
"""


def notebook(*, metadata: dict[str, Any] | None, payload: dict[str, Any], code: str = "") -> dict[str, Any]:
    """Return a notebook as it was saved with the panel in its output."""
    output = {
        "output_type": "display_data",
        "metadata": {},
        "data": {"text/plain": "CloudPanel()", MIME: payload},
    }
    cells = [
        {"cell_type": "markdown", "id": "a1", "metadata": {}, "source": "# Shell basics\n\nPress **Start**."},
        {
            "cell_type": "code",
            "id": "a2",
            "metadata": {},
            "source": code or "from educloud_lab import CloudPanel\nCloudPanel()",
            "execution_count": 1,
            "outputs": [] if code else [output],
        },
    ]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}} if code else {}
    return {
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": kernel | ({"educloud": metadata} if metadata else {}),
        "cells": cells,
    }


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    yield from serve(tmp_path_factory.mktemp("lab"), "lab", fake=True)


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    with fresh_page(tmp_path / "chromium") as page:
        yield page


@pytest.fixture
def shot(page: Page, artifacts: Path) -> Callable[[str], None]:
    return shooter(page, artifacts / "page")


def test_the_story(lab: Lab, page: Page, shot: Callable[[str], None]) -> None:
    lab.scene(scene="off")
    open_page(page, lab)
    sidebar = show_sidebar(page)
    shot("story-1-off")
    lab.scene(hold=True)
    sidebar.get_by_role("button", name="Start Small Linux machine", exact=True).click()
    expect(sidebar.get_by_role("progressbar")).to_be_visible()
    expect(sidebar.locator(".educloud-Step")).to_have_count(6)
    lab.scene(hold=False)
    phase(sidebar, "Ready")
    wait_for("the notification", lambda: any("Ready to use" in text for text in toasts(page)))
    assert len(toasts(page)) == 1
    assert [one for one in lab.requests if one.startswith("claim")] == ["claim tiny tiny True"]

    press(sidebar, "Terminal")
    wait_terminal(page, r"student@shell-basics:~\$ ")
    type_line(page, "hello")
    wait_terminal(page, "hello: noted")
    shot("story-2-terminal")

    reload(page, lab, "educloud-sidebar", "educloud-terminal:")
    expect(page.locator("#educloud-sidebar")).to_be_visible()
    wait_terminal(page, "hello: noted")
    type_line(page, "again")
    wait_terminal(page, "again: noted")
    expect(page.locator(".Toastify__toast")).to_have_count(0)

    press(sidebar, "Stop")
    phase(sidebar, "Asleep")
    expect(page.locator(".educloud-terminalBar")).to_contain_text("the machine is not ready")
    shot("story-3-asleep")

    reload(page, lab, "educloud-sidebar", "educloud-terminal:")
    expect(page.locator(".educloud-terminalBar")).to_be_visible()
    wait_terminal(page, "again: noted")
    page.locator(".educloud-terminalBar").get_by_role("button", name="Start").click()
    phase(sidebar, "Ready")
    expect(page.locator(".educloud-terminalBar")).to_be_hidden()

    type_line(page, "exit")
    expect(page.locator(".educloud-terminalBar")).to_contain_text("The shell has ended")
    page.locator(".educloud-terminalBar").get_by_role("button", name="Open a new one").click()
    expect(page.locator(".educloud-terminalBar")).to_be_hidden()


def test_delete_needs_the_name(lab: Lab, page: Page, shot: Callable[[str], None]) -> None:
    name = 'Shell "basics" & <b>ä</b>'
    lab.scene(scene="ready", lab=name)
    open_page(page, lab)
    sidebar = show_sidebar(page)
    expect(sidebar.get_by_role("heading", name=name)).to_be_visible()
    press(sidebar, "Delete machine")
    dialog = page.get_by_role("dialog")
    confirm = dialog.get_by_role("button", name="Delete machine")
    expect(confirm).to_be_disabled()
    dialog.get_by_role("textbox").fill("Shell")
    expect(confirm).to_be_disabled()
    dialog.get_by_role("textbox").press("Enter")
    expect(dialog).to_have_count(0)  # the key closes it all the same, and nothing was done
    assert not [one for one in lab.requests if one.startswith("delete")]
    press(sidebar, "Delete machine")
    dialog.get_by_role("textbox").fill(name)
    shot("delete-dialog-light")
    confirm.click()
    phase(sidebar, "Off")
    assert [one for one in lab.requests if one.startswith("delete")] == [f"delete {name}"]


def test_every_state_in_every_theme(lab: Lab, page: Page, shot: Callable[[str], None]) -> None:
    (lab.root / "states.ipynb").write_text(json.dumps(notebook(metadata=CHOICE, payload=CHOICE)))
    lab.scene(scene="off")
    open_page(page, lab, "lab/tree/states.ipynb?reset")
    without_kernel(page)
    sidebar = show_sidebar(page)
    card = page.locator(".jp-OutputArea .educloud-LeaseCard")
    words = {
        "off": "Off",
        "starting": "Starting",
        "ready": "Ready",
        "soon": "Ready",
        "waiting": "Waiting",
        "trouble": "Trouble",
    }
    for theme, title in THEMES.items():
        use_theme(page, title)
        for scene, word in words.items():
            lab.scene(scene=scene)
            phase(sidebar, word)
            expect(card.locator(".educloud-chip")).to_have_text(word)
            if scene == "ready":
                for details in sidebar.locator("summary").all():
                    details.click()
            shot(f"{scene}-{theme}")
        lab.scene(scene="ready")
        press(sidebar, "Delete machine")
        shot(f"delete-{theme}")
        page.get_by_role("button", name="Keep it").click()
        press(sidebar, "Console log")
        expect(page.locator(".educloud-consoleText")).to_contain_text("Started OpenSSH server")
        shot(f"console-{theme}")
        execute(page, "application:close")


def test_panel_without_a_kernel(lab: Lab, page: Page) -> None:
    (lab.root / "saved.ipynb").write_text(json.dumps(notebook(metadata=CHOICE, payload={})))
    lab.scene(scene="off")
    open_page(page, lab, "lab/tree/saved.ipynb?reset")
    without_kernel(page)
    sidebar = show_sidebar(page)
    panel = page.locator(".jp-OutputArea .educloud-LeaseCard")
    phase(panel, "Off")
    # The sidebar offers the lab of the notebook in front; neither has started anything.
    expect(sidebar.get_by_role("heading", name=LAB)).to_be_visible()
    assert not [one for one in lab.requests if one.startswith("claim")]
    lab.scene(hold=True)
    press(panel, "Start")
    phase(panel, "Starting")
    phase(sidebar, "Starting")
    lab.scene(hold=False)
    phase(panel, "Ready")
    phase(sidebar, "Ready")
    reload(page, lab, "educloud-sidebar")
    without_kernel(page)
    phase(page.locator(".jp-OutputArea .educloud-LeaseCard"), "Ready")
    press(sidebar, "Stop")
    phase(page.locator(".jp-OutputArea .educloud-LeaseCard"), "Asleep")
    assert [one for one in lab.requests if one.startswith("claim")] == [f"claim {LAB} tiny True"]


def test_panel_as_a_widget(lab: Lab, page: Page) -> None:
    (lab.root / "widget.ipynb").write_text(json.dumps(notebook(metadata=None, payload={}, code=WIDGET)))
    lab.scene(scene="ready")
    open_page(page, lab, "lab/tree/widget.ipynb?reset")
    page.wait_for_function(
        "() => window.jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel?.connectionStatus"
        " === 'connected'",
        timeout=60_000,
    )
    execute(page, "notebook:run-all-cells")
    view = page.locator(".jp-OutputArea .widget-vbox .educloud-LeaseCard")
    expect(view).to_be_visible(timeout=60_000)
    phase(view, "Ready")
    press(view, "Stop")
    phase(view, "Asleep")


def test_changes_come_within_a_second_and_after_a_dropped_socket(lab: Lab, page: Page) -> None:
    lab.scene(scene="ready")
    open_page(page, lab)
    sidebar = show_sidebar(page)
    phase(sidebar, "Ready")
    lab.scene(scene="asleep")
    phase(sidebar, "Asleep")
    lab.scene(drop_sockets=True)
    lab.scene(scene="ready")
    phase(sidebar, "Ready")


def test_a_flood_is_acknowledged(lab: Lab, page: Page) -> None:
    lab.scene(scene="ready")
    open_page(page, lab)
    press(show_sidebar(page), "Terminal")
    wait_terminal(page, r"student@shell-basics:~\$ ")
    type_line(page, "flood")
    wait_terminal(page, "flood over")
    (counts,) = lab.terminals.values()
    assert counts["sent"] > 1_000_000
    # All but a rest below 64 KiB is acknowledged, and at no time was more on its way than the high mark and a frame.
    name = next(iter(lab.terminals))
    wait_for("the rest to be acknowledged", lambda: counts["sent"] - 65_536 < lab.terminals[name]["acked"])
    assert lab.terminals[name]["acked"] <= lab.terminals[name]["sent"]
    assert counts["highest"] < 393_216 + 20_000


def test_a_refusal_is_shown_in_the_card(lab: Lab, page: Page) -> None:
    lab.scene(scene="asleep", refuse={"code": "quota", "what": "You have two machines already.", "kept": "Both."})
    try:
        open_page(page, lab)
        sidebar = show_sidebar(page)
        press(sidebar, "Start")
        expect(sidebar.get_by_role("alert")).to_contain_text("You have two machines already.")
    finally:
        lab.scene(refuse=None)


def test_keyboard_alone(lab: Lab, page: Page) -> None:
    lab.scene(scene="ready")
    open_page(page, lab)
    sidebar = show_sidebar(page)
    phase(sidebar, "Ready")
    sidebar.get_by_role("button", name="Terminal").focus()
    names = []
    for _ in range(8):
        names.append(page.evaluate("document.activeElement.textContent.trim()"))
        page.keyboard.press("Tab")
    assert names == [
        "Terminal",
        "Stop",
        "Keep",
        "Snapshots and bin",
        "Started in 12 s",
        "Machine details",
        "Console log",
        "Delete machine…",
    ]
    sidebar.get_by_role("button", name="Stop").focus()
    page.keyboard.press("Enter")
    phase(sidebar, "Asleep")


def test_commands_describe_their_arguments(lab: Lab, page: Page) -> None:
    lab.scene(scene="ready")
    open_page(page, lab)
    described = page.evaluate(
        """async () => {
          const { commands } = window.jupyterapp;
          const ids = commands.listCommands().filter(id => id.startsWith('educloud:'));
          const all = {};
          for (const id of ids) { all[id] = (await commands.describedBy(id)).args?.type ?? null; }
          return all;
        }"""
    )
    assert set(described.values()) == {"object"}
    page_text = (ROOT / "docs/reference/commands.md").read_text()
    assert all(f"`{command}`" in page_text for command in described)


def test_server_half_of_another_version(lab: Lab, page: Page, shot: Callable[[str], None]) -> None:
    lab.scene(scene="off", hello={"api_version": 0, "package_version": "0.0.9"})
    try:
        open_page(page, lab)
        sidebar = show_sidebar(page)
        expect(sidebar.get_by_role("alert")).to_contain_text("older than this page")
        shot("too-old-light")
        lab.scene(hello={"api_version": 1, "package_version": "0.1.0"})
        press(sidebar, "Check again")
        expect(sidebar.get_by_text("No machine yet")).to_be_visible()
    finally:
        lab.scene(hello={"api_version": 1, "package_version": "0.1.0"})


def test_server_half_missing(tmp_path: Path, page: Page, shot: Callable[[str], None]) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/educloud/" in request.url else None)
    for lab in serve(tmp_path, "lab", fake=False):
        open_page(page, lab)
        sidebar = show_sidebar(page)
        expect(sidebar.get_by_role("alert")).to_contain_text("jupyter server extension enable educloud_lab")
        for theme, title in THEMES.items():
            use_theme(page, title)
            shot(f"missing-{theme}")
        page.wait_for_timeout(6000)  # Longer than one poll: nothing may be asked again, nothing may pop up.
        assert len(asked) == 1
        expect(page.locator(".Toastify__toast")).to_have_count(0)


def test_notebook_7(tmp_path: Path, page: Page, shot: Callable[[str], None]) -> None:
    for lab in serve(tmp_path, "notebook", fake=True):
        saved = notebook(metadata=CHOICE, payload=CHOICE)
        saved["cells"][0]["source"] += "\n\n```sh\necho from the text\n```"
        (lab.root / "saved.ipynb").write_text(json.dumps(saved))
        lab.scene(scene="off")
        open_page(page, lab, "notebooks/saved.ipynb")
        without_kernel(page)
        panel = page.locator(".jp-OutputArea .educloud-LeaseCard")
        phase(panel, "Off")
        execute(page, "educloud:show-machine")
        sidebar = page.locator("#educloud-sidebar")
        expect(sidebar).to_be_visible()
        press(panel, "Start")
        phase(sidebar, "Ready")
        press(sidebar, "Terminal")
        wait_terminal(page, r"student@shell-basics:~\$ ")
        type_line(page, "hello")
        wait_terminal(page, "hello: noted")
        shot("notebook7")

        # A block of the text is typed there; Enter is the person's.
        page.locator(".educloud-typein >> visible=true").get_by_role("button").click()
        wait_terminal(page, r"\$ echo from the text\s*$")
        shot("notebook7-block")
        type_line(page, "")
        wait_terminal(page, "echo from the text: noted")

        # What the notebook needs is edited beside it.
        execute(page, "application:toggle-panel", side="right", title="Notebook Tools", id="notebook-tools")
        tools = page.locator("#notebook-tools")
        tools.locator(".jp-Collapse-header", has_text="Lab machine").click()
        form = tools.locator(".educloud-needsForm")
        expect(form.get_by_label("Lab", exact=True)).to_have_value(CHOICE["lab"])
        form.get_by_label("Minutes").fill("30")
        form.get_by_label("Minutes").press("Enter")
        wait_for("the minutes to be written", lambda: page.evaluate(NEEDS) == CHOICE | {"minutes": 30})
        shot("notebook7-needs")
