"""A copy that is interrupted, seen from a program without an event loop."""

import asyncio

import pytest

from educloud_lab.client import copying


def test_what_is_interrupted_has_cleared_up_when_the_interrupt_goes_on():
    """`educloud get` ends its process then, and with it whatever still had to take half a file away."""
    cleared = []

    async def work(told):
        told(0, 2)
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.to_thread(cleared.append, True)

    def progress(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copying._do(work, progress)
    assert cleared == [True]
