"""Time, as a contract: aware UTC, never the computer's own idea where rows are shared."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """Where the broker gets the time from and how it waits."""

    def now(self) -> datetime:
        """Return the time as aware UTC."""

    def monotonic_s(self) -> float:
        """Return seconds that never go back, for measuring how long a thing took."""

    async def sleep(self, delay_s: float) -> None:
        """Wait; tests jump."""
