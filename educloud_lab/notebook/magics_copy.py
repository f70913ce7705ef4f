"""Files to a machine and back: one line that grows while they are under way, and stays as the result."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from glob import glob
from pathlib import Path
from typing import Any

from IPython.core.error import UsageError

from educloud_lab.notebook import magics_words as words
from educloud_lab.notebook.magics_screen import LiveText

_WILD = frozenset("*?[")
_DRAW_S = 0.25


def put(machine: Any, names: list[str], *, clock: Callable[[], float] = time.monotonic) -> None:
    """Send files: all names but the last, to the last; one name alone goes to the home folder.

    Raises
    ------
    UsageError
        There is no such file.
    EducloudError
        It did not arrive.
    """
    sources, target = _split(names)
    paths: list[Path] = []
    for source in sources:
        expanded = str(Path(source).expanduser())
        found = [expanded]
        if _WILD & set(source) and not Path(expanded).exists():
            found = sorted(glob(expanded))  # noqa: PTH207 - a whole path as a person writes it, absolute or not
        paths += [Path(name) for name in found if Path(name).is_file()]
        if not any(Path(name).is_file() for name in found):
            raise UsageError(f"%vm_put: there is no file {source} here (in {Path.cwd().name}/).")
    # The machine knows whether a name is a folder's; several files can only go to one.
    folder = f"{target.rstrip('/')}/" if target and len(paths) > 1 else ""
    for path in paths:
        _transfer(path.name, partial(machine.upload, str(path), folder or target or path.name), clock)


def get(machine: Any, names: list[str], *, clock: Callable[[], float] = time.monotonic) -> None:
    """Fetch files: all names but the last, to the last; one name alone comes to the notebook's folder.

    Raises
    ------
    UsageError
        The machine's file names hold wildcards, or the folder does not exist here.
    EducloudError
        It did not arrive.
    """
    sources, target = _split(names)
    if wild := [source for source in sources if _WILD & set(source)]:
        raise UsageError(f"%vm_get: {wild[0]}: name each file, or pack them first (tar -czf all.tar.gz …).")
    here = Path(target).expanduser() if target else Path()
    is_folder = not target or target.endswith("/") or here.is_dir()
    if len(sources) > 1 and not is_folder:
        raise UsageError(f"%vm_get: several files need a folder to go to; {target} is none.")
    if is_folder and not here.is_dir():
        raise UsageError(f"%vm_get: there is no folder {target} here.")
    for source in sources:
        _transfer(source, partial(machine.download, source, target or "."), clock, named=_near)


def _split(names: list[str]) -> tuple[list[str], str]:
    return (names, "") if len(names) == 1 else (names[:-1], names[-1])


def _near(path: str) -> str:
    """Return a path here as short as a person would write it: whose folders it lies in is not saved with a notebook."""
    for base, sign in ((Path.cwd(), ""), (Path.home(), "~/")):
        if Path(path).is_relative_to(base):
            return f"{sign}{Path(path).relative_to(base)}"
    return path


def _transfer(
    source: str, work: Callable[..., Any], clock: Callable[[], float], named: Callable[[str], str] = str
) -> None:
    shown = LiveText()
    began_s, drawn_s = clock(), -1.0

    def tell(done_bytes: int, total_bytes: int) -> None:
        nonlocal drawn_s
        now_s = clock()
        if drawn_s < 0 or now_s - drawn_s >= _DRAW_S:
            drawn_s = now_s
            shown.draw(words.progress(source, done_bytes, total_bytes, now_s - began_s))

    try:
        copied = work(progress=tell)
        shown.draw(words.transferred(source, named(str(copied.path)), copied.size_bytes, clock() - began_s))
    finally:
        shown.end()
