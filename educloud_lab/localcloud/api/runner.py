"""How the API is served: bodies as they came, and one line of log for whatever is not HTTP."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

log = logging.getLogger("educloud.cloud.http")


class _NotHttp(logging.Filter):
    """Anybody can send what is not HTTP: that is no error of ours, and its traceback tells nobody anything."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Shorten the record; always keep it."""
        error = record.exc_info[1] if isinstance(record.exc_info, tuple) else None
        if isinstance(error, HttpProcessingError):
            what = "".join(c if c.isprintable() else "?" for c in (error.message.splitlines() or [""])[0][:120])
            record.msg, record.args = "a request that is not HTTP: %s", (what,)
            record.exc_info = record.exc_text = None
            record.levelno, record.levelname = logging.INFO, "INFO"
        return True


log.addFilter(_NotHttp())


SERVED: Mapping[str, Any] = {"access_log": None, "auto_decompress": False, "logger": log}
"""How bodies are taken: they are not unpacked, since signatures are over what was sent, and a small packed body may be
a huge one."""


def runner_of(application: web.Application, **options: Any) -> web.AppRunner:
    """Return what serves the application."""
    return web.AppRunner(application, handle_signals=False, **SERVED, **options)
