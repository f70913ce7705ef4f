"""The websocket of versioned state: the whole snapshot at once and at every newer version."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from jupyter_server.auth.decorator import ws_authenticated
from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.base.websocket import WebSocketMixin
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from educloud_lab.server.base import Guard
from educloud_lab.server.feed import Feed

MAX_MESSAGE_BYTES = 4096
"""A page says nothing but ``ping``."""

MAX_SOCKETS = 64
"""Open state sockets of one server; a person with more windows than this has a page in a loop."""

CLOSE_GOING_AWAY = 1001
CLOSE_POLICY = 1008
CLOSE_TRY_LATER = 1013


class Sockets:
    """All open state sockets of one server and the feed that they share."""

    def __init__(self, feed: Feed) -> None:
        self.feed = feed
        self._open: set[SocketHandler] = set()

    def __len__(self) -> int:
        return len(self._open)

    def add(self, socket: SocketHandler) -> bool:
        """Note an open socket; False when there are too many."""
        if len(self._open) >= MAX_SOCKETS:
            return False
        self._open.add(socket)
        return True

    def discard(self, socket: SocketHandler) -> None:
        """Forget a closed one. Repeatable."""
        self._open.discard(socket)

    async def close(self) -> None:
        """Close all with a message, as the server stops."""
        for socket in list(self._open):
            socket.close(CLOSE_GOING_AWAY, "The Jupyter server is stopping.")
        await self.feed.close()


SETTING = "educloud_sockets"


class SocketHandler(Guard, WebSocketMixin, WebSocketHandler, JupyterHandler):
    """``GET socket`` (websocket): ``SnapshotMessage`` down, ``PingMessage`` up, ``PongMessage`` down."""

    auth_action = "read"
    _sender: asyncio.Task[None] | None = None

    @property
    def max_message_size(self) -> int:
        """Largest message that is read."""
        return MAX_MESSAGE_BYTES

    @property
    def _sockets(self) -> Sockets:
        sockets: Sockets = self.settings[SETTING]
        return sockets

    @ws_authenticated
    async def get(self, *args: Any, **kwargs: Any) -> None:
        """Upgrade to a websocket; tornado checks the Origin here."""
        await super().get(*args, **kwargs)

    def open(self, *args: Any, **kwargs: Any) -> None:
        """Start sending."""
        super().open(*args, **kwargs)
        if not self._sockets.add(self):
            self.close(CLOSE_TRY_LATER, "Too many pages are open on this server.")
            return
        self._sender = asyncio.create_task(self._send(), name="educloud-socket")

    async def _send(self) -> None:
        """Send each snapshot and wait until it is on its way: a stalled page holds one, not a queue."""
        with contextlib.suppress(WebSocketClosedError):
            async with contextlib.aclosing(self._sockets.feed.subscribe()) as messages:
                async for message in messages:
                    await self.write_message(message.model_dump_json())
        if self._sockets.feed.closed:
            self.close(CLOSE_GOING_AWAY, "The Jupyter server is stopping.")
        else:
            self.close(CLOSE_TRY_LATER, "The broker stopped answering; connect again.")

    async def on_message(self, message: str | bytes) -> None:
        """Answer a ping; anything else is not ours and ends the socket."""
        from pydantic import ValidationError

        from educloud_lab.wire.models import PingMessage, PongMessage

        try:
            PingMessage.model_validate_json(message)
        except ValidationError:
            self.close(CLOSE_POLICY, "Only ping messages are understood here.")
            return
        with contextlib.suppress(WebSocketClosedError):
            await self.write_message(PongMessage(version=self._sockets.feed.version).model_dump_json())

    def on_close(self) -> None:
        """End the sender: nothing of this socket stays behind."""
        self._sockets.discard(self)
        if self._sender is not None:
            self._sender.cancel()
        super().on_close()
