"""Limits, volumes, queue, doctor and course overview in a real Chromium, against the fake server half.

Screenshots in the light and the dark theme go to ``artifacts/page-limits``.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.system.browser import press
from tests.system.conftest import wait_for
from tests.system.lab_page import (
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
)

pytestmark = pytest.mark.browser

LAB = "Shell basics"
BOTH = {name: THEMES[name] for name in ("light", "dark")}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    yield from serve(tmp_path_factory.mktemp("lab"), "lab", fake=True)


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    with fresh_page(tmp_path / "chromium") as page:
        yield page


@pytest.fixture
def shot(page: Page, artifacts: Path) -> Callable[[str], None]:
    return shooter(page, artifacts / "page-limits")


def unfold(area: Locator, part: str) -> Locator:
    """Open a part of the card, when it is not open."""
    details = area.locator(f'details[data-part="{part}"]')
    if details.get_attribute("open") is None:
        details.locator("summary").click()
    expect(details).to_have_attribute("open", "")
    return details


def dialog(page: Page) -> Locator:
    return page.get_by_role("dialog")


def asked(lab: Lab, beginning: str) -> list[str]:
    return [one for one in lab.requests if one.startswith(beginning)]


def wait_asked(lab: Lab, beginning: str) -> str:
    """Return the first request that begins so, once there is one."""
    found: list[str] = wait_for(f"a request {beginning}", lambda: asked(lab, beginning))
    return found[0]


# What of ours got the focus. JupyterLab itself gives it to its launcher when that is ready, in its own time.
NOTE_FOCUS = """
window.focused = [];
document.addEventListener('focusin', event => {
  if (event.target.closest('.educloud, .Toastify')) {
    window.focused.push(event.target.textContent);
  }
});
"""


def test_a_warning_comes_once_and_keep_ends_it(lab: Lab, page: Page, shot: Callable[[str], None]) -> None:
    lab.scene(scene="kept")
    open_page(page, lab)
    sidebar = show_sidebar(page)
    limits = sidebar.locator(".educloud-limits")
    expect(limits).to_contain_text("left")
    region = limits.locator(".educloud-limitWarning")
    expect(region).to_be_empty()
    keep = sidebar.get_by_role("button", name=f"Keep the machine of {LAB} running longer")
    keep.evaluate("button => { button.same = true; }")
    page.evaluate(NOTE_FOCUS)

    lab.scene(scene="warned")
    expect(region).to_contain_text("nothing happens on it")
    expect(page.locator(".Toastify__toast")).to_contain_text("nothing happens on it")
    lab.scene(scene="warned")
    lab.scene(scene="urgent")
    expect(limits).to_have_class(re.compile("jp-mod-urgent"))
    expect(region).to_have_attribute("aria-live", "assertive")
    expect(page.locator(".Toastify__toast")).to_contain_text("The system disk goes with it")
    assert len(toasts(page)) == 1
    status = page.locator(".educloud-statusButton")
    expect(status).to_have_class(re.compile("jp-mod-urgent"))
    # News took the focus from nobody, and Keep is the button that it was.
    assert page.evaluate("window.focused") == []
    assert keep.evaluate("button => button.same")
    for theme, title in BOTH.items():
        use_theme(page, title)
        shot(f"urgent-{theme}")

    page.locator(".Toastify__toast").get_by_role("button", name="Keep").click()
    expect(region).to_be_empty()
    expect(page.locator(".Toastify__toast")).to_have_count(0)
    expect(status).not_to_have_class(re.compile("jp-mod-urgent"))
    assert asked(lab, "extend") == ["extend"]
    # The page says nothing by itself that would count as activity.
    assert asked(lab, "activity") == []


def test_busy_and_limits_off(lab: Lab, page: Page, shot: Callable[[str], None]) -> None:
    lab.scene(scene="kept")
    open_page(page, lab)
    sidebar = show_sidebar(page)
    details = unfold(sidebar, "limits")
    expect(details).to_contain_text(re.compile(r"Last activity: typed in a terminal, (2[6-9]|3\d) min ago"))
    press(details, "Busy")
    press(details, "30 min")
    expect(sidebar.locator('[data-note="busy"]')).to_contain_text("Busy until")
    until = datetime.fromisoformat(re.findall(r'"until": "([^"]+)"', wait_asked(lab, "busy"))[0])
    left = until - datetime.now(UTC)
    assert timedelta(minutes=25) < left <= timedelta(minutes=30, seconds=5)
    shot("busy-light")
    press(details, "Not busy")
    expect(sidebar.locator('[data-note="busy"]')).to_have_count(0)

    press(details, "Turn limits off")
    accept = dialog(page).get_by_role("button", name="Turn limits off")
    expect(accept).to_be_disabled()
    dialog(page).get_by_label("Until").fill("2020-01-01T10:00")
    expect(dialog(page)).to_contain_text("The end has to be in the future.")
    dialog(page).get_by_label("Reason").fill("Exam next week")
    expect(accept).to_be_disabled()
    shot("exempt-dialog-light")
    tomorrow = datetime.now() + timedelta(days=1)  # noqa: DTZ005 - the field is in the browser's own time
    dialog(page).get_by_label("Until").fill(tomorrow.strftime("%Y-%m-%dT%H:%M"))
    accept.click()
    note = sidebar.locator('[data-note="exemption"]')
    expect(note).to_contain_text("Exam next week (grace)")
    assert '"reason": "Exam next week"' in wait_asked(lab, "exempt")
    for theme, title in BOTH.items():
        use_theme(page, title)
        shot(f"exempted-{theme}")
    press(details, "Turn limits on again")
    dialog(page).get_by_role("button", name="Turn limits on").click()
    expect(note).to_have_count(0)
    assert asked(lab, "end-exemption") == ["end-exemption"]


def test_snapshots_and_bin(lab: Lab, page: Page, shot: Callable[[str], None]) -> None:
    lab.scene(scene="files")
    open_page(page, lab)
    sidebar = show_sidebar(page)
    # The proof is there without a click; the rest is folded, and stays as it was left.
    expect(sidebar.locator(".educloud-proof")).to_have_text("Same disk as before, last written at 11:58.")
    details = unfold(sidebar, "files")
    expect(details).to_contain_text("being taken, 40 %")
    restore = details.get_by_role("button", name="Go back to the snapshot Before exercise 3")
    expect(restore).to_have_attribute("aria-disabled", "true")
    expect(restore).to_have_attribute("title", "Possible while the machine sleeps: press Stop first.")
    for theme, title in BOTH.items():
        use_theme(page, title)
        shot(f"files-{theme}")

    press(details, "Take a snapshot")
    dialog(page).get_by_label("Name").fill("")
    take = dialog(page).get_by_role("button", name="Take snapshot")
    expect(take).to_be_disabled()
    dialog(page).get_by_label("Name").fill("Draft <b>1</b>")
    shot("snapshot-dialog-dark")
    take.click()
    expect(details).to_contain_text("Draft <b>1</b>")
    press(details, "Make the volume")
    dialog(page).get_by_label("New size in GiB").fill("1")
    expect(dialog(page).get_by_role("button", name="Grow")).to_be_disabled()
    dialog(page).get_by_label("New size in GiB").fill("3")
    dialog(page).get_by_role("button", name="Grow").click()
    expect(sidebar.locator(".educloud-volumeName")).to_contain_text("3 GiB")

    lab.scene(scene="files-asleep")
    expect(restore).not_to_have_attribute("aria-disabled", "true")
    restore.click()
    expect(dialog(page)).to_contain_text("goes into the bin. It stays there for 7 days")
    shot("restore-dialog-dark")
    dialog(page).get_by_role("button", name="Keep present files").click()
    assert asked(lab, "snapshots/s1") == []
    restore.click()
    dialog(page).get_by_role("button", name="Restore").click()
    wait_asked(lab, "snapshots/s1/restore")

    press(details, "Put files into the bin")
    accept = dialog(page).get_by_role("button", name="Put into the bin")
    expect(accept).to_be_disabled()
    dialog(page).get_by_role("textbox").press("Enter")
    expect(dialog(page)).to_have_count(0)  # the key closes it all the same, and nothing was done
    assert asked(lab, "volume/discard") == []
    press(details, "Put files into the bin")
    dialog(page).get_by_role("textbox").fill(LAB)
    shot("discard-dialog-dark")
    accept.click()
    assert wait_asked(lab, "volume/discard") == f'volume/discard {{"confirm": "{LAB}"}}'

    expect(details.locator('[data-bin="b1"]')).to_contain_text("6 days left")
    press(details, "Take vol-deadbee1 out of the bin")
    dialog(page).get_by_role("button", name="Put back").click()
    wait_asked(lab, "bin/b1/return")
    press(details, "Whether new volumes of this lab are copies of Before exercise 3")
    dialog(page).get_by_role("button", name="Publish").click()
    assert wait_asked(lab, "snapshots/s1/publish") == 'snapshots/s1/publish {"published": true}'

    reload(page, lab, "educloud-sidebar")
    expect(sidebar.locator('details[data-part="files"]')).to_have_attribute("open", "")


def test_nothing_that_loses_something_is_a_command(lab: Lab, page: Page) -> None:
    """A notebook's link can run any command: what restores, discards, deletes a snapshot or reaps is none."""
    lab.scene(scene="files-asleep")
    open_page(page, lab)
    commands = page.evaluate("window.jupyterapp.commands.listCommands().filter(id => id.startsWith('educloud:'))")
    words = ("restore", "discard", "bin", "reap", "grow", "publish", "return", "exempt", "busy")
    assert [one for one in commands if any(word in one for word in words)] == []
    # The two that are left ask first, whatever arguments they are given.
    show_sidebar(page)
    execute_and_leave(page, "educloud:take-snapshot", name="x", confirm=True)
    execute_and_leave(page, "educloud:delete-machine", confirm=LAB)
    assert asked(lab, "snapshots") + asked(lab, "delete") == []


def execute_and_leave(page: Page, command: str, **args: Any) -> None:
    page.evaluate("([id, args]) => { void window.jupyterapp.commands.execute(id, args); }", [command, args])
    expect(dialog(page)).to_be_visible()
    page.keyboard.press("Escape")
    expect(dialog(page)).to_have_count(0)


def test_queue_and_doctor(lab: Lab, page: Page, shot: Callable[[str], None]) -> None:
    lab.scene(scene="queued")
    open_page(page, lab)
    sidebar = show_sidebar(page)
    expect(sidebar.locator(".educloud-queue")).to_have_text(
        "Place 3 of 7 in the queue. Waiting for room: instances of type m1.small in bench-1"
    )
    for theme, title in BOTH.items():
        use_theme(page, title)
        shot(f"queued-{theme}")

    lab.scene(scene="stuck")
    box = sidebar.locator('[data-finding="pending-too-long"]')
    expect(box).to_contain_text("Probably: the node controller (NC) that should run it")
    expect(box).to_contain_text("What you can do: Wait for the second try.")
    press(box, "Show everything that is known")
    panel = page.locator(".educloud-page")
    expect(panel.get_by_role("heading", level=3)).to_have_text(
        "The instance has been pending for 6 minutes; 40 seconds are usual."
    )
    expect(panel.get_by_role("rowheader")).to_have_text(["state", "console", "zone"])
    expect(panel).to_contain_text("What an instructor can do")
    panel.get_by_text("End of the console log").click()
    expect(panel).to_contain_text("Linux version 6.1")
    for theme, title in BOTH.items():
        use_theme(page, title)
        shot(f"doctor-{theme}")
    page.get_by_role("button", name="Copy text for the administrator").click()
    expect(panel.get_by_role("status").first).to_have_text("Copied.")
    page.get_by_role("button", name="Look again").click()
    expect(panel.get_by_role("status").first).to_contain_text("Looked at")
    # Asked for again: the same tab, and a fresh answer.
    lab.scene(scene="stuck")
    press(box, "Show everything that is known")
    wait_asked(lab, "why")
    expect(page.locator(".educloud-page")).to_have_count(1)
    phase(sidebar, "Starting")


def test_course_overview(lab: Lab, page: Page, shot: Callable[[str], None]) -> None:
    lab.scene(scene="files")
    open_page(page, lab)
    execute(page, "educloud:course-overview")
    orphans = page.locator('[data-section="orphans"]')
    shelf = page.locator('[data-section="shelf"]')
    audit = page.locator('[data-section="audit"]')
    expect(orphans.get_by_role("rowheader")).to_have_text(["i-0bad0001", "vol-0bad0002"])
    expect(shelf.get_by_role("rowheader")).to_have_text(["vol-deadbee1", "vol-deadbee2"])
    expect(shelf.locator('[data-row="q1"]')).to_contain_text("kept until somebody decides")
    expect(audit.get_by_role("rowheader")).to_have_count(30)
    for theme, title in BOTH.items():
        use_theme(page, title)
        shot(f"overview-{theme}")
    press(audit, "Older entries")
    expect(audit.get_by_role("rowheader")).to_have_count(60)
    expect(audit.get_by_role("button", name="Older entries")).to_have_count(0)

    press(orphans, "Say what would be done now")
    expect(orphans).to_contain_text("Dry run: 1 would be ended or put into quarantine now. i-0bad0001")
    press(orphans, "End what has no owner and is due")
    accept = dialog(page).get_by_role("button", name="End them")
    expect(accept).to_be_disabled()
    dialog(page).get_by_role("textbox").fill("reap")
    shot("reap-dialog-dark")
    accept.click()
    expect(orphans).to_contain_text("Ended or put into quarantine: i-0bad0001")
    assert asked(lab, "reap") == ["reap True", "reap False"]


def leads(page: Page, area: Locator, name: str, following: str) -> bool:
    """Press Tab on what has this text; say whether what follows has the focus then."""
    area.locator("button, summary").filter(has_text=re.compile(f"^{re.escape(name)}$")).first.press("Tab")
    return bool(page.evaluate("document.activeElement.textContent.trim()") == following)


def test_the_card_with_the_keyboard_alone(lab: Lab, page: Page) -> None:
    lab.scene(scene="warned")
    open_page(page, lab)
    sidebar = show_sidebar(page)
    phase(sidebar, "Ready")
    unfold(sidebar, "limits")
    order = ["Stop", "Keep", "Time limits", "Busy…", "Turn limits off…", "Snapshots and bin"]
    for one, following in itertools.pairwise(order):
        # JupyterLab gives the focus to its launcher when it is ready, in its own time.
        wait_for(f"Tab to lead from {one} to {following}", partial(leads, page, sidebar, one, following))
    sidebar.get_by_role("button", name="Turn limits off").focus()
    page.keyboard.press("Enter")
    expect(dialog(page).get_by_label("Reason")).to_be_focused()
    page.keyboard.press("Escape")
    expect(dialog(page)).to_have_count(0)
    assert asked(lab, "exempt") == []
