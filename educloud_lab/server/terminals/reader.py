"""One page that shows a terminal: its position in the log, its credits, and the task that sends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from educloud_lab.server.terminals.output import OutputLog

FRAME_BYTES = 128 * 1024
HIGH_BYTES = 384 * 1024
LOW_BYTES = 128 * 1024
# Below this, an interrupt leaves everything in place: a full-screen program's repaint is smaller.
SKIP_BYTES = 64 * 1024
# A frame of this size is more than a person types or a shell answers.
FLOOD_BYTES = 4096
_CANCEL = "\x18\x1b[0m\r\n"


class Reader:
    """A page.

    Parameters
    ----------
    log : what it reads.
    send : sends one text frame (as UTF-8), and returns when it has left our own buffers.
    on_progress : called when its position has moved.
    """

    def __init__(
        self, log: OutputLog, send: Callable[[bytes], Awaitable[None]], on_progress: Callable[[], None]
    ) -> None:
        self._log = log
        self._send = send
        self._on_progress = on_progress
        self._scrollback = log.scrollback()
        self._position = log.end
        self._acknowledges = False
        self._announce = False
        self._unacknowledged_bytes = 0
        self._waits_for_credit = False
        self._finished = False
        self._notice = ""
        self._waiter: asyncio.Future[None] | None = None
        self.size: tuple[int, int] | None = None  # columns, rows
        self.last_active = 0

    @property
    def behind_bytes(self) -> int:
        """How much output it has not been sent."""
        return self._log.end - self._position + len(self._scrollback)

    @property
    def unacknowledged_bytes(self) -> int:
        """How much it was sent and has not acknowledged."""
        return self._unacknowledged_bytes

    def flow(self) -> None:
        """The page acknowledges from now on."""
        self._acknowledges = True
        self._announce = True
        self._unacknowledged_bytes = 0
        self._waits_for_credit = False
        self.wake()

    def acknowledge(self, size_bytes: int) -> None:
        """The page has shown so much."""
        self._unacknowledged_bytes = max(0, self._unacknowledged_bytes - size_bytes)
        if self._waits_for_credit and self._unacknowledged_bytes <= LOW_BYTES:
            self._waits_for_credit = False
            self.wake()

    def interrupt(self) -> None:
        """Skip what waits, if it is much; as a terminal's driver flushes its queue on an interrupt."""
        if self.behind_bytes > SKIP_BYTES:
            self._skip_to(self._log.end)
            self._scrollback = b""

    def finish(self) -> None:
        """Let `run` return once everything is sent."""
        self._finished = True
        self.wake()

    def wake(self) -> None:
        """Look again whether there is something to send."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def run(self) -> None:
        """Send until `finish`; one frame at a time, each awaited."""
        # Three to eight times faster than the standard library's, which took a third of a bridge's CPU. Imported at
        # first use, as everything that a Jupyter server can start without.
        from pydantic_core import to_json

        flooding = False
        while True:
            if self._announce:
                self._announce = False
                await self._send(b'["flow",1]')
                continue
            if not self._waits_for_credit:
                if flooding and self.behind_bytes < FRAME_BYTES // 4:
                    # More is on its way: a turn of the loop more, and a frame less.
                    await asyncio.sleep(0)
                text, size_bytes = self._next()
                flooding = size_bytes >= FLOOD_BYTES
                if size_bytes:
                    if self._acknowledges:
                        self._unacknowledged_bytes += size_bytes
                        self._waits_for_credit = self._unacknowledged_bytes >= HIGH_BYTES
                    self._on_progress()
                    await self._send(to_json(("stdout", text, size_bytes)))
                    continue
                if self._finished:
                    return
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None

    def _next(self) -> tuple[str, int]:
        """Return the next text and its size in bytes of UTF-8; 0 when there is none."""
        if self._scrollback:
            cut = FRAME_BYTES
            while cut < len(self._scrollback) and self._scrollback[cut] & 0xC0 == 0x80:
                cut -= 1
            data, self._scrollback = self._scrollback[:cut], self._scrollback[cut:]
            return data.decode("utf-8", "replace"), len(data)
        if self._position < self._log.start:
            self._skip_to(self._log.start)
        if self._notice:
            notice, self._notice = self._notice, ""
            return notice, len(notice.encode())
        data = self._log.read(self._position, FRAME_BYTES)
        self._position += len(data)
        return data.decode("utf-8", "replace"), len(data)

    def _skip_to(self, position: int) -> None:
        missed = max(1, (position - self._position + len(self._scrollback)) // 1024)
        self._position = position
        self._notice = f"{_CANCEL}\x1b[2m[{missed} KiB of output not shown]\x1b[0m\r\n"
        self._on_progress()
        self.wake()
