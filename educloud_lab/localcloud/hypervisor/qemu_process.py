"""What /proc tells about a QEMU process: is it the one that we started, how much it uses."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class ProcessStat:
    """Part of ``/proc/PID/stat`` (proc(5)).

    ``start_ticks`` (field 22) together with the pid names a process for the life of the host's boot; pids alone
    are used again.
    """

    pid: int
    state: str
    start_ticks: int
    cpu_s: float
    rss_bytes: int
    threads: int = 1

    @property
    def gone(self) -> bool:
        """Whether nothing of it runs: a killed process's other threads may still be writing when the first is gone."""
        return self.state in "ZX" and self.threads <= 1


def read_stat(pid: int) -> ProcessStat | None:
    """Read one process; None when there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except OSError:
        return None
    # The name in brackets may hold spaces and brackets: count from the last one.
    fields = text[text.rindex(")") + 2 :].split()
    return ProcessStat(
        pid=pid,
        state=fields[0],
        start_ticks=int(fields[19]),
        cpu_s=(int(fields[11]) + int(fields[12])) / _TICKS_PER_S,
        rss_bytes=int(fields[21]) * _PAGE_BYTES,
        threads=int(fields[17]),
    )


def anonymous_bytes(pid: int) -> int:
    """Memory that a process holds and that no file could give back (proc(5), status); nought when it is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text("utf-8", "replace").splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(("RssAnon:", "RssShmem:")))


def is_alive(pid: int, start_ticks: int | None) -> bool:
    """Whether this very process lives. A zombie (nobody reaps it, as in some containers) is dead."""
    stat = read_stat(pid)
    if stat is None or stat.gone:
        return False
    return start_ticks is None or stat.start_ticks == start_ticks


def find_by_pidfile(pidfile: Path) -> ProcessStat | None:
    """Give the living process that wrote ``pidfile`` and names it on its command line; None when there is none."""
    try:
        pid = int(pidfile.read_text("ascii").strip())
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (OSError, ValueError):
        return None
    if os.fsencode(pidfile) not in command.split(b"\0"):
        return None
    stat = read_stat(pid)
    return stat if stat is not None and is_alive(pid, stat.start_ticks) else None
