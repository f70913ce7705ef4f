"""The page in a real Chromium on a real JupyterLab, against a server half that plays from a script (fake_server.py).

Screenshots of every state in three themes go to ``artifacts/page``.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.system.browser import chromium, press, type_line, wait_terminal
from tests.system.conftest import wait_for

pytestmark = pytest.mark.browser

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
CHROMIUM = "/usr/bin/chromium"
BASE_URL = "/user/x%20y@z/"
LAB = "Shell basics"
CHOICE = {"lab": LAB, "machine_profile": "tiny"}
MIME = "application/vnd.educloud.panel+json"
THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark", "contrast": "JupyterLab Dark High Contrast"}

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


@dataclass
class Lab:
    """A running Jupyter server and what steers its fake half."""

    url: str
    token: str
    root: Path

    def request(self, path: str, body: dict[str, Any] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"token {self.token}", "Content-Type": "application/json"}
        request = urllib.request.Request(self.url + path, data=data, headers=headers)
        with urllib.request.urlopen(request, timeout=60) as reply:
            return json.load(reply)

    def scene(self, **body: Any) -> None:
        self.request("educloud/test/scene", body)

    @property
    def requests(self) -> list[str]:
        asked: list[str] = self.request("educloud/test/scene")[0]
        return asked

    @property
    def terminals(self) -> dict[str, dict[str, int]]:
        terminals: dict[str, dict[str, int]] = self.request("educloud/test/scene")[1]
        return terminals


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def serve(folder: Path, program: str, *, fake: bool) -> Iterator[Lab]:
    """Run JupyterLab or Notebook 7 with everything of its own in `folder`."""
    config = folder / "config" / "jupyter_server_config.d"
    config.mkdir(parents=True)
    enabled = {"ServerApp": {"jpserver_extensions": {"fake_server": fake, "educloud_lab": False}}}
    (config / "page.json").write_text(json.dumps(enabled))
    news = folder / "settings" / "@jupyterlab" / "apputils-extension"
    news.mkdir(parents=True)
    settings = {"fetchNews": "false", "checkForUpdates": False}
    (news / "notification.jupyterlab-settings").write_text(json.dumps(settings))
    root = folder / "root"
    root.mkdir()
    env = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(Path(__file__).parent)]),
        # Else the environment's own configuration would switch the real server half on again.
        "JUPYTER_PREFER_ENV_PATH": "0",
        "EDUCLOUD_HOME": str(folder / "educloud"),
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "JUPYTER_DATA_DIR": str(folder / "data"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces"),
        "IPYTHONDIR": str(folder / "ipython"),
    }
    token = secrets.token_hex(16)
    port = free_port()
    command = [
        *(str(BIN / "jupyter"), program, "--allow-root", "--no-browser", "--ip=127.0.0.1", f"--port={port}"),
        *(f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={root}", f"--ServerApp.base_url={BASE_URL}"),
        *(f"--{'LabApp' if program == 'lab' else 'JupyterNotebookApp'}.expose_app_in_browser=True",),
    ]
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, env=env, cwd=root, stdout=log, stderr=log)
    lab = Lab(f"http://127.0.0.1:{port}{BASE_URL}", token, root)
    try:
        end = time.monotonic() + 180
        while True:
            try:
                lab.request("api/status")
                break
            except (urllib.error.URLError, ConnectionError):
                if process.poll() is not None or time.monotonic() > end:
                    pytest.fail(f"{program} did not start:\n{(folder / 'server.log').read_text()[-3000:]}")
                time.sleep(0.2)
        yield lab
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    yield from serve(tmp_path_factory.mktemp("lab"), "lab", fake=True)


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    with chromium(CHROMIUM, tmp_path / "chromium", width=1280, height=860) as page:
        page.set_default_timeout(60_000)
        page.add_init_script(KEEP_TOASTS)
        yield page


@pytest.fixture
def shot(page: Page, artifacts: Path) -> Callable[[str], None]:
    folder = artifacts / "page"
    folder.mkdir(exist_ok=True)

    def take(name: str) -> None:
        page.wait_for_timeout(400)  # Only the picture waits: for transitions to end.
        page.screenshot(path=str(folder / f"{name}.png"))

    return take


def open_page(page: Page, lab: Lab, path: str = "lab?reset") -> None:
    page.goto(f"{lab.url}{path}{'&' if '?' in path else '?'}token={lab.token}")
    loaded(page)


def loaded(page: Page) -> None:
    page.wait_for_selector("#main, #main-panel, #jp-main-dock-panel", state="visible", timeout=60_000)
    page.wait_for_selector("#jupyterlab-splash", state="detached", timeout=60_000)


def without_kernel(page: Page) -> None:
    """Answer JupyterLab's question for a kernel: none."""
    page.get_by_role("dialog").get_by_role("button", name="No Kernel").click()
    page.get_by_role("dialog").wait_for(state="detached")


# A notification goes by itself after some seconds, and a slow browser is looked at too late.
KEEP_TOASTS = """
window.toastsSeen = {};
let count = 0;
new MutationObserver(() => {
  for (const toast of document.querySelectorAll('.Toastify__toast')) {
    toast.number = toast.number || ++count;
    window.toastsSeen[toast.number] = toast.textContent;
  }
}).observe(document, { childList: true, subtree: true, characterData: true });
"""


def toasts(page: Page) -> list[str]:
    """Return the last text of each notification that has popped up since the page was loaded."""
    return list(page.evaluate("Object.values(window.toastsSeen)"))


def reload(page: Page, lab: Lab, *shown: str) -> None:
    """Load the page again, once JupyterLab has saved (in its own time) that these parts are shown."""

    def saved() -> bool:
        layouts = [
            one["data"].get("layout-restorer:data", {})
            for one in lab.request("lab/api/workspaces")["workspaces"]["values"]
        ]
        current = [json.dumps([each["left"]["current"], each["main"]]) for each in layouts if "left" in each]
        return any(all(part in each for part in shown) for each in current)

    wait_for("the layout to be saved", saved)
    page.reload()
    loaded(page)


def show_sidebar(page: Page) -> Locator:
    panel = page.locator("#educloud-sidebar")
    tab = page.locator('.jp-SideBar [data-id="educloud-sidebar"]')
    tab.wait_for(state="visible")
    if not panel.is_visible():
        tab.click()
    panel.wait_for(state="visible")
    return panel


def phase(area: Locator, word: str) -> None:
    expect(area.locator(".educloud-chip").first).to_have_text(word)


def execute(page: Page, command: str, **args: Any) -> None:
    page.evaluate("([id, args]) => window.jupyterapp.commands.execute(id, args)", [command, args])


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
        execute(page, "apputils:change-theme", theme=title)
        page.wait_for_function("t => document.body.dataset.jpThemeName === t", arg=title)
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
    for _ in range(7):
        names.append(page.evaluate("document.activeElement.textContent.trim()"))
        page.keyboard.press("Tab")
    assert names == [
        "Terminal",
        "Stop",
        "Keep",
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
            execute(page, "apputils:change-theme", theme=title)
            page.wait_for_function("t => document.body.dataset.jpThemeName === t", arg=title)
            shot(f"missing-{theme}")
        page.wait_for_timeout(6000)  # Longer than one poll: nothing may be asked again, nothing may pop up.
        assert len(asked) == 1
        expect(page.locator(".Toastify__toast")).to_have_count(0)


def test_notebook_7(tmp_path: Path, page: Page, shot: Callable[[str], None]) -> None:
    for lab in serve(tmp_path, "notebook", fake=True):
        (lab.root / "saved.ipynb").write_text(json.dumps(notebook(metadata=CHOICE, payload=CHOICE)))
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
