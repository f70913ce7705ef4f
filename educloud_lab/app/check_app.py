"""``educloud check``: a notebook's checks once more, from the instructor's side; no kernel of a student is believed."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from traitlets import Bool, List, Unicode

from educloud_lab.app.asking import AskingCommand
from educloud_lab.app.checked_notebook import CellScore, CheckCell, CheckedNotebook, portions, score
from educloud_lab.app.command import NOT_UNDERSTOOD, complain, out
from educloud_lab.app.oversight_app import table
from educloud_lab.domain.errors import EducloudError

if TYPE_CHECKING:
    from educloud_lab.client.client import Client
    from educloud_lab.wire import models as wire

_NOT_JUDGED = "not judged"
_COLUMNS = ("person", "lab", "slot", "cell", "passed", "of", "points", "max_points", "judged", "why", "checked_at")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True, slots=True)
class Row:
    """One person's machine and what came of the cells that are about it."""

    person: str
    lab: str
    slot: str
    scores: tuple[CellScore, ...]
    checked_at: datetime | None = None

    @property
    def points(self) -> float | None:
        """The points of the graded cells; None while one of them is not judged."""
        graded = [item for item in self.scores if item.cell.points is not None]
        known = [item.points for item in graded if item.points is not None]
        return sum(known) if graded and len(known) == len(graded) else None


class CheckApp(AskingCommand):
    """Run a notebook's checks."""

    name = "educloud-check"
    description = """Run the checks of a notebook (its cells that begin with %%check) against people's machines.

    NOTEBOOK is your own copy, as it was handed out: nothing of a student's notebook is read and nothing of it runs.
    Without --person or --all your own machine is checked. A machine that is asleep or does not answer is not judged,
    which is not the same as failed."""
    examples = "educloud check lab-3.ipynb\neducloud check lab-3.ipynb --all --csv=lab-3.csv"
    person: Any = List(Unicode(), help="Whose machine; several times for several people.").tag(config=True)
    everybody = Bool(False, help="Everybody's machine of the lab; for those who oversee the course.").tag(config=True)
    lab = Unicode(help="The lab, where the notebook's metadata does not say it.").tag(config=True)
    as_json = Bool(False, help="Print everything as JSON.").tag(config=True)
    csv_file = Unicode(help="Write one line a person and cell into this file as well.").tag(config=True)
    aliases = {  # noqa: RUF012 - traitlets' own
        "person": "CheckApp.person",
        "lab": "CheckApp.lab",
        "csv": "CheckApp.csv_file",
    }
    flags = {  # noqa: RUF012 - likewise
        "all": ({"CheckApp": {"everybody": True}}, "Everybody's machine of the lab."),
        "json": ({"CheckApp": {"as_json": True}}, "Print everything as JSON."),
    }
    notebook: CheckedNotebook

    def start(self) -> None:
        """Read the notebook before anybody is asked; exits with 2 when it cannot be meant."""
        from educloud_lab.app import checked_notebook

        if len(self.extra_args) != 1 or (self.everybody and self.person):
            complain("educloud check takes one notebook, and --person or --all. Nothing was checked. See --help.")
            self.exit(NOT_UNDERSTOOD)
        try:
            self.notebook = checked_notebook.read(Path(self.extra_args[0]).expanduser())
        except EducloudError as error:
            complain(f"educloud check: {error}")
            self.exit(1)
        if wrong := checked_notebook.not_understood(self.notebook.cells):
            complain("Some checks of the notebook are not understood. Nothing was checked.\n" + "\n".join(wrong))
            self.exit(NOT_UNDERSTOOD)
        self.lab = self.lab or self.notebook.lab
        if not self.lab and any(not cell.lab for cell in self.notebook.cells):
            complain("The notebook's metadata names no lab; say which: --lab=NAME. Nothing was checked.")
            self.exit(NOT_UNDERSTOOD)
        super().start()

    def ask(self, client: Client) -> None:
        """Check and print; 1 when nobody was there to be checked, or the file could not be written."""
        rows = self._rows(client)
        out(as_json(rows) if self.as_json else "\n".join(lines_of(rows)))
        if self.csv_file and not self._written(rows):
            self.exit(1)
        if not rows:
            self.exit(1)

    def _written(self, rows: Sequence[Row]) -> bool:
        path = Path(self.csv_file).expanduser()
        try:
            write_csv(path, rows)
        except OSError as error:
            complain(f"educloud check: {path} could not be written ({error.strerror}). What was found is above.")
            return False
        return True

    def _rows(self, client: Client) -> list[Row]:
        machines: dict[tuple[str, str], list[tuple[str, str]]] = {}  # (lab, slot): (person, lease)
        groups: dict[tuple[str, str], list[CheckCell]] = {}
        for cell in self.notebook.cells:
            where = (cell.lab or self.lab, cell.slot or self.notebook.slot or "main")
            groups.setdefault(where, []).append(cell)
        labs = {lab for lab, _ in groups}
        for lab in sorted(labs):
            for person, slot, lease_id in self._machines(client, lab):
                machines.setdefault((lab, slot), []).append((person, lease_id))
        people = sorted({person for found in machines.values() for person, _ in found} | set(self.person))
        rows = []
        for person in people:
            for (lab, slot), cells in groups.items():
                found = [lease_id for who, lease_id in machines.get((lab, slot), []) if who == person]
                if found:
                    rows.append(checked(client, person, lab, slot, found[0], cells))
                else:
                    rows.append(not_there(person, lab, slot, cells))
        return rows

    def _machines(self, client: Client, lab: str) -> list[tuple[str, str, str]]:
        """Return person, slot and lease of the machines that are meant."""
        if not (self.everybody or self.person):
            snapshot = client.settled()
            return [(snapshot.person, lease.slot, lease.id) for lease in snapshot.leases if lease.lab == lab]
        found = client.lab_machines(lab).machines
        return [
            (item.person, item.slot, item.lease_id) for item in found if self.everybody or item.person in self.person
        ]


def checked(client: Client, person: str, lab: str, slot: str, lease_id: str, cells: Sequence[CheckCell]) -> Row:
    """Check one machine; what cannot be asked is not judged."""
    from educloud_lab.app.checked_notebook import not_judged

    lines = [line for cell in cells for line in cell.lines]
    results: list[wire.CheckResult] = []
    at = None
    try:
        for portion in portions(lines):
            report = client.check(lease_id, portion)
            results += report.results
            at = report.checked_at
    except EducloudError as error:
        return Row(person, lab, slot, tuple(not_judged(cells, error.what)), at)
    scores, first = [], 0
    for cell in cells:
        scores.append(score(cell, results[first : first + len(cell.lines)]))
        first += len(cell.lines)
    return Row(person, lab, slot, tuple(scores), at)


def not_there(person: str, lab: str, slot: str, cells: Sequence[CheckCell]) -> Row:
    """Return the row of somebody who has no such machine."""
    from educloud_lab.app.checked_notebook import not_judged

    return Row(person, lab, slot, tuple(not_judged(cells, "There is no such machine.")))


def lines_of(rows: Sequence[Row]) -> list[str]:
    """Return the rows as a table; below it why what was not judged was not."""
    if not rows:
        return ["Nobody has a machine of this lab."]
    lines: list[str] = []
    for names in _kinds(rows):
        alike = [row for row in rows if _names(row) == names]
        cells: list[Sequence[str]] = [("person", "lab", *names, "points")]
        cells += [(row.person, _where(row), *map(_short, row.scores), _points(row)) for row in alike]
        lines += ["", *table(cells)] if lines else table(cells)
    open_ones = [(row, item) for row in rows for item in row.scores if not item.is_judged]
    if open_ones:
        lines += ["", f"{_NOT_JUDGED} (no points are taken for it):"]
        lines += [f"  {row.person}, {_where(row)}, {item.cell.name}: {item.why}" for row, item in open_ones]
    return lines


def _kinds(rows: Iterable[Row]) -> list[tuple[str, ...]]:
    """Return the cells' names, once for all rows that have the same."""
    return list(dict.fromkeys(_names(row) for row in rows))


def _names(row: Row) -> tuple[str, ...]:
    return tuple(item.cell.name for item in row.scores)


def _where(row: Row) -> str:
    return row.lab if row.slot == "main" else f"{row.lab} ({row.slot})"


def _short(item: CellScore) -> str:
    if item.passed is None:
        return _NOT_JUDGED
    points = "" if item.points is None else f" ({item.points:g})"
    return f"{item.passed}/{item.of}{points}"


def _points(row: Row) -> str:
    most = sum(item.cell.points or 0.0 for item in row.scores)
    if not any(item.cell.points is not None for item in row.scores):
        return "-"
    return _NOT_JUDGED if row.points is None else f"{row.points:g}/{most:g}"


def _flat(rows: Iterable[Row]) -> list[dict[str, Any]]:
    return [
        {
            "person": row.person,
            "lab": row.lab,
            "slot": row.slot,
            "cell": item.cell.name,
            "passed": item.passed,
            "of": item.of,
            "points": item.points,
            "max_points": item.cell.points,
            "judged": item.is_judged,
            "why": item.why,
            "checked_at": row.checked_at.isoformat() if row.checked_at is not None else None,
        }
        for row in rows
        for item in row.scores
    ]


def as_json(rows: Iterable[Row]) -> str:
    """Return one object a person and cell."""
    return json.dumps(_flat(rows), indent=2, ensure_ascii=False)


def write_csv(path: Path, rows: Iterable[Row]) -> None:
    """Write one line a person and cell. Points are empty where it was not judged, never 0."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, _COLUMNS)
        writer.writeheader()
        for item in _flat(rows):
            writer.writerow({key: _plain(value) for key, value in item.items()})


def _plain(value: Any) -> Any:
    """Return a value that a spreadsheet takes for text, not for a formula: names are chosen by other people."""
    if isinstance(value, str) and value.startswith(_FORMULA):
        return "'" + value
    return "" if value is None else value
