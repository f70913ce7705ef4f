"""Refuse lock files that name a registry's host: a clone must install from whatever registry its user has."""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ("requirements/lock.txt", "labextension/yarn.lock", "tests/system/clients/package-lock.json")
# Package pages in comments are no registry; `resolved`, `__archiveUrl`, index options and direct URLs are.
PATTERN = re.compile(r"(https?|file|git\+\w+)://|__archiveUrl|--(extra-)?index-url|--find-links", re.IGNORECASE)


def main() -> int:
    """Print each offending line; return the number of them, at most 1."""
    wrong = 0
    for name in LOCKS:
        for number, line in enumerate((ROOT / name).read_text().splitlines(), 1):
            if PATTERN.search(line) and not line.lstrip().startswith("#"):
                print(f"{name}:{number}: {line.strip()[:120]}")
                wrong = 1
    return wrong


if __name__ == "__main__":
    sys.exit(main())
