"""A shell with the magics, and machines that say what a test lets them say: no server, no socket, no kernel."""

from __future__ import annotations

import os
import signal
import threading
from dataclasses import dataclass, field
from types import SimpleNamespace

from educloud_lab.domain.errors import ConflictError
from tests.patience import LIMIT_S


@dataclass
class FakeRunning:
    """A command: pieces of output; a callable among them is called in the reader's thread."""

    pieces: list
    exit_status: int | None = 0
    interrupts: int = 0
    ends_on_interrupt: int | None = None
    why: str = ""
    closed: bool = False
    stopped: threading.Event = field(default_factory=threading.Event)

    def __iter__(self):
        for piece in self.pieces:
            if callable(piece):
                piece(self)
            elif isinstance(piece, Exception):
                raise piece
            else:
                yield piece
        if self.ends_on_interrupt is not None:
            assert self.stopped.wait(LIMIT_S)

    def interrupt(self):
        self.interrupts += 1
        if self.interrupts == self.ends_on_interrupt:
            self.exit_status = 130
            self.stopped.set()

    def wait(self):
        return SimpleNamespace(exit_status=self.exit_status, why=self.why)

    def close(self):
        self.closed = True
        self.stopped.set()


@dataclass
class FakeMachine:
    """One machine; ``running`` is what the next command is."""

    running: FakeRunning = field(default_factory=lambda: FakeRunning([]))
    state: str = "ready"
    headline: str = "Ready"
    begun: list = field(default_factory=list)
    copied: list = field(default_factory=list)
    report: object = None
    checked: list = field(default_factory=list)
    error: Exception | None = None

    def begin(self, command, **options):
        self.begun.append((command, options))
        if self.error is not None:
            raise self.error
        if self.state != "ready":
            raise ConflictError("The machine is not running.")
        return self.running

    def start(self):
        self.started = True

    def wait(self, phase, timeout_s, progress):
        for headline in ("Starting the machine", "Ready"):
            progress(SimpleNamespace(headline=headline))
        self.state = phase

    def upload(self, local, remote, progress=None):
        for done in (0, 50, 100):
            progress(done, 100)
        self.copied.append((local, remote))
        return SimpleNamespace(path=f"/home/student/{remote}", size_bytes=100)

    def download(self, remote, local, progress=None):
        progress(2048, 2048)
        self.copied.append((remote, local))
        return SimpleNamespace(path=local, size_bytes=2048)

    def check(self, *checks):
        self.checked.append(checks)
        if self.error is not None:
            raise self.error
        return self.report


@dataclass
class FakeClient:
    """What ``educloud_lab.connect()`` gives."""

    machines: dict
    asked: list = field(default_factory=list)
    closed: int = 0

    def machine(self, lab=None, machine_profile=None, slot="main"):
        self.asked.append((lab, slot))
        return self.machines[lab, slot]

    def close(self):
        self.closed += 1


def interrupt_here(_running):
    """Do what the kernel's interrupt does, from a reader's thread."""
    os.kill(os.getpid(), signal.SIGINT)
