"""Waiting in tests: for the very state that is asserted, as long as any computer may take, and no longer than needed.

A test never sleeps for a while and then looks, and never asserts how long something took: other computers are quicker
and slower than this one.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from typing import TypeVar

# A hang, not a measure. scripts/prove-handling, which wants to see tests fail, waits less.
LIMIT_S = float(os.environ.get("EDUCLOUD_TEST_PATIENCE_S", "120"))

T = TypeVar("T")


async def eventually(look: Callable[[], T], what: str = "", *, limit_s: float = LIMIT_S) -> T:
    """Return the first true value of ``look``, asked in this loop's thread; fail when there is none in time."""
    end_s = time.monotonic() + limit_s
    while not (found := look()):
        assert time.monotonic() < end_s, f"waited {limit_s:.0f} s in vain: {what or look}"
        await asyncio.sleep(0.01)
    return found


def until(look: Callable[[], T], what: str = "", *, limit_s: float = LIMIT_S, period_s: float = 0.02) -> T:
    """Do the same where there is no loop."""
    end_s = time.monotonic() + limit_s
    while not (found := look()):
        assert time.monotonic() < end_s, f"waited {limit_s:.0f} s in vain: {what or look}"
        time.sleep(period_s)
    return found
