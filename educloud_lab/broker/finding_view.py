"""A finding as the browser, the notebook and the command line see it."""

from __future__ import annotations

from educloud_lab.broker.diagnosis.catalogue import COMPONENT_NAMES
from educloud_lab.broker.diagnosis.redact import redact
from educloud_lab.domain.finding import Finding
from educloud_lab.wire import models as wire


def wire_finding(finding: Finding | None) -> wire.Finding | None:
    """Return a finding for people; None for none. What machines and clouds said is freed from secrets."""
    if finding is None:
        return None
    return wire.Finding(
        code=finding.code,
        what=finding.what,
        component=str(finding.component),
        component_name=COMPONENT_NAMES[finding.component],
        sure=finding.sure,  # type: ignore[arg-type]  # the store keeps one of the literal's three words as text
        at=finding.at,
        evidence=[
            wire.Evidence(what=item.what, seen=redact(item.seen), means=redact(item.means)) for item in finding.evidence
        ],
        by_itself=finding.by_itself,
        student_can=finding.student_can,
        instructor_can=finding.instructor_can,
        hidden=finding.hidden,
    )
