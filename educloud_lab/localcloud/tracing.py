"""Which request something is done for: every log line that a request caused names it, also long after its answer."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from contextvars import ContextVar

REQUEST: ContextVar[str] = ContextVar("request_id", default="")
"""The ``requestId`` of the answer that this is done for; '' for what the cloud does by itself.

The HTTP front sets it. Rows that are changed meanwhile keep it (``request_id``), so that the supervisor can set it
again when it carries out what they ask for; asyncio's tasks and the state's worker thread inherit it.
"""


@contextlib.contextmanager
def on_behalf_of(request_id: str) -> Iterator[None]:
    """Do something for a request."""
    token = REQUEST.set(request_id)
    try:
        yield
    finally:
        REQUEST.reset(token)


class NamesRequest(logging.Filter):
    """Gives each record ``request``: the id and a blank; nothing where there is none or the text has it."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let everything through."""
        request_id = REQUEST.get()
        record.request = f"{request_id} " if request_id and request_id not in record.getMessage() else ""
        return True
