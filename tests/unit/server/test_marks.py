"""Marks in output: found however it is cut, and nothing else is taken for one."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from educloud_lab.server.marks import Marks

NONCE = "0123456789abcdef"
MARK = f"\0{NONCE} ended 3\0".encode()
# Whole marks of others, beginnings of ours, and zeros by the dozen.
PARTS = st.lists(
    st.sampled_from([b"\0", b"\0\0", f"\0{NONCE}".encode(), f"\0{NONCE} ".encode(), f"\0{NONCE[:7]}".encode(), b"x"])
    | st.binary(max_size=40),
    max_size=8,
).map(b"".join)


def feed(data, cuts):
    """Return the output and the words that a stream comes to when it arrives in these pieces."""
    marks, output, found = Marks(NONCE), b"", []
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    for begin, end in pairwise(edges):
        piece, words = marks.feed(data[begin:end])
        if not found:
            output += piece
        found += words
    return output, found, marks.rest()


@given(before=PARTS, after=PARTS, cuts=st.lists(st.integers(0, 10_000), max_size=6))
def test_a_mark_is_found_however_it_is_cut(before, after, cuts):
    whole = before + b"\n" + MARK
    output, found, _ = feed(whole + after, cuts)
    assert found[:1] == ["ended 3"]
    assert output == before + b"\n"


@given(data=PARTS, cuts=st.lists(st.integers(0, 10_000), max_size=6))
def test_without_a_mark_all_is_output(data, cuts):
    output, found, rest = feed(data, cuts)
    assert (output + rest, found) == (data, [])


def test_no_more_is_held_back_than_a_mark_may_be_long():
    marks = Marks(NONCE)
    output, found = marks.feed(f"\0{NONCE} ".encode() + b"x" * 5000)
    assert (len(output), found) == (5000 + len(NONCE) + 2, [])
