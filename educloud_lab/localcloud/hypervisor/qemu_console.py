"""Keeping logs small that a guest can make grow: it may print for ever, or restart for ever (each is an event)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

LARGEST_BYTES = 4 * 1024 * 1024
KEPT_BYTES = 256 * 1024  # the cloud shows the last 64 KiB of a console


ANSWERS = b"-----END SSH HOST KEY FINGERPRINTS-----"
"""What images print (cloud-init's words) when sshd listens."""


def said_from_now(path: Path, words: bytes) -> Callable[[], bool]:
    """Give a look at whether a console's last 16 KiB say ``words`` that were not there before this call."""
    try:
        begin = path.stat().st_size
    except FileNotFoundError:
        begin = 0

    def said() -> bool:
        try:
            with path.open("rb") as stream:
                end = stream.seek(0, 2)
                stream.seek(max(min(begin, end), end - 16_384))
                return words in stream.read()
        except FileNotFoundError:
            return False

    return said


def trim_log(path: Path) -> None:
    """Cut a log that has grown over 4 MiB down to its last 256 KiB; a missing log is left missing.

    QEMU appends (O_APPEND), so it goes on at the new end. What the guest prints in the moment between reading
    and cutting is lost; that needs a guest that prints megabytes.
    """
    try:
        if path.stat().st_size <= LARGEST_BYTES:
            return
    except FileNotFoundError:
        return
    with path.open("r+b") as stream:
        stream.seek(-KEPT_BYTES, 2)
        tail = stream.read()
        stream.seek(0)
        stream.write(tail)
        stream.truncate()
