"""What a notebook needs, its form in the property inspector, its shell blocks: in a real Chromium (fake_server.py)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.system.browser import type_line, wait_terminal
from tests.system.conftest import wait_for
from tests.system.lab_page import (
    Lab,
    execute,
    fresh_page,
    open_page,
    serve,
    shooter,
    show_sidebar,
    toasts,
    without_kernel,
)

pytestmark = pytest.mark.browser

LAB = "Shell basics"
NEEDS = {"lab": LAB, "machine_profile": "tiny"}
TEXT = """# Shell basics

```bash
echo one
```

```console
student@machine:~$ echo two
two
student@machine:~$ for n in 1 2; do
>   echo $n
> done
```

```python
print("no shell")
```
"""


def put(lab: Lab, name: str, needs: Any, *texts: str) -> Path:
    """Write a notebook; without texts it has one of each kind of block."""
    cells: list[dict[str, Any]] = [
        {"cell_type": "markdown", "id": f"m{index}", "metadata": {}, "source": text}
        for index, text in enumerate(texts or (TEXT,))
    ]
    cells.append(
        {"cell_type": "code", "id": "c1", "metadata": {}, "source": "", "outputs": [], "execution_count": None}
    )
    metadata = {} if needs is None else {"educloud": needs}
    path = lab.root / name
    path.write_text(json.dumps({"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}))
    return path


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    yield from serve(tmp_path_factory.mktemp("needs"), "lab", fake=True)


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    with_page = fresh_page(tmp_path)
    with with_page as one:
        yield one


@pytest.fixture
def shot(page: Page, artifacts: Path) -> Callable[[str], None]:
    return shooter(page, artifacts / "needs")


def metadata(page: Page) -> Any:
    return page.evaluate("window.jupyterapp.shell.currentWidget.model.getMetadata('educloud') ?? null")


def button(page: Page, nth: int = 0) -> Locator:
    return page.locator(".educloud-typein >> visible=true").nth(nth).get_by_role("button")


def test_a_link_opens_the_lab_with_its_machine_and_what_it_lacks(
    lab: Lab, page: Page, shot: Callable[[str], None]
) -> None:
    lab.scene(scene="off")
    put(lab, "link.ipynb", {**NEEDS, "minutes": 500, "ports": [80], "colour": "red"})
    open_page(page, lab, "lab/tree/link.ipynb?educloud=show")
    without_kernel(page)
    sidebar = page.locator("#educloud-sidebar")
    expect(sidebar).to_be_visible()
    expect(page.locator(".jp-NotebookPanel >> visible=true")).to_have_count(1)
    told = sidebar.locator(".educloud-needs [data-code]")
    expect(told).to_have_count(3)
    codes = {one.get_attribute("data-code") for one in told.all()}
    assert codes == {"time-too-short", "port-closed", "unknown-field"}
    expect(sidebar.get_by_role("button", name=f"Start a machine for {LAB}")).to_be_enabled()
    assert not [one for one in lab.requests if one.startswith("claim")]
    shot("1-link")


def test_a_notebook_that_cannot_be_served_is_explained_and_offered_once(
    lab: Lab, page: Page, shot: Callable[[str], None]
) -> None:
    lab.scene(scene="off")
    put(lab, "lost.ipynb", {"lab": "Lost", "machine_profile": "nowhere"})
    put(lab, "odd.ipynb", "tiny")
    open_page(page, lab, "lab/workspaces/lost/tree/lost.ipynb")
    without_kernel(page)
    wait_for("the offer", lambda: any("Lost" in text for text in toasts(page)))
    sidebar = show_sidebar(page)
    expect(sidebar.locator(".educloud-needs [data-code='no-such-profile']")).to_contain_text(
        "there is: tiny, tiny-store"
    )
    start = sidebar.get_by_role("button", name="Start a machine for Lost")
    expect(start).to_have_attribute("aria-disabled", "true")
    execute(page, "docmanager:open", path="odd.ipynb")
    expect(sidebar.locator(".educloud-needs [data-code='not-a-table']")).to_be_visible()
    shot("2-odd")
    assert not [one for one in lab.requests if one.startswith("claim")]


def test_needs_are_edited_in_the_property_inspector(lab: Lab, page: Page, shot: Callable[[str], None]) -> None:
    lab.scene(scene="off")
    file = put(lab, "form.ipynb", None)
    open_page(page, lab, "lab/workspaces/form/tree/form.ipynb")
    without_kernel(page)
    page.locator(".jp-Cell").first.click()
    page.locator('.jp-SideBar [data-id="jp-property-inspector"]').click()
    inspector = page.locator("#jp-property-inspector")
    inspector.locator(".jp-Collapse-header", has_text="Lab machine").click()
    form = inspector.locator(".educloud-needsForm")
    form.get_by_label("Lab", exact=True).fill("web server")
    form.get_by_label("Lab", exact=True).press("Tab")
    wait_for("the lab to be written", lambda: metadata(page) == {"lab": "web server"})
    form.get_by_label("Machine profile").select_option("tiny")
    form.get_by_label("Ports").fill("80, 8080")
    form.get_by_label("Ports").press("Enter")
    form.get_by_label("Volumes").fill("/data 1")
    form.get_by_label("Volumes").blur()
    whole = {
        "lab": "web server",
        "machine_profile": "tiny",
        "ports": [80, 8080],
        "volumes": [{"mount_point": "/data", "size_gib": 1}],
    }
    wait_for("all to be written", lambda: metadata(page) == whole)
    expect(form.locator("[data-code='port-closed']")).to_be_visible()

    form.get_by_label("Minutes").fill("soon")
    form.get_by_label("Minutes").press("Enter")
    expect(form.get_by_text("Not saved.")).to_contain_text("a whole number from 1")
    form.get_by_label("Ports").fill("80, 99999")
    form.get_by_label("Ports").press("Enter")
    expect(form.get_by_text("Not saved.")).to_have_count(2)
    shot("3-form")
    assert metadata(page) == whole

    form.get_by_label("Ports").fill("")
    form.get_by_label("Ports").press("Enter")
    form.get_by_label("Minutes").fill("30")
    form.get_by_label("Minutes").press("Enter")
    expect(form.get_by_text("Not saved.")).to_have_count(0)
    del whole["ports"]
    wait_for("ports to be cleared", lambda: metadata(page) == whole | {"minutes": 30})
    execute(page, "docmanager:save")
    written = whole | {"minutes": 30}
    wait_for("the file to be saved", lambda: json.loads(file.read_text())["metadata"].get("educloud") == written)
    form.get_by_role("button", name="Remove all of it").click()
    wait_for("all to be cleared", lambda: metadata(page) is None)


def test_shell_blocks_are_typed_and_run_only_by_the_person(lab: Lab, page: Page, shot: Callable[[str], None]) -> None:
    lab.scene(scene="asleep")
    put(lab, "blocks.ipynb", NEEDS)
    open_page(page, lab, "lab/workspaces/blocks/tree/blocks.ipynb")
    without_kernel(page)
    expect(page.locator(".educloud-typein >> visible=true")).to_have_count(2)
    expect(button(page)).to_have_text("The machine is not running: Start")
    page.locator(".jp-MarkdownCell h1").click()  # what is opened takes the focus once; from here on it is the person's
    button(page).press("Enter")  # the button's own: the notebook would begin to edit the cell
    expect(button(page)).to_have_text("Type into the terminal")
    expect(page.locator(".jp-MarkdownCell .cm-editor >> visible=true")).to_have_count(0)

    button(page).click()
    wait_terminal(page, r"\$ echo one\s*$")
    shot("4-typed")
    (terminal,) = lab.terminals.values()
    assert terminal["typed"] == ["echo one"]
    type_line(page, "")
    wait_terminal(page, "echo one: noted")

    # A shell that takes no pasted lines: one at a time, and none of them runs by itself.
    button(page, 1).click()
    expect(button(page, 1)).to_have_text("Type line 2 of 4")
    wait_terminal(page, r"\$ echo two\s*$")
    type_line(page, "")
    wait_terminal(page, "echo two: noted")
    assert all("\r" not in one or one == "\r" for one in lab.terminals.popitem()[1]["typed"])

    # One that says that it takes them: all at once, as one piece, on whatever line it was left.
    type_line(page, "pieces")
    put(lab, "again.ipynb", NEEDS, TEXT.partition("```python")[0])
    execute(page, "docmanager:open", path="again.ipynb")
    without_kernel(page)
    again = page.locator(".jp-NotebookPanel >> visible=true").last
    expect(again.locator(".educloud-typein")).to_have_count(2)
    again.locator(".educloud-typein button").nth(1).click()
    wait_terminal(page, r"echo \$n")
    typed = lab.terminals.popitem()[1]["typed"][-1]
    assert typed == "\x1b[200~echo two\rfor n in 1 2; do\r  echo $n\rdone\x1b[201~"

    # Rendered again: one button for each block still.
    page.locator(".jp-MarkdownCell >> visible=true").first.dblclick(position={"x": 200, "y": 12})
    page.keyboard.press("Shift+Enter")
    expect(page.locator(".jp-NotebookPanel:visible .educloud-typein >> visible=true")).to_have_count(2)
