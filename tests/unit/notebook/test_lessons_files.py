"""The lessons as files: what a notebook that is handed out may hold, and what it has to say of itself."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest

from educloud_lab.app.machine_profiles import SHIPPED
from educloud_lab.domain.checks import Unclear, parse
from educloud_lab.wire import models as wire

ROOT = Path(__file__).resolve().parents[3]
LESSONS = sorted((ROOT / "notebooks").glob("*.ipynb"))
TUTORIAL = (ROOT / "docs/tutorial/lessons.md").read_text()


def test_they_are_all_there() -> None:
    numbers = [path.name[:2] for path in LESSONS if path.name[0].isdigit()]
    assert numbers == [f"{number:02}" for number in range(1, 11)]
    assert (ROOT / "notebooks/instructor-write-a-lab.ipynb") in LESSONS


@pytest.fixture(params=LESSONS, ids=lambda path: path.name)
def path(request: pytest.FixtureRequest) -> Path:
    found: Path = request.param
    return found


@pytest.fixture
def notebook(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(path.read_text())
    return loaded


def sources(notebook: dict[str, Any], kind: str) -> list[str]:
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == kind]


def test_it_is_a_notebook_without_outputs(path: Path, notebook: dict[str, Any]) -> None:
    nbformat.validate(notebook)
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            assert (cell["outputs"], cell["execution_count"]) == ([], None), cell["id"]
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    assert "widgets" not in notebook["metadata"]


def test_cells_have_ids_that_stay(notebook: dict[str, Any]) -> None:
    ids = [cell["id"] for cell in notebook["cells"]]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[a-z][a-z-]*-\d{2}", cell_id) for cell_id in ids), ids


def test_it_says_what_its_lab_needs(path: Path, notebook: dict[str, Any]) -> None:
    needs = wire.LabNeeds.model_validate(notebook["metadata"]["educloud"])
    assert needs.show_calls
    assert needs.minutes
    assert 10 <= needs.minutes <= 30
    assert (SHIPPED / f"{needs.machine_profile}.toml").is_file()
    assert f'"{needs.lab}"' in "".join(sources(notebook, "code"))  # the code speaks of the same lab as the metadata
    assert path.name in TUTORIAL


def test_it_begins_with_the_panel_and_ends_with_a_check_or_the_machine_asleep(notebook: dict[str, Any]) -> None:
    cells = sources(notebook, "code")
    assert "CloudPanel()" in cells[0]
    assert cells[-1].startswith("%%check") or '.wait("asleep")' in cells[-1] or '.wait("asleep")' in cells[-2]


def test_its_checks_are_understood(notebook: dict[str, Any]) -> None:
    checks = [cell for cell in sources(notebook, "code") if cell.startswith("%%check")]
    assert checks or "student.check(" in "".join(sources(notebook, "code"))
    for cell in checks:
        for line in cell.splitlines()[1:]:
            said = parse(line)
            assert not isinstance(said, Unclear), said


def test_shell_blocks_are_marked_for_the_button(notebook: dict[str, Any]) -> None:
    for text in sources(notebook, "markdown"):
        fences = re.findall(r"^```(\w*)$", text, re.M)
        assert all(language == "bash" for language in fences[::2]), text
        assert len(fences) % 2 == 0, text


def test_it_holds_no_address_and_no_key(path: Path) -> None:
    text = path.read_text()
    assert not re.search(r"PRIVATE KEY|AKIA[A-Z0-9]{8}|127\.0\.0\.1|ssh-ed25519 AAAA|[?&]token=", text)
