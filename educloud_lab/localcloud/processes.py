"""Telling processes apart and ending them: by number *and* start time, since numbers are used again."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from educloud_lab.localcloud.errors import StartFailedError

_POLL_S = 0.02


def start_ticks(pid: int) -> int | None:
    """Return when a process started, in clock ticks since boot (proc(5), stat field 22); None when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    # A killed process whose first thread is gone may have others that are still within a system call: as long as one
    # of them waits for the disk, its files are open and its locks are held. (A zombie proper has one thread left.)
    if fields[0] in ("Z", "X") and int(fields[17]) <= 1:
        return None
    return int(fields[19])


def is_alive(pid: object, ticks: object) -> bool:
    """Whether this very process still runs."""
    return isinstance(pid, int) and isinstance(ticks, int) and start_ticks(pid) == ticks


def end(pid: int, ticks: int, number: int, limit_s: float) -> bool:
    """Send a signal to this very process and wait until it is gone; False when it is still there."""
    if not is_alive(pid, ticks):
        return True
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return True
    return wait_until(lambda: not is_alive(pid, ticks), limit_s)


def end_surely(pid: int, ticks: int, limit_s: float) -> None:
    """End this very process, by force when it does not listen."""
    if not end(pid, ticks, signal.SIGTERM, limit_s):
        end(pid, ticks, signal.SIGKILL, limit_s)


def wait_until(condition: Callable[[], bool], limit_s: float) -> bool:
    """Wait for a condition; False when it did not come true in time."""
    deadline = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True


_SECRETS = re.compile(r"(?i)token|secret|password|passwd|credential|access_key|private_key|cookie")


def daemon_environment(home: Path) -> dict[str, str]:
    """Return this process's environment without what is secret or says which server this is.

    The local cloud, its gateway and its machines outlive whoever started them: a Jupyter server's token, a Hub's or
    a person's access key must not stay readable in /proc for as long as a machine runs.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("JUPYTER", "JPY_", "AWS_")) and not _SECRETS.search(name)
    }
    return kept | {"EDUCLOUD_HOME": str(home)}


def launch(arguments: Sequence[str], log_file: Path, home: Path, ready: Callable[[int], bool], limit_s: float) -> None:
    """Start ``educloud ...`` as a daemon in a session of its own and wait until it is ready.

    Raises
    ------
    StartFailedError
        It ended, or was not ready in time (then it is ended); the message has the end of its log.
    """
    environment = daemon_environment(home)
    package = Path(__file__).resolve().parents[2]
    if "site-packages" not in package.parts:  # a source tree that may not be installed
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(package), os.environ.get("PYTHONPATH"))))
    if log_file.exists() and log_file.stat().st_size > 8 << 20:
        log_file.replace(log_file.with_suffix(".old.log"))
    with log_file.open("ab") as stream:
        begin = stream.tell()
        process = subprocess.Popen(
            [sys.executable, "-m", "educloud_lab", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
            cwd=home,
            env=environment,
        )
    # A long-lived starter (a Jupyter server) must not keep a dead daemon as a zombie.
    threading.Thread(target=process.wait, name=f"reap-{process.pid}", daemon=True).start()
    wait_until(lambda: process.returncode is not None or ready(process.pid), limit_s)
    if process.returncode is None and ready(process.pid):
        return
    what = "ended at once" if process.returncode is not None else f"did not answer within {limit_s:.0f} s"
    if process.returncode is None:
        process.kill()
        process.wait()
    with log_file.open("rb") as stream:
        stream.seek(begin)
        said = stream.read()[-2000:].decode("utf-8", "replace").strip()
    raise StartFailedError(f"`educloud {arguments[0]}` {what}. Nothing was lost. It said:\n{said}\n(log: {log_file})")
