"""A diagnosis as text for the person whose machine it is, in a terminal and in a cell."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from educloud_lab.wire import models as wire

_WIDTH = 100


def lines_of(why: wire.Why, *, whole: str) -> list[str]:
    """Return a diagnosis as lines of text, at most 100 characters wide where words allow it.

    Parameters
    ----------
    why : what the doctor answered.
    whole : how the text for an administrator is had, for the last line.
    """
    if not why.findings:
        return ["Nothing is found: everything takes its usual course."]
    lines: list[str] = []
    for finding in why.findings:
        lines += ["", *_filled(f"{finding.what} [{finding.component}: {finding.component_name}; {finding.sure}]", "")]
        for item in finding.evidence:
            means = f" ({item.means})" if item.means else ""
            lines += _filled(f"{item.what}: {item.seen}{means}", "  seen       ")
        for title, text in (
            ("not seen", finding.hidden),
            ("by itself", finding.by_itself),
            ("you can", finding.student_can),
            ("instructor", finding.instructor_can),
        ):
            if text:
                lines += _filled(text, f"  {title:<11}")
    return [*lines[1:], "", f"For an administrator: {whole}."]


def _filled(text: str, title: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent=title, subsequent_indent=" " * len(title)) or [title]
