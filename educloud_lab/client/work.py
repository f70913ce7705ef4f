"""What a command on a machine came to, and when that is an error: the same for both machines."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pydantic import ValidationError

from educloud_lab.domain.errors import BadInputError, CommandFailedError, CommandTimeoutError
from educloud_lab.wire.run import RunEnded, RunRequest

OnOutput = Callable[[str, str], object]
"""Called with "stdout" or "stderr" and a piece of text, as it comes."""

CopyProgress = Callable[[int, int], None]
"""Called with the bytes of a file that have arrived, and all bytes."""

_SHOWN = 60
_SAID = 2000


@dataclass(frozen=True, slots=True)
class Done:
    """A command that has ended.

    Parameters
    ----------
    stdout, stderr : all that it printed.
    exit_status : 0 when it succeeded; 128 and the signal's number when a signal ended it.
    duration_s : how long it ran, in seconds.
    """

    stdout: str
    stderr: str
    exit_status: int
    duration_s: float


@dataclass(slots=True)
class Gathered:
    """Output as it comes, kept whole.

    Parameters
    ----------
    on_output : told each piece.
    """

    on_output: OnOutput | None = None
    pieces: dict[str, list[str]] = field(default_factory=lambda: {"stdout": [], "stderr": []})

    def take(self, stream: str, text: str) -> None:
        """Keep a piece."""
        self.pieces[stream].append(text)
        if self.on_output is not None:
            self.on_output(stream, text)

    def done(self, request: RunRequest, ended: RunEnded, hint: str, *, check: bool) -> Done:
        """Return what it came to.

        Raises
        ------
        KeyboardInterrupt
            Its person interrupted it.
        CommandTimeoutError, CommandFailedError
            Its limit ended it, or it failed, and ``check`` says that this is an error.
        """
        done = Done("".join(self.pieces["stdout"]), "".join(self.pieces["stderr"]), ended.exit_status, ended.duration_s)
        if ended.why == "interrupted":
            raise KeyboardInterrupt
        if check and ended.why == "limit":
            raise CommandTimeoutError(
                f"`{_short(request.script)}` did not end within {request.limit_s:g} s, so it was ended.",
                kept="What it did until then is on the machine.",
                next_step="Give it more time (timeout_s), or run it in the background.",
            )
        if check and ended.exit_status != 0:
            said = (done.stderr or done.stdout).strip()[-_SAID:]
            raise CommandFailedError(
                f"`{_short(request.script)}` ended with exit status {ended.exit_status}"
                + (f":\n{said}" if said else "."),
                exit_status=ended.exit_status,
                output=done.stdout + done.stderr,
                kept="What it did until then is on the machine.",
                next_step=hint or "With check=False a failure is no error: look at .exit_status.",
            )
        return done


def request(
    command: str, timeout_s: float | None, folder: str | None, environment: Mapping[str, str] | None, keep: str | None
) -> RunRequest:
    """Return what is sent to run a command.

    Raises
    ------
    BadInputError
        Something of it is not possible; says what.
    """
    try:
        return RunRequest.model_validate(
            {
                "script": command,
                "limit_s": timeout_s,
                "folder": folder,
                "environment": dict(environment or {}),
                "keep": keep,
            }
        )
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}"
            for fault in error.errors(include_url=False, include_context=False, include_input=False)[:5]
        )
        # Without a cause: its words quote the environment, where passwords may be.
        raise BadInputError(f"This cannot be run: {faults}.", kept="Nothing was run.") from None


def _short(script: str) -> str:
    line = script.strip().partition("\n")[0]
    return line if len(line) <= _SHOWN and line == script.strip() else f"{line[:_SHOWN]}…"
