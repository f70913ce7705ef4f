"""Holds on disks: one at a time, and background work gives way."""

from __future__ import annotations

import asyncio

from educloud_lab.localcloud.work.holds import Holds


async def turns():
    for _ in range(5):
        await asyncio.sleep(0)


async def test_one_at_a_time_and_only_on_the_same_disk():
    holds, told = Holds(), []

    async def work(name, *ids):
        async with holds.hold(ids):
            told.append(f"{name} begins")
            await turns()
            told.append(f"{name} ends")

    await asyncio.gather(work("first", "a", "b"), work("second", "b"), work("other", "c"))
    assert told.index("first ends") < told.index("second begins")
    assert told.index("other begins") < told.index("first ends")


async def test_background_work_ends_when_its_disk_is_wanted_and_cleans_up_first():
    holds, told = Holds(), []

    async def background():
        async with holds.hold_in_background(["a", "b"]):
            try:
                await asyncio.Event().wait()
            finally:
                told.append("cleaned up")

    task = asyncio.create_task(background())
    await turns()
    async with holds.hold(["c"]):
        assert not task.done()
    async with holds.hold(["b"]):
        told.append("held")
    assert told == ["cleaned up", "held"]
    await asyncio.wait({task})
    assert task.cancelled()


async def test_two_who_want_a_disk_do_not_cut_short_how_it_is_put_in_order():
    """A tool that works on the file is ended and waited for: until then it holds the file's lock."""
    holds, told = Holds(), []

    async def background():
        async with holds.hold_in_background(["a", "b"]):
            try:
                await asyncio.Event().wait()
            finally:
                await turns()
                told.append("in order")

    async def wants(key):
        async with holds.hold([key]):
            told.append(key)

    task = asyncio.create_task(background())
    await turns()
    first = asyncio.create_task(wants("a"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)  # by now it is being put in order
    await asyncio.gather(first, wants("b"), wants("a"))
    assert told[0] == "in order"
    assert sorted(told[1:]) == ["a", "a", "b"]
    await asyncio.wait({task})


async def test_background_work_waits_for_everybody_else():
    holds = Holds()

    async def background():
        async with holds.hold_in_background(["a"]):
            return True

    async with holds.hold(["a"]):
        task = asyncio.create_task(background())
        await turns()
        assert not task.done()
    assert await task


async def test_nothing_is_held_after_an_error_or_by_one_who_gave_up_waiting():
    holds = Holds()

    async def waiting():
        async with holds.hold(["a"]):
            pass

    try:
        async with holds.hold(["a"]):
            task = asyncio.create_task(waiting())
            await turns()
            task.cancel()
            await asyncio.wait({task})
            raise OSError
    except OSError:
        pass
    await waiting()
