"""What the simulated hypervisor remembers over restarts: a JSON line for each change."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

_SLACK = 1000  # superseded lines that are put up with before the file is written anew


class Journal:
    """An append-only file of ``[id, record]`` lines; a later line replaces an earlier one, null removes it.

    Parameters
    ----------
    path : the file; made at the first change. A line that a killed process left half written is passed over.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stream: TextIO | None = None

    def open(self) -> dict[str, Any]:
        """Return what is remembered, and write the file anew when most of its lines are superseded. Repeatable."""
        records: dict[str, Any] = {}
        lines = 0
        if self._path.exists():
            with self._path.open(encoding="utf-8") as stream:
                for line in stream:
                    lines += 1
                    with contextlib.suppress(ValueError, TypeError):
                        instance_id, record = json.loads(line)
                        if record is None:
                            records.pop(instance_id, None)
                        else:
                            records[instance_id] = record
        if lines > 2 * len(records) + _SLACK:
            self._rewrite(records)
        return records

    def append(self, instance_id: str, record: Mapping[str, Any] | None) -> None:
        """Remember a change; it survives the end of this process, not that of the computer (nor do machines)."""
        if self._stream is None:
            with self._path.open("a+b") as end:
                if size := end.seek(0, os.SEEK_END):
                    end.seek(size - 1)
                    if end.read(1) != b"\n":
                        end.write(b"\n")
            self._stream = self._path.open("a", encoding="utf-8", buffering=1)
        self._stream.write(json.dumps([instance_id, record]) + "\n")

    def close(self, records: Mapping[str, Any]) -> None:
        """Write the file anew and let go of it. Repeatable."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None
            self._rewrite(records)

    def _rewrite(self, records: Mapping[str, Any]) -> None:
        temporary = self._path.with_suffix(".new")
        with temporary.open("w", encoding="utf-8") as stream:
            stream.writelines(json.dumps([key, record]) + "\n" for key, record in records.items())
        temporary.replace(self._path)
