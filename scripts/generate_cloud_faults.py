#!/usr/bin/env python3
"""Write ``docs/reference/cloud-faults.md`` from the catalogue; ``--check`` only says whether it is current."""

from __future__ import annotations

import sys
from pathlib import Path

from educloud_lab.localcloud.faults.reference import page

TARGET = Path(__file__).resolve().parent.parent / "docs" / "reference" / "cloud-faults.md"


def main() -> int:
    """Write or check the page."""
    if "--check" in sys.argv[1:]:
        if TARGET.exists() and TARGET.read_text() == page():
            return 0
        print(f"{TARGET} is not current: run scripts/generate_cloud_faults.py", file=sys.stderr)
        return 1
    TARGET.write_text(page())
    return 0


if __name__ == "__main__":
    sys.exit(main())
