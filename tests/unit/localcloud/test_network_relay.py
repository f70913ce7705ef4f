"""The relay that QEMU starts for each metadata request, as QEMU starts it: a bare interpreter, both ends a socket."""

import asyncio
import socket
import sys

from educloud_lab.localcloud.network import relay


async def start(path, ours: socket.socket, theirs: socket.socket) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-IS", relay.__file__, str(path), stdin=theirs.fileno(), stdout=theirs.fileno()
    )
    theirs.close()
    return process


async def test_both_directions_and_the_end_are_carried(tmp_path):
    answer = b"x" * 300_000  # more than one buffer

    async def serve(reader, writer):
        assert await reader.readline() == b"GET /\n"
        writer.write(answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_unix_server(serve, str(tmp_path / "md.sock"))
    ours, theirs = socket.socketpair()
    process = await start(tmp_path / "md.sock", ours, theirs)
    reader, writer = await asyncio.open_unix_connection(sock=ours)
    writer.write(b"GET /\n")
    assert await reader.read() == answer
    assert await process.wait() == 0
    writer.close()
    server.close()
    await server.wait_closed()


async def test_a_service_that_is_down_closes_the_connection_at_once(tmp_path):
    ours, theirs = socket.socketpair()
    process = await start(tmp_path / "nobody.sock", ours, theirs)
    reader, writer = await asyncio.open_unix_connection(sock=ours)
    assert await reader.read() == b""
    assert await process.wait() == 1
    writer.close()
