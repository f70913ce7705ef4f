"""How an SSH channel is paused and let go on without its window losing its meaning."""

from __future__ import annotations

from typing import Protocol


class Pausable(Protocol):
    """What of a channel the valve uses."""

    def pause_reading(self) -> None:
        """Deliver nothing until `resume_reading`."""
        ...

    def resume_reading(self) -> None:
        """Deliver what waits, at once, and then what comes."""
        ...


class Valve:
    """Pauses a channel of asyncssh and lets it go on.

    asyncssh gives the whole window back with the first packet it delivers, also when others wait in the paused channel
    (2.24.1, `channel.py`, `_deliver_data`). A reader that pauses again while the rest is still being delivered would so
    grant, again and again, what it has no room for, and the channel's list would grow without a bound. So a pause that
    is asked for meanwhile begins when all that waited is through: at most one window more than the reader wanted.

    Parameters
    ----------
    channel : what is paused.
    """

    def __init__(self, channel: Pausable) -> None:
        self._channel = channel
        self._paused = False
        self._letting_through = False

    @property
    def paused(self) -> bool:
        """Whether the reader wants nothing at present."""
        return self._paused

    def pause(self) -> None:
        """Let nothing through until `resume`. Repeatable."""
        if not self._paused:
            self._paused = True
            if not self._letting_through:
                self._channel.pause_reading()

    def resume(self) -> None:
        """Let through what waits, and what comes. Repeatable."""
        if not self._paused:
            return
        self._paused = False
        if self._letting_through:
            return
        self._letting_through = True
        try:
            self._channel.resume_reading()
        finally:
            self._letting_through = False
        if self._paused:
            self._channel.pause_reading()
