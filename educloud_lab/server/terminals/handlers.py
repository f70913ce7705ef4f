"""REST and websocket of the terminals: JupyterLab's own protocol, with acknowledgements."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable
from typing import Any

from jupyter_server._tz import utcnow
from jupyter_server.auth.decorator import authorized, ws_authenticated
from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.base.websocket import WebSocketMixin
from jupyter_server_terminals.api_handlers import TerminalHandler as StockTerminalHandler
from jupyter_server_terminals.api_handlers import TerminalRootHandler as StockRootHandler
from tornado import web
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from educloud_lab.domain.errors import BadInputError
from educloud_lab.server.base import Guard
from educloud_lab.server.terminals.reader import Reader
from educloud_lab.server.terminals.service import TerminalService
from educloud_lab.server.terminals.terminal import Terminal

AUTH_RESOURCE = "terminals"
ACTIVITY = "educloud_lab"
_FAREWELL_S = 5.0
_UNSUPPORTED_DATA = 1003
_GOING_AWAY = 1001


class _Terminals(Guard):
    """Finds the service where the route table has put it."""

    auth_resource = AUTH_RESOURCE
    # The page asks for the list every few seconds; only input is activity.
    _track_activity = False

    def initialize(self, service: TerminalService) -> None:
        """Take the route's arguments; not the stock way, which wants the name of a loaded extension."""
        self._service = service

    @property
    def terminal_manager(self) -> TerminalService:  # type: ignore[override]  # the stock one is another class
        """What the stock handlers call."""
        return self._service


class TerminalsHandler(_Terminals, StockRootHandler):  # type: ignore[misc]  # the stock handlers ship no types
    """``api/terminals``: the stock list, and a way to make one that asks for the lease."""

    @web.authenticated
    @authorized
    async def post(self) -> None:
        """Make a terminal, or return it."""
        body = self.get_json_body()
        if not isinstance(body, dict):
            raise BadInputError("A terminal is asked for by a JSON object.", kept="None was made.")
        given = {key: body.get(key) for key in ("name", "lease_id")}  # a stock page sends cwd too, which has no meaning
        if not all(value is None or isinstance(value, str) for value in given.values()):
            raise BadInputError("name and lease_id are texts.", kept="None was made.")
        self.finish(json.dumps(await self._service.create(**given)))


class TerminalHandler(_Terminals, StockTerminalHandler):  # type: ignore[misc]  # the stock handlers ship no types
    """``api/terminals/<name>``: stock."""


class TerminalSocket(_Terminals, WebSocketMixin, WebSocketHandler, JupyterHandler):
    """A page's connection to a terminal.

    None of the stock socket's methods would remain, so it is not the base: it creates on opening, counts output as
    activity, writes without awaiting, sizes to the smallest page, and can log keystrokes.
    """

    auth_action = "execute"

    def initialize(self, service: TerminalService) -> None:
        """Take the route's arguments."""
        super().initialize(service)
        self._terminal: Terminal | None = None
        self._reader: Reader | None = None
        self._feeding: asyncio.Task[None] | None = None

    @ws_authenticated
    async def get(self, name: str) -> None:
        """Connect; never creates a terminal."""
        self._terminal = self._service.terminal(name)
        await super().get(name)

    def open(self, *args: str, **kwargs: str) -> None:
        """Begin to send."""
        super().open(*args, **kwargs)
        assert self._terminal is not None
        self.set_nodelay(True)  # without it, a burst of keys waits 40 ms for an acknowledgement
        self._reader = self._terminal.attach(self._send)
        self._feeding = asyncio.create_task(self._feed(self._reader))

    def on_message(self, message: str | bytes) -> None:
        """Take a page's message."""
        try:
            command = json.loads(message)
            self._take(command[0], command[1:])
        except (ValueError, TypeError, IndexError, KeyError, RecursionError):
            # Never the message itself: it may be input.
            self.log.warning("a terminal's page sent a message that is none; its socket is closed")
            self.close(_UNSUPPORTED_DATA, "malformed message")

    def on_close(self) -> None:
        """Forget the page."""
        if self._feeding is not None:
            self._feeding.cancel()
        if self._terminal is not None and self._reader is not None:
            self._terminal.detach(self._reader)
        super().on_close()

    def _take(self, kind: str, content: list[Any]) -> None:
        assert self._terminal is not None
        assert self._reader is not None
        if kind == "stdin":
            if not isinstance(content[0], str):
                raise TypeError
            self.settings["last_activity_times"][ACTIVITY] = utcnow()
            self._terminal.type(self._reader, content[0])
        elif kind == "ack":
            if not isinstance(content[0], int) or content[0] < 0:
                raise TypeError
            self._reader.acknowledge(content[0])
        elif kind == "set_size":
            self._terminal.resize(self._reader, columns=int(content[1]), rows=int(content[0]))
        elif kind == "flow" and content[0] == 1:
            self._reader.flow()
        # Other kinds are of a newer page; it manages without an answer.

    async def _feed(self, reader: Reader) -> None:
        with contextlib.suppress(WebSocketClosedError):
            await self._send(b'["setup",{"educloud":{"flow":1}}]')
            await reader.run()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_FAREWELL_S):
                    await self._send(b'["disconnect",1]')
            self.close(_GOING_AWAY, "the terminal has ended")

    def _send(self, text: bytes) -> Awaitable[None]:
        """Send a text frame; the answer comes when it has left this process."""
        return self.write_message(text)
