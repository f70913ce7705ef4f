"""What a terminal has put out: one log, bounded in bytes, that every page reads at its own position.

Positions are byte offsets from the terminal's beginning and always lie between whole UTF-8 characters.
"""

from __future__ import annotations

from collections import deque

from educloud_lab.server.terminals.scrollback import Modes, without_questions

MERGE_BYTES = 4096
# Where a log that was cut may begin: after the first line end within so many bytes.
_LINE_SEARCH_BYTES = 16 * 1024
_RESET = b"\x1bc"


class OutputLog:
    """The log.

    Parameters
    ----------
    limit_bytes : older output than this is forgotten.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._pieces: deque[bytes] = deque()
        self._rest = b""  # the beginning of a character whose end has not come yet
        self._modes = Modes()
        self.start = 0
        self.end = 0

    def append(self, data: bytes) -> None:
        """Add output; forget the oldest beyond the limit."""
        if self._rest:
            data = self._rest + data
        whole = whole_characters(data)
        self._rest = data[whole:]
        if whole < len(data):
            data = data[:whole]
        if not data:
            return
        self.end += len(data)
        if len(data) < MERGE_BYTES and self._pieces and len(self._pieces[-1]) < MERGE_BYTES:
            self._pieces[-1] += data  # single keys would cost a hundred times their size otherwise
        else:
            self._pieces.append(data)
        while self.end - self.start > self._limit_bytes and len(self._pieces) > 1:
            forgotten = self._pieces.popleft()
            self.start += len(forgotten)
            self._modes.follow(forgotten)

    def read(self, position: int, limit_bytes: int) -> bytes:
        """Return what follows a position, at most so many bytes unless a single piece is larger.

        `position` is one that `end` has had, and not before `start`.
        """
        newer: list[bytes] = []
        at = self.end
        for piece in reversed(self._pieces):
            at -= len(piece)
            newer.append(piece)
            if at <= position:
                break
        if not newer:
            return b""
        newer.reverse()
        if at < position:
            newer[0] = newer[0][position - at :]
        if len(newer) == 1:
            return newer[0]
        size, count = 0, 0
        for piece in newer:
            if count and size + len(piece) > limit_bytes:
                break
            size += len(piece)
            count += 1
        return b"".join(newer[:count])

    def scrollback(self) -> bytes:
        """Return all that is kept, made fit to be shown again: b'' when there is nothing."""
        if not self._pieces:
            return b""
        text = b"".join(self._pieces)
        if self.start:
            line_end = text.find(b"\n", 0, _LINE_SEARCH_BYTES)
            if line_end >= 0:
                text = text[line_end + 1 :]
        return _RESET + self._modes.sequences() + without_questions(text)


def whole_characters(data: bytes) -> int:
    """Return how many bytes from the beginning are whole UTF-8 characters (or no UTF-8 at all)."""
    size = len(data)
    for back in range(1, min(3, size) + 1):
        byte = data[size - back]
        if byte < 0x80:
            break
        if byte >= 0xC0:
            wanted = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4 if byte < 0xF8 else 1
            return size - back if wanted > back else size
    return size
