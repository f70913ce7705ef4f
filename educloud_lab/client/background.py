"""One event loop in a thread of its own, for the synchronous half of what is written for a loop."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

_lock = threading.Lock()
_kept: tuple[int, asyncio.AbstractEventLoop] | None = None


def background_loop() -> asyncio.AbstractEventLoop:
    """Return the loop of this process, begun at the first call; its thread ends with the process."""
    global _kept
    with _lock:
        if _kept is None or _kept[0] != os.getpid():  # a fork has no threads but its own
            loop = asyncio.new_event_loop()
            threading.Thread(target=loop.run_forever, name="educloud-client", daemon=True).start()
            _kept = (os.getpid(), loop)
        return _kept[1]


def do(work: Coroutine[Any, Any, T]) -> T:
    """Return what a coroutine comes to, done in the background; given up when this thread is interrupted."""
    future = asyncio.run_coroutine_threadsafe(work, background_loop())
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise
