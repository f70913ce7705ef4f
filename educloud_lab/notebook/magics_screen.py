"""Where output is drawn: the cell's own streams, and texts that are replaced in place. No ipywidgets needed."""

from __future__ import annotations

import sys
from typing import Protocol

from educloud_lab.notebook.magics_output import STDERR, Gathered, plain

BYTES_PER_S = 400_000
"""The most that is sent to the page. Jupyter Server cuts a kernel off at 1 MB/s (``iopub_data_rate_limit``)."""
PERIOD_S = 0.05
"""Between two drawings: small writes are gathered for so long. A quicker page is no easier to read."""
LIVE_PERIOD_S = 0.25
"""Between two replacements of a text in place, which the page draws anew as a whole."""


class LiveText:
    """A text in the cell's output that is replaced in place; without a notebook only its last state is printed."""

    def __init__(self) -> None:
        self._handle: object | None = None
        self._text = ""
        self._in_page = _in_notebook()

    def draw(self, text: str) -> int:
        """Show a text in the place of the last one; return how much was sent."""
        if text == self._text:
            return 0
        self._text = text
        if not self._in_page:
            return 0
        from IPython.display import display, update_display

        data = {"text/plain": text}
        if self._handle is None:
            self._handle = display(data, raw=True, display_id=True)
        else:
            update_display(data, raw=True, display_id=self._handle.display_id)  # type: ignore[attr-defined]  # untyped
        return len(text)

    def end(self) -> None:
        """Let the last state stand."""
        if not self._in_page and self._text:
            sys.stdout.write(self._text.rstrip("\n") + "\n")


def _in_notebook() -> bool:
    from IPython import get_ipython

    shell = get_ipython()
    return shell is not None and hasattr(shell, "kernel")


class Screen(Protocol):
    """Draws what was gathered. Used by one thread."""

    def due(self, output: Gathered) -> bool:
        """Say whether there is anything new to draw."""

    def draw(self, output: Gathered, state: str, *, last: bool = False) -> tuple[int, float]:
        """Draw; return how much was sent, and how long to leave the page alone at least."""


class StreamScreen:
    """One machine's: stdout and stderr as Jupyter has them, then a text in place for what is too long."""

    def __init__(self) -> None:
        self._live: LiveText | None = None
        self._drawn = 0
        self._newline = True

    def due(self, output: Gathered) -> bool:
        """Say whether there is anything new to draw."""
        return output.total > self._drawn

    def draw(self, output: Gathered, state: str, *, last: bool = False) -> tuple[int, float]:
        """Draw; return how much was sent, and how long to leave the page alone at least."""
        total = output.total  # before what is drawn, so that nothing that comes meanwhile is taken as drawn
        sent = 0
        for stream, text in output.fresh():
            where = sys.stderr if stream == STDERR else sys.stdout
            where.write(text)
            where.flush()
            sent += len(text)
            self._newline = text.endswith("\n")
        pause_s = PERIOD_S
        if output.is_long:
            if self._live is None:
                self._live = LiveText()
                sys.stdout.write("\x1b[0m" + ("" if self._newline else "\n"))  # a colour must not run on
                sys.stdout.flush()
            sent += self._live.draw(output.tail())
            pause_s = LIVE_PERIOD_S
            if last:
                self._live.end()
        self._drawn = total
        return sent, pause_s

    def say(self, text: str) -> None:
        """Say a word of our own, on a line of its own."""
        sys.stdout.write(("" if self._newline else "\n") + text + "\n")
        sys.stdout.flush()
        self._newline = True


class BlockScreen:
    """One of several machines': a text in place under the machine's name, in the order in which it came."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._live = LiveText()
        self._pieces: list[tuple[str, str]] = []
        self._drawn = -1
        self._state = ""

    def due(self, output: Gathered) -> bool:
        """Say whether there is anything new to draw."""
        return output.total > self._drawn

    def draw(self, output: Gathered, state: str, *, last: bool = False) -> tuple[int, float]:
        """Draw; return how much was sent, and how long to leave the page alone at least."""
        self._drawn = output.total
        self._pieces += output.fresh()
        text = f"── {self._label}: {state} ──\n{plain(self._pieces)}"
        if output.is_long:
            text += ("" if text.endswith("\n") else "\n") + output.tail()
        sent = self._live.draw(text + "\x1b[0m" if "\x1b" in text else text)
        if last:
            self._live.end()
        return sent, LIVE_PERIOD_S


def say(text: str) -> None:
    """Print a line of our own."""
    sys.stdout.write(text + "\n")
