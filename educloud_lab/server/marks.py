"""Finds, in a stream of output, the marks by which what runs around a person's script tells where it is."""

from __future__ import annotations

import re

_WORDS = re.compile(rb"[a-z]+( [a-z0-9]{1,16})?")
# The longest mark: NUL, nonce, words, NUL.
_MOST_BYTES = 128


class Marks:
    """One stream.

    Parameters
    ----------
    nonce : what only these marks begin with, after a NUL.
    """

    def __init__(self, nonce: str) -> None:
        self._begin = b"\0" + nonce.encode() + b" "
        self._held = b""

    def feed(self, data: bytes) -> tuple[bytes, list[str]]:
        """Return what of this is output, and the words of the first marks in it; output after one is dropped.

        The beginning of what may become a mark is held back until more has come.
        """
        if self._held:
            data, self._held = self._held + data, b""
        found: list[str] = []
        output, position = b"", 0
        while (at := data.find(self._begin, position)) >= 0:
            end = data.find(b"\0", at + len(self._begin))
            if end < 0 and len(data) - at < _MOST_BYTES:
                self._held = data[at:]
                return output if found else data[:at], found
            position = at + 1
            words = data[at + len(self._begin) : end] if end >= 0 else b""
            if _WORDS.fullmatch(words):  # else somebody prints what they have seen in the list of processes
                output = output if found else data[:at]
                found.append(words.decode())
                position = end + 1
        if found:
            return output, found
        at = data.rfind(b"\0", max(0, len(data) - len(self._begin) + 1))
        if at >= 0 and self._begin.startswith(data[at:]):
            self._held = data[at:]
            data = data[:at]
        return data, found

    def rest(self) -> bytes:
        """Return what was held back, when no more can come."""
        held, self._held = self._held, b""
        return held
