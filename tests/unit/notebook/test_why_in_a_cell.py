"""What ``machine.why()`` looks like at the end of a cell, and in a terminal."""

from datetime import UTC, datetime

from IPython.core.interactiveshell import InteractiveShell

from educloud_lab.client.diagnosis import lines_of
from educloud_lab.notebook.accounts import register
from educloud_lab.wire import models as wire

T0 = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def finding():
    return wire.Finding(
        code="port-closed",
        what="Nobody is let in.",
        component="network",
        component_name="network",
        sure="certain",
        at=T0,
        evidence=[wire.Evidence(what="security group", seen="no rule", means="closed")],
        by_itself="Nothing.",
        student_can="Ask. " * 40,
        instructor_can="Open it.",
        hidden="Packets.",
    )


def test_what_is_printed():
    lines = lines_of(wire.Why(lease_id="x", healthy=False, findings=[finding()], text="t"), whole="ask for it")
    assert lines[0] == "Nobody is let in. [network: network; certain]"
    assert "  seen       security group: no rule (closed)" in lines
    assert any(line.startswith("  you can") for line in lines)
    assert max(len(line) for line in lines) <= 100
    assert lines[-1] == "For an administrator: ask for it."
    healthy = lines_of(wire.Why(lease_id="x", healthy=True, findings=[], text="t"), whole="ask for it")
    assert healthy == ["Nothing is found: everything takes its usual course."]


def test_a_cell_shows_it_as_text_without_addresses():
    shell = InteractiveShell.instance()
    register(shell)
    seen = finding().model_copy(update={"what": "172.16.64.18 does not answer."})
    why = wire.Why(lease_id="x", healthy=False, findings=[seen], text="at 172.16.64.18")
    shown, _ = shell.display_formatter.format(why)
    assert shown["text/plain"].startswith("(address left out) does not answer. [network")
    assert "172.16." not in "".join(shown.values())
    assert "print(machine.why().text)" in shown["text/plain"]
