"""What has to be known of terminal sequences to show old output again: lasting modes, and questions to the terminal."""

from __future__ import annotations

import re

_MODE = re.compile(rb"\x1b\[\?([0-9;]{1,40})([hl])")
_MODE_START = b"\x1b[?"
# A sequence may lie across two pieces.
_OVERLAP_BYTES = 48
_MAX_MODES = 64

# Sequences that xterm.js answers. Shown again, the answers would be typed into the shell.
_QUESTION = re.compile(
    rb"\x1b\[[>=?]?[0-9;]*[cn]"  # device attributes, device status, cursor position
    rb"|\x1b\[>[0-9;]*q"  # name and version
    rb"|\x1b\[\??[0-9;]*\$p"  # is this mode set
    rb"|\x1b\[(?:1[1-9]|2[01])(?:;[0-9;]*)?t"  # sizes and titles
    rb"|\x1b\[\?[0-9;]*u"  # keyboard protocol
    rb"|\x1bZ"
    rb"|\x1b\](?:4;[0-9]+|1[0-9]|5[0-9]*;[a-z]*);\?(?:\x07|\x1b\\)"  # colours, clipboard
    rb"|\x1bP[$+]q[^\x1b\x07]{0,256}\x1b\\"  # settings, termcap
)


class Modes:
    """The private modes (alternate screen, mouse, bracketed paste...) that forgotten output had left set or reset."""

    def __init__(self) -> None:
        self._set: dict[bytes, bytes] = {}
        self._tail = b""

    def follow(self, forgotten: bytes) -> None:
        """Take note of output that is about to be forgotten."""
        text = self._tail + forgotten
        if _MODE_START in text:
            for match in _MODE.finditer(text):
                for mode in match[1].split(b";"):
                    # Modes that a hostile program makes up must not grow the table.
                    if mode in self._set or len(self._set) < _MAX_MODES:
                        self._set[mode] = match[2]
        self._tail = text[-_OVERLAP_BYTES:]

    def sequences(self) -> bytes:
        """Return the sequences that set them again."""
        return b"".join(b"\x1b[?%b%b" % (mode, action) for mode, action in self._set.items() if mode)


def without_questions(text: bytes) -> bytes:
    """Return output without what a terminal would answer."""
    return _QUESTION.sub(b"", text)
