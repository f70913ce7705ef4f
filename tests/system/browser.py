"""Driving a real Chromium on a real JupyterLab, and reading what stands in a terminal."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect, sync_playwright

# Playwright's own limit is 5 s, which a browser beside a machine in software emulation may need to draw a page.
expect.set_options(timeout=60_000)

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

TERMINAL_TEXT = """
() => {
  const texts = [];
  const widgets = area => {
    try { return [...window.jupyterapp.shell.widgets(area)]; } catch { return []; }  // not every shell has every area
  };
  for (const area of ['main', 'down', 'right']) {
    for (const widget of widgets(area)) {
      const content = widget.content;
      const term = content && (content._term || (content.terminal && content.terminal._term));
      if (!term) { continue; }
      const buffer = term.buffer.active;
      const lines = [];
      for (let i = 0; i < buffer.length; i++) {
        const line = buffer.getLine(i);
        if (line) { lines.push((line.isWrapped ? '' : '\\n') + line.translateToString(true)); }
      }
      texts.push(lines.join(''));
    }
  }
  return texts.join('\\n-----\\n');
}
"""


def _keep_failure(shot: Path) -> None:
    """Put the screenshot of a failure among CI's artefacts."""
    folder = Path(os.environ.get("EDUCLOUD_TEST_ARTIFACTS", "artifacts")) / "failures"
    folder.mkdir(parents=True, exist_ok=True)
    name = os.environ.get("PYTEST_CURRENT_TEST", "test").split("::")[-1].split(" ")[0]
    shutil.copy(shot, folder / f"{re.sub(r'[^A-Za-z0-9_-]+', '-', name)}.png")


@contextmanager
def chromium(path: str, profile: Path, *, width: int = 1440, height: int = 900) -> Iterator[Page]:
    """Yield a page of a fresh headless Chromium; unexpected page errors fail the test at the end."""
    problems: list[str] = []
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            str(profile),
            executable_path=path,
            headless=True,
            args=FLAGS,
            viewport={"width": width, "height": height},
        )
        try:
            page = context.pages[0] if context.pages else context.new_page()
            page.on("pageerror", lambda error: problems.append(str(error)))
            page.set_default_timeout(90_000)
            try:
                yield page
            except BaseException:
                page.screenshot(path=str(profile.with_suffix(".failed.png")))
                _keep_failure(profile.with_suffix(".failed.png"))
                raise
        finally:
            context.close()
    ours = [problem for problem in problems if "educloud" in problem.lower()]
    if ours:
        pytest.fail(f"errors in the page: {ours}")


def open_lab(page: Page, url: str, token: str, *, path: str = "lab") -> None:
    page.goto(f"{url}{path}?token={token}")
    page.wait_for_selector("#jp-main-dock-panel, #main-panel", state="visible", timeout=90_000)
    page.wait_for_selector("#jupyterlab-splash", state="detached", timeout=90_000)


def sidebar(page: Page) -> Locator:
    """The sidebar's card area, opened when it is not."""
    panel = page.locator("#educloud-sidebar")
    if not panel.is_visible():
        page.locator('[data-id="educloud-sidebar"]').first.click()
    panel.wait_for(state="visible")
    return panel


def press(area: Locator, name: str) -> None:
    area.get_by_role("button", name=re.compile(f"^{name}", re.I)).first.click()


def terminal_text(page: Page) -> str:
    text = page.evaluate(TERMINAL_TEXT)
    assert isinstance(text, str)
    return text


def wait_terminal(page: Page, pattern: str, *, timeout_s: float = 180) -> str:
    end = time.monotonic() + timeout_s
    text = ""
    while time.monotonic() < end:
        text = terminal_text(page)
        if re.search(pattern, text):
            return text
        page.wait_for_timeout(200)
    pytest.fail(f"waited {timeout_s} s for {pattern!r} in the terminal, which shows:\n{text[-3000:]}")


def type_line(page: Page, text: str) -> None:
    """Click into the terminal and type a line, as a person does who looks where the cursor blinks."""
    _focus_terminal(page)
    page.keyboard.type(text)
    page.keyboard.press("Enter")


def _focus_terminal(page: Page) -> None:
    """Return when the terminal has kept the focus for a second: a notebook that is being restored takes it once."""
    kept = 0
    for _ in range(100):
        inside = page.evaluate("document.activeElement?.classList.contains('xterm-helper-textarea') ?? false")
        if not inside:
            page.locator(".jp-Terminal:visible .xterm-screen").last.click()
        kept = kept + 1 if inside else 0
        if kept == 5:
            return
        page.wait_for_timeout(200)
    pytest.fail("the terminal does not keep the focus")
