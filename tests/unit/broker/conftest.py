"""A world in memory for each test, and what must never happen checked at its end."""

import pytest

from educloud_lab.adapters.memory.world import MemoryWorld


@pytest.fixture
async def world():
    made = MemoryWorld()
    yield made
    await made.close()
    assert made.cloud.violations == []


@pytest.fixture
async def store_world():
    """The same with instance-store machines."""
    made = MemoryWorld("instance-store")
    yield made
    await made.close()
    assert made.cloud.violations == []
