"""Scripts on a machine: the real client, a real Jupyter server, a real sshd."""

from __future__ import annotations

import asyncio

import pytest

from educloud_lab.client.running import abegin, begin
from educloud_lab.wire.run import RunRequest
from tests.server.at_work import *  # noqa: F403 - fixtures
from tests.server.at_work import LEASE


async def run(server, script, **options):
    """Return (ended, stdout, stderr)."""
    running = await abegin(server, LEASE, RunRequest(script=script, **options))
    texts = {"stdout": "", "stderr": ""}
    async for stream, text in running:
        texts[stream] += text
    return running.ended, texts["stdout"], texts["stderr"]


async def test_output_status_and_lines_of_errors(server):
    ended, stdout, stderr = await run(server, "echo out; echo err >&2\nnosuch\nexit 3")
    assert (ended.exit_status, ended.why) == (3, "")
    assert stdout == "out\n"
    assert stderr == "err\nbash: line 2: nosuch: command not found\n"
