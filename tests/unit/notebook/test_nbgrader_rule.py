"""What a ``%%check`` cell is worth in nbgrader, by nbgrader's own rule; a planted mistake is worth nothing.

The rule is that of nbgrader 0.9.6 (``nbgrader/utils.py``: ``determine_grade``, ``get_partial_grade``; BSD-3-Clause) for
an autograded test cell, which counts outputs as they stand in the notebook. docs/how-to/check-that-a-step-worked.md
says how to make one. nbgrader itself is not installed beside the tests: it switches on extensions of JupyterLab.
"""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from educloud_lab.wire import models as wire

LINES = "\nport 80 answers\n/data is mounted\nthe machine is ready"


def points_of(outputs: list[dict[str, str]], most: float) -> float:
    """Return the points of a code cell that is no solution."""
    for output in outputs:
        if output["output_type"] == "error" or (output["output_type"] == "stream" and output["name"] == "stderr"):
            return 0.0
        if output["output_type"] == "execute_result":
            grade = float(output["text/plain"])
            if grade > most:
                raise ValueError("partial credit cannot be greater than maximum points for cell")
            return grade if grade >= 0.0 else most
    return most


def outputs_of(done) -> list[dict[str, str]]:
    """Return a cell's outputs as a kernel writes them into the notebook."""
    outputs = [{"output_type": "display_data"} for _ in done.displays]
    outputs += [{"output_type": "stream", "name": name} for name in ("stdout", "stderr") if getattr(done, name)]
    if done.error is not None:
        outputs.append({"output_type": "error"})
    if done.value is not None:
        outputs.append({"output_type": "execute_result", "text/plain": repr(done.value)})
    return outputs


def report(*states: str) -> wire.CheckReport:
    results = [
        wire.CheckResult(text=text, state=wire.CheckState(state), seen="x", next_step="y", judged_from="the cloud")
        for text, state in zip(LINES.split("\n")[1:], states, strict=True)
    ]
    return wire.CheckReport(
        lease_id="l", lab="web", person="ada", checked_at=datetime(2026, 1, 2, tzinfo=UTC),
        passed=states.count("passed"), results=results,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("options", "states", "points"),
    [
        ("", ("passed", "passed", "passed"), 6.0),
        ("", ("passed", "failed", "passed"), 0.0),
        ("", ("passed", "unknown", "passed"), 0.0),
        (" --partial 6", ("passed", "passed", "passed"), 6.0),
        (" --partial 6", ("passed", "failed", "passed"), 4.0),
        (" --partial 6", ("failed", "failed", "unknown"), 0.0),
    ],
)
def test_points(notebook, options, states, points):
    notebook.machine.report = report(*states)
    assert points_of(outputs_of(notebook.run(f"%%check{options}{LINES}")), 6.0) == points


def test_all_of_partial_credit_is_never_more_than_there_is(notebook):
    """0.1 * 3 / 3 is more than 0.1, and nbgrader's autograder would stop there."""
    notebook.machine.report = report("passed", "passed", "passed")
    assert points_of(outputs_of(notebook.run(f"%%check --partial 0.1{LINES}")), 0.1) == 0.1


def test_a_cell_that_cannot_ask_is_worth_nothing(notebook):
    assert points_of(outputs_of(notebook.run("%%check\n# nothing")), 6.0) == 0.0
