"""Whether faults are set, read from the state without the cloud's process: for `status` and the doctor."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path


def active_faults(state: Path) -> list[str]:
    """Return the kinds of the faults that are set and not used up; none where the state cannot be read."""
    if not state.exists():
        return []
    with contextlib.closing(sqlite3.connect(f"file:{state}?mode=ro", uri=True, timeout=5)) as connection:
        try:
            rows = connection.execute(
                "SELECT kind FROM fault WHERE (until IS NULL OR until > ?)"
                " AND (remaining IS NULL OR remaining > 0 OR held != '{}') ORDER BY created_at",
                (datetime.now(UTC).replace(tzinfo=None).isoformat(" "),),
            ).fetchall()
        except sqlite3.DatabaseError:  # damaged, or an older schema: others say so, and there are no faults in it
            return []
    return [str(row[0]) for row in rows]


def warning(kinds: Sequence[str]) -> str:
    """Return one line for people, '' when no faults are set."""
    if not kinds:
        return ""
    names = ", ".join(dict.fromkeys(kinds))
    return f"The cloud fails on purpose: {names}. See `educloud cloud fault list`; end it with `... fault clear --all`"
