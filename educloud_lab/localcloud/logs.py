"""The log of the local cloud's process: each line names its request, and the file never grows without bound."""

from __future__ import annotations

import logging
import os
import sys
from logging.handlers import RotatingFileHandler
from pathlib import Path

from educloud_lab.localcloud.tracing import NamesRequest

MAX_BYTES = 8 << 20
KEPT = 2

FORMAT = "%(asctime)s %(levelname)s %(name)s %(request)s%(message)s"
TIME_FORMAT = "%Y-%m-%dT%H:%M:%S%z"


class _WholeFile(RotatingFileHandler):
    """Rotates the file that this process's own output goes to as well, so that nothing is written to the old one."""

    def __init__(self, path: Path, descriptors: tuple[int, ...]) -> None:
        self._descriptors = descriptors
        super().__init__(path, maxBytes=MAX_BYTES, backupCount=KEPT, encoding="utf-8")

    def doRollover(self) -> None:  # noqa: N802 (logging's name)
        """Begin a new file, also for what is printed."""
        super().doRollover()
        if self.stream is None:
            self.stream = self._open()
        for descriptor in self._descriptors:
            os.dup2(self.stream.fileno(), descriptor)


def configure(level: int, path: Path) -> None:
    """Log to the standard error output; where that is the log file itself, rotate the file while the process runs.

    Parameters
    ----------
    level : of our own loggers; others' begin at warnings.
    path : the log file that ``educloud cloud start`` sends a process's output to.
    """
    handler: logging.Handler = logging.StreamHandler(sys.stderr)
    descriptors = tuple(number for number in (1, 2) if _is(number, path))
    if 2 in descriptors:
        handler = _WholeFile(path, descriptors)
    handler.addFilter(NamesRequest())
    handler.setFormatter(logging.Formatter(FORMAT, TIME_FORMAT))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("educloud").setLevel(level)


def _is(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except OSError:
        return False
