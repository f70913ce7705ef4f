"""What just happened, on the card in a real Chromium, against the fake server half.

Screenshots in the light and the dark theme go to ``artifacts/page-calls``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.system.conftest import wait_for
from tests.system.lab_page import (
    THEMES,
    Lab,
    execute,
    fresh_page,
    open_page,
    serve,
    shooter,
    show_sidebar,
    use_theme,
    without_kernel,
)

pytestmark = pytest.mark.browser

NEEDS = {"lab": "Shell basics", "machine_profile": "tiny"}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    yield from serve(tmp_path_factory.mktemp("lab"), "lab", fake=True)


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    with fresh_page(tmp_path / "chromium") as page:
        yield page


@pytest.fixture
def shot(page: Page, artifacts: Path) -> Callable[[str], None]:
    return shooter(page, artifacts / "page-calls")


def write_notebook(lab: Lab, name: str, needs: Mapping[str, object]) -> None:
    cell = {"cell_type": "markdown", "id": "a1", "metadata": {}, "source": "# What a cloud is made of"}
    metadata = {"kernelspec": {"name": "none", "display_name": "none"}, "educloud": needs}
    text = json.dumps({"cells": [cell], "metadata": metadata, "nbformat": 4, "nbformat_minor": 5})
    (lab.root / name).write_text(text)


def asked(lab: Lab) -> int:
    return sum(one == "calls" for one in lab.requests)


def box(page: Page) -> Locator:
    return show_sidebar(page).locator("details.educloud-calls")


def test_a_lesson_shows_what_each_action_called(lab: Lab, page: Page, shot: Callable[[str], None]) -> None:
    write_notebook(lab, "plain.ipynb", NEEDS)
    write_notebook(lab, "lesson.ipynb", {**NEEDS, "show_calls": True})
    lab.scene(scene="starting", calls=2)
    open_page(page, lab)
    sidebar = show_sidebar(page)
    expect(sidebar.locator(".educloud-LeaseCard")).to_have_count(1)
    execute(page, "docmanager:open", path="plain.ipynb")
    without_kernel(page)
    expect(box(page)).to_have_count(0)

    execute(page, "docmanager:open", path="lesson.ipynb")
    without_kernel(page)
    expect(box(page)).to_have_count(1)
    assert asked(lab) == 0  # closed, it asks nothing

    summary = box(page).locator("> summary")
    expect(summary).to_have_text("What just happened")
    summary.focus()
    page.keyboard.press("Enter")
    calls = box(page).locator("[data-call]")
    expect(calls).to_have_count(2)
    expect(box(page)).to_contain_text("Start, going on")
    run = box(page).locator('[data-call="RunInstances"]')
    run.locator("> summary").focus()
    page.keyboard.press("Enter")
    picture = run.get_by_role("img")
    expect(picture).to_have_accessible_name(re.compile("^Way of RunInstances: CLC → CC → NC → SC"))
    expect(run).to_contain_text("[user data, 1040 bytes]")
    expect(run.locator("pre").first).to_contain_text("aws ec2 run-instances --image-id emi-3f9a1c20")
    shot("run-light")

    run.get_by_role("button", name="Copy command line of euca2ools").click()
    expect(box(page).get_by_role("status").first).to_have_text("Copied.")

    # It goes on while it is open: what was called meanwhile appears by itself, and what is open stays so.
    lab.scene(calls=5)
    lab.scene(touch=True)  # as a step's end is
    expect(calls).to_have_count(5)
    expect(box(page)).to_contain_text("Start, done")
    expect(run).to_have_attribute("open", "")
    refused = box(page).locator('[data-outcome="refused"]')
    refused.locator("> summary").click()
    expect(refused).to_contain_text("IncorrectState")
    assert asked(lab) < 6

    images = box(page).locator('[data-call="DescribeImages"]')
    images.locator("> summary").click()
    expect(images).to_contain_text("tiny <b>x</b>")
    box(page).get_by_text("The parts of a cloud").click()
    expect(box(page)).to_contain_text("one QEMU process for each machine")
    # Nothing in it is wider than the sidebar.
    wide = box(page).evaluate(
        "e => [...e.querySelectorAll('*')].filter(x => x.getBoundingClientRect().right > "
        "e.getBoundingClientRect().right + 1).map(x => x.outerHTML.slice(0, 80))"
    )
    assert wide == []
    use_theme(page, THEMES["dark"])
    shot("all-dark")
    use_theme(page, THEMES["contrast"])
    shot("all-contrast")

    # Without the notebook's wish it goes.
    page.evaluate("window.jupyterapp.shell.currentWidget.model.deleteMetadata('educloud')")
    expect(box(page)).to_have_count(0)


def test_the_setting_shows_it_everywhere(lab: Lab, page: Page) -> None:
    folder = lab.root.parent / "settings" / "educloud-lab"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "plugin.jupyterlab-settings").write_text('{"showCalls": true}')
    try:
        lab.scene(scene="ready", calls=5)
        open_page(page, lab)
        expect(box(page)).to_have_count(1)
        box(page).locator("> summary").click()
        expect(box(page)).to_contain_text("Start, done")
        wait_for("the accounts to be asked for", lambda: asked(lab) >= 1)
    finally:
        (folder / "plugin.jupyterlab-settings").unlink()  # the server is the other test's too
