"""Shared by the tests of contracts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.ports import usual_port_taken


@pytest.fixture(scope="session", autouse=True)
def usual_port() -> Iterator[None]:
    """Keep the usual port taken: a cloud that is killed on it would lose it to that of a test beside it."""
    with usual_port_taken():
        yield
