#!/usr/bin/env python3
"""Write ``docs/reference/findings.md`` from the doctor's own table; ``--check`` only says whether it is current."""

from __future__ import annotations

import sys
from pathlib import Path

from educloud_lab.broker.diagnosis.catalogue import CATALOGUE, COMPONENT_NAMES
from educloud_lab.broker.diagnosis.entries import Entry
from educloud_lab.domain.finding import Component

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reference" / "findings.md"
_HEAD = """\
# Findings

What the doctor can say of a machine that hangs: in its card, by `educloud why LEASE`, and as text to paste to an
administrator. Made by `scripts/generate_findings.py` from `educloud_lab/broker/diagnosis`; do not edit.

A finding is *certain* (the cloud, the machine or our own record says it), *likely* (it follows from ages and states) or
*possible*. No finding suggests anything that could cost data. What to do with one:
[When a machine hangs](../how-to/when-a-machine-hangs.md).

| component | what it is |
|---|---|
"""


def page_of() -> str:
    """Return the page."""
    lines = [f"| {component} | {COMPONENT_NAMES[component]} |" for component in Component]
    text = _HEAD + "\n".join(lines) + "\n"
    for component in Component:
        entries = [entry for entry in CATALOGUE.values() if entry.component is component]
        if entries:
            text += f"\n## {component}: {COMPONENT_NAMES[component]}\n"
            text += "".join(_section(entry) for entry in entries)
    return text


def _section(entry: Entry) -> str:
    rows = [
        ("by itself", entry.by_itself),
        ("student", entry.student),
        ("instructor", entry.instructor),
        ("administrator", entry.administrator),
        ("not visible", entry.hidden),
    ]
    body = "\n".join(f"- *{title}*: {words}" for title, words in rows if words)
    return f"\n### `{entry.code}`\n\n{entry.what}\n\n{body}\n"


def main() -> int:
    """Write or check the page."""
    if "--check" in sys.argv:
        return int(PAGE.read_text() != page_of())
    PAGE.write_text(page_of())
    print(f"wrote {PAGE.relative_to(PAGE.parents[2])}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
