"""Runs in the background: begun over the run socket, then asked for as the machine has them."""

from __future__ import annotations

import re
import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tornado import web

from educloud_lab.domain.errors import BadInputError, ConflictError, EducloudError, NotFoundError, ShellError
from educloud_lab.server import background_scripts as scripts
from educloud_lab.server.base import RestHandler
from educloud_lab.server.run_scripts import script_input
from educloud_lab.server.run_service import SETTING, RunService

if TYPE_CHECKING:  # pydantic is loaded at first use, not with the extension
    from educloud_lab.ports.shell import Completed
    from educloud_lab.wire.run import BackgroundOutput, BackgroundRun, BackgroundRuns, RunRequest

MOST_BYTES = 256 * 1024
_TIMEOUT_S = 30.0
_STOP_S = 60.0
_ABSENT = 66
_ID = re.compile(r"[a-f0-9]{8}", re.ASCII)
_RUN = re.compile(
    r"run (?P<id>[a-f0-9]{8}) (?P<state>running|ended|lost) (?P<status>-|\d{1,3})"
    r" (?P<began>\d{1,12}) (?P<size>\d{1,18}) (?P<path>.+)",
    re.ASCII,
)


async def begin(service: RunService, lease_id: str, request: RunRequest) -> str:
    """Begin a run and return its name.

    Raises
    ------
    EducloudError
        It was refused, or it is not known whether it was begun.
    """
    name = secrets.token_hex(4)
    words = scripts.command(request.shell, name, folder=request.folder, keep=request.keep)
    process = await service.open(lease_id, words)
    answer = b""
    try:
        await process.write(script_input(request.script, request.environment))
        while (piece := await process.read())[1]:
            if piece[0] == "stdout" and len(answer) < MOST_BYTES:
                answer += piece[1]
        if process.exit_status is None:
            raise await service.lost(lease_id, kept="It is not known whether it was begun: look at the runs there.")
    finally:
        await process.close()
    word, _, detail = answer.decode(errors="replace").strip().partition(" ")
    if word != "begun":
        raise _refused(detail, request)
    return name


def _refused(why: str, request: RunRequest) -> EducloudError:
    kept = "Nothing was run."
    if why == "shell":
        return BadInputError(f"The machine has no shell {request.shell}.", kept=kept, next_step="Ask for sh.")
    if why in {"folder", "full"}:
        return ConflictError(
            "Nothing can be written to ~/.cache/educloud on the machine.",
            kept=kept,
            next_step="See whether its disk is full (df -h), and whose that folder is.",
        )
    return ShellError(
        "The machine cannot run anything in the background" + (": it has no setsid." if why == "setsid" else "."),
        kept=kept,
    )


async def listed(service: RunService, lease_id: str) -> BackgroundRuns:
    """Return what the machine has, newest first."""
    from educloud_lab.wire.run import BackgroundRuns

    done = await _ask(service, lease_id, scripts.LIST, ())
    runs, _ = _read(done.stdout)
    return BackgroundRuns(runs=sorted(runs, key=lambda run: (run.started_at, run.id), reverse=True))


async def output(service: RunService, lease_id: str, run_id: str, most_bytes: int) -> BackgroundOutput:
    """Return one of them and the end of what it has printed."""
    from educloud_lab.wire.run import BackgroundOutput

    done = await _ask(service, lease_id, scripts.OUTPUT, (run_id, str(most_bytes)))
    (run, *_), text = _read(done.stdout)
    cut_bytes = max(0, run.output_bytes - len(text))
    return BackgroundOutput(run=run, text=text.decode(errors="replace"), cut_bytes=cut_bytes)


async def stopped(service: RunService, lease_id: str, run_id: str) -> BackgroundRun:
    """End one, and return it."""
    done = await _ask(service, lease_id, scripts.STOP, (run_id,), timeout_s=_STOP_S)
    (run, *_), _ = _read(done.stdout)
    return run


async def _ask(
    service: RunService, lease_id: str, script: str, arguments: tuple[str, ...], *, timeout_s: float = _TIMEOUT_S
) -> Completed:
    if arguments and not _ID.fullmatch(arguments[0]):
        raise _absent()
    connection = await service.connections.get(service.person, lease_id)
    done = await connection.run(script, arguments=arguments, timeout_s=timeout_s)
    if done.exit_status == _ABSENT:
        raise _absent()
    if done.exit_status != 0:
        raise ShellError("The machine could not say what runs on it.")
    return done


def _absent() -> NotFoundError:
    return NotFoundError("There is no such run on the machine.", next_step="List what there is.")


def _read(answer: bytes) -> tuple[list[BackgroundRun], bytes]:
    """Return the runs of an answer and what comes after them. Lines that cannot be read are left out."""
    from educloud_lab.wire.run import BackgroundRun

    head, _, rest = answer.partition(b"\nend\n") if not answer.startswith(b"end\n") else (b"", b"", answer[4:])
    runs: list[BackgroundRun] = []
    found: re.Match[str] | None = None
    for line in head.decode(errors="replace").split("\n"):
        if line.startswith("command ") and found is not None:
            runs.append(
                BackgroundRun.model_validate(
                    {
                        "id": found["id"],
                        "state": found["state"],
                        "exit_status": None if found["status"] == "-" else int(found["status"]),
                        "command": line.removeprefix("command ")[:500],
                        "started_at": datetime.fromtimestamp(int(found["began"]), UTC),
                        "output_path": found["path"],
                        "output_bytes": int(found["size"]),
                    }
                )
            )
        found = _RUN.fullmatch(line)
    return runs, rest


class _Runs(RestHandler):
    """What the three have in common."""

    @property
    def service(self) -> RunService:
        service: RunService = self.settings[SETTING]
        return service


class RunsHandler(_Runs):
    """``GET leases/<id>/runs``."""

    _track_activity = False  # somebody who looks is not a person who works

    @web.authenticated
    async def get(self, lease_id: str) -> None:
        """Return ``BackgroundRuns``."""
        self.reply(await listed(self.service, lease_id))


class RunHandler(_Runs):
    """``GET leases/<id>/runs/<run>``."""

    _track_activity = False  # likewise

    @web.authenticated
    async def get(self, lease_id: str, run_id: str) -> None:
        """Return a ``BackgroundOutput``."""
        asked = self.get_query_argument("bytes", str(MOST_BYTES))
        if not (asked.isascii() and asked.isdigit()):
            raise BadInputError("bytes is a number.", kept="Nothing was changed.")
        self.reply(await output(self.service, lease_id, run_id, min(int(asked), MOST_BYTES)))


class StopRunHandler(_Runs):
    """``POST leases/<id>/runs/<run>/stop``."""

    @web.authenticated
    async def post(self, lease_id: str, run_id: str) -> None:
        """End it; return a ``BackgroundRun``."""
        self.reply(await stopped(self.service, lease_id, run_id))
