"""Commands in the background: ``%%vm --background`` begins them, ``%vm_jobs`` looks after them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

from IPython.core.error import UsageError

from educloud_lab.notebook.magics_output import STDERR, STDOUT, Gathered, plain
from educloud_lab.notebook.magics_run import Reader, Result, Running

KEPT_JOBS = 50


@dataclass(frozen=True, slots=True)
class Job:
    """One command in the background."""

    number: int
    reader: Reader
    title: str


class Jobs:
    """The commands of this kernel, running and over; of those that are over the last fifty."""

    def __init__(self) -> None:
        self._jobs: dict[int, Job] = {}
        self._last = 0

    def begin(self, label: str, title: str, begin: Callable[[], Running], output: Gathered, opened: ExitStack) -> Job:
        """Begin a command and return at once; ``opened`` is closed when it is over."""
        self._last += 1

        def notify() -> None:
            if job.reader.is_over:
                opened.close()

        job = Job(self._last, Reader(label, begin, output, notify), title)
        self._jobs[job.number] = job
        over = [number for number, known in self._jobs.items() if known.reader.is_over]
        for number in over[: max(0, len(self._jobs) - KEPT_JOBS)]:
            del self._jobs[number]
        job.reader.start()
        return job

    def text(self) -> str:
        """Return the list."""
        if not self._jobs:
            return "No commands in the background. %%vm --background begins one."
        return "\n".join(
            f"[{job.number}] {job.reader.label}: {job.reader.state}: {job.title}" for job in self._jobs.values()
        )

    def output(self, number: int) -> str:
        """Return what a command said so far, its head and its tail."""
        reader = self._get(number).reader
        output = reader.output
        kept = plain([(STDOUT, output.kept(STDOUT)), (STDERR, output.kept(STDERR))])
        if output.is_whole and len(kept) <= output.head_limit + output.tail_limit:
            text = kept
        else:
            text = plain([(STDOUT, output.kept(STDOUT)[: output.head_limit])]) + "\n" + output.tail()
        return f"[{number}] {reader.label}: {reader.state}\n{text}"

    def stop(self, number: int) -> str:
        """Interrupt a command; again, harder."""
        reader = self._get(number).reader
        if reader.is_over:
            return f"[{number}] is over already: {reader.state}."
        reader.interrupt()
        return f"[{number}] was interrupted. %vm_jobs stop {number} once more kills it."

    def wait(self, number: int) -> Result | None:
        """Return a command's result, once it is over.

        Raises
        ------
        EducloudError
            It did not run.
        """
        reader = self._get(number).reader
        reader.join()
        if reader.error is not None:
            raise reader.error
        return reader.result

    def stop_all(self) -> None:
        """Interrupt all that run."""
        for job in self._jobs.values():
            if not job.reader.is_over:
                job.reader.interrupt()

    def _get(self, number: int) -> Job:
        if number not in self._jobs:
            raise UsageError(f"There is no command [{number}] in the background. %vm_jobs lists them.")
        return self._jobs[number]


def title(command: str) -> str:
    """Return a command's first line, short."""
    first, *more = [line for line in command.splitlines() if line.strip()] or [""]
    return first[:60] + ("…" if more or len(first) > 60 else "")
