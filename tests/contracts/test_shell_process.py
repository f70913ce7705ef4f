"""A program on a machine: the same contract in memory and over a real sshd."""

from __future__ import annotations

import asyncio
import shlex
import sys
from types import SimpleNamespace

import pytest

from educloud_lab.adapters.memory.shell import MemoryConnection
from educloud_lab.adapters.ssh import AsyncsshShell
from educloud_lab.domain.errors import MachineUnreachableError
from tests.patience import LIMIT_S, eventually
from tests.sshd import start_sshd


@pytest.fixture(scope="module")
def sshd(tmp_path_factory):
    made = start_sshd(tmp_path_factory.mktemp("sshd"))
    yield made
    made.stop()


@pytest.fixture(params=["memory", "ssh"])
async def connection(request):
    if request.param == "memory":
        machine = SimpleNamespace(up=True, served_key="ssh-ed25519 AAAA")
        made = MemoryConnection(SimpleNamespace(frontend=None), machine, None)
    else:
        made = await AsyncsshShell().connect(request.getfixturevalue("sshd").grant())
    yield made
    await made.close()


async def read_all(process):
    seen = {"stdout": b"", "stderr": b""}
    async with asyncio.timeout(LIMIT_S):
        while (piece := await process.read())[1]:
            assert len(piece[1]) <= 128 * 1024
            seen[piece[0]] += piece[1]
    return seen


async def test_output_and_status(connection):
    process = await connection.open_process(["echo", "two  words", "$(id)", "it's"])
    assert process.exit_signal == ""
    assert (await read_all(process))["stdout"] == b"two  words $(id) it's\n"
    assert await process.read() == ("stdout", b"")
    assert process.exit_status == 0
    await process.write(b"dropped")
    process.write_eof()
    await process.close()
    await process.close()


async def test_another_status_and_a_program_that_is_not_there(connection):
    for command, status in ((["false"], 1), (["there-is-no-such-program"], 127)):
        process = await connection.open_process(command)
        await read_all(process)
        assert process.exit_status == status
        await process.close()


async def test_input_arrives_whole_and_ends(connection):
    process = await connection.open_process(["cat"])
    sent = bytes(range(256)) * 8192

    async def send():
        for at in range(0, len(sent), 100_000):
            await process.write(sent[at : at + 100_000])
        process.write_eof()
        process.write_eof()

    sending = asyncio.create_task(send())
    assert (await read_all(process))["stdout"] == sent
    await sending
    assert process.exit_status == 0
    await process.close()


async def test_writing_waits_while_nothing_is_taken_and_is_let_go_by_the_end(connection):
    process = await connection.open_process(["cat"])  # its output is not read, so it stops reading
    written = 0

    async def send():
        nonlocal written
        while True:
            await process.write(bytes(65536))
            written += 65536

    sending = asyncio.create_task(send())
    before = -1
    while written == 0 or written != before:  # until it stands still
        before = written
        await asyncio.sleep(0.3)
        assert written < 4 * 1024 * 1024
    assert not sending.done()
    sending.cancel()
    await process.close()


async def test_a_flood_that_nobody_reads_holds_nobody_up(connection):
    flood = await connection.open_process(["yes"])
    stream, data = await flood.read()
    assert (stream, data[:4]) == ("stdout", b"y\ny\n")
    other = await connection.open_process(["echo", "other"])
    assert (await read_all(other))["stdout"] == b"other\n"
    await other.close()
    await flood.close()
    assert await flood.read() == ("stdout", b"")


async def test_a_lost_connection_leaves_no_status(connection):
    process = await connection.open_process(["sleep", "600"])
    reading = asyncio.create_task(process.read())
    await connection.close()
    async with asyncio.timeout(LIMIT_S):
        assert await reading == ("stdout", b"")
    assert process.exit_status is None
    await process.close()
    with pytest.raises(MachineUnreachableError):
        await connection.open_process(["echo"])


async def test_a_signal_is_told(sshd):
    connection = await AsyncsshShell().connect(sshd.grant())
    process = await connection.open_process(["sh", "-c", "kill -9 $$"])
    await read_all(process)
    await eventually(lambda: process.exit_status == 137)
    assert process.exit_signal == "KILL"
    await process.close()
    await connection.close()


POUR = """
import os, sys
for written in range(65536, 65536 * 2048 + 1, 65536):
    os.write(1, bytes(65536))
    with open(sys.argv[1], "w") as note:
        note.write(str(written))
"""


async def _still(note):
    """Return what the program has written, once it stands still: nobody takes any more of it."""
    before = -1
    while (now := int(note.read_text() or "0") if note.exists() else 0) != before or not now:
        before = now
        await asyncio.sleep(0.1)
    return now


@pytest.mark.parametrize("kind", ["process", "terminal"])
async def test_a_slow_reader_holds_a_pouring_program_back_all_the_way(sshd, tmp_path, kind):
    # Paused for good is another matter than taking a little at a time: asyncssh gives its whole window back with the
    # first packet that it delivers, also when others still wait.
    connection = await AsyncsshShell().connect(sshd.grant())
    note = tmp_path / "written"
    words = [sys.executable, "-c", POUR, str(note)]
    if kind == "process":
        reader = await connection.open_process(words)
    else:
        reader = await connection.open_pty(term="dumb", columns=80, rows=24)
        reader.write(f"exec {shlex.join(words)}\n".encode())
    taken = 0
    async with asyncio.timeout(LIMIT_S):
        for _ in range(16):
            piece = await reader.read()
            taken += len(piece[1] if kind == "process" else piece)
            assert await _still(note) - taken < 3 * 1024 * 1024 // 2
    await reader.close()
    await connection.close()
