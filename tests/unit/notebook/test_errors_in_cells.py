"""An error of ours in a cell: its words and the person's lines."""

import pytest
from IPython.core.interactiveshell import InteractiveShell

from educloud_lab.domain.errors import ConflictError, EducloudError
from educloud_lab.notebook import errors_in_cells

ASLEEP = ConflictError("The machine sleeps.", kept="Nothing was run.", next_step="Press Start.")


@pytest.fixture
def shell(monkeypatch):
    monkeypatch.setattr(EducloudError, "_render_traceback_", errors_in_cells.lines_of, raising=False)
    found = InteractiveShell.instance()
    found.user_ns["refuse"] = refuse
    return found


def refuse():
    raise ASLEEP


def shown(shell, capsys, cell):
    shell.run_cell(cell)
    return capsys.readouterr().out.replace("\x1b[31m", "").replace("\x1b[0m", "")


def test_words_first_then_the_persons_own_lines(shell, capsys):
    text = shown(shell, capsys, "def mine():\n    refuse()\n\nmine()")
    lines = text.splitlines()
    assert lines[:3] == ["ConflictError: The machine sleeps.", "Nothing was run.", "Press Start."]
    assert lines[3:5] == ["  line 4 of the cell: mine()", "  line 2 of the cell: refuse()"]
    assert lines[5].startswith("  line ")
    assert lines[5].endswith(f" of {__file__.rsplit('/', 1)[1]}: raise ASLEEP")
    assert len(lines) == 6


def test_our_own_files_and_the_librarys_are_left_out(shell, capsys):
    cell = "import asyncio\nasync def mine():\n    refuse()\nasyncio.run(mine())"
    text = shown(shell, capsys, cell)
    assert "line 4 of the cell: asyncio.run(mine())" in text
    assert "line 3 of the cell: refuse()" in text
    assert "runners.py" not in text
    text = shown(
        shell, capsys, "from educloud_lab.client.copied_files import target_path\ntarget_path('/nosuch/', 'x')"
    )
    assert text.splitlines()[0] == "BadInputError: There is no folder /nosuch here."
    assert text.splitlines()[-1] == "  line 2 of the cell: target_path('/nosuch/', 'x')"
    assert "copied_files.py" not in text


def test_another_error_keeps_its_traceback(shell, capsys):
    assert "ZeroDivisionError" in shown(shell, capsys, "1 / 0")
    assert "Traceback" in shown(shell, capsys, "1 / 0")


def test_one_without_words_or_traceback_is_shown_too():
    assert errors_in_cells.lines_of(EducloudError("")) == ["\x1b[31mEducloudError\x1b[0m: "]
