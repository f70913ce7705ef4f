"""Addresses of the terminals, relative to the Jupyter server's base URL."""

from __future__ import annotations

from typing import Any

from tornado.web import RequestHandler

from educloud_lab.server.terminals.handlers import TerminalHandler, TerminalsHandler, TerminalSocket
from educloud_lab.server.terminals.service import TerminalService

PREFIX = "educloud/vm/"
_NAME = r"([A-Za-z0-9_-]{1,80})"


def terminal_routes(service: TerminalService) -> list[tuple[str, type[RequestHandler], dict[str, Any]]]:
    """Return (pattern, handler, arguments); patterns have no leading slash and no base URL.

    Every handler is authenticated, authorised as ``terminals`` and XSRF-checked.
    """
    arguments = {"service": service}
    return [
        (PREFIX + "api/terminals", TerminalsHandler, arguments),
        (PREFIX + "api/terminals/" + _NAME, TerminalHandler, arguments),
        (PREFIX + "terminals/websocket/" + _NAME, TerminalSocket, arguments),
    ]
