"""What a terminal sends by itself is told from what somebody types."""

import asyncio

import pytest

from educloud_lab.domain.errors import StoreError
from educloud_lab.server.activity import ActivityReporter
from educloud_lab.server.terminals.answers import answers_only

ANSWERS = [
    "\x1b[12;40R", "\x1b[?12;40R", "\x1b[?1;2c", "\x1b[>0;276;0c", "\x1b[0n", "\x1b[?2004;1$y", "\x1b[8;24;80t",
    "\x1b[I", "\x1b[O", "\x1b]10;rgb:ffff/ffff/ffff\x07", "\x1b]11;rgb:0/0/0\x1b\\", "\x1bP1$r0m\x1b\\",
    "\x1bP>|xterm.js(5.5)\x1b\\",
]  # fmt: skip
TYPED = [
    "a", "\r", "\x1b", "\x1b[A", "\x1bOR", "\x1b[15~", "\x1b[1;5C", "\x1b[200~pasted\x1b[201~", "\x1b[<0;3;4M", "\x03",
    "\x1b[M !!", "é",
]  # fmt: skip


@pytest.mark.parametrize("text", ANSWERS)
def test_answers_are_no_input(text):
    assert answers_only(text)
    assert answers_only(text * 3)
    assert not answers_only(text + "x")
    assert not answers_only("x" + text)


@pytest.mark.parametrize("text", TYPED)
def test_keys_are_input(text):
    assert not answers_only(text)


async def test_a_burst_is_told_by_two_calls_and_an_error_stops_nothing():
    told, gate = [], asyncio.Event()

    async def tell(lease_id, kind):
        told.append((lease_id, kind))
        await gate.wait()
        if len(told) == 1:
            raise StoreError("The records could not be read.")

    reporter = ActivityReporter(tell)
    for _ in range(50):
        reporter.report("a", "terminal")
    reporter.report("b", "connected")
    await asyncio.sleep(0)
    for _ in range(50):
        reporter.report("a", "terminal")
    gate.set()
    for _ in range(10):
        await asyncio.sleep(0)
    assert sorted(told) == [("a", "terminal"), ("a", "terminal"), ("b", "connected")]
    await reporter.stop()


async def test_what_happens_just_when_a_call_has_ended_is_told_too():
    told = []

    async def tell(lease_id, kind):
        told.append(kind)
        if kind == "first":
            asyncio.get_running_loop().call_soon(reporter.report, lease_id, "second")

    reporter = ActivityReporter(tell)
    reporter.report("l", "first")
    for _ in range(10):
        await asyncio.sleep(0)
    assert told == ["first", "second"]
