"""``%%check``: what is asked, how results read, what nbgrader makes of them."""

from datetime import UTC, datetime

import pytest
from IPython.core.error import UsageError

from educloud_lab.domain.errors import ConflictError
from educloud_lab.notebook.magics_errors import CheckFailedError
from educloud_lab.wire import models as wire

T0 = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
CELL = """
# the web server
port 80 answers

   /data is mounted from your volume
the file "<b>" exists
"""


def report(*states):
    texts = ["port 80 answers", "/data is mounted from your volume", 'the file "<b>" exists']
    results = [
        wire.CheckResult.model_construct(
            text=text, state=wire.CheckState(state), seen="<i>seen</i>", next_step="Do <u>this</u>.", judged_from="x"
        )
        for text, state in zip(texts, states, strict=False)
    ]
    return wire.CheckReport.model_construct(
        lease_id="lease-secret",
        lab="lab-name",
        person="ada",
        checked_at=T0,
        passed=states.count("passed"),
        results=results,
    )


def test_all_hold(notebook):
    notebook.machine.report = report("passed", "passed", "passed")
    done = notebook.run("%%check" + CELL)
    assert (done.error, done.value, done.stderr) == (None, None, "")
    assert notebook.machine.checked == [
        ("port 80 answers", "/data is mounted from your volume", 'the file "<b>" exists')
    ]
    data = done.displays[0].data
    assert data["text/plain"].splitlines()[0] == "✔ holds: port 80 answers"
    assert data["text/plain"].endswith("3 of 3 hold.")
    assert "Do <u>" not in data["text/plain"], "what holds needs no advice"


def test_one_that_does_not_hold_is_a_short_error_after_the_table(notebook):
    notebook.machine.report = report("passed", "failed", "unknown")
    done = notebook.run("%%check" + CELL)
    assert isinstance(done.error, CheckFailedError)
    assert done.error._render_traceback_() == [
        "\x1b[31mCheckFailedError\x1b[0m: 2 of 3 checks do not hold; each one's line above says what was found."
    ]
    text, html = done.displays[0].data["text/plain"], done.displays[0].data["text/html"]
    assert "✘ does not hold: /data is mounted" in text
    assert "? cannot be told: the file" in text
    for said in (
        "does not hold",
        "cannot be told",
        "&lt;b&gt;",
        "&lt;i&gt;seen&lt;/i&gt;",
        "Do &lt;u&gt;this&lt;/u&gt;.",
    ):
        assert said in html
    for markup in ("<b>", "<i>", "<u>"):
        assert markup not in html
    for secret in ("lease-secret", "ada", "lab-name"):
        assert secret not in html + text


@pytest.mark.parametrize(
    ("option", "states", "value"),
    [
        ("--partial", ("passed", "failed", "passed"), 2 / 3),
        ("--partial 6", ("passed", "failed", "unknown"), 2.0),
        ("--partial", ("passed", "passed", "passed"), 1.0),
        ("--partial 4", ("failed", "failed", "failed"), 0.0),
    ],
)
def test_partial_credit_is_the_cells_value(notebook, option, states, value):
    """As nbgrader counts it: a number as the cell's result, no error, nothing on stderr."""
    notebook.machine.report = report(*states)
    done = notebook.run(f"%%check {option}" + CELL)
    assert (done.error, done.value, done.stderr) == (None, value, "")
    assert isinstance(done.value, float)


def test_another_labs_machine(notebook):
    from tests.unit.notebook.fake_machines import FakeMachine

    notebook.client.machines["web", "db"] = FakeMachine(report=report("passed"))
    assert notebook.run("%%check web --slot db\nport 80 answers").error is None


def test_nothing_to_check(notebook):
    done = notebook.run("%%check\n# only words\n\n")
    assert type(done.error) is UsageError
    assert notebook.machine.checked == []


def test_a_refusal_of_the_server_is_short(notebook):
    notebook.machine.error = ConflictError("Not now.", next_step="Later.")
    done = notebook.run("%%check\nport 80 answers")
    assert done.error._render_traceback_() == ["\x1b[31mConflictError\x1b[0m: Not now.", "Later."]
