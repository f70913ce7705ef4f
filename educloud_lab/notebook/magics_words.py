"""Every sentence that the magics say, in one place: short, what happened first, what to do next after it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

EXIT_MEANINGS = {
    1: "",
    2: "often a wrong use of a command",
    124: "often: it did not end in the time it was given",
    126: "the shell found the command and could not run it",
    127: "the shell found no such command",
    130: "it was interrupted",
    137: "it was killed: by hand, or because the machine had no memory left",
    139: "it touched memory that is not its own",
    143: "it was told to end",
}
"""What bash's manual page (EXIT STATUS) and signal(7) say of a status."""

NOT_READY = (
    "Press Start in the panel, or run machine.start(), and wait until it is ready; or put --start behind %%vm, which"
    " does both."
)
INTERRUPTS = (
    "[interrupting it on the machine; once more ends it]",
    "[ending it; once more kills it]",
    "[killing it; once more lets it go]",
)
INTERRUPTED = "Interrupted: the command was stopped on the machine."
ABANDONED = "Interrupted: the command was let go without its end; the machine ends it by itself."
EMPTY_LINE = "%vm needs a command: %vm uname -a. For several lines begin the cell with %%vm."
NOT_IN_BACKGROUND = (
    "--background goes with none of --save, --out and --timeout: the output stays on the machine; for a time limit"
    " write timeout 60 before the command."
)
EMPTY_CHECK = "There is nothing to check: write one assertion a line, for example: port 80 answers"
STDERR_MARK = "stderr| "
CHECK_MARKS = {"passed": ("✔", "holds"), "failed": ("✘", "does not hold"), "unknown": ("?", "cannot be told")}


def size(size_bytes: int) -> str:
    """Return a number of bytes for people."""
    if size_bytes < 1000:
        return f"{size_bytes} bytes"
    amount = float(size_bytes)
    for unit in ("kB", "MB", "GB"):
        amount /= 1000
        if amount < 999.95 or unit == "GB":
            break
    return f"{amount:.1f} {unit}"


def duration(seconds: float) -> str:
    """Return a time for people."""
    return f"{seconds:.1f} s" if seconds < 60 else str(timedelta(seconds=round(seconds)))


def ended(exit_status: int | None) -> str:
    """Return how a command ended, in words."""
    if exit_status is None or exit_status < 0:
        return "ended without an exit status: a signal ended it, or the connection did"
    meaning = EXIT_MEANINGS.get(exit_status, "")
    return f"ended with exit status {exit_status}" + (f" ({meaning})" if meaning else "")


def failed(label: str, exit_status: int | None, timeout_s: float | None = None) -> str:
    """Return the error's first sentence; ``timeout_s`` when its time was over."""
    if timeout_s is not None:
        return f"The command on {label} was stopped there after {timeout_s:g} s, as --timeout says."
    return f"The command on {label} {ended(exit_status)}."


FAILED_NEXT_SEVERAL = "Put --ok behind %%vm when cells may end so; _vm has the results by machine."
FAILED_NEXT = "Put --ok behind %%vm when a cell may end so; _vm.exit_status has the number."


def left_out(left_out_bytes: int, saved: bool) -> str:
    """Return the line in the place of what is not shown."""
    how = "The file has all of it." if saved else "To have all of it: %%vm --save FILE, or send it to a file there."
    return f"[… {size(left_out_bytes)} left out here. {how}]"


def saved(path: str, size_bytes: int) -> str:
    """Return where all of the output went."""
    return f"[all of the output, {size(size_bytes)}: {path}]"


def summary(ends: dict[str, str]) -> str:
    """Return how it ended on each of several machines."""
    width = max(map(len, ends))
    return "\n".join(f"{label:<{width}}  {end}" for label, end in ends.items())


def several_failed(names: list[str], of: int) -> str:
    """Return the error's first sentence where some of several machines failed."""
    return f"{len(names)} of {of} machines did not end with exit status 0: {', '.join(names)}."


def progress(name: str, done_bytes: int, total_bytes: int | None, seconds: float) -> str:
    """Return a transfer's line while it goes on."""
    speed = f", {size(round(done_bytes / seconds))}/s" if seconds > 0 else ""
    if not total_bytes:
        return f"{name}: {size(done_bytes)}{speed}"
    share = min(1.0, done_bytes / total_bytes)
    bar = "#" * round(share * 20)
    return f"{name}: [{bar:.<20}] {share:.0%}, {size(done_bytes)} of {size(total_bytes)}{speed}"


def transferred(source: str, target: str, size_bytes: int, seconds: float) -> str:
    """Return a transfer's one-line result."""
    return f"{source} -> {target}: {size(size_bytes)} in {duration(seconds)}"


def starting(label: str, headline: str) -> str:
    """Return the line while a machine starts."""
    return f"{label}: {headline or 'starting'}"


NO_JOBS = "Nothing runs or ran in the background there. %%vm --background begins something."


def background(run_id: str, label: str) -> str:
    """Return what is said when a command goes into the background."""
    return (
        f"[{run_id}] runs in the background on {label}, also when this notebook is closed. %vm_jobs lists;"
        f" %vm_jobs output {run_id}; %vm_jobs stop {run_id}."
    )


def job(run: Any) -> str:
    """Return a command in the background as one line."""
    ends = {"running": "running", "lost": "lost: the machine was restarted meanwhile"}
    return f"[{run.id}] {ends.get(run.state) or ended(run.exit_status)}: {run.command}"


def job_cut(cut_bytes: int, path: str) -> str:
    """Return the line in the place of a background command's earlier output."""
    return f"[… {size(cut_bytes)} left out here. All of it on the machine: {path}]"


def checked(holds: int, of: int) -> str:
    """Return the last line of a list of checks."""
    return f"{holds} of {of} hold."


def checks_failed(failed: int, of: int) -> str:
    """Return the error's sentence when checks do not hold."""
    verb = "does" if failed == 1 else "do"
    return f"{failed} of {of} checks {verb} not hold; each one's line above says what was found."
