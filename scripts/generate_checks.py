#!/usr/bin/env python3
"""Write ``docs/reference/checks.md`` from the table of forms; ``--check`` only says whether it is current."""

from __future__ import annotations

import sys
from pathlib import Path

from educloud_lab.domain.check_forms import GROUPS, KINDS, Form, Place

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reference" / "checks.md"
_HEAD = """\
# Checks

Every assertion that can be checked: in a `%%check` cell, by `machine.check(...)`, by `educloud check NOTEBOOK`. One a
line, in these words; capital letters, a full stop and a bullet before it do not matter, and *the*, *a* and *your* may
be left out. Made by `scripts/generate_checks.py` from `educloud_lab/domain/check_forms.py`; do not edit.

A line comes out as **passed**, **failed** or **unknown**. Unknown means that it could not be seen: the machine is
asleep, does not answer, or the line was not understood. Every line says what was seen, and what to do next.

| judged from | what that is worth |
|---|---|
| the cloud | the cloud's own answer, asked for now. A student cannot fake it |
| the gateway | a connection made from outside; on the machine where the machine profile does not open the port |
| the machine | the machine's own answer. Whoever is root there could make it lie |

How they are used: [Check that a step worked](../how-to/check-that-a-step-worked.md),
[Run the checks again](../how-to/run-the-checks-again.md).
"""


def page_of() -> str:
    """Return the page."""
    text = _HEAD
    for title, forms in GROUPS.items():
        text += f"\n## {title}\n\n| check | what is looked at | judged from |\n|---|---|---|\n"
        text += "".join(f"| {_examples(form)} | {form.about} | {_place(form)} |\n" for form in forms)
    text += "\n## What can stand where\n\n| in the tables | what it can be |\n|---|---|\n"
    shown = {"port": "80", "ports": "22 and 80", "path": "/data/hello.txt", "mode": "600", "size": "2 GiB"}
    shown |= {"tag": "Name=web", "host": "web", "text": '"Hello"', "word": "nginx", "user": "alice", "name": "mine"}
    text += "".join(f"| `{shown[name]}` | {KINDS[name].about} |\n" for name in shown)
    return text


def _examples(form: Form) -> str:
    return "<br>".join(f"`{line}`" for line in (form.example, *form.more))


def _place(form: Form) -> str:
    return str(form.place).removeprefix("the ") if form.place is not Place.GATEWAY else "gateway, else machine"


def main() -> int:
    """Write or check the page."""
    if "--check" in sys.argv[1:]:
        if PAGE.exists() and PAGE.read_text() == page_of():
            return 0
        print(f"{PAGE} is not current: run scripts/generate_checks.py", file=sys.stderr)
        return 1
    PAGE.write_text(page_of())
    print(f"wrote {PAGE.relative_to(PAGE.parents[2])}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
