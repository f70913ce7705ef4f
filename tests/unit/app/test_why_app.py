"""``educloud why``: which machine is meant, and what is printed."""

from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from educloud_lab.app.why_app import lease_id_of, lines_of
from educloud_lab.domain.errors import BadInputError
from educloud_lab.wire import models as wire

T0 = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def client(*leases):
    found = [SimpleNamespace(id=key, lab=lab, slot=slot) for key, lab, slot in leases]
    return SimpleNamespace(settled=lambda: SimpleNamespace(leases=found))


def test_a_machine_is_named_by_its_id_or_by_its_lab():
    asked = client(("ab12", "01-first", "main"), ("cd34", "02-second", "main"))
    assert lease_id_of(asked, "ab12") == "ab12"
    assert lease_id_of(asked, "02-second") == "cd34"
    assert lease_id_of(asked, "ef56") == "ef56"  # one of an overseen course: the server decides


def test_a_lab_with_several_machines_asks_for_the_id():
    with pytest.raises(BadInputError, match=r"ab12 \(main\), cd34 \(server\)"):
        lease_id_of(client(("ab12", "lab", "main"), ("cd34", "lab", "server")), "lab")


def test_what_is_printed():
    finding = wire.Finding(
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
    lines = lines_of(wire.Why(lease_id="x", healthy=False, findings=[finding], text="t"))
    assert lines[0] == "Nobody is let in. [network: network; certain]"
    assert "  seen       security group: no rule (closed)" in lines
    assert any(line.startswith("  you can") for line in lines)
    assert max(len(line) for line in lines) <= 100
    healthy = lines_of(wire.Why(lease_id="x", healthy=True, findings=[], text="t"))
    assert healthy == ["Nothing is found: everything takes its usual course."]
