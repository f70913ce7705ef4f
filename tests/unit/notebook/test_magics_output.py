"""Long output, carriage returns, pacing: what a page and a notebook file can bear."""

import io
import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from educloud_lab.notebook import magics_screen, magics_words
from educloud_lab.notebook.magics_output import HEAD_BYTES, TAIL_BYTES, Gathered, joined, plain, settled
from educloud_lab.notebook.magics_run import Reader, Watch
from educloud_lab.notebook.magics_screen import LiveText, StreamScreen
from tests.unit.notebook.fake_machines import FakeRunning


def test_a_hundred_megabytes_show_their_head_and_their_tail_and_what_is_left_out(notebook):
    line = "x" * 999 + "\n"
    piece, last = line * 100, "the very last line\n"
    notebook.machine.running = FakeRunning([("stdout", piece)] * 1000 + [("stdout", last)])
    done = notebook.run("%%vm\nyes")
    assert done.error is None
    assert len(done.stdout) < HEAD_BYTES + TAIL_BYTES + 1000
    assert done.stdout.startswith(line)
    assert done.stdout.endswith(last)
    note = next(text for text in done.stdout.splitlines() if "left out" in text)
    assert "99.9 MB left out" in note
    assert "--save" in note
    result = notebook.shell.user_ns["_vm"]
    assert not result.is_whole
    assert len(result.stdout) == 1_000_000


def test_all_of_it_can_be_saved_and_kept(notebook):
    pieces = [("stdout", f"{number}\n") for number in range(40_000)]
    notebook.machine.running = FakeRunning([*pieces, ("stderr", "end\r\n")])
    done = notebook.run("%%vm --save all.txt --out whole\nseq 40000")
    expected = "".join(text for _, text in pieces)
    with Path("all.txt").open(newline="") as file:
        assert file.read() == expected + "end\r\n"
    assert "all.txt" in done.stdout.splitlines()[-1]
    whole = notebook.shell.user_ns["whole"]
    assert (whole.is_whole, whole.stdout, whole.stderr) == (True, expected, "end\r\n")


def test_a_file_that_cannot_be_written_is_told_before_anything_runs(notebook):
    done = notebook.run("%%vm --save nowhere/all.txt\nls")
    assert "Nothing was run" in str(done.error)
    assert notebook.machine.begun == []


def test_small_writes_are_gathered(monkeypatch, capsys):
    drawn = []
    screen = StreamScreen()
    monkeypatch.setattr(screen, "draw", lambda output, state, last=False: drawn.append(output.fresh()) or (0, 0.05))
    watch = Watch(clock=lambda: 0.0)  # no time passes, so only what is first and what is last may be drawn
    pieces = [("stdout", "."), *itertools.repeat(("stdout", "."), 5000)]
    reader = Reader("m", lambda: FakeRunning(pieces), Gathered(), watch.notify)
    assert watch.run([reader], [screen])
    assert len(drawn) <= 2
    assert "".join(text for part in drawn for _, text in part) == "." * 5001


def test_what_is_sent_to_the_page_is_limited_in_time(monkeypatch):
    """As much as the page takes in a second is followed by a second without a drawing."""
    now_s = 0.0
    drawn_s, output = [], Gathered()

    class Counting(StreamScreen):
        def draw(self, output, state, *, last=False):
            if not last:
                drawn_s.append(now_s)
            output.fresh()
            self._drawn = output.total
            return magics_screen.BYTES_PER_S, 0.05

    watch = Watch(clock=lambda: now_s)
    monkeypatch.setattr(watch, "_wait", lambda timeout_s, readers: step(timeout_s))
    reader = Reader("m", lambda: FakeRunning([]), output)
    monkeypatch.setattr(reader, "start", lambda: None)

    def step(timeout_s):
        nonlocal now_s
        output.take("stdout", "x")
        now_s += 0.1 if timeout_s is None else timeout_s
        if now_s > 5:
            reader.error = RuntimeError()
        return True

    watch.run([reader], [Counting()])
    assert len(drawn_s) >= 4
    assert all(after - before >= 1 for before, after in itertools.pairwise(drawn_s))


def test_the_tail_is_bounded_however_small_the_pieces():
    output = Gathered(head_limit=10, tail_limit=1000)
    for number in range(5000):
        output.take("stderr" if number % 2 else "stdout", "y")
    assert len(output._tail) <= 1001
    assert output._tail_length < 2000


@given(st.lists(st.tuples(st.sampled_from(["stdout", "stderr"]), st.text(max_size=40)), max_size=60))
def test_nothing_is_lost_or_told_twice(pieces):
    file = io.StringIO()
    output = Gathered(head_limit=50, tail_limit=60, kept_limit=10_000, file=file)
    shown = []
    for number, (stream, text) in enumerate(pieces):
        output.take(stream, text)
        if number % 7 == 0:
            shown += output.fresh()
    shown += output.fresh()
    everything = "".join(text for _, text in pieces)
    head = "".join(text for _, text in shown)
    assert head == everything[:50]
    assert file.getvalue() == everything
    assert output.kept("stdout") == "".join(text for stream, text in pieces if stream == "stdout")
    assert output.is_whole
    tail = "".join(text for _, text in output._tail)
    assert everything.endswith(tail)
    if len(everything) <= 110:
        assert everything == head + tail
        assert "left out" not in output.tail()
    else:
        assert len(tail) >= 60


def test_carriage_returns_are_settled_where_jupyter_does_not_do_it():
    assert settled("a\r\nb\r\n") == "a\nb\n"
    assert settled("10%\r50%\r100%\nnext\r") == "100%\nnext"
    assert settled("plain\n") == "plain\n"


def test_stderr_is_marked_where_jupyter_does_not_tell_it_apart():
    assert plain(joined([("stdout", "a"), ("stdout", "b\n"), ("stderr", "c\nd")])) == "ab\nstderr| c\nstderr| d"
    assert plain([("stderr", "c"), ("stdout", "d\n")]) == "stderr| c\nd\n"


def test_a_live_text_is_replaced_in_place(notebook, monkeypatch):
    monkeypatch.setattr(notebook.shell, "kernel", object(), raising=False)
    sent = []
    monkeypatch.setattr(notebook.shell.display_pub, "publish", lambda **message: sent.append(message))
    live = LiveText()
    assert live.draw("one") == 3
    assert live.draw("one") == 0
    live.draw("two")
    live.end()
    assert [(message["data"], message.get("update", False)) for message in sent] == [
        ({"text/plain": "one"}, False),
        ({"text/plain": "two"}, True),
    ]
    assert sent[0]["transient"] == sent[1]["transient"]


@pytest.mark.parametrize(
    ("size_bytes", "shown"),
    [(0, "0 bytes"), (999, "999 bytes"), (1000, "1.0 kB"), (99_884_000, "99.9 MB"), (3 * 10**12, "3000.0 GB")],
)
def test_sizes(size_bytes, shown):
    assert magics_words.size(size_bytes) == shown
