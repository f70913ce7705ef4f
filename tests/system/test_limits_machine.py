"""A short session on a real machine, seen in the browser: the warning, Keep, a snapshot, the way back, the proof."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.system.at_lab import Records, act, start
from tests.system.browser import chromium, open_lab, press, sidebar
from tests.system.conftest import ROOT, Bench, wait_for

pytestmark = [pytest.mark.qemu, pytest.mark.browser, pytest.mark.timeout(900)]

LAB = "short-session"
WARNED = re.compile("its time is over")
PATIENT_MS = 120_000


def short_profile(bench: Bench) -> None:
    """A profile whose sessions last fifteen minutes, all but the first seconds of them warned about."""
    text = (ROOT / "educloud_lab/app/profiles/tiny.toml").read_text()
    text = re.sub(r"(?m)^time_limit_h.*$", "time_limit_h = 0.25\nwarn_before_min = [14.8, 1]", text)
    text = re.sub(r"(?m)^(idle|first_connection)_limit_min.*$", "", text)
    folder = bench.home / "profiles"
    folder.mkdir()
    (folder / "short.toml").write_text(text)


def test_a_short_session(bench: Bench, browser_path: str, tmp_path: Path, artifacts: Path, notebooks: Path) -> None:
    short_profile(bench)
    server = bench.lab(notebooks)
    records = Records(bench)
    shots = artifacts / "short-session"
    shots.mkdir(parents=True, exist_ok=True)

    def run(script: str) -> str:
        """Run a script on the machine; in a thread, because the browser's driver has an event loop in this one."""
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(records.run, lease["id"], script).result(120)

    def shoot(page: Page, name: str) -> None:
        page.screenshot(path=str(shots / f"{name}.png"))

    with chromium(browser_path, tmp_path / "profile") as page:
        open_lab(page, server.url, server.token)
        card = sidebar(page)
        server.wait_broker()
        start(server, LAB, profile="short")
        lease = server.wait_phase(LAB, "ready")
        volume = lease["volumes"][0]["id"]
        end = datetime.fromisoformat(lease["expires_at"])

        def rest() -> None:
            press(card, "Stop")
            server.wait_phase(LAB, "asleep")

        # The warning: in the card and as a notification. Keep takes both away.
        region = card.locator(".educloud-limitWarning")
        expect(region).to_contain_text(WARNED, timeout=PATIENT_MS)
        toast = page.locator(".Toastify__toast").filter(has_text=WARNED)
        expect(toast).to_have_count(1)
        shoot(page, "1-warning")
        toast.get_by_role("button", name="Keep").click()
        wait_for("a later end", lambda: datetime.fromisoformat(server.lease(LAB)["expires_at"]) > end)
        kept_until = datetime.fromisoformat(server.lease(LAB)["expires_at"])
        assert kept_until - end < timedelta(minutes=15)

        # Whatever comes now may take its time: the limits are turned off, and the card says so.
        act(server, lease, "exempt", reason="A slow computer", until=f"{datetime.now(UTC) + timedelta(hours=2):%FT%TZ}")
        expect(card.locator('[data-note="exemption"]')).to_contain_text("A slow computer", timeout=PATIENT_MS)
        expect(region).to_be_empty(timeout=PATIENT_MS)

        # A snapshot while it runs; what is written afterwards is not in it.
        run("echo before > /data/before.txt; sync")
        card.locator('details[data-part="files"] > summary').click()
        press(card, "Take a snapshot")
        page.get_by_role("dialog").get_by_label("Name").fill("Before the experiment")
        page.get_by_role("dialog").get_by_role("button", name="Take snapshot").click()
        taken = card.locator("[data-snapshot]").filter(has_text="Before the experiment")
        expect(taken).to_contain_text("complete", timeout=PATIENT_MS)
        shoot(page, "2-snapshot")
        run("echo after > /data/after.txt; sync")

        # After a restart the card says what the mount has proved.
        rest()
        press(card, "Start")
        lease = server.wait_phase(LAB, "ready")
        assert lease["volumes"][0]["id"] == volume
        expect(card.locator(".educloud-proof")).to_contain_text("Same disk, last written at")
        shoot(page, "3-proof")

        # Back to the snapshot: a new volume with the files of then, and the one of now in the bin.
        rest()
        restore = card.get_by_role("button", name="Go back to the snapshot Before the experiment")
        expect(restore).not_to_have_attribute("aria-disabled", "true", timeout=PATIENT_MS)
        restore.click()
        expect(page.get_by_role("dialog")).to_contain_text("goes into the bin")
        page.get_by_role("dialog").get_by_role("button", name="Restore").click()
        expect(card.locator("[data-bin]").filter(has_text=volume)).to_contain_text("days left", timeout=PATIENT_MS)
        shoot(page, "4-restored")
        wait_for("the job to be over", lambda: not (server.lease(LAB)["job"] or {}).get("in_flight"), timeout_s=120)
        press(card, "Start")
        lease = server.wait_phase(LAB, "ready")
        assert lease["volumes"][0]["id"] != volume
        assert run("ls /data/*.txt; cat /data/before.txt").split() == [
            "/data/before.txt",
            "before",
        ]
        shoot(page, "5-files-of-then")
