"""Unit tests open no socket (but to themselves, by unix socket) and never sleep."""

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
    def refuse(seconds: float) -> None:
        pytest.fail(f"a unit test slept for {seconds} s; use a fake clock")

    monkeypatch.setattr("time.sleep", refuse)
