"""One cell's run: begun on each machine, drawn, and its end made a result or a short error."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TextIO

from educloud_lab.domain.errors import BadInputError, CommandFailedError, ConflictError, EducloudError
from educloud_lab.notebook import magics_words as words
from educloud_lab.notebook.magics_errors import MachinesFailedError, quiet
from educloud_lab.notebook.magics_machines import Machines
from educloud_lab.notebook.magics_output import HEAD_BYTES, KEPT_ALL_BYTES, KEPT_BYTES, TAIL_BYTES, Gathered
from educloud_lab.notebook.magics_run import Reader, Result, Running, Watch
from educloud_lab.notebook.magics_screen import BlockScreen, Screen, StreamScreen, say

_LAST = 2048
"""Characters of the output's end in which it is looked for what went wrong."""


@dataclass(frozen=True, slots=True)
class Options:
    """What was written behind the magic, and the cell.

    Parameters
    ----------
    command : runs there with bash, letter by letter.
    folder, environment, keep, timeout_s : as ``machine.begin`` has them.
    is_failure_allowed : another exit status than 0 is no error.
    keeps_all : the result holds as much of the output as can be borne.
    save : all of the output goes there as well.
    """

    command: str
    folder: str | None = None
    environment: dict[str, str] | None = None
    keep: str | None = None
    timeout_s: float | None = None
    is_failure_allowed: bool = False
    keeps_all: bool = False
    save: Path | None = None

    def begin(self, machine: Any) -> Callable[[], Running]:
        """Return what begins it on a machine."""
        return partial(
            machine.begin,
            self.command,
            timeout_s=self.timeout_s,
            folder=self.folder,
            environment=self.environment or None,
            keep=self.keep,
        )

    def gathered(self, of: int = 1, file: TextIO | None = None) -> Gathered:
        """Return what takes the output of one of so many machines."""
        return Gathered(
            kept_limit=KEPT_ALL_BYTES if self.keeps_all else KEPT_BYTES,
            head_limit=HEAD_BYTES // of,
            tail_limit=TAIL_BYTES // of,
            file=file,
        )

    @contextlib.contextmanager
    def file(self) -> Iterator[TextIO | None]:
        """Open the file that takes all of the output, if there is to be one."""
        if self.save is None:
            yield None
            return
        try:
            opened = self.save.open("w", encoding="utf-8", newline="")
        except OSError as error:
            raise BadInputError(
                f"--save {self.save}: it cannot be written ({error.strerror}). Nothing was run.",
                next_step="Name a file in a folder that exists.",
            ) from error
        with opened:
            yield opened


def in_background(finder: Machines, machines: dict[str, Any], options: Options) -> None:
    """Begin it on each machine and say how to look after it."""
    from educloud_lab.client import runs

    for label, machine in machines.items():
        try:
            run_id = runs.begin(
                machine,
                options.command,
                folder=options.folder,
                environment=options.environment or None,
                keep=options.keep,
            )
        except EducloudError as error:
            raise finder.explain(error, machine) from None
        say(words.background(run_id, label))


def run_cell(
    finder: Machines, machines: dict[str, Any], options: Options, keep: Callable[[Result | dict[str, Result]], None]
) -> None:
    """Run it on each machine and draw until all are over.

    Parameters
    ----------
    keep : given the result before an error is raised; of several machines, results by label.

    Raises
    ------
    CommandFailedError, MachinesFailedError
        Another exit status than 0, unless that is allowed.
    KeyboardInterrupt
        The kernel was interrupted; the command was stopped.
    """
    single = StreamScreen()
    tell = single.say if len(machines) == 1 else say
    watch = Watch(tell)
    with options.file() as file:
        readers = [
            Reader(label, options.begin(machine), options.gathered(len(machines), file), watch.notify)
            for label, machine in machines.items()
        ]
        screens: list[Screen] = [BlockScreen(reader.label) for reader in readers] if len(readers) > 1 else [single]
        was_seen_through = watch.run(readers, screens)
    results = {reader.label: reader.result for reader in readers if reader.result is not None}
    if len(readers) > 1:
        keep(results)
        tell(words.summary({reader.label: reader.state for reader in readers}))
    elif results:
        keep(next(iter(results.values())))
    if options.save is not None:
        tell(words.saved(str(options.save), options.save.stat().st_size))
    if watch.interrupts:
        raise quiet(KeyboardInterrupt(words.INTERRUPTED if was_seen_through else words.ABANDONED))
    if len(readers) > 1:
        _judge_all(readers, options)
    else:
        _judge(readers[0], options, finder, *machines.values())


def _judge(reader: Reader, options: Options, finder: Machines, machine: Any) -> None:
    if reader.error is not None:
        error = reader.error
        raise finder.explain(error, machine) if isinstance(error, EducloudError) else error
    result = reader.result
    assert result is not None
    if result.exit_status == 0 or options.is_failure_allowed:
        return
    from educloud_lab.client.hints import hint_of

    status = -1 if result.exit_status is None else result.exit_status
    hint = hint_of(status, result.stdout[-_LAST:] + result.stderr[-_LAST:])
    raise quiet(
        CommandFailedError(
            words.failed(reader.label, result.exit_status, options.timeout_s if result.was_timed_out else None),
            exit_status=status,
            output=result.stderr[-_LAST:],
            next_step=hint or words.FAILED_NEXT,
        )
    )


def _judge_all(readers: list[Reader], options: Options) -> None:
    bad = [reader for reader in readers if reader.result is None or reader.result.exit_status != 0]
    if options.is_failure_allowed:
        bad = [reader for reader in bad if reader.error is not None]
    if bad:
        refused = any(isinstance(reader.error, ConflictError) for reader in bad)
        raise quiet(
            MachinesFailedError(
                words.several_failed([reader.label for reader in bad], len(readers)),
                next_step=words.NOT_READY if refused else words.FAILED_NEXT_SEVERAL,
            )
        )
