"""What a hostile or broken client costs: bounded connections, channels and memory; and a process that may be killed."""

import asyncio
import contextlib
import json
import os
import signal
import sys
import time

import asyncssh
import pytest

from educloud_lab.gateway import GatewayConfig, GatewayLimits
from educloud_lab.gateway.routes import write_routes
from tests.patience import LIMIT_S, eventually

ALICE, BOB = "172.16.77.5", "172.16.77.6"


class TestSmallLimits:
    @pytest.fixture
    def limits(self):
        return GatewayLimits(
            handshakes=5, handshake_s=300, connections=3, connections_per_identity=2, channels=3, refusals=4
        )

    async def test_a_flood_of_half_open_handshakes_is_bounded_and_people_still_get_in(self, bench):
        floods = [await asyncio.open_connection("127.0.0.1", bench.gateway.port) for _ in range(40)]
        try:
            reads = [asyncio.ensure_future(reader.read()) for reader, _ in floods]
            # The oldest are closed, long before their deadline.
            await eventually(lambda: sum(not read.done() for read in reads) <= 5)
            assert bench.gateway.handshakes <= 5
            async with await bench.lease("lease-alice-g1") as conn:
                assert (await bench.ask(conn, ALICE))[0].startswith("machine")
                await eventually(lambda: bench.gateway.connections == 1)
                assert bench.gateway.handshakes <= 5
        finally:
            for _, writer in floods:
                writer.close()
            await asyncio.gather(*reads, return_exceptions=True)

    async def test_too_many_connections_of_one_and_of_all_are_turned_away_but_not_the_broker(self, bench):
        bench.allow("more", *(bench.line(ALICE, f"lease-{n}-g1") for n in range(3)))
        await bench.gateway.refresh()
        async with contextlib.AsyncExitStack() as stack:
            for principal in ("lease-0-g1", "lease-0-g1"):
                await stack.enter_async_context(await bench.lease(principal))
            third = await bench.lease("lease-0-g1")
            assert await bench.ended(third.wait_closed())
            await stack.enter_async_context(await bench.lease("lease-1-g1"))
            fourth = await bench.lease("lease-2-g1")
            assert await bench.ended(fourth.wait_closed())
            await eventually(lambda: bench.gateway.connections == 3)
            broker = await stack.enter_async_context(await bench.control())
            assert json.loads((await broker.run("ping")).stdout)["ok"]

    async def test_channels_of_one_connection_are_bounded_and_given_back(self, bench):
        async with await bench.lease("lease-alice-g1") as conn:
            opened = [await bench.ask(conn, ALICE) for _ in range(3)]
            with pytest.raises(asyncssh.ChannelOpenError) as refused:
                await conn.open_connection(ALICE, 22)
            assert refused.value.code == asyncssh.OPEN_RESOURCE_SHORTAGE
            opened[0][2].close()
            await opened[0][2].wait_closed()
            assert (await bench.ask(conn, ALICE))[0].startswith("machine")

    async def test_a_client_that_keeps_asking_for_what_it_may_not_have_is_cut(self, bench):
        conn = await bench.lease("lease-alice-g1")
        for _ in range(4):
            with pytest.raises((asyncssh.ChannelOpenError, asyncssh.ConnectionLost, asyncssh.DisconnectError)):
                await conn.open_connection(BOB, 22)
        assert await bench.ended(conn.wait_closed())


class TestSmallDeadline:
    @pytest.fixture
    def limits(self):
        return GatewayLimits(handshake_s=0.5)

    async def test_who_never_logs_in_is_closed_by_the_deadline(self, bench):
        idle = [await asyncio.open_connection("127.0.0.1", bench.gateway.port) for _ in range(3)]
        try:
            assert await bench.ended(asyncio.gather(*(reader.read() for reader, _ in idle)))
            await eventually(lambda: bench.gateway.handshakes == 0)
        finally:
            for _, writer in idle:
                writer.close()


async def pour(bench, sent):
    """Have the machine send without end; `sent` counts what left it."""

    async def endless(reader, writer):
        with contextlib.suppress(ConnectionError):
            while True:
                writer.write(bytes(65536))
                await writer.drain()
                sent[0] += 65536
        writer.transport.abort()

    server = await asyncio.start_server(endless, "127.0.0.1", 0)
    write_routes(bench.config.routes, {f"{ALICE}:22": f"127.0.0.1:{server.sockets[0].getsockname()[1]}"})
    await bench.gateway.refresh()
    return server


async def stands_still(count, within_s=LIMIT_S):
    """Wait until the count, once it has moved, no longer moves; return it."""
    await eventually(lambda: count[0] > 0)
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        before = count[0]
        await asyncio.sleep(0.4)
        if count[0] == before:
            break
    else:
        pytest.fail(f"still flowing at {count[0]} bytes: nothing holds it back")
    return count[0]


async def test_a_client_that_reads_nothing_stops_its_machine(bench):
    sent = [0]
    async with await pour(bench, sent), await bench.lease("lease-alice-g1") as conn:
        reader, writer = await conn.open_connection(ALICE, 22)
        held = await stands_still(sent)
        assert 0 < held < 32 * 1024 * 1024
        await reader.readexactly(held + 1)  # and it flows again once the client reads
        writer.close()


async def test_a_client_with_a_boundless_window_that_leaves_tcp_unread_stops_its_machine_too(bench):
    sent = [0]
    async with await pour(bench, sent):
        conn = await bench.lease("lease-alice-g1")
        await conn.open_connection(ALICE, 22, window=2**31 - 1)
        conn._transport.pause_reading()  # a client that stops taking bytes from its socket
        held = await stands_still(sent)
        assert held < 64 * 1024 * 1024
        conn._transport.resume_reading()
        await eventually(lambda: sent[0] > held)
        conn.abort()
        await conn.wait_closed()


async def test_a_client_that_never_completes_a_key_exchange_stops_its_machine_too(bench):
    sent = [0]
    async with await pour(bench, sent):
        conn = await bench.lease("lease-alice-g1")
        await conn.open_connection(ALICE, 22, window=2**31 - 1)
        conn._send_kexinit()
        conn.send_packet = lambda *_, **__: None  # from now on it reads everything and answers nothing
        await stands_still(sent)
        conn.abort()
        await conn.wait_closed()
        await asyncio.sleep(0.1)


async def test_a_machine_that_reads_nothing_stops_its_client(bench):
    async def deaf(reader, writer):
        reader._transport.pause_reading()
        await enough.wait()
        writer.transport.abort()

    enough = asyncio.Event()
    async with await asyncio.start_server(deaf, "127.0.0.1", 0) as server:
        write_routes(bench.config.routes, {f"{ALICE}:22": f"127.0.0.1:{server.sockets[0].getsockname()[1]}"})
        await bench.gateway.refresh()
        async with await bench.lease("lease-alice-g1") as conn:
            _, writer = await conn.open_connection(ALICE, 22)
            taken = [0]

            async def push():
                while True:
                    writer.write(bytes(65536))
                    await writer.drain()
                    taken[0] += 65536

            pusher = asyncio.create_task(push())
            assert 0 < await stands_still(taken) < 32 * 1024 * 1024
            pusher.cancel()
            enough.set()
            await asyncio.sleep(0.1)


PROGRAM = "from educloud_lab.app.gateway_app import main; main()"


async def serve(folder):
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, "--config", str(folder / "gateway.json"), stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(60):
        while b"listens on" not in (line := await process.stderr.readline()):
            assert line, "it ended instead of listening"
    return process


async def test_terminated_it_ends_in_order_and_killed_it_leaves_nothing_broken(tmp_path):
    GatewayConfig(listen_port=0).write(tmp_path / "gateway.json")
    state_file = tmp_path / "gateway.state.json"

    first = await serve(tmp_path)
    state = json.loads(state_file.read_text())
    assert state["pid"] == first.pid
    first.send_signal(signal.SIGKILL)
    await first.communicate()
    assert state_file.exists(), "what a killed one left shows by its process number and start"

    second = await serve(tmp_path)
    again = json.loads(state_file.read_text())
    assert again["pid"] == second.pid
    assert again["host_key"] == state["host_key"]
    assert (again["pid"], again["start_ticks"]) != (state["pid"], state["start_ticks"])
    os.kill(second.pid, signal.SIGTERM)
    _, rest = await asyncio.wait_for(second.communicate(), LIMIT_S)
    assert second.returncode == 0, rest
    assert b"gateway stopped" in rest
    assert not state_file.exists()


async def test_the_log_says_who_and_where_but_no_key_and_no_data(bench, caplog):
    with caplog.at_level("INFO", logger="educloud.gateway"):
        async with await bench.lease("lease-alice-g1") as conn:
            _, reader, writer = await bench.ask(conn, ALICE)
            writer.write(b"a-secret-word\n")
            writer.write_eof()
            await reader.read()
            with pytest.raises(asyncssh.ChannelOpenError):
                await conn.open_connection("evil\nname", 22)
        await eventually(lambda: "logout" in caplog.text)
    text = caplog.text
    assert "lease-alice-g1" in text
    assert f"-> {ALICE}:22" in text
    assert "14 bytes in" in text
    assert "logout" in text
    assert "a-secret-word" not in text
    assert "AAAA" not in text
    assert "evil\nname" not in text
