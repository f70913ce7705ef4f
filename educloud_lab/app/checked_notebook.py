"""The checks that stand in a notebook, and what a report makes of them in points. Reads; runs nothing."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from educloud_lab.domain.errors import BadInputError

if TYPE_CHECKING:
    from educloud_lab.wire import models as wire

MAGIC = "%%check"
MOST_BYTES = 50 * 1024 * 1024
MOST_LINES = 10  # in one request: a small machine answers so many in the time that one has


@dataclass(frozen=True, slots=True)
class CheckCell:
    """One ``%%check`` cell.

    Parameters
    ----------
    name : nbgrader's grade_id, else the cell's id, else its number.
    lines : the assertions.
    lab, slot : as the cell names them; '' when it does not.
    points : nbgrader's, None where the cell is not graded.
    partial : whether each line that holds gives its share.
    """

    name: str
    lines: tuple[str, ...]
    lab: str = ""
    slot: str = ""
    points: float | None = None
    partial: bool = False


@dataclass(frozen=True, slots=True)
class CheckedNotebook:
    """What a notebook asks to be checked: ``lab`` and ``slot`` are what its metadata says, '' where it does not."""

    lab: str
    slot: str
    cells: tuple[CheckCell, ...]

    @property
    def points(self) -> float:
        """Points of all graded cells together."""
        return sum(cell.points or 0.0 for cell in self.cells)


@dataclass(frozen=True, slots=True)
class CellScore:
    """What came of one cell on one machine.

    Parameters
    ----------
    passed, of : how many lines held, of how many; ``passed`` is None where not all could be judged.
    points : None where it could not be judged, or the cell is not graded.
    why : why it could not be judged.
    """

    cell: CheckCell
    passed: int | None
    of: int
    points: float | None = None
    why: str = ""

    @property
    def is_judged(self) -> bool:
        """Whether every line was judged. What was not is no failure (I5)."""
        return self.passed is not None


def read(path: Path) -> CheckedNotebook:
    """Read a notebook's checks.

    Raises
    ------
    BadInputError
        It is no notebook, or holds no check.
    """
    import nbformat

    if not path.is_file() or path.stat().st_size > MOST_BYTES:
        raise BadInputError(f"There is no notebook {path}.", kept="Nothing was checked.")
    try:
        notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]  # it has no types
    except Exception as error:  # nbformat raises whatever its parsers do: each means the same here
        raise BadInputError(f"{path} cannot be read as a notebook.", kept="Nothing was checked.") from error
    needs = notebook.metadata.get("educloud")
    needs = needs if isinstance(needs, dict) else {}
    cells = tuple(cell for number, item in enumerate(notebook.cells) if (cell := _cell(number, item)) is not None)
    if not cells:
        raise BadInputError(f"{path} holds no cell that begins with {MAGIC}.", kept="Nothing was checked.")
    return CheckedNotebook(str(needs.get("lab") or ""), str(needs.get("slot") or ""), cells)


def _cell(number: int, item: Any) -> CheckCell | None:
    lines = str(item.source).lstrip().splitlines()
    if item.cell_type != "code" or not lines or lines[0].split()[:1] != [MAGIC]:
        return None
    lab, slot, partial = _options(lines[0])
    grading = item.metadata.get("nbgrader")
    grading = grading if isinstance(grading, dict) else {}
    graded = grading.get("grade") is True
    told = [line.strip() for line in lines[1:]]
    return CheckCell(
        name=str(grading.get("grade_id") or item.get("id") or number + 1),
        lines=tuple(line for line in told if line and not line.startswith("#")),
        lab=lab,
        slot=slot,
        points=float(grading.get("points") or 0.0) if graded else None,
        partial=partial,
    )


def _options(line: str) -> tuple[str, str, bool]:
    """Return lab, slot and whether there is partial credit, as the magic's line says."""
    try:
        words = shlex.split(line)[1:]
    except ValueError as error:
        raise BadInputError(f"The line {line!r} has a quotation mark that is not closed.") from error
    lab = slot = ""
    partial = False
    while words:
        word, _, value = words.pop(0).partition("=")
        if word == "--slot":
            slot = value or (words.pop(0) if words else "")
        elif word == "--partial":
            partial = True
            if not value and words and _is_number(words[0]):
                words.pop(0)
        elif not word.startswith("-"):
            lab = word
    return lab, slot, partial


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def not_understood(cells: Iterable[CheckCell]) -> list[str]:
    """Return what is wrong with the notebook's own lines: an author's slip must not look like students' failures."""
    from educloud_lab.domain.checks import Unclear, parse

    told = []
    for cell in cells:
        if not cell.lines:
            told.append(f"cell {cell.name}: there is no check in it")
        for line in cell.lines:
            said = parse(line)
            if isinstance(said, Unclear):
                meant = f" Did you mean: {said.nearest}" if said.nearest else ""
                told.append(f"cell {cell.name}: {line!r}: {said.why}{meant}")
    return told


def portions(lines: Sequence[str]) -> list[list[str]]:
    """Return lines in portions that fit into one request."""
    return [list(lines[start : start + MOST_LINES]) for start in range(0, len(lines), MOST_LINES)]


def score(cell: CheckCell, results: Sequence[wire.CheckResult]) -> CellScore:
    """Return what a cell's results come to. One line that could not be judged leaves the cell open."""
    of = len(cell.lines)
    unknown = [result for result in results if result.state == "unknown"]
    if unknown or len(results) != of:
        return CellScore(cell, None, of, why=unknown[0].seen if unknown else "The answer was not complete.")
    passed = sum(result.state == "passed" for result in results)
    points = None
    if cell.points is not None:
        points = cell.points * (passed / of) if cell.partial else cell.points * (passed == of)
    return CellScore(cell, passed, of, points)


def not_judged(cells: Iterable[CheckCell], why: str) -> list[CellScore]:
    """Return the scores of a machine that could not be asked."""
    return [CellScore(cell, None, len(cell.lines), why=why) for cell in cells]
