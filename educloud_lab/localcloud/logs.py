"""The log of the local cloud's process: each line names its request, and the file never grows without bound."""

from __future__ import annotations

import logging
from pathlib import Path

from educloud_lab.gateway.logfile import MAX_BYTES, TIME_FORMAT, output_handler
from educloud_lab.localcloud.tracing import NamesRequest

FORMAT = "%(asctime)s %(levelname)s %(name)s %(request)s%(message)s"


def configure(level: int, path: Path, max_bytes: int = MAX_BYTES) -> None:
    """Log to the standard error output; where that is the log file itself, rotate the file while the process runs.

    Parameters
    ----------
    level : of our own loggers; others' begin at warnings.
    path : the log file that ``educloud cloud start`` sends a process's output to.
    """
    handler = output_handler(path, max_bytes)
    handler.addFilter(NamesRequest())
    handler.setFormatter(logging.Formatter(FORMAT, TIME_FORMAT))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("educloud").setLevel(level)
