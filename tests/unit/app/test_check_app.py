"""``educloud check``: what is read out of a notebook, what it makes of reports, and what "not judged" means."""

import csv
import json
from datetime import UTC, datetime
from pathlib import Path

import nbformat
import pytest

from educloud_lab.app.check_app import CheckApp, as_json, lines_of
from educloud_lab.app.checked_notebook import CheckCell, not_judged, not_understood, portions, read, score
from educloud_lab.domain.errors import BadInputError, NotFoundError
from educloud_lab.wire import models as wire

T0 = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def a_cell(source, kind="code", **nbgrader):
    make = nbformat.v4.new_code_cell if kind == "code" else nbformat.v4.new_markdown_cell
    metadata = {"nbgrader": nbgrader} if nbgrader else {}
    return make(source, metadata=metadata)


def a_notebook(path, *cells, **metadata):
    notebook = nbformat.v4.new_notebook(cells=list(cells), metadata=metadata)
    nbformat.write(notebook, path)
    return path


WEB = {"educloud": {"lab": "web", "machine_profile": "tiny"}}
GRADED = {"grade": True, "locked": True, "solution": False, "schema_version": 3}


@pytest.fixture
def notebook(tmp_path):
    return a_notebook(
        tmp_path / "lab.ipynb",
        a_cell("# Title", kind="markdown"),
        a_cell("print('%%check')\nport 1 answers"),
        a_cell("%%check\nport 80 answers\n# a remark\n\nthe machine is ready", grade_id="web", points=4, **GRADED),
        a_cell("%%check --partial 3\n/data is mounted\nport 81 answers", grade_id="share", points=3, **GRADED),
        **WEB,
    )


def test_only_check_cells_are_read(notebook):
    found = read(notebook)
    assert (found.lab, found.slot, found.points) == ("web", "", 7.0)
    assert found.cells == (
        CheckCell("web", ("port 80 answers", "the machine is ready"), points=4.0),
        CheckCell("share", ("/data is mounted", "port 81 answers"), points=3.0, partial=True),
    )


def test_options_of_the_cell(tmp_path):
    path = a_notebook(
        tmp_path / "x.ipynb",
        a_cell('\n%%check "two machines" --slot=db\nport 5432 answers'),
        a_cell("%%check --slot db --partial\nport 5432 answers"),
        a_cell("%%checks\nport 80 answers"),
        a_cell("%%check\nport 80 answers", grade_id="x", points=1, grade=False),
    )
    first, second, third = read(path).cells
    assert (first.lab, first.slot, first.partial, first.points) == ("two machines", "db", False, None)
    assert (second.lab, second.slot, second.partial) == ("", "db", True)
    assert (third.name, third.points) == ("x", None)


def test_what_is_no_notebook_or_holds_nothing_is_said(tmp_path):
    (tmp_path / "broken.ipynb").write_text("{")
    a_notebook(tmp_path / "empty.ipynb", a_cell("1 + 1"))
    for name, word in (("broken", "cannot be read"), ("empty", "no cell"), ("absent", "no notebook")):
        with pytest.raises(BadInputError, match=word):
            read(tmp_path / f"{name}.ipynb")


def result(state):
    return wire.CheckResult(text="x", state=state, seen=f"it is {state}", judged_from="the cloud")


@pytest.mark.parametrize(
    ("partial", "states", "passed", "points"),
    [
        (False, ("passed", "passed"), 2, 4.0),
        (False, ("passed", "failed"), 1, 0.0),
        (True, ("passed", "failed"), 1, 2.0),
        (True, ("failed", "failed"), 0, 0.0),
        (True, ("passed", "unknown"), None, None),
        (False, ("unknown", "failed"), None, None),
        (False, ("passed",), None, None),
    ],
)
def test_points(partial, states, passed, points):
    cell = CheckCell("c", ("a", "b"), points=4.0, partial=partial)
    item = score(cell, [result(state) for state in states])
    assert (item.passed, item.points, item.is_judged) == (passed, points, passed is not None)
    assert bool(item.why) is (passed is None)
    assert score(CheckCell("c", ("a", "b")), [result("passed")] * 2).points is None


def test_portions_fit_into_requests():
    assert [len(one) for one in portions(["x"] * 21)] == [10, 10, 1]
    assert portions([]) == []


class Client:
    """Stands for the server: ann passes all, ben fails port 80, cleo is asleep, dan's server does not answer."""

    def __init__(self):
        self.asked = []

    def settled(self):
        lease = type("Lease", (), {"id": "l-ann", "lab": "web", "slot": "main"})
        return type("Snapshot", (), {"person": "ann", "leases": [lease]})

    def lab_machines(self, lab):
        return wire.LabMachines(
            lab=lab,
            machines=[
                wire.LabMachine(
                    lease_id=f"l-{who}", person=who, lab=lab, slot="main", machine_profile="tiny", phase="ready"
                )
                for who in ("ann", "ben", "cleo", "dan")
            ],
        )

    def check(self, lease_id, checks):
        self.asked.append((lease_id, list(checks)))
        if lease_id == "l-dan":
            raise NotFoundError("There is no such machine, or it is not yours.")
        asleep, bad = lease_id == "l-cleo", lease_id == "l-ben"
        results = [result("unknown" if asleep else "failed" if bad and "80" in line else "passed") for line in checks]
        passed = sum(item.state == "passed" for item in results)
        return wire.CheckReport(
            lease_id=lease_id, lab="web", person=lease_id[2:], checked_at=T0, passed=passed, results=results
        )


@pytest.fixture
def run(monkeypatch, capsys, notebook):
    from educloud_lab.app.asking import AskingCommand

    client = Client()
    monkeypatch.setattr(AskingCommand, "start", lambda self: self.ask(client))

    def run(*argv, path=notebook):
        app = CheckApp()
        app.initialize([str(path), *argv])
        status = 0
        try:
            app.start()
        except SystemExit as end:
            status = end.code
        said = capsys.readouterr()
        return status, said.out, said.err

    run.client = client
    return run


def test_ones_own_machine_without_an_option(run):
    status, said, _ = run()
    assert (status, run.client.asked[0][0], len(run.client.asked)) == (0, "l-ann", 1)
    assert said.splitlines()[0].split() == ["person", "lab", "web", "share", "points"]
    assert said.splitlines()[1].split() == ["ann", "web", "2/2", "(4)", "2/2", "(3)", "7/7"]


def test_everybody_and_what_is_not_judged_is_no_zero(run, tmp_path):
    status, said, _ = run("--all", f"--csv={tmp_path / 'out.csv'}")
    assert status == 0
    rows = {line.split()[0]: line for line in said.splitlines() if line and not line.startswith(" ")}
    assert rows["ben"].split()[2:] == ["1/2", "(0)", "2/2", "(3)", "3/7"]
    assert rows["cleo"].count("not judged") == 3
    assert "0/7" not in said
    assert "dan, web, web: There is no such machine" in said
    with (tmp_path / "out.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert len(table) == 8
    by = {(row["person"], row["cell"]): row for row in table}
    assert (by["ann", "web"]["points"], by["ann", "web"]["max_points"]) == ("4.0", "4.0")
    assert (by["ben", "web"]["points"], by["ben", "web"]["judged"]) == ("0.0", "True")
    assert (by["cleo", "web"]["points"], by["cleo", "web"]["judged"]) == ("", "False")


def test_a_file_that_cannot_be_written_loses_nothing(run, tmp_path):
    status, said, err = run("--all", f"--csv={tmp_path / 'nowhere/out.csv'}")
    assert status == 1
    assert "ben" in said, "what was found is shown"
    assert "could not be written" in err


def test_some_people_and_one_without_a_machine(run):
    _, said, _ = run("--person=ben", "--person=zoe", "--json")
    rows = json.loads(said)
    assert {(row["person"], row["judged"]) for row in rows} == {("ben", True), ("zoe", False)}
    assert next(row for row in rows if row["person"] == "zoe")["points"] is None
    assert [lease for lease, _ in run.client.asked] == ["l-ben"]


def test_an_authors_slip_stops_before_anybody_is_asked(run, tmp_path):
    path = a_notebook(tmp_path / "slip.ipynb", a_cell("%%check\nport eighty answers"), a_cell("%%check\n"), **WEB)
    status, _, said = run(path=path)
    assert (status, run.client.asked) == (2, [])
    assert "Did you mean: port 80 answers" in said
    assert "there is no check in it" in said


def test_a_notebook_that_names_no_lab_wants_one(run, tmp_path):
    path = a_notebook(tmp_path / "nolab.ipynb", a_cell("%%check\nport 80 answers"))
    assert run(path=path)[0] == 2
    assert run.client.asked == []
    assert run("--lab=web", path=path)[0] == 0


@pytest.mark.parametrize("argv", [("--all", "--person=ann"), ("second.ipynb",)])
def test_what_cannot_be_meant_is_refused(run, argv):
    assert run(*argv)[0] == 2
    assert run.client.asked == []


def test_names_are_text_and_never_formulas_or_escapes(tmp_path):
    from educloud_lab.app.check_app import Row, write_csv

    row = Row("=cmd()", "web", "main", tuple(not_judged([CheckCell("c", ("a",))], "\x1b[31masleep")))
    write_csv(tmp_path / "x.csv", [row])
    assert "'=cmd()" in (tmp_path / "x.csv").read_text()
    assert json.loads(as_json([row]))[0]["person"] == "=cmd()"
    assert lines_of([]) == ["Nobody has a machine of this lab."]


def test_two_slots_are_two_rows(run, tmp_path):
    path = a_notebook(
        tmp_path / "two.ipynb", a_cell("%%check\nport 80 answers"), a_cell("%%check --slot db\nport 1 answers"), **WEB
    )
    _, said, _ = run("--person=ann", path=path)
    assert "web (db)" in said
    assert "There is no such machine" in said


LESSONS = sorted((Path(__file__).parents[3] / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_every_check_of_the_lessons_is_understood(path):
    try:
        found = read(path)
    except BadInputError:
        return  # a notebook without checks
    assert not_understood(found.cells) == []


def test_the_lessons_are_found():
    assert LESSONS
