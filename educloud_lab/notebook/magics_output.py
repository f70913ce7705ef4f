"""What a command says, kept within bounds: the head as it comes, then the tail, and what lies between only counted."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TextIO

from educloud_lab.notebook import magics_words as words

HEAD_BYTES = 100_000
"""Shown of one machine as it comes. A page draws so much without a pause, and a notebook file bears it."""
TAIL_BYTES = 16_000
KEPT_BYTES = 1_000_000
KEPT_ALL_BYTES = 64_000_000

STDOUT, STDERR = "stdout", "stderr"
Piece = tuple[str, str]


@dataclass
class Gathered:
    """One command's output: pieces come from a reader's thread, are drawn by the cell's.

    Lengths are of characters: what matters is what the page gets.

    Parameters
    ----------
    kept_limit : how much of each stream the result holds.
    file : where all of it is written as well.
    """

    kept_limit: int = KEPT_BYTES
    head_limit: int = HEAD_BYTES
    tail_limit: int = TAIL_BYTES
    file: TextIO | None = None
    total: int = 0
    _head_taken: int = 0
    _fresh: list[Piece] = field(default_factory=list)
    _tail: deque[Piece] = field(default_factory=deque)
    _tail_length: int = 0
    _kept: dict[str, list[str]] = field(default_factory=lambda: {STDOUT: [], STDERR: []})
    _kept_length: dict[str, int] = field(default_factory=lambda: {STDOUT: 0, STDERR: 0})
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, stream: str, text: str) -> None:
        """Add a piece of output."""
        with self._lock:
            self.total += len(text)
            if self.file is not None:
                self.file.write(text)
            self._keep(stream, text)
            room = self.head_limit - self._head_taken
            if room > 0:
                head, text = text[:room], text[room:]
                self._head_taken += len(head)
                self._fresh.append((stream, head))
            if text:
                self._to_tail(stream, text)

    def _keep(self, stream: str, text: str) -> None:
        room = self.kept_limit - self._kept_length[stream]
        if room > 0:
            self._kept[stream].append(text[:room])
            self._kept_length[stream] += min(room, len(text))

    def _to_tail(self, stream: str, text: str) -> None:
        text = text[-self.tail_limit :]
        self._tail.append((stream, text))
        self._tail_length += len(text)
        while self._tail_length - len(self._tail[0][1]) >= self.tail_limit:
            self._tail_length -= len(self._tail.popleft()[1])
        if len(self._tail) > self.tail_limit // 16:  # many pieces of a few characters: each costs more than it holds
            whole = joined(self._tail)
            self._tail.clear()
            self._tail.extend(whole)

    def fresh(self) -> list[Piece]:
        """Return what belongs to the head and was not asked for yet, in order."""
        with self._lock:
            taken, self._fresh = self._fresh, []
        return joined(taken)

    @property
    def has_fresh(self) -> bool:
        """Whether there is something of the head to draw."""
        return bool(self._fresh)

    @property
    def is_long(self) -> bool:
        """Whether there is more than the head."""
        return self.total > self.head_limit

    def tail(self) -> str:
        """Return what comes behind the head: how much is left out, and the last of it, as one text."""
        with self._lock:
            text = plain(joined(self._tail))
            between = self.total - self._head_taken - self._tail_length
        if between <= 0:
            return text
        begun, newline, rest = text.partition("\n")
        if rest:  # not the second half of a line
            between, text = between + len(begun) + len(newline), rest
        return words.left_out(between, self.file is not None) + "\n" + text

    def kept(self, stream: str) -> str:
        """Return a stream's text, as far as it was kept."""
        with self._lock:
            return "".join(self._kept[stream])

    @property
    def is_whole(self) -> bool:
        """Whether everything was kept."""
        return self.total == sum(self._kept_length.values())


def joined(pieces: Iterable[Piece]) -> list[Piece]:
    """Return pieces with neighbours of the same stream made one."""
    found: list[tuple[str, list[str]]] = []
    for stream, text in pieces:
        if found and found[-1][0] == stream:
            found[-1][1].append(text)
        else:
            found.append((stream, [text]))
    return [(stream, "".join(texts)) for stream, texts in found]


def settled(text: str) -> str:
    """Return a text as a terminal shows it after carriage returns, so that progress bars are one line."""
    if "\r" not in text:
        return text
    lines = []
    for line in text.replace("\r\n", "\n").split("\n"):
        parts = [part for part in line.split("\r") if part]
        lines.append(parts[-1] if parts else "")
    return "\n".join(lines)


def plain(pieces: list[Piece]) -> str:
    """Return pieces as one text in which lines of stderr are marked, for where Jupyter does not tell them apart."""
    text = ""
    for stream, piece in pieces:
        part = settled(piece)
        if stream == STDERR:
            if text and not text.endswith("\n"):
                text += "\n"
            ends = part.endswith("\n")
            part = "".join(f"{words.STDERR_MARK}{line}\n" for line in part.splitlines())
            text += part if ends else part.removesuffix("\n")
        else:
            if text and not text.endswith("\n") and text.rpartition("\n")[2].startswith(words.STDERR_MARK):
                text += "\n"
            text += part
    return text
