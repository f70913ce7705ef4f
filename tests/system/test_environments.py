"""The wheel in clean environments: the lowest supported JupyterLab and Notebook 7, and the newest ones, in Chromium.

Each environment is new and holds, of its own, our wheel and one JupyterLab with its Notebook; it shares what these
need with the environment of the tests, and `pip check` says whether that is what they asked for. Nothing of this
source tree is in it.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
import tomllib
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import ConsoleMessage, Page, expect

from tests.system.browser import chromium
from tests.system.conftest import CHROMIUM, ROOT
from tests.system.lab_page import execute, loaded, serve_in

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["lab"]
LOWEST = re.findall(r"jupyterlab>=([\d.]+)", "".join(EXTRAS))[0]
"""The page promises the same in the required versions of shared modules (labextension/package.json)."""

NOTEBOOK = {
    "nbformat": 4,
    "nbformat_minor": 5,
    "metadata": {
        "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
        "educloud": {"lab": "clean-room", "machine_profile": "tiny"},
    },
    "cells": [
        {
            "cell_type": "code",
            "id": "a1",
            "metadata": {},
            "source": "from educloud_lab import CloudPanel\npanel = CloudPanel()\npanel",
            "execution_count": None,
            "outputs": [],
        },
        {
            "cell_type": "code",
            "id": "a2",
            "metadata": {},
            "source": "from ipywidgets import VBox\nVBox([panel])",
            "execution_count": None,
            "outputs": [],
        },
    ],
}


@dataclass(frozen=True)
class Environment:
    """A virtual environment and what was put into it."""

    folder: Path
    jupyterlab: str
    notebook: str

    @property
    def bin(self) -> Path:
        return self.folder / "bin"

    def run(self, *command: str) -> str:
        done = subprocess.run(
            [str(self.bin / "python"), *command],
            env=clean(os.environ),
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=500,
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout


def clean(environ: Any) -> dict[str, str]:
    """Return the variables without what belongs to this project or to another Jupyter."""
    return {
        name: value
        for name, value in environ.items()
        if not name.startswith(("JUPYTER", "EDUCLOUD", "PYTHONPATH")) or name == "JUPYTER_PLATFORM_DIRS"
    }


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not (ROOT / "educloud_lab/labextension/static/style.js").exists():
        pytest.fail("The extension is not built. Build it: scripts/setup test")
    out = tmp_path_factory.mktemp("wheel")
    done = subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)],
        env=os.environ | {"SKIP_JUPYTER_BUILDER": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return next(out.glob("*.whl"))


@pytest.fixture(scope="module", params=["lowest", "newest"])
def environment(request: pytest.FixtureRequest, wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    folder = tmp_path_factory.mktemp(request.param) / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    lowest = request.param == "lowest"
    # Notebook 7.n is built on JupyterLab 4.n, and was so from the first on.
    wanted = Environment(
        folder,
        f"{LOWEST}.0" if lowest else version("jupyterlab"),
        f"{LOWEST.replace('4.', '7.', 1)}.0" if lowest else version("notebook"),
    )
    # What puts files below the environment's prefix has to be its own.
    own = [
        str(wheel),
        f"jupyterlab=={wanted.jupyterlab}",
        f"notebook=={wanted.notebook}",
        f"jupyterlab_widgets=={version('jupyterlab_widgets')}",
        f"jupyter_server_terminals=={version('jupyter_server_terminals')}",
        f"jupyter_lsp=={version('jupyter_lsp')}",
        f"notebook_shim=={version('notebook_shim')}",
    ]
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "--python", str(wanted.bin / "python"), "install", "--no-deps", "--quiet"),
            *("--no-compile", "--cache-dir", str(ROOT / ".lab/pip"), "--disable-pip-version-check", *own),
        ],
        env=clean(os.environ),
        check=True,
        timeout=500,
    )
    site = wanted.run("-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
    Path(site, "shared.pth").write_text(sysconfig.get_path("purelib"))
    return wanted


def test_it_is_what_it_says(environment: Environment) -> None:
    """Our wheel and its dependencies fit together, and nothing comes from the source tree."""
    told = json.loads(
        environment.run(
            "-c",
            "import educloud_lab, json, jupyterlab, notebook\n"
            "print(json.dumps([educloud_lab.__file__, jupyterlab.__version__, notebook.__version__]))",
        )
    )
    assert told[0].startswith(str(environment.folder))
    assert told[1:] == [environment.jupyterlab, environment.notebook]
    unmet = environment.run("-c", UNMET).split("\n")
    assert [line for line in unmet if line] == []


UNMET = """
from importlib.metadata import distribution, version, PackageNotFoundError
from packaging.requirements import Requirement
for name in ("educloud-lab", "jupyterlab", "notebook", "ipywidgets", "jupyter-server"):
    for text in distribution(name).requires or []:
        need = Requirement(text)
        if need.marker is None or need.marker.evaluate({"extra": "lab" if name == "educloud-lab" else ""}):
            try:
                found = version(need.name)
            except PackageNotFoundError:
                found = "nothing"
            if found == "nothing" or not need.specifier.contains(found, prereleases=True):
                print(name, "wants", need, "and there is", found)
"""


# The newest Notebook is tried by test_labextension_page.py, at length.
PAGES = [("lowest", "lab"), ("lowest", "notebook"), ("newest", "lab")]


@pytest.mark.parametrize(("environment", "program"), PAGES, indirect=["environment"], scope="module")
def test_sidebar_and_panel_render(environment: Environment, program: str, tmp_path: Path, artifacts: Path) -> None:
    said: list[str] = []
    with (
        serve_in(tmp_path / "server", program, environment.bin) as lab,
        chromium(CHROMIUM, tmp_path / "chromium") as page,
    ):
        page.on("console", lambda message: said.append(told(message)))
        page.on("pageerror", lambda error: said.append(f"error {error.message} {error.stack}"))
        (lab.root / "clean.ipynb").write_text(json.dumps(NOTEBOOK))
        path = f"{'lab/tree' if program == 'lab' else 'notebooks'}/clean.ipynb"
        page.goto(f"{lab.url}{path}?token={lab.token}")
        loaded(page)
        kernel(page)
        execute(page, "notebook:run-all-cells")
        for area in (".jp-OutputArea-output.educloud-host", ".jp-OutputArea .widget-vbox"):
            card = page.locator(area).first
            expect(card.get_by_role("heading", name="clean-room")).to_be_visible()
            expect(card.get_by_role("button", name="Start")).to_be_enabled()
        execute(page, "educloud:show-machine")
        expect(page.locator("#educloud-sidebar").get_by_role("heading", name="clean-room")).to_be_visible()
        page.screenshot(path=str(artifacts / f"environment-{program}-{environment.jupyterlab}.png"))
    assert [line for line in said if OURS.search(line)] == []


OURS = re.compile("educloud")
"""Of what a page says, what is about us or said by a file of ours. ipywidgets' manager complains of an older JupyterLab
("Unsatisfied version") as we would if labextension/package.json required more than it promises."""


def told(message: ConsoleMessage) -> str:
    """Return a complaint with where it came from; '' for what is no complaint."""
    if message.type not in {"error", "warning"}:
        return ""
    where = message.location.get("url", "")
    # The address of the notebook's server is in everything; what matters is whose file it is.
    return f"{message.type} {message.text} {where}"


def kernel(page: Page) -> None:
    page.wait_for_function(
        "() => window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel?.connectionStatus"
        " === 'connected'",
        timeout=180_000,
    )
