"""The terminal's log, its scrollback and a page's credits, without sockets."""

from __future__ import annotations

import asyncio
import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from educloud_lab.server.terminals.output import OutputLog, whole_characters
from educloud_lab.server.terminals.reader import FRAME_BYTES, HIGH_BYTES, LOW_BYTES, Reader
from educloud_lab.server.terminals.scrollback import without_questions


def read_all(log, position=0):
    text = b""
    while piece := log.read(position + len(text), 64):
        text += piece
    return text


@given(st.text(max_size=60), st.lists(st.integers(1, 5), max_size=40))
def test_text_arrives_whole_however_it_is_cut(text, cuts):
    data, log, read = text.encode("utf-8", "replace"), OutputLog(10_000), []
    position = 0
    for cut in [*cuts, len(data)]:
        log.append(data[:cut])
        data = data[cut:]
        piece = log.read(position, FRAME_BYTES)
        position += len(piece)
        read.append(piece.decode("utf-8"))  # strict: no page ever gets half a character
    assert "".join(read) == text.encode("utf-8", "replace").decode()


@given(st.binary(max_size=12))
def test_at_most_a_beginning_of_three_bytes_waits(data):
    assert len(data) - 3 <= whole_characters(data) <= len(data)


@given(st.lists(st.binary(min_size=1, max_size=9000), max_size=30), st.integers(1, 20_000))
def test_the_log_is_bounded_and_positions_stay_true(pieces, limit):
    log, everything = OutputLog(limit), b""
    for piece in pieces:
        piece = bytes(byte & 0x7F for byte in piece)
        everything += piece
        log.append(piece)
        assert log.end == len(everything)
        assert log.end - log.start <= max(limit, len(piece) + 8192)
        assert read_all(log, log.start) == everything[log.start :]


def test_single_keys_do_not_cost_a_hundred_times_their_size():
    log = OutputLog(1024 * 1024)
    for _ in range(200_000):
        log.append(b"k")
    assert sum(sys.getsizeof(piece) for piece in log._pieces) < 220_000


def test_scrollback_of_a_cut_log_begins_at_a_line_with_the_modes_that_were_set():
    log = OutputLog(20_000)
    log.append(b"\x1b[?1049h\x1b[?10")
    log.append(b"00;1006h\x1b[?25l\x1b[?25h" + b"x" * 30)  # a sequence in two pieces
    for number in range(3000):
        log.append(b"line %d\r\n" % number + b"." * 20)
    text = log.scrollback()
    assert text.startswith(b"\x1bc\x1b[?1049h\x1b[?1000h\x1b[?1006h\x1b[?25h....")
    assert text.count(b"line 2999") == 1


def test_modes_that_a_program_makes_up_do_not_grow_without_bound():
    log = OutputLog(1000)
    for number in range(20_000):
        log.append(b"\x1b[?%dh" % number + b"x" * 5000)
    assert len(log.scrollback()) < 20_000


@pytest.mark.parametrize(
    "question",
    [
        b"\x1b[6n",
        b"\x1b[?6n",
        b"\x1b[5n",
        b"\x1b[c",
        b"\x1b[>0c",
        b"\x1b[=c",
        b"\x1b[>q",
        b"\x1b[?2026$p",
        b"\x1b[18t",
        b"\x1b[21t",
        b"\x1b]10;?\x07",
        b"\x1b]4;1;?\x1b\\",
        b"\x1b]52;c;?\x07",
        b"\x1bP+q544e\x1b\\",
        b"\x1bP$qm\x1b\\",
        b"\x1b[?u",
    ],
)
def test_questions_are_not_asked_again(question):
    assert without_questions(b"before" + question + b"after") == b"beforeafter"


@pytest.mark.parametrize(
    "kept", [b"\x1b[31m", b"\x1b[2J", b"\x1b[22;0;0t", b"\x1b]0;title\x07", b"\x1b[?25h", b"\x1b[3 q"]
)
def test_the_rest_is_left_alone(kept):
    assert without_questions(kept) == kept


class Sent(list):
    """Takes frames; `gate` holds them back as a full socket does."""

    def __init__(self):
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, text):
        await self.gate.wait()
        self.append(json.loads(text))

    def output_bytes(self):
        return sum(message[2] for message in self if message[0] == "stdout")


async def settle():
    for _ in range(50):
        await asyncio.sleep(0)


@pytest.fixture
async def page():
    log, sent = OutputLog(4 * 1024 * 1024), Sent()
    reader = Reader(log, sent, lambda: None)
    task = asyncio.create_task(reader.run())
    await settle()
    yield log, sent, reader
    task.cancel()


async def test_credits_stop_at_the_high_mark_and_go_on_at_the_low(page):
    log, sent, reader = page
    reader.flow()
    for _ in range(32):
        log.append(b"x" * 65536)
        reader.wake()
        await settle()
    assert sent[0] == ["flow", 1]
    stopped = sent.output_bytes()
    assert HIGH_BYTES <= stopped < HIGH_BYTES + FRAME_BYTES
    reader.acknowledge(stopped - LOW_BYTES - 1)
    await settle()
    assert sent.output_bytes() == stopped
    reader.acknowledge(1)
    await settle()
    assert stopped + HIGH_BYTES - LOW_BYTES <= sent.output_bytes() < stopped + HIGH_BYTES - LOW_BYTES + FRAME_BYTES
    reader.acknowledge(10**12)  # nonsense has no effect beyond all that was sent
    await settle()
    assert reader.unacknowledged_bytes <= HIGH_BYTES + FRAME_BYTES


async def test_a_page_without_credits_gets_one_frame_at_a_time(page):
    log, sent, reader = page
    sent.gate.clear()
    for _ in range(16):
        log.append(b"x" * 65536)
        reader.wake()
        await settle()
    assert reader.behind_bytes >= 16 * 65536 - FRAME_BYTES
    sent.gate.set()
    await settle()
    assert sent.output_bytes() == 16 * 65536
    assert all(message[2] <= FRAME_BYTES for message in sent)


async def test_an_interrupt_skips_much_and_never_little(page):
    log, sent, reader = page
    sent.gate.clear()
    log.append(b"a")
    reader.wake()
    await settle()
    log.append(b"b" * 60_000)
    reader.interrupt()
    assert reader.behind_bytes == 60_000
    log.append(b"c" * 60_000)
    reader.interrupt()
    log.append(b"prompt")
    sent.gate.set()
    await settle()
    text = "".join(message[1] for message in sent)
    assert text == "a\x18\x1b[0m\r\n\x1b[2m[117 KiB of output not shown]\x1b[0m\r\nprompt"


async def test_a_page_that_the_log_has_left_behind_is_told(page):
    log, sent, reader = page
    sent.gate.clear()
    for number in range(100):
        log.append(b"%2d" % number * 40_000)
        reader.wake()
        await settle()
    sent.gate.set()
    await settle()
    text = "".join(message[1] for message in sent)
    assert "KiB of output not shown" in text
    assert text.endswith("99" * 10)
    assert reader.behind_bytes == 0


async def test_finishing_sends_the_rest_first():
    log, sent = OutputLog(1000), Sent()
    reader = Reader(log, sent, lambda: None)
    log.append(b"last words")
    reader.finish()
    await asyncio.wait_for(reader.run(), 60)
    assert sent == [["stdout", "last words", 10]]


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=200))
async def test_any_text_arrives_as_it_is(text):
    log, sent = OutputLog(10_000), Sent()
    reader = Reader(log, sent, lambda: None)
    log.append(text.encode())
    reader.finish()
    await asyncio.wait_for(reader.run(), 60)
    assert sent == [["stdout", text, len(text.encode())]]
