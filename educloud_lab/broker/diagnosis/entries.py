"""The form of one row of the catalogue of findings, and the making of a finding from it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from educloud_lab.broker.diagnosis.facts import Facts, standing
from educloud_lab.domain.finding import Component, Evidence, Finding

Sure = Literal["certain", "likely", "possible"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One kind of finding.

    Parameters
    ----------
    code : for programs, tests and the reference.
    component : where it most likely lies.
    what : one sentence for people.
    by_itself : what the broker does by itself.
    student, instructor, administrator : what each of them can do. Nothing that could cost data, ever.
    hidden : what the cloud's API does not let us see.
    told_before : whether it explains a rest that is nobody's fault; then nothing hangs.
    """

    code: str
    component: Component
    what: str
    by_itself: str
    student: str
    instructor: str = "Send the text below to whoever runs the cloud."
    administrator: str
    hidden: str = ""
    told_before: bool = False


def finding(
    entry: Entry, facts: Facts, sure: Sure, *evidence: Evidence | None, extra: Iterable[Evidence] = ()
) -> Finding:
    """Return a finding of this kind with its own evidence first and states and ages after it."""
    own = [*(item for item in evidence if item is not None), *extra]
    named = {item.what for item in own}
    return Finding(
        code=entry.code,
        what=entry.what,
        component=entry.component,
        sure=sure,
        at=facts.now,
        evidence=(*own, *(item for item in standing(facts) if item.what not in named)),
        by_itself=entry.by_itself,
        student_can=entry.student,
        instructor_can=entry.instructor,
        hidden=entry.hidden,
    )
