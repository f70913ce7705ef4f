"""A real JupyterLab with the fake server half (fake_server.py), and what the tests of the page do on it."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.system.browser import chromium
from tests.system.conftest import wait_for

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
CHROMIUM = "/usr/bin/chromium"
BASE_URL = "/user/x%20y@z/"
THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark", "contrast": "JupyterLab Dark High Contrast"}


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
    def terminals(self) -> dict[str, dict[str, Any]]:
        terminals: dict[str, dict[str, Any]] = self.request("educloud/test/scene")[1]
        return terminals


def serve(folder: Path, program: str, *, fake: bool) -> Iterator[Lab]:
    """Run JupyterLab or Notebook 7 with everything of its own in `folder`, with the fake server half or none."""
    enabled = {"ServerApp": {"jpserver_extensions": {"fake_server": fake, "educloud_lab": False}}}
    env = {
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(Path(__file__).parent)]),
        # Else the environment's own configuration would switch the real server half on again.
        "JUPYTER_PREFER_ENV_PATH": "0",
    }
    return _serve(folder, program, BIN, enabled, env)


@contextmanager
def serve_in(folder: Path, program: str, bin_folder: Path) -> Iterator[Lab]:
    """Run the JupyterLab or Notebook 7 of another environment, with whatever is installed there."""
    try:
        yield from _serve(folder, program, bin_folder, {}, {"PYTHONPATH": "", "EDUCLOUD_WARM": "off"})
    finally:  # the broker has started a local cloud, which outlives it
        subprocess.run(
            [str(bin_folder / "python"), "-m", "educloud_lab", "cloud", "reset", "--yes"],
            env=os.environ | {"PYTHONPATH": "", "EDUCLOUD_HOME": str(folder / "educloud")},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=True,
            timeout=240,
        )


def _serve(
    folder: Path, program: str, bin_folder: Path, enabled: dict[str, Any], more: dict[str, str]
) -> Iterator[Lab]:
    config = folder / "config" / "jupyter_server_config.d"
    config.mkdir(parents=True)
    (config / "page.json").write_text(json.dumps(enabled))
    news = folder / "settings" / "@jupyterlab" / "apputils-extension"
    news.mkdir(parents=True)
    settings = {"fetchNews": "false", "checkForUpdates": False}
    (news / "notification.jupyterlab-settings").write_text(json.dumps(settings))
    root = folder / "root"
    root.mkdir()
    env = (
        os.environ
        | {
            "EDUCLOUD_HOME": str(folder / "educloud"),
            "JUPYTER_CONFIG_DIR": str(folder / "config"),
            "JUPYTER_DATA_DIR": str(folder / "data"),
            "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
            "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"),
            "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces"),
            "IPYTHONDIR": str(folder / "ipython"),
            # A kernel is started by name: it has to be that of the same environment.
            "PATH": f"{bin_folder}:{os.environ['PATH']}",
        }
        | more
    )
    token = secrets.token_hex(16)
    command = [
        *(str(bin_folder / f"jupyter-{program}"), "--allow-root", "--no-browser", "--ip=127.0.0.1", "--port=0"),
        *(f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={root}", f"--ServerApp.base_url={BASE_URL}"),
        *(f"--{'LabApp' if program == 'lab' else 'JupyterNotebookApp'}.expose_app_in_browser=True",),
    ]
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, env=env, cwd=root, stdout=log, stderr=log)
    told = folder / "runtime" / f"jpserver-{process.pid}.json"  # which says the port that it was given
    lab = Lab("", token, root)

    def answers() -> bool:
        if process.poll() is not None:
            pytest.fail(f"{program} did not start:\n{(folder / 'server.log').read_text()[-3000:]}")
        with contextlib.suppress(OSError, ValueError, KeyError):  # not written yet, half written, not listening yet
            lab.url = f"http://127.0.0.1:{json.loads(told.read_text())['port']}{BASE_URL}"
            return bool(lab.request("api/status"))
        return False

    try:
        wait_for(f"{program} to answer", answers)
        yield lab
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def fresh_page(folder: Path) -> Iterator[Page]:
    """Yield a page of a fresh browser that keeps its notifications."""
    with chromium(CHROMIUM, folder, width=1280, height=860) as page:
        page.set_default_timeout(60_000)
        page.add_init_script(KEEP_TOASTS)
        yield page


def shooter(page: Page, folder: Path) -> Callable[[str], None]:
    """Return what takes a picture of a name into a folder."""
    folder.mkdir(parents=True, exist_ok=True)

    def take(name: str) -> None:
        page.wait_for_timeout(400)  # Only the picture waits: for transitions to end.
        page.screenshot(path=str(folder / f"{name}.png"))

    return take


def use_theme(page: Page, title: str) -> None:
    """Change the theme, and return when it is there."""
    execute(page, "apputils:change-theme", theme=title)
    page.wait_for_function("t => document.body.dataset.jpThemeName === t", arg=title)


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
    page.evaluate("async ([id, args]) => { await window.jupyterapp.commands.execute(id, args); }", [command, args])
