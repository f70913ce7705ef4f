"""Files to and from a machine: the real client, a real Jupyter server, a real sshd."""

from __future__ import annotations

import asyncio
import os

import pytest

from educloud_lab.client.copying import adownload, aupload, download, upload
from educloud_lab.domain import errors
from tests.server.at_work import *  # noqa: F403 - fixtures
from tests.server.at_work import LEASE


def parts(folder):
    return [name for name in os.listdir(folder) if ".educloud-" in name]


@pytest.mark.parametrize("size_bytes", [0, 1, 131072, 5_000_001])
async def test_there_and_back(server, home, tmp_path, size_bytes):
    content = os.urandom(size_bytes)
    (tmp_path / "here it's.bin").write_bytes(content)
    (tmp_path / "here it's.bin").chmod(0o640)
    told = []
    copied = await aupload(
        server, LEASE, tmp_path / "here it's.bin", "there.bin", progress=lambda done, total: told.append((done, total))
    )
    assert (copied.path, copied.size_bytes) == (str(home / "there.bin"), size_bytes)
    assert (home / "there.bin").read_bytes() == content
    assert (home / "there.bin").stat().st_mode & 0o777 == 0o640
    assert told[-1] == (size_bytes, size_bytes)
    assert told == sorted(told)
    told.clear()
    back = await adownload(
        server, LEASE, "~/there.bin", tmp_path / "back", progress=lambda done, total: told.append((done, total))
    )
    assert (back.path, back.size_bytes, back.sha256) == (str(tmp_path / "back"), size_bytes, copied.sha256)
    assert (tmp_path / "back").read_bytes() == content
    assert (tmp_path / "back").stat().st_mode & 0o777 == 0o640
    assert told[-1] == (size_bytes, size_bytes)
    assert not parts(tmp_path)
    assert not parts(home)
