"""The control monitor against a server that behaves, hangs, refuses and dies, on a unix socket."""

import asyncio
import json

import pytest

from educloud_lab.localcloud.hypervisor import qemu_monitor
from educloud_lab.localcloud.hypervisor.qemu_monitor import CommandRefusedError, Monitor, MonitorLostError, event_data

GREETING = {"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": ""}, "capabilities": []}}


class Server:
    """Speaks QMP to one client at a time."""

    def __init__(self, path) -> None:
        self.path = path
        self.clients = 0

    async def __aenter__(self):
        self.server = await asyncio.start_unix_server(self.serve, str(self.path))
        return self

    async def __aexit__(self, *_):
        self.server.close()

    async def serve(self, reader, writer):
        self.clients += 1
        writer.write(json.dumps(GREETING).encode() + b"\n")
        text = b""
        while data := await reader.read(1):  # the client ends its messages with nothing: read until one is whole
            text += data
            try:
                request = json.loads(text)
            except ValueError:
                continue
            text = b""
            command = request["execute"]
            if command == "hang":
                continue
            if command == "die":
                break
            answer = {"return": {"command": command}}
            if command == "refuse":
                answer = {"error": {"class": "GenericError", "desc": "no such thing"}}
            if command == "speak":
                writer.write(b'{"event": "DEVICE_DELETED", "data": {"device": "d"}, "timestamp": {"seconds": 1}}\n')
            if "id" in request:
                answer["id"] = request["id"]
            writer.write(json.dumps(answer).encode() + b"\n")
        writer.close()


@pytest.fixture
async def server(tmp_path):
    async with Server(tmp_path / "q.sock") as made:
        yield made


@pytest.fixture
async def monitor(server):
    made = Monitor(server.path, "i-1")
    yield made
    await made.close()


async def test_one_connection_serves_many_commands(server, monitor):
    assert await monitor.execute("query-status") == {"command": "query-status"}
    await asyncio.gather(*(monitor.execute(f"c{n}") for n in range(5)))
    assert server.clients == 1


async def test_a_refusal_keeps_the_connection(server, monitor):
    with pytest.raises(CommandRefusedError, match="QEMU refused refuse: no such thing") as caught:
        await monitor.execute("refuse")
    assert caught.value.reason == "no such thing"
    await monitor.execute("query-status")
    assert server.clients == 1


@pytest.mark.parametrize("command", ["hang", "die"])
async def test_no_answer_is_an_error_and_the_next_command_connects_again(server, monitor, command):
    with pytest.raises(MonitorLostError, match=f"did not answer {command}"):
        await monitor.execute(command, limit_s=0.1)
    assert await monitor.execute("query-status") == {"command": "query-status"}
    assert server.clients == 2


async def test_a_monitor_that_nobody_serves(tmp_path):
    with pytest.raises(MonitorLostError, match="i-1 cannot be reached"):
        await Monitor(tmp_path / "none.sock", "i-1").execute("query-status")


async def test_a_monitor_that_another_client_holds_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(qemu_monitor, "CONNECT_LIMIT_S", 0.1)

    async def silent(reader, writer):
        await reader.read()
        writer.close()

    async with await asyncio.start_unix_server(silent, str(tmp_path / "q.sock")):
        with pytest.raises(MonitorLostError, match="another program holds"):
            await Monitor(tmp_path / "q.sock", "i-1").execute("query-status")


async def test_events_are_heard_from_when_one_listens(monitor):
    async with monitor.listening("DEVICE_DELETED") as events:
        await monitor.execute("speak")
        async for event in events:
            assert event_data(event) == {"device": "d"}
            break


async def test_events_that_nobody_listens_to_are_not_kept(monitor):
    await monitor.execute("speak")
    assert monitor._client.events.history == ()


async def test_closing_is_repeatable(monitor):
    await monitor.execute("query-status")
    await monitor.close()
    await monitor.close()
