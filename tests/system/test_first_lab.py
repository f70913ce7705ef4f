"""The whole story, as a student lives it: real Chromium, real JupyterLab, real cloud, real machine."""

from __future__ import annotations

import json
import re
import sqlite3
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.system.browser import chromium, open_lab, press, sidebar, terminal_text, type_line, wait_terminal
from tests.system.conftest import Bench, wait_for

pytestmark = [pytest.mark.qemu, pytest.mark.browser, pytest.mark.timeout(900)]

NOTEBOOK = "01-your-first-machine.ipynb"


def shoot(page: Page, folder: Path, name: str) -> None:
    page.screenshot(path=str(folder / f"{name}.png"))


def use_profile(notebooks: Path, profile: str, lab: str) -> None:
    path = notebooks / NOTEBOOK
    notebook = json.loads(path.read_text())
    notebook["metadata"]["educloud"] |= {"machine_profile": profile, "lab": lab}
    path.write_text(json.dumps(notebook))


def started_from(bench: Bench, instance_id: str) -> str:
    """The template that the cloud notes for an instance, '' for one that booted."""
    with sqlite3.connect(f"file:{bench.home / 'cloud/cloud.sqlite'}?mode=ro", uri=True) as state:
        return str(state.execute("SELECT template FROM instance WHERE id = ?", [instance_id]).fetchone()[0])


@pytest.mark.parametrize("profile", ["tiny", "tiny-store"])
def test_a_student_starts_writes_stops_and_comes_back(
    bench: Bench, notebooks: Path, browser_path: str, tmp_path: Path, artifacts: Path, profile: str
) -> None:
    lab = f"your-first-machine-{profile}"
    use_profile(notebooks, profile, lab)
    bench.env["EDUCLOUD_WARM"] = "auto"
    server = bench.lab(notebooks)
    shots = artifacts / f"first-lab-{profile}"
    shots.mkdir(parents=True, exist_ok=True)

    with chromium(browser_path, tmp_path / "profile") as page:
        open_lab(page, server.url, server.token, path=f"lab/tree/{NOTEBOOK}")
        card = sidebar(page)
        # the panel in the notebook: run the first code cell
        # JupyterLab asks for a kernel when its list came late, and lays the question over what is pressed.
        question = page.locator(".jp-Dialog")
        page.add_locator_handler(question, lambda: page.locator(".jp-Dialog .jp-mod-accept").click())
        expect(page.get_by_text("Python 3 (ipykernel) | Idle")).to_be_visible(timeout=180_000)
        page.get_by_text("from educloud_lab import CloudPanel").first.click()
        page.keyboard.press("Shift+Enter")
        panel = page.locator(".jp-OutputArea .educloud-LeaseCard").first
        expect(panel).to_be_visible(timeout=180_000)
        page.remove_locator_handler(question)
        shoot(page, shots, "1-before-start")

        # Start in the notebook's panel; the sidebar shows the same
        press(panel, "Start")
        expect(card).to_contain_text(re.compile("Waiting|Starting|Ready"))  # a browser may look late
        shoot(page, shots, "2-starting")
        expect(card.get_by_role("button", name=re.compile("^Terminal", re.I)).first).to_be_enabled(timeout=180_000)
        lease = server.wait_phase(lab, "ready")
        first_instance = lease["instance"]["id"]
        volume = lease["volumes"][0]["id"]
        shoot(page, shots, "3-ready")

        # a terminal that answers, and a file on the volume
        press(card, "Terminal")
        wait_terminal(page, r"student@\S+")
        type_line(page, "echo first-$((40+2)) | tee /data/hello.txt; df /data | tail -1")
        wait_terminal(page, r"\nfirst-42[\s\S]*/data")
        shoot(page, shots, "4-terminal")

        # the page is reloaded: the terminal is still there with its scrollback
        page.locator(".jp-Notebook").first.click(position={"x": 5, "y": 5})
        page.keyboard.press("Control+S")
        expect(page.locator(".jp-mod-dirty")).to_have_count(0)
        page.reload()
        page.wait_for_selector("#jupyterlab-splash", state="detached", timeout=90_000)
        wait_terminal(page, r"\nfirst-42")
        expect(page.locator(".jp-OutputArea .educloud-LeaseCard").first).to_be_attached()
        expect(page.get_by_text("Python 3 (ipykernel) | Idle")).to_be_visible(timeout=180_000)
        type_line(page, "echo again-$((1+1))")
        wait_terminal(page, r"\nagain-2")
        shoot(page, shots, "5-reloaded")

        # stop with the terminal open, start, the file is there
        card = sidebar(page)
        press(card, "Stop")
        if profile == "tiny-store":  # something is lost then, and it is asked first
            page.locator(".jp-Dialog .jp-mod-accept").click()
        server.wait_phase(lab, "asleep")
        wait_terminal(page, r"(?i)stopped|ended|closed")
        shoot(page, shots, "6-stopped")
        press(sidebar(page), "Start")
        lease = server.wait_phase(lab, "ready")
        assert lease["volumes"][0]["id"] == volume
        assert (lease["instance"]["id"] == first_instance) is (profile == "tiny")
        wait_terminal(page, r"(?i)press enter|student@\S+\s*$")
        type_line(page, "")
        wait_terminal(page, r"connect again[\s\S]*student@\S+")
        type_line(page, "cat /data/hello.txt; echo read-$((2+3))")
        text = wait_terminal(page, r"\nread-5")
        assert re.search(r"\nfirst-42\nread-5", text)
        shoot(page, shots, "7-started-again")

        # delete the machine (typed), start a new one, the file is there
        card = sidebar(page)
        press(card, "Delete machine")
        dialog = page.locator(".jp-Dialog")
        expect(dialog).to_be_visible()
        shoot(page, shots, "8-delete")
        dialog.locator("input").fill(lab)
        dialog.locator(".jp-mod-accept, .jp-mod-warn").last.click()
        server.wait_phase(lab, "off")
        templates = bench.home / "cloud/templates"
        wait_for("a template", lambda: list(templates.glob("tpl-*")), timeout_s=400)
        press(sidebar(page), "Start")
        lease = server.wait_phase(lab, "ready")
        assert lease["instance"]["id"] != first_instance
        # The first machine booted, this one went on from its kind's saved memory; nobody sees a difference.
        assert started_from(bench, first_instance) == ""
        assert started_from(bench, lease["instance"]["id"]).startswith("tpl-")
        assert lease["volumes"][0]["id"] == volume
        press(sidebar(page), "Terminal")
        wait_terminal(page, r"read-5[\s\S]*connect again")
        type_line(page, "")
        wait_terminal(page, r"read-5[\s\S]*connect again[\s\S]*student@\S+")
        type_line(page, "cat /data/hello.txt; echo third-$((3+4))")
        wait_terminal(page, r"\nfirst-42\nthird-7")
        assert "No such file" not in terminal_text(page)
        shoot(page, shots, "9-new-machine")
    assert len(bench.qemu_processes()) == 1
