"""Unit tests open no socket (but to themselves, by unix socket) and never sleep."""

import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
import pytest_socket


@pytest.fixture(autouse=True)
def no_socket() -> Iterator[None]:
    pytest_socket.disable_socket(allow_unix_socket=True)
    yield
    pytest_socket.enable_socket()


@pytest.fixture(autouse=True)
def no_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    sleep = time.sleep

    def refuse(seconds: float) -> None:
        if sys._getframe(1).f_globals is vars(subprocess):
            # How subprocess waits, with a time limit, for a child that closed its output and has not ended yet.
            sleep(seconds)
            return
        pytest.fail(f"a unit test slept for {seconds} s; use a fake clock")

    monkeypatch.setattr("time.sleep", refuse)
