"""Control commands: how the broker puts lines in force and takes them back, each answered by one JSON line."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

import asyncssh

from educloud_lab.gateway.errors import LinesError
from educloud_lab.gateway.lines import MAX_TEXT_BYTES
from educloud_lab.gateway.state import GatewayState

_log = logging.getLogger("educloud.gateway")

_INPUT_END_S = 0.3

# Every command, and how many words follow it.
COMMANDS = {"put-lines": 1, "drop-lines": 1, "list-lines": 0, "ping": 0}


class ControlHub(Protocol):
    """What control commands need of the gateway."""

    state: GatewayState

    async def put_lines(self, name: str, text: str) -> int:
        """Put lines in force; returns how many. Raises LinesError or OSError."""

    async def drop_lines(self, name: str) -> bool:
        """Take lines out of force; returns whether there were any. Raises LinesError or OSError."""

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` as a task of the gateway."""


class ControlSession(asyncssh.SSHServerSession[bytes]):
    """One control command: no terminal, no shell, no subsystem.

    Parameters
    ----------
    who : str
        For the log.
    hub : ControlHub
        The gateway.
    on_end : callable
        Called with this session when its channel is closed.
    """

    def __init__(self, who: str, hub: ControlHub, on_end: Callable[[ControlSession], None]) -> None:
        self._who = who
        self._hub = hub
        self._on_end = on_end
        self._channel: asyncssh.SSHServerChannel[bytes] | None = None
        self._words: list[str] = []
        self._input = bytearray()
        self._started = False
        self._input_ended = asyncio.Event()

    def connection_made(self, chan: asyncssh.SSHServerChannel[bytes]) -> None:
        """Take the open channel."""
        self._channel = chan

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of the closed channel; a command that was begun is still finished."""
        self._channel = None
        self._input_ended.set()
        self._on_end(self)

    def pty_requested(self, term_type: str, term_size: Any, term_modes: Any) -> bool:
        """No terminal."""
        return False

    def exec_requested(self, command: str) -> bool:
        """Take a command; a bad one is answered like any other error."""
        self._words = command.split(" ")
        return True

    def session_started(self) -> None:
        """Begin at once, except where lines are still to be read."""
        if self._words[:1] != ["put-lines"]:
            self._begin()

    def data_received(self, data: bytes, datatype: asyncssh.DataType) -> None:
        """Collect the lines, up to their limit."""
        if self._started:
            return
        self._input += data
        if len(self._input) > MAX_TEXT_BYTES:
            self._begin()

    def eof_received(self) -> bool:
        """Begin, now that the lines are complete."""
        self._input_ended.set()
        self._begin()
        return True

    def _begin(self) -> None:
        if not self._started:
            self._started = True
            self._hub.start(self._run())

    async def _run(self) -> None:
        try:
            answer = {"ok": True, **await self._answer()}
        except LinesError as exc:
            answer = {"ok": False, "error": "refused", "message": str(exc)}
        except OSError as exc:
            message = f"The gateway could not write its lines ({exc.strerror}); the former lines stay. Try again."
            answer = {"ok": False, "error": "storage", "message": message}
        _log.info(
            "control %s: %s %s", self._who, ascii(" ".join(self._words)[:100]), "done" if answer["ok"] else answer
        )
        if self._channel and not self._channel.is_closing():
            self._channel.write(json.dumps(answer).encode() + b"\n")
            # A client that still means to close its (empty) input must not find the channel closed already.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._input_ended.wait(), _INPUT_END_S)
        if self._channel and not self._channel.is_closing():
            self._channel.exit(0 if answer["ok"] else 1)

    async def _answer(self) -> dict[str, Any]:
        command, names = self._words[0], self._words[1:]
        if COMMANDS.get(command) != len(names):
            known = ", ".join(name + (" NAME" if words else "") for name, words in COMMANDS.items())
            raise LinesError(f"not a control command; there are: {known}. Nothing was changed.")
        if command == "put-lines":
            try:
                text = self._input.decode("utf-8")
            except UnicodeDecodeError as exc:
                raise LinesError("the lines are not UTF-8; nothing was changed") from exc
            return {"name": names[0], "lines": await self._hub.put_lines(names[0], text)}
        if command == "drop-lines":
            return {"name": names[0], "dropped": await self._hub.drop_lines(names[0])}
        if command == "list-lines":
            return {"names": self._hub.state.listing()}
        return {"pid": os.getpid(), "names": len(self._hub.state.files)}
