"""How our errors look in a cell: their words, and the person's own lines; not the inside of this package.

A student who is told that a machine sleeps needs no sixty lines of ours before that. In a script without IPython a
traceback stays what it is.
"""

from __future__ import annotations

import re
import sysconfig
import traceback
from pathlib import Path

from educloud_lab.domain.errors import EducloudError

_CELL = re.compile(r"ipykernel_\d+[/\\]\d+\.py$|^<ipython-input")
_NOT_THEIRS = (
    "<frozen ",
    str(Path(__file__).resolve().parents[1]),
    *(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")),
)


def lines_of(error: EducloudError) -> list[str]:
    """Return what stands in the cell: what happened, what was kept, what helps, and where it was asked for."""
    words = [part for part in (error.what, error.kept, error.next_step) if part]
    shown = [f"\x1b[31m{type(error).__name__}\x1b[0m: {words[0] if words else ''}", *words[1:]]
    for frame in traceback.extract_tb(error.__traceback__):
        if not frame.filename.startswith(_NOT_THEIRS):
            where = "the cell" if _CELL.search(frame.filename) else Path(frame.filename).name
            shown.append(f"  line {frame.lineno} of {where}: {frame.line}")
    return shown


def install() -> None:
    """Have IPython show our errors so. Repeatable.

    IPython asks an exception for ``_render_traceback_`` (``InteractiveShell.showtraceback``).
    """
    EducloudError._render_traceback_ = lines_of  # type: ignore[attr-defined]  # found by name, as IPython documents
