"""Commands on a machine: what a kernel asks over the run socket, what it is told, and runs in the background.

On the socket, control is JSON text; output is binary frames whose first byte is the stream (`STREAMS`). One run at a
time: after ``ended`` or ``failed`` the next ``run`` may be asked for.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints, TypeAdapter

from educloud_lab.wire.base import Wire

MAX_SCRIPT_BYTES = 256 * 1024
MAX_ENVIRONMENT_BYTES = 64 * 1024
STREAMS = {1: "stdout", 2: "stderr"}
"""First byte of a binary frame, and what follows it."""


def _without_nul(text: str) -> str:
    if "\0" in text:
        msg = "must not hold a NUL character"
        raise ValueError(msg)
    return text


def _script(text: str) -> str:
    if len(text.encode(errors="surrogatepass")) > MAX_SCRIPT_BYTES:
        msg = f"must not be longer than {MAX_SCRIPT_BYTES // 1024} KiB: upload it as a file and run that"
        raise ValueError(msg)
    return _without_nul(text)


def _environment(variables: dict[str, str]) -> dict[str, str]:
    if sum(len(name) + len(value.encode()) for name, value in variables.items()) > MAX_ENVIRONMENT_BYTES:
        msg = f"must not be longer than {MAX_ENVIRONMENT_BYTES // 1024} KiB"
        raise ValueError(msg)
    return variables


Script = Annotated[str, StringConstraints(min_length=1), AfterValidator(_script)]
Path = Annotated[str, StringConstraints(min_length=1, max_length=4096, pattern=r"^[^\x00\r\n]+$")]
KeepName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
VariableName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,255}$")]
RunId = Annotated[str, StringConstraints(pattern=r"^[a-f0-9]{8}$")]


VariableValue = Annotated[str, AfterValidator(_without_nul)]
Environment = Annotated[dict[VariableName, VariableValue], AfterValidator(_environment)]


class RunProblem(Wire):
    """Why something did not happen, as `Problem`."""

    code: str
    what: str
    kept: str = ""
    next_step: str = ""


class RunRequest(Wire):
    """Run a script on the machine. Its standard input is empty."""

    type: Literal["run"] = "run"
    script: Script
    shell: Literal["bash", "sh"] = "bash"
    folder: Path | None = Field(None, description="Where it begins; relative to the home folder. Null: home, or kept")
    environment: Environment = {}
    keep: KeepName | None = Field(None, description="Name under which folder and exported variables last between runs")
    background: bool = Field(False, description="Let it go on by itself; ends with `started`, which names it")
    limit_s: float | None = Field(None, gt=0, description="It is ended after so many seconds")


class RunSignal(Wire):
    """Signal the script and everything that it started."""

    type: Literal["signal"] = "signal"
    signal: Literal["INT", "TERM", "KILL"]


class RunAck(Wire):
    """So many bytes of output have been taken since the last time; at most 1 MiB is sent ahead of that."""

    type: Literal["ack"] = "ack"
    size_bytes: int = Field(ge=0)


class RunStarted(Wire):
    """It runs."""

    type: Literal["started"] = "started"
    run_id: str | None = Field(None, description="Only of a run in the background")


class RunEnded(Wire):
    """It has ended, and all its output was sent before."""

    type: Literal["ended"] = "ended"
    exit_status: int = Field(description="128 and the signal's number when a signal ended it")
    why: Literal["", "interrupted", "limit"] = Field("", description="Whether it was ended by its person or its limit")
    duration_s: float


class RunFailed(Wire):
    """It was refused, or nothing more can be known about it."""

    type: Literal["failed"] = "failed"
    error: RunProblem


FromKernel = RunRequest | RunSignal | RunAck
ToKernel = RunStarted | RunEnded | RunFailed
FROM_KERNEL: TypeAdapter[FromKernel] = TypeAdapter(Annotated[FromKernel, Field(discriminator="type")])
TO_KERNEL: TypeAdapter[ToKernel] = TypeAdapter(Annotated[ToKernel, Field(discriminator="type")])


class BackgroundRun(Wire):
    """A run in the background, as the machine has it."""

    id: str
    state: Literal["running", "ended", "lost"] = Field(description="lost: the machine was restarted meanwhile")
    exit_status: int | None = None
    command: str = Field(description="The first line of the script")
    started_at: datetime
    output_path: str = Field(description="Where its output is on the machine")
    output_bytes: int


class BackgroundRuns(Wire):
    """All that the machine still has, newest first."""

    runs: list[BackgroundRun]


class BackgroundOutput(Wire):
    """The end of what a run in the background has printed."""

    run: BackgroundRun
    text: str
    cut_bytes: int = Field(description="How many bytes before it are left out; the whole is at `output_path`")
