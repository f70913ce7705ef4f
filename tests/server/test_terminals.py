"""Terminals through a real Jupyter server and a real SSH server (asyncssh, port 0) with a scripted shell behind it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from datetime import UTC, datetime, timedelta

import asyncssh
import pytest
from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.websocket import websocket_connect
from traitlets.config import Config

from educloud_lab.adapters.ssh import AsyncsshAuthority, AsyncsshShell
from educloud_lab.domain import errors
from educloud_lab.ports.shell import Grant
from educloud_lab.server.connections import MachineConnections
from educloud_lab.server.terminals import TerminalService, terminal_routes
from educloud_lab.server.terminals.reader import SKIP_BYTES
from educloud_lab.wire import models as wire
from tests.patience import LIMIT_S

LEASE = "ab12"
KEYS = AsyncsshAuthority()
CA = KEYS.new_key_pair()


class Machine:
    """An SSH server whose shell echoes, floods, tells its size, loses its line, exits."""

    def __init__(self):
        self.host = KEYS.new_key_pair()
        self.flooded_bytes = 0
        self.shells = []
        self.connections = []
        self.logins = 0
        self.acceptor = None

    async def start(self):
        machine = self

        class Server(asyncssh.SSHServer):
            def connection_made(self, conn):
                machine.connections.append(conn)

            def begin_auth(self, username):
                machine.logins += 1
                return True

        self.acceptor = await asyncssh.listen(
            "127.0.0.1",
            0,
            server_factory=Server,
            server_host_keys=[asyncssh.import_private_key(self.host.private)],
            authorized_client_keys=asyncssh.import_authorized_keys(
                f'cert-authority,principals="lease-{LEASE}-g1" {CA.public}'
            ),
            process_factory=self.shell,
            line_editor=False,
            encoding=None,
        )
        return self

    @property
    def port(self):
        return self.acceptor.get_port()

    async def stop(self):
        self.acceptor.close()
        for connection in self.connections:
            connection.abort()
        await self.acceptor.wait_closed()

    async def shell(self, process):
        self.shells.append(process)
        with contextlib.suppress(asyncssh.BreakReceived, asyncssh.Error, OSError):
            process.stdout.write(b"$ ")
            line = b""
            while True:
                try:
                    data = await process.stdin.read(4096)
                except asyncssh.TerminalSizeChanged:
                    continue
                if not data:
                    break
                process.stdout.write(data)
                line += data
                if line.endswith(b"\r"):
                    if await self.command(process, line[:-1].decode()):
                        break
                    line = b""
                    process.stdout.write(b"\r\n$ ")
        self.shells.remove(process)

    async def command(self, process, command):
        out = process.stdout
        if command == "size":
            columns, rows = process.term_size[:2]
            out.write(f"\r\n{columns}x{rows} {process.term_type} {process.env.get('LANG')}".encode())
        elif command == "flood":
            flood = asyncio.create_task(self.flood(out))
            while (data := await process.stdin.read(4096)) and b"\x03" not in data:
                pass
            flood.cancel()
            out.write(b"^C stopped")
        elif command.startswith("lines"):
            count = int(command.split()[1])
            for first in range(0, count, 200):
                numbers = range(first, min(first + 200, count))
                out.write(b"".join(b"line %d of many, to fill the log\r\n" % number for number in numbers))
                await out.drain()
        elif command == "ask":
            out.write("\r\nquestion \x1b[6n\x1b[c answered é€😀".encode())
        elif command == "half":
            for byte in "é€😀".encode():
                out.write(bytes([byte]))
                await asyncio.sleep(0.005)
        elif command.startswith("exit"):
            process.exit(int(command.split()[1]))
            return True
        elif command == "lose":
            process.channel.get_connection().abort()
            return True
        elif command == "killed":
            process.exit_with_signal("HUP")
            return True
        return False

    async def flood(self, out):
        block = b"0123456789abcdef" * 512
        while True:
            out.write(block)
            self.flooded_bytes += len(block)
            await out.drain()


class Broker:
    """Gives grants for one lease of one person."""

    def __init__(self, machine):
        self.machine = machine
        self.failure = None
        self.generation = 1
        self.asked = 0
        self.lease = None

    async def snapshot(self, person):
        if self.lease is None:
            raise errors.StoreError("The records cannot be read.")
        now = datetime.now(UTC)
        cloud = wire.Cloud(kind="local", name="t", reachable=True)
        return wire.Snapshot(
            version=1, server_time=now, person=person, course="local", cloud=cloud, profiles=[], leases=[self.lease]
        )

    async def grant(self, person, lease_id):
        self.asked += 1
        if (person, lease_id) != ("ada", LEASE):
            raise errors.NotFoundError("There is no such machine.")
        if self.failure is not None:
            raise self.failure
        key = KEYS.new_key_pair()
        now = datetime.now(UTC)
        principal = f"lease-{LEASE}-g{self.generation}"
        return Grant(
            lease_id=LEASE,
            generation=self.generation,
            user="student",
            principal=principal,
            address="127.0.0.1",
            port=self.machine.port,
            host_keys=(self.machine.host.public,),
            gateway=None,
            private_key=key.private,
            certificate=KEYS.sign_user(
                ca_private=CA.private,
                public=key.public,
                principals=[principal],
                key_id="t",
                valid_from=now - timedelta(minutes=1),
                valid_until=now + timedelta(minutes=10),
            ),
            expires_at=now + timedelta(minutes=10),
        )


@pytest.fixture
def jp_server_config(base_url):
    return Config(
        {
            "ServerApp": {
                "jpserver_extensions": {"jupyter_server_terminals": False},
                "allow_unauthenticated_access": False,
                "base_url": base_url,
            }
        }
    )


@pytest.fixture
async def machine(jp_serverapp):
    made = await Machine().start()
    yield made
    await made.stop()


@pytest.fixture
async def broker(machine):
    return Broker(machine)


@pytest.fixture
async def service(broker, jp_serverapp, base_url):
    made = TerminalService(MachineConnections(broker, AsyncsshShell()), person="ada", retry_s=0.05)
    await made.start()
    jp_serverapp.web_app.add_handlers(
        ".*$", [(re.escape(base_url) + pattern, handler, kwargs) for pattern, handler, kwargs in terminal_routes(made)]
    )
    yield made
    await made.stop()
    assert not [task for task in asyncio.all_tasks() if "Terminal" in repr(task.get_coro())]


class Caller:
    def __init__(self, http, base_url, token):
        self.http, self.base_url, self.token = http, base_url, token

    async def __call__(self, method, path, body=None, headers=None, *, signed_in=True):
        sent = {"Authorization": f"token {self.token}"} if signed_in else {}
        if body is not None:
            sent["Content-Type"] = "application/json"
        reply = await self.http.fetch(
            f"{self.base_url}educloud/vm/{path}",
            method=method,
            headers=sent | (headers or {}),
            body=json.dumps(body) if body is not None else ("" if method == "POST" else None),
            allow_nonstandard_methods=True,
            follow_redirects=False,
            raise_error=False,
        )
        return reply.code, json.loads(reply.body) if reply.body else None


@pytest.fixture
def call(service, jp_serverapp, http_server_client, base_url):
    return Caller(http_server_client, base_url, jp_serverapp.identity_provider.token)


class Page:
    """What a browser's page does."""

    def __init__(self, socket, *, acknowledge):
        self.socket = socket
        self.acknowledges = acknowledge
        self.counting = False
        self.owed = 0
        self.received_bytes = 0
        self.text = ""
        self.others = []

    def send(self, *message):
        return self.socket.write_message(json.dumps(message))

    async def next(self, timeout_s=LIMIT_S):
        message = await asyncio.wait_for(self.socket.read_message(), timeout_s)
        if message is None:
            return None
        message = json.loads(message)
        if message[0] != "stdout":
            self.others.append(message)
            if message[0] == "setup" and self.acknowledges:
                assert message[1]["educloud"]["flow"] == 1
                self.send("flow", 1)
            self.counting = self.counting or message == ["flow", 1]
            return message
        _, text, size = message
        assert size == len(text.encode()) <= 128 * 1024 + 4
        self.text += text
        self.received_bytes += size
        if self.counting:
            self.owed += size
            if self.owed >= 64 * 1024:
                self.send("ack", self.owed)
                self.owed = 0
        return message

    async def until(self, expected, timeout_s=LIMIT_S):
        async with asyncio.timeout(timeout_s):
            while expected not in self.text:
                assert await self.next(timeout_s) is not None, f"closed after {self.text[-2000:]!r}"
        before, _, self.text = self.text.partition(expected)
        return before + expected


@pytest.fixture
async def connect(service, jp_serverapp, http_server_client, base_url):
    opened, streams = [], []

    async def make(name=f"{LEASE}-1", *, acknowledge=True, signed_in=True, headers=None):
        url = http_server_client.get_url(f"{base_url}educloud/vm/terminals/websocket/{name}").replace("http:", "ws:")
        sent = {"Authorization": f"token {jp_serverapp.identity_provider.token}"} if signed_in else {}
        socket = await websocket_connect(HTTPRequest(url, headers=sent | (headers or {})))
        opened.append(socket)
        streams.append(socket.protocol.stream)
        return Page(socket, acknowledge=acknowledge)

    yield make
    for socket in opened:
        socket.close()
    await eventually(lambda: all(stream.closed() for stream in streams))
    await eventually(lambda: not any(terminal._readers for terminal in service._terminals.values()))


async def open_page(call, connect, **options):
    status, model = await call("POST", "api/terminals", {"name": f"{LEASE}-1", "cwd": "/somewhere"})
    assert status == 200, model
    page = await connect(**options)
    await page.until("$ ")
    return page


async def eventually(condition, timeout_s=LIMIT_S):
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 - the conditions are another program's
            await asyncio.sleep(0.01)


async def test_a_stock_page_creates_types_resizes_and_ends(call, connect, service):
    page = await open_page(call, connect, acknowledge=False)
    assert page.others[0] == ["setup", {"educloud": {"flow": 1}}]
    page.send("set_size", 33, 101, 500, 900)
    page.send("stdin", "size\r")
    await page.until("101x33 xterm-256color C.UTF-8")
    page.send("stdin", "exit 0\r")
    async with asyncio.timeout(LIMIT_S):
        while await page.next() is not None:
            pass
    assert page.others[-1] == ["disconnect", 1]
    assert service.list() == []


async def test_names_are_made_returned_listed_and_deleted(call, connect, machine):
    status, first = await call("POST", "api/terminals", {"lease_id": LEASE})
    assert (status, first["name"], first["lease_id"]) == (200, f"{LEASE}-1", LEASE)
    assert (await call("POST", "api/terminals", {"lease_id": LEASE}))[1]["name"] == f"{LEASE}-2"
    assert (await call("POST", "api/terminals", {"name": f"{LEASE}-1"}))[1]["name"] == f"{LEASE}-1"
    assert {each["name"] for each in (await call("GET", "api/terminals"))[1]} == {f"{LEASE}-1", f"{LEASE}-2"}
    assert (await call("GET", f"api/terminals/{LEASE}-2"))[1]["name"] == f"{LEASE}-2"
    await eventually(lambda: len(machine.shells) == 2)
    assert machine.logins == 1, "both terminals share one connection"
    page = await connect(f"{LEASE}-2")
    assert (await call("DELETE", f"api/terminals/{LEASE}-2"))[0] == 204
    async with asyncio.timeout(LIMIT_S):
        while await page.next() is not None:
            pass
    assert page.others[-1] == ["disconnect", 1]
    await eventually(lambda: len(machine.shells) == 1)
    assert (await call("GET", f"api/terminals/{LEASE}-2"))[0] == 404
    assert (await call("DELETE", f"api/terminals/{LEASE}-2"))[0] == 404


async def test_what_is_not_ones_own_looks_absent(call, connect, service):
    for body in ({"lease_id": "other"}, {"name": "other-1"}):
        status, reply = await call("POST", "api/terminals", body)
        assert (status, reply["error"]["code"]) == (404, "not-found")
    # A socket never creates, not even for an own lease.
    for name in (f"{LEASE}-1", "other-1"):
        with pytest.raises(HTTPClientError) as refused:
            await connect(name)
        assert refused.value.code == 404
    assert service.list() == []


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        None,
        {"name": 5},
        {"name": "x"},
        {"name": f"{LEASE}-0"},
        {"name": f"{LEASE}-1", "lease_id": "cd"},
        {"name": "../e-1"},
    ],
)
async def test_a_bad_request_says_so(call, service, body):
    assert (await call("POST", "api/terminals", body))[0] == 400
    assert service.list() == []


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "api/terminals"),
        ("POST", "api/terminals"),
        ("GET", "api/terminals/ab12-1"),
        ("DELETE", "api/terminals/ab12-1"),
    ],
)
async def test_nobody_gets_in_unauthenticated(call, connect, method, path):
    await open_page(call, connect)
    assert (await call(method, path, signed_in=False))[0] in {401, 403}
    with pytest.raises(HTTPClientError) as refused:
        await connect(signed_in=False)
    assert refused.value.code == 403


async def test_another_site_gets_nothing(call, connect):
    await open_page(call, connect)
    with pytest.raises(HTTPClientError) as refused:
        await connect(headers={"Origin": "https://elsewhere.example"})
    assert refused.value.code == 403
    status, _ = await call(
        "POST", "api/terminals", {"lease_id": LEASE}, {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}
    )
    assert status == 403


async def test_whoever_may_not_execute_gets_no_socket(call, connect, jp_serverapp, monkeypatch):
    await open_page(call, connect)
    asked = []

    def is_authorized(handler, user, action, resource):
        asked.append((action, resource))
        return False

    monkeypatch.setattr(jp_serverapp.authorizer, "is_authorized", is_authorized)
    with pytest.raises(HTTPClientError) as refused:
        await connect()
    assert refused.value.code == 403
    assert (await call("GET", "api/terminals"))[0] == 403
    assert (await call("DELETE", f"api/terminals/{LEASE}-1"))[0] == 403
    assert asked == [("execute", "terminals"), ("read", "terminals"), ("write", "terminals")]


async def test_a_reconnecting_page_gets_the_scrollback_once(call, connect, machine):
    page = await open_page(call, connect)
    page.send("stdin", "ask\r")
    await page.until("answered é€😀")
    await page.until("$ ")
    page.socket.close()
    again = await connect()
    seen = await again.until("answered é€😀")
    await again.until("$ ")
    assert seen.startswith("\x1bc"), "the page is reset, or it would show everything twice"
    assert "question  answered" in seen, "questions to the terminal are not asked again"
    again.send("stdin", "still\r")
    await again.until("still")
    assert len(machine.shells) == 1


async def test_characters_cut_in_two_arrive_whole(call, connect):
    page = await open_page(call, connect)
    page.send("stdin", "half\r")
    seen = await page.until("$ ")
    assert "é€😀" in seen
    assert "\ufffd" not in seen


async def test_output_without_a_page_is_kept_within_the_bound(call, connect, service):
    page = await open_page(call, connect)
    page.send("stdin", "lines 60000\r")
    await page.until("line 10 ")
    page.socket.close()
    terminal = service.terminal(f"{LEASE}-1")
    await eventually(lambda: b"line 59999" in terminal._log.scrollback()[-200:])
    assert terminal._log.end > 1_900_000
    assert terminal._log.end - terminal._log.start <= 1024 * 1024
    again = await connect()
    seen = await again.until("line 59999 of many")
    assert re.match(r"\x1bc(\x1b\[\?[0-9;]+[hl])*line \d+ of many", seen), "it begins at a line"


async def test_a_stalled_page_bounds_everything(call, connect, service, machine):
    page = await open_page(call, connect)
    terminal = service.terminal(f"{LEASE}-1")
    while not page.counting:
        await page.next()
    page.send("stdin", "flood\r")
    await eventually(lambda: machine.flooded_bytes > 500_000)
    last = -1
    while machine.flooded_bytes != last:  # until the program on the machine waits
        last = machine.flooded_bytes
        await asyncio.sleep(0.5)
    reader = terminal._readers[0]
    assert reader.unacknowledged_bytes <= 512 * 1024
    assert reader.behind_bytes <= 256 * 1024 + 128 * 1024
    assert machine.flooded_bytes - page.received_bytes <= 2 * 1024 * 1024
    # It goes on where it was, without a hole.
    before = page.received_bytes
    while page.received_bytes < before + 3_000_000:
        await page.next()
    assert "not shown" not in page.text
    flood = page.text.partition("flood\r")[2]
    assert flood == ("0123456789abcdef" * (len(flood) // 16 + 1))[: len(flood)]


async def test_ctrl_c_answers_through_a_flood_and_a_slow_page(call, connect, machine, service):
    page = await open_page(call, connect)
    while not page.counting:
        await page.next()
    page.send("stdin", "flood\r")
    await eventually(lambda: machine.flooded_bytes > 500_000)

    async def slowly(done):  # 5 MB/s, as xterm.js on a weak computer
        while not done():
            message = await page.next()
            await asyncio.sleep(len(message[1]) / 5e6 if message[0] == "stdout" else 0)

    await slowly(lambda: page.received_bytes > 1_500_000)
    # It draws for a moment: more waits now, on any computer, than is shown after an interrupt.
    await eventually(lambda: service.terminal(f"{LEASE}-1")._readers[0].behind_bytes > SKIP_BYTES)
    page.text = ""
    before = page.received_bytes
    page.send("stdin", "\x03")
    async with asyncio.timeout(LIMIT_S):
        await slowly(lambda: "stopped\r\n$ " in page.text)
    # No more comes before the prompt than a page may leave unacknowledged (2 MiB).
    assert page.received_bytes - before <= 2 * 1024 * 1024
    assert re.search(r"\x18\x1b\[0m\r\n\x1b\[2m\[\d+ KiB of output not shown\]\x1b\[0m\r\n", page.text)


async def test_an_interrupt_skips_nothing_when_little_waits(call, connect):
    page = await open_page(call, connect)
    page.send("stdin", "lines 100\r")
    page.send("stdin", "\x03")
    page.send("stdin", "x\r")
    seen = await page.until("line 99 of many")
    assert "not shown" not in seen


async def test_a_slow_page_does_not_stall_a_fast_one(call, connect, service):
    fast = await open_page(call, connect)
    slow = await connect()
    await slow.until("$ ")
    while not slow.counting:
        await slow.next()
    fast.send("stdin", "lines 90000\r")  # more than the log keeps, and more than kernels buffer for a credit-less page
    await fast.until("line 89999")
    seen = await slow.until("line 89999")
    assert "KiB of output not shown" in seen
    assert service.terminal(f"{LEASE}-1")._log.end - service.terminal(f"{LEASE}-1")._log.start <= 1024 * 1024


async def test_the_size_is_that_of_the_last_active_page(call, connect):
    first = await open_page(call, connect)
    first.send("set_size", 30, 100, 0, 0)
    second = await connect()
    second.send("set_size", 50, 60, 0, 0)
    second.send("stdin", "size\r")
    await first.until("60x50")
    first.send("stdin", "size\r")
    await first.until("100x30")
    second.send("stdin", "size\r")
    await first.until("60x50")
    second.socket.close()
    async with asyncio.timeout(LIMIT_S):
        while True:  # the server learns of it in its own time
            first.send("stdin", "size\r")
            with contextlib.suppress(TimeoutError):
                await first.until("100x30", 0.5)
                break


async def test_only_input_is_activity(call, connect, service, jp_serverapp, machine):
    page = await open_page(call, connect)
    activity = jp_serverapp.web_app.settings["last_activity_times"]
    assert "educloud_lab" not in activity
    page.send("set_size", 30, 100, 0, 0)
    machine.shells[0].stdout.write(b"output by itself")
    await page.until("by itself")
    await call("GET", "api/terminals")
    assert "educloud_lab" not in activity
    assert "terminal_last_activity" not in jp_serverapp.web_app.settings
    assert "api_last_activity" not in jp_serverapp.web_app.settings
    before = service.last_activity(LEASE)
    page.send("stdin", "x")
    await page.until("x")
    assert activity["educloud_lab"] >= before
    assert service.last_activity(LEASE) > before


async def test_neither_keys_nor_output_are_logged(call, connect, caplog, monkeypatch):
    monkeypatch.setenv("LOG_TERMINAL_OUTPUT", "true")
    caplog.set_level("DEBUG")
    page = await open_page(call, connect)
    page.send("stdin", "sesame-open\r")
    await page.until("sesame-open")
    page.send("stdin", {"bad": "sesame-bad"})
    async with asyncio.timeout(LIMIT_S):
        while await page.next() is not None:
            pass
    assert page.socket.close_code == 1003
    assert "terminal" in caplog.text
    assert "sesame" not in caplog.text


@pytest.mark.parametrize(
    "message",
    [
        "",
        "nonsense",
        "[]",
        "5",
        "{}",
        '["stdin"]',
        '["stdin",5]',
        '["ack",-1]',
        '["ack","x"]',
        '["set_size",1]',
        "[" * 5000,
    ],
)
async def test_a_malformed_message_ends_the_socket_and_nothing_else(call, connect, service, message):
    page = await open_page(call, connect)
    page.socket.write_message(message)
    async with asyncio.timeout(LIMIT_S):
        while await page.next() is not None:
            pass
    assert page.socket.close_code == 1003
    again = await connect()
    await again.until("$ ")


async def test_sizes_out_of_reason_are_bounded(call, connect):
    page = await open_page(call, connect)
    page.send("set_size", 10**9, -5, 0, 0)
    page.send("stdin", "size\r")
    await page.until("1x2000")


@pytest.mark.parametrize("command", ["lose", "killed"])
async def test_a_lost_machine_leaves_the_terminal_and_enter_reconnects(call, connect, broker, machine, command):
    page = await open_page(call, connect)
    broker.failure = errors.ConflictError("The machine is not running.")
    page.send("stdin", f"{command}\r")
    await page.until("The connection to the machine has ended")
    await page.until("Press Enter to connect again when the machine is ready.")
    assert (await call("GET", f"api/terminals/{LEASE}-1"))[1]["state"] == "ended"
    page.send("stdin", "ignored")
    page.send("stdin", "\r")
    await page.until("Waiting for the machine: The machine is not running.")
    broker.failure = None
    await page.until("$ ")
    page.send("stdin", "size\r")
    await page.until("xterm-256color")
    assert (await call("GET", f"api/terminals/{LEASE}-1"))[1]["state"] == "live"
    assert len(machine.shells) == 1


async def test_the_page_is_told_why_the_connection_has_ended(call, connect, broker):
    page = await open_page(call, connect)
    broker.failure = errors.ConflictError("The machine is not running.")
    broker.lease = wire.Lease(
        id=LEASE,
        course="local",
        lab="a",
        slot="main",
        person="ada",
        machine_profile=wire.ProfileRef(name="tiny", revision="1", title="Tiny"),
        generation=1,
        target="stopped",
        status="stopping",
        phase="stopping",
        headline="Putting the machine to sleep",
        system_disk="kept",
        updated_at=datetime.now(UTC),
    )
    page.send("stdin", "lose\r")
    await page.until("The connection to the machine has ended: it is being put to sleep.")
    await page.until("Press Enter to connect again when the machine is ready.")


async def test_what_is_waited_for_is_said_at_first(call, connect, broker):
    broker.failure = errors.ConflictError("The machine is\x1b]52;c;evil\x07 starting.")
    assert (await call("POST", "api/terminals", {"lease_id": LEASE}))[0] == 200
    page = await connect()
    seen = await page.until("starting.")
    assert "Connecting to the machine..." in seen
    assert "\x1b]" not in seen, "an error's text cannot carry sequences"
    broker.failure = None
    await page.until("$ ")


async def test_another_host_key_is_not_retried(call, connect, broker, machine):
    good, machine.host = machine.host, KEYS.new_key_pair()
    assert (await call("POST", "api/terminals", {"lease_id": LEASE}))[0] == 200
    page = await connect()
    await page.until("Another SSH host key than expected")
    await page.until("Press Enter")
    asked = broker.asked
    await asyncio.sleep(0.3)
    assert broker.asked == asked
    machine.host = good
    page.send("stdin", "\r")
    await page.until("$ ")


async def test_a_deleted_lease_ends_the_terminal(call, connect, broker, service):
    page = await open_page(call, connect)
    broker.failure = errors.NotFoundError("There is no such machine.")
    page.send("stdin", "lose\r")
    await page.until("Press Enter")
    page.send("stdin", "\r")
    await page.until("does not exist any more")
    async with asyncio.timeout(LIMIT_S):
        while await page.next() is not None:
            pass
    assert page.others[-1] == ["disconnect", 1]
    assert service.list() == []


async def test_a_new_generation_gets_a_new_connection(call, connect, broker, machine):
    await open_page(call, connect)
    kept = machine.logins
    assert (await call("POST", "api/terminals", {"lease_id": LEASE}))[0] == 200
    await eventually(lambda: len(machine.shells) == 2)
    assert machine.logins == kept
    broker.generation = 2  # whose principal this machine does not accept
    assert (await call("POST", "api/terminals", {"lease_id": LEASE}))[0] == 200
    page = await connect(f"{LEASE}-3")
    await page.until("The login was refused by the machine")
    assert machine.logins > kept


async def test_stopping_ends_pages_and_shells(call, connect, service, machine):
    page = await open_page(call, connect)
    await service.stop()
    async with asyncio.timeout(LIMIT_S):
        while await page.next() is not None:
            pass
    await eventually(lambda: not machine.shells)
    status, reply = await call("POST", "api/terminals", {"lease_id": LEASE})
    assert (status, reply["error"]["code"]) == (409, "conflict")
