"""A command on a machine, for code without an event loop: it keeps one in a thread of its own.

All of a kernel's commands run side by side there; `client.arunning` says what happens.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from functools import partial
from queue import SimpleQueue
from types import FrameType, TracebackType
from typing import Any, Self

from educloud_lab.client.arunning import LADDER, AsyncRunning, Piece, abegin, abegin_background, without_end
from educloud_lab.client.background import background_loop, do
from educloud_lab.client.find import Server
from educloud_lab.wire.run import RunEnded, RunRequest


class Running:
    """A command that runs, for code without an event loop. Iterate it for (stream, text).

    While it is iterated or waited for in the main thread, the keyboard's (or the kernel's) interrupt is the command's:
    the first asks it to stop there, and reading goes on to its end; the second tells it to; the third kills it and
    raises KeyboardInterrupt here. `interrupt` may be called from any thread.

    Parameters
    ----------
    inner : the same, in the background's loop.
    """

    def __init__(self, inner: AsyncRunning) -> None:
        self._inner = inner
        self._loop = background_loop()
        self._queue: SimpleQueue[Piece | None] = SimpleQueue()
        self._error: BaseException | None = None
        self._presses = 0
        self._over = False
        self._closed = False
        self._pump = asyncio.run_coroutine_threadsafe(self._fetch(), self._loop)

    async def _fetch(self) -> None:
        """Fetch ahead of the reader; the server sends no more than 1 MiB that was not acknowledged."""
        try:
            while (piece := await self._inner.next()) is not None:
                self._queue.put(piece)
        except BaseException as error:
            self._error = error
            if not isinstance(error, Exception):
                raise
        finally:
            self._queue.put(None)

    @property
    def ended(self) -> RunEnded | None:
        """How it ended; None before all output was taken."""
        return self._inner.ended if self._over else None

    @property
    def run_id(self) -> str | None:
        """Its name, when it runs in the background and has begun."""
        return self._inner.run_id

    @property
    def hint(self) -> str:
        """What to do when it failed because it wanted to be typed into; '' otherwise."""
        return self._inner.hint

    def __iter__(self) -> Iterator[tuple[str, str]]:
        with self._interruptible():
            while not self._over:
                piece = self._queue.get()
                if piece is None:
                    self._over = True
                    break
                yield piece.stream, piece.text
                self._later(partial(self._inner.acknowledge, piece.size_bytes))
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def interrupt(self) -> None:
        """Stop it there, with all that it started: asked to (SIGINT), then told to (SIGTERM), then killed."""
        self._later(self._inner.interrupt)

    def wait(self) -> RunEnded:
        """Return how it ended; output that was not taken before is dropped.

        Raises
        ------
        EducloudError
            It was refused, or the connection was lost on the way; says which.
        """
        for _ in self:
            pass
        if self._inner.ended is None:
            raise without_end()
        return self._inner.ended

    def close(self) -> None:
        """Let it go: when it still runs, it is ended on the machine. Repeatable."""
        self._closed = True
        self._pump.cancel()
        do(self._inner.close())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _later(self, work: Callable[[], Any]) -> None:
        # Nothing here takes a lock: a signal handler may be what calls.
        self._loop.call_soon_threadsafe(lambda: self._loop.create_task(work()))

    def _pressed(self, _number: int, _frame: FrameType | None) -> None:
        self._presses += 1
        if not self._closed and self._presses < len(LADDER):
            self.interrupt()
            return
        self._later(self._inner.close)
        raise KeyboardInterrupt

    @contextlib.contextmanager
    def _interruptible(self) -> Iterator[None]:
        before = signal.getsignal(signal.SIGINT)
        if threading.current_thread() is not threading.main_thread() or not callable(before):
            yield
            return
        signal.signal(signal.SIGINT, self._pressed)
        try:
            yield
        finally:
            with contextlib.suppress(ValueError):  # an iteration that was left is tidied up in whatever thread
                signal.signal(signal.SIGINT, before)


def begin(server: Server, lease_id: str, request: RunRequest) -> Running:
    """Begin a command on the machine of a lease. Raises as `abegin`."""
    return Running(do(abegin(server, lease_id, request)))


def begin_background(server: Server, lease_id: str, request: RunRequest) -> str:
    """Begin a command that goes on by itself, and return its name. Raises as `abegin_background`."""
    return do(abegin_background(server, lease_id, request))
