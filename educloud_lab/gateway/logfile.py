"""A log that never grows without bound, of a process whose output goes to the log file itself."""

from __future__ import annotations

import logging
import os
import sys
from logging.handlers import RotatingFileHandler
from pathlib import Path

MAX_BYTES = 8 << 20
KEPT = 2
TIME_FORMAT = "%Y-%m-%dT%H:%M:%S%z"


class _WholeFile(RotatingFileHandler):
    """Rotates the file that this process's own output goes to as well, so that nothing is written to the old one."""

    def __init__(self, path: Path, descriptors: tuple[int, ...], max_bytes: int) -> None:
        self._descriptors = descriptors
        super().__init__(path, maxBytes=max_bytes, backupCount=KEPT, encoding="utf-8")

    def doRollover(self) -> None:  # noqa: N802 (logging's name)
        """Begin a new file, also for what is printed."""
        super().doRollover()
        if self.stream is None:
            self.stream = self._open()
        for descriptor in self._descriptors:
            os.dup2(self.stream.fileno(), descriptor)


def output_handler(path: Path | None, max_bytes: int = MAX_BYTES) -> logging.Handler:
    """Return what writes to the standard error output; where that is the log file itself, it is rotated.

    Parameters
    ----------
    path : the log file that whoever started this process sends its output to; a file that the output does not go to
        is left alone, and None is none.
    max_bytes : size at which a new file is begun; the last two are kept beside it.
    """
    if path is not None:
        descriptors = tuple(number for number in (1, 2) if _is(number, path))
        if 2 in descriptors:
            return _WholeFile(path, descriptors, max_bytes)
    return logging.StreamHandler(sys.stderr)


def _is(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except OSError:
        return False
