"""Commands in the background: the machine keeps them, so that they outlive the kernel; ``%vm_jobs`` asks for them."""

from __future__ import annotations

import threading
from typing import Any

from IPython.core.error import UsageError

from educloud_lab.notebook import magics_words as words
from educloud_lab.notebook.magics_output import settled

SHOWN_BYTES = 100_000
_POLL_S = 1.0


def listing(machine: Any) -> str:
    """Return what runs and ran there, one a line, newest first."""
    from educloud_lab.client import runs

    found = runs.listed(machine).runs
    return "\n".join(words.job(run) for run in found) or words.NO_JOBS


def output(machine: Any, run_id: str | None) -> str:
    """Return the end of what one has said; without an id of the newest."""
    from educloud_lab.client import runs

    found = runs.output(machine, run_id or _newest(machine), most_bytes=SHOWN_BYTES)
    cut = f"{words.job_cut(found.cut_bytes, found.run.output_path)}\n" if found.cut_bytes else ""
    return f"{words.job(found.run)}\n{cut}{settled(found.text)}".rstrip("\n")


def stop(machine: Any, run_id: str | None) -> str:
    """End one, with all that it started."""
    from educloud_lab.client import runs

    return words.job(runs.stop(machine, run_id or _newest(machine)))


def wait(machine: Any, run_id: str | None) -> str:
    """Return how one ended, once it has; an interrupt ends the waiting only."""
    from educloud_lab.client import runs

    run_id = run_id or _newest(machine)
    pause = threading.Event()
    while (run := runs.output(machine, run_id, most_bytes=1).run).state == "running":
        pause.wait(_POLL_S)
    return words.job(run)


def _newest(machine: Any) -> str:
    from educloud_lab.client import runs

    found = runs.listed(machine).runs
    if not found:
        raise UsageError(words.NO_JOBS)
    return str(found[0].id)
