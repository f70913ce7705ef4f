"""The run socket: one script after the other on one machine, for a kernel."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any

from jupyter_server.auth.decorator import ws_authenticated
from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.base.websocket import WebSocketMixin
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from educloud_lab.domain.errors import BadInputError
from educloud_lab.server.base import Guard, faults_of
from educloud_lab.server.run_service import SETTING, RunService
from educloud_lab.server.running import Run, failed

MAX_MESSAGE_BYTES = 2 * 1024 * 1024
"""A script and its environment with every character escaped."""

IDLE_S = 300.0
"""A socket on which nothing runs is closed after so long; a client connects again."""

MAX_SOCKETS = 64
"""Open sockets of one server that run or copy."""

ENDING_S = 1.0
CLOSE_POLICY = 1008
CLOSE_TRY_LATER = 1013
OPEN_SOCKETS = "educloud_work_sockets"
"""Setting with the number of open ones."""


class WorkSocket(Guard, WebSocketMixin, WebSocketHandler, JupyterHandler):
    """What the run socket and the copy socket have in common: one piece of work at a time, ended with the socket."""

    auth_action = "execute"
    _lease_id = ""
    _work: asyncio.Task[None] | None = None
    _idle: asyncio.TimerHandle | None = None
    _counted = False

    @property
    def max_message_size(self) -> int:
        """Largest message that is read."""
        return MAX_MESSAGE_BYTES

    @property
    def service(self) -> RunService:
        """What the runs share."""
        service: RunService = self.settings[SETTING]
        return service

    @ws_authenticated
    async def get(self, lease_id: str) -> None:
        """Upgrade to a websocket; whose lease it is is asked anew for each piece of work."""
        self._lease_id = lease_id
        await super().get(lease_id)

    def open(self, *args: str, **kwargs: str) -> None:
        """Wait for work."""
        super().open(*args, **kwargs)
        self.set_nodelay(True)
        if self.settings.get(OPEN_SOCKETS, 0) >= MAX_SOCKETS:
            self.close(CLOSE_TRY_LATER, "Too many commands run through this server.")
            return
        self.settings[OPEN_SOCKETS] = self.settings.get(OPEN_SOCKETS, 0) + 1
        self._counted = True
        self._rest()

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Do a piece of work; the socket is for it alone until it ends."""
        if self._idle is not None:
            self._idle.cancel()
        self._work = asyncio.create_task(self._do(work), name="educloud-work")

    @property
    def at_work(self) -> bool:
        """Whether a piece of work is under way."""
        return self._work is not None and not self._work.done()

    async def is_free(self) -> bool:
        """Whether the next piece of work may begin: the last one may have told its end just now."""
        if self._work is not None and not self._work.done():
            await asyncio.wait({self._work}, timeout=ENDING_S)
        return not self.at_work

    async def _do(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            with contextlib.suppress(WebSocketClosedError):
                await work
        except Exception:  # whatever it is, the reader is told that it is over
            self.log.exception("request %s: work on a machine failed", self.request_id)
            self.close(1011, "Something went wrong inside the server.")
        else:
            if self.ws_connection is not None:
                self._rest()

    def _rest(self) -> None:
        self._idle = asyncio.get_running_loop().call_later(IDLE_S, self.close, 1000, "Nothing was asked for long.")

    def refuse(self, why: str) -> None:
        """End the socket: what came is none of ours."""
        self.close(CLOSE_POLICY, why)

    async def send_text(self, text: str) -> None:
        """Send control; returns when it has left this process."""
        await self.write_message(text)

    async def send_bytes(self, data: bytes) -> None:
        """Send content; returns when it has left this process."""
        await self.write_message(data, binary=True)

    def on_close(self) -> None:
        """End the work with its reader."""
        if self._counted:
            self.settings[OPEN_SOCKETS] -= 1
        if self._idle is not None:
            self._idle.cancel()
        if self._work is not None:
            self._work.cancel()
        super().on_close()


class RunSocket(WorkSocket):
    """``GET leases/<id>/run`` (websocket); see `wire.run`."""

    _run: Run | None = None

    async def on_message(self, message: str | bytes) -> None:
        """Take a request, a signal or an acknowledgement."""
        from pydantic import ValidationError

        from educloud_lab.wire.run import FROM_KERNEL, RunAck, RunSignal

        try:
            asked = FROM_KERNEL.validate_json(message)
        except ValidationError as error:
            if not await self.is_free():
                self.refuse("One run at a time.")
                return
            self.begin(self.send_text(failed(BadInputError(f"This cannot be run: {faults_of(error)}."))))
            return
        if isinstance(asked, RunSignal | RunAck):
            # After the end they may still be on their way: then they are of no use to anybody.
            if self._run is not None and isinstance(asked, RunSignal):
                self._run.signal(asked.signal)
            elif self._run is not None and isinstance(asked, RunAck):
                self._run.acknowledge(asked.size_bytes)
        elif not await self.is_free():
            self.refuse("One run at a time.")
        else:
            self._run = Run(self.service, self._lease_id, self.send_text, self.send_bytes)
            self.begin(self._run.run(asked))
