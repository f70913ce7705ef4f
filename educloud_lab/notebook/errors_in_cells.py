"""How our errors look in a cell: their words, and the person's own lines; not the inside of this package.

A student who is told that a machine sleeps needs no sixty lines of ours before that. In a script without IPython a
traceback stays what it is.
"""

from __future__ import annotations

import re
import traceback
from pathlib import Path

from educloud_lab.domain.errors import EducloudError

_CELL = re.compile(r"ipykernel_\d+[/\\]\d+\.py$|^<ipython-input")


def lines_of(error: EducloudError) -> list[str]:
    """Return what stands in the cell: what happened, what was kept, what helps, and where it was asked for."""
    not_theirs = _not_theirs()
    words = [part for part in (error.what, error.kept, error.next_step) if part]
    shown = [f"\x1b[31m{type(error).__name__}\x1b[0m: {words[0] if words else ''}", *words[1:]]
    for frame in traceback.extract_tb(error.__traceback__):
        if not frame.filename.startswith(not_theirs):
            where = "the cell" if _CELL.search(frame.filename) else Path(frame.filename).name
            shown.append(f"  line {frame.lineno} of {where}: {frame.line}")
    return shown


def _not_theirs() -> tuple[str, ...]:
    """Return what the names of files begin with that are no person's own: ours, Python's, and what is installed."""
    import sysconfig  # loads data of the platform: not before there is an error

    folders = (sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib"))
    return ("<frozen ", str(Path(__file__).resolve().parents[1]), *folders)


def install() -> None:
    """Have IPython show our errors so. Repeatable.

    IPython asks an exception for ``_render_traceback_`` (``InteractiveShell.showtraceback``).
    """
    EducloudError._render_traceback_ = lines_of  # type: ignore[attr-defined]  # found by name, as IPython documents
