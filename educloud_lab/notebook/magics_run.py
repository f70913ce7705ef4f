"""A cell on one machine or several: a thread reads each one's output, the cell's own thread draws and is interrupted.

Nothing is drawn in the readers' threads, since Jupyter puts output where the thread that prints belongs. The kernel's
interrupt is a signal; while a command runs it only leaves a note, so that it never breaks a drawing in two.
"""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any, Protocol

from educloud_lab.domain.errors import EducloudError
from educloud_lab.notebook import magics_words as words
from educloud_lab.notebook.magics_output import STDERR, STDOUT, Gathered
from educloud_lab.notebook.magics_screen import BYTES_PER_S, Screen, say

LOOK_S = 0.2
"""An interrupt is seen within so long, seconds."""


class Running(Protocol):
    """What ``machine.begin`` returns (:mod:`educloud_lab.client.running`), as far as it is used here."""

    def __iter__(self) -> Iterator[tuple[str, str]]:
        """Yield (stream, text) as it comes."""

    def interrupt(self) -> None:
        """Stop it there: asked to, the second time told to, the third time killed. From any thread."""

    def close(self) -> None:
        """Let it go; what still runs is ended."""

    def wait(self) -> Any:
        """Return the result once it is over."""


@dataclass(frozen=True, slots=True)
class Result:
    """How a command on a machine ended.

    Parameters
    ----------
    machine : its label.
    exit_status : the command's own; None where it has none.
    stdout, stderr : what it said.
    was_timed_out : whether ``--timeout`` ended it.
    is_whole : whether that is all of it; a long output is cut (``--out`` keeps more).
    duration_s : how long it took, seconds.
    """

    machine: str
    exit_status: int | None
    stdout: str
    stderr: str
    is_whole: bool
    duration_s: float
    was_timed_out: bool = False

    def __repr__(self) -> str:
        return f"<{self.machine}: {words.ended(self.exit_status)}>"


class Reader:
    """Begins a command on one machine and reads it to its end, in a thread of its own.

    Parameters
    ----------
    label : the machine's, for people.
    begin : begins the command; called in the thread.
    output : what takes the pieces.
    notify : called after each piece and at the end, from the thread.
    """

    def __init__(
        self, label: str, begin: Callable[[], Running], output: Gathered, notify: Callable[[], None] = lambda: None
    ) -> None:
        self.label = label
        self.output = output
        self.error: BaseException | None = None
        self.result: Result | None = None
        self._begin = begin
        self._notify = notify
        self._running: Running | None = None
        self._interrupts = 0
        self._lock = threading.Lock()
        self._began_s = time.monotonic()
        self._thread = threading.Thread(target=self._work, name=f"educloud-vm-{label}", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    @property
    def is_over(self) -> bool:
        """Whether there is a result or an error."""
        return self.result is not None or self.error is not None

    @property
    def state(self) -> str:
        """Where it stands, in words."""
        if self.error is not None:
            return str(self.error) or type(self.error).__name__
        if self.result is not None:
            return f"{words.ended(self.result.exit_status)} after {words.duration(self.result.duration_s)}"
        return "running" if self._running is not None else "connecting"

    def interrupt(self) -> None:
        """Stop the command, now or as soon as it has begun."""
        with self._lock:
            self._interrupts += 1
            running = self._running
        if running is not None and not self.is_over:
            try:
                running.interrupt()
            except EducloudError as error:  # then its end is told by the reader, if there is one
                self.output.take(STDERR, f"{error}\n")

    def let_go(self) -> None:
        """Wait for it no longer."""
        if self._running is not None and self.result is None:
            with contextlib.suppress(EducloudError):
                self._running.close()

    def join(self) -> None:
        """Wait for its end."""
        self._thread.join()

    def _work(self) -> None:
        try:
            running = self._begin()
            with self._lock:
                self._running = running
                owed = self._interrupts
            self._notify()
            for _ in range(owed):
                running.interrupt()
            for stream, text in running:
                self.output.take(stream, text)
                self._notify()
            done = running.wait()
            self.result = Result(
                machine=self.label,
                exit_status=done.exit_status,
                stdout=self.output.kept(STDOUT),
                stderr=self.output.kept(STDERR),
                is_whole=self.output.is_whole,
                duration_s=time.monotonic() - self._began_s,
                was_timed_out=getattr(done, "why", "") == "limit",
            )
        except Exception as error:  # noqa: BLE001 - raised again in the cell's own thread, where a person sees it
            self.error = error
            self.let_go()
        finally:
            self._notify()


class Watch:
    """Draws what readers gather until all are over; the kernel's interrupt goes to all of them.

    Parameters
    ----------
    tell : says a line of our own.
    clock : seconds that only grow.
    """

    def __init__(self, tell: Callable[[str], None] = say, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._tell = tell
        self._clock = clock
        self._notes: SimpleQueue[bool] = SimpleQueue()
        self._marked = threading.Event()
        self.interrupts = 0

    def notify(self) -> None:
        """Say that a reader has something; from any thread. One note is enough until it was seen."""
        if not self._marked.is_set():
            self._marked.set()
            self._notes.put(False)

    def run(self, readers: list[Reader], screens: list[Screen]) -> bool:
        """Start readers and draw until all are over; return False when a person would not wait for that."""
        free_s = [self._clock()] * len(readers)
        states = [""] * len(readers)
        with self._interruptible(), self._letting_go(readers):
            for reader in readers:
                reader.start()
            while True:
                over = all(reader.is_over for reader in readers)
                now_s, next_s = self._clock(), None
                for number, (reader, screen) in enumerate(zip(readers, screens, strict=True)):
                    if over or not (screen.due(reader.output) or states[number] != reader.state):
                        continue
                    if now_s < free_s[number]:
                        next_s = free_s[number] if next_s is None else min(next_s, free_s[number])
                        continue
                    states[number] = reader.state
                    sent, pause_s = screen.draw(reader.output, states[number])
                    # All machines share what the page can take.
                    free_s[number] = now_s + max(pause_s, sent * len(readers) / BYTES_PER_S)
                if over:
                    break
                if not self._wait(None if next_s is None else max(0.0, next_s - now_s), readers):
                    return False
            for reader, screen in zip(readers, screens, strict=True):
                screen.draw(reader.output, reader.state, last=True)
        while not self._notes.empty():  # one that came with the end still stops "Run all"
            self.interrupts += self._notes.get()
        return True

    def _wait(self, timeout_s: float | None, readers: list[Reader]) -> bool:
        # Not for ever: a signal that comes between Python's last look for one and the start of this wait is only seen
        # after it.
        limit_s = LOOK_S if timeout_s is None else min(timeout_s, LOOK_S)
        try:
            is_interrupt = self._notes.get(timeout=limit_s)
        except Empty:
            return True
        if not is_interrupt:
            self._marked.clear()
            return True
        self.interrupts += 1
        if self.interrupts > len(words.INTERRUPTS):
            for reader in readers:
                reader.let_go()
            return False
        self._tell(words.INTERRUPTS[self.interrupts - 1])
        for reader in readers:
            reader.interrupt()
        return True

    @contextmanager
    def _letting_go(self, readers: list[Reader]) -> Iterator[None]:
        """End what runs when it cannot be drawn any longer: nobody would know of it."""
        try:
            yield
        except BaseException:
            for reader in readers:
                reader.let_go()
            raise

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():  # signals come to the main thread only
            yield
            return
        # A queue's put is safe in a signal handler where a lock would not be.
        before = signal.signal(signal.SIGINT, lambda *_: self._notes.put(True))
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)
