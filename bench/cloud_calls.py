"""Cloud calls a minute for one open sidebar and for ten: the same number, because all share one watch.

Each has a real Jupyter server with our extension and a local cloud of its own (no machine boots: machines are not what
is counted), and between the two a relay that counts the HTTP requests. Each sidebar is what the page opens: one
websocket of state. One machine's lease exists, so that there is something to watch.

    python bench/cloud_calls.py [--seconds 120] [--quick]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tornado.httpclient import AsyncHTTPClient, HTTPRequest
from tornado.websocket import WebSocketClientConnection, websocket_connect

from educloud_lab.localcloud import process
from educloud_lab.localcloud.settings import Folders

SIDEBARS = (1, 10)
SETTLE_S = 10.0
LIMIT_S = 120.0


class Relay:
    """Passes bytes on to the cloud and counts the requests among them."""

    def __init__(self, host: str, port: int) -> None:
        self._to = (host, port)
        self.requests = 0
        self.port = 0

    async def open(self) -> None:
        """Listen on a free port of the loopback."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(*self._to)
        await asyncio.gather(self._pass(reader, back, count=True), self._pass(there, writer, count=False))

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, count: bool) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                # boto3 sends a request's head in one piece, and waits for the answer before the next.
                self.requests += count and data.startswith((b"POST ", b"GET "))
                writer.write(data)
                await writer.drain()
        writer.close()


class Server:
    """One Jupyter server with our extension."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.token = secrets.token_hex(16)
        self.url = ""
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Start it and wait until it answers."""
        folders = {name: self.home / name.lower() for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR")}
        runtime = self.home / "runtime"
        runtime.mkdir(mode=0o700)
        command = [
            *(sys.executable, "-m", "jupyter", "server", "--no-browser", "--ServerApp.port=0"),
            "--ServerApp.jpserver_extensions={'educloud_lab': True}",
            f"--IdentityProvider.token={self.token}",
            f"--ServerApp.root_dir={self.home}",
            *(["--allow-root"] if os.geteuid() == 0 else []),
        ]
        environment = os.environ | {name: str(path) for name, path in folders.items()}
        environment |= {"EDUCLOUD_HOME": str(self.home), "JUPYTER_RUNTIME_DIR": str(runtime)}
        with (self.home / "jupyter.log").open("wb") as log:
            self._process = subprocess.Popen(  # noqa: ASYNC220 - a moment, before anything is measured
                command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        deadline = time.monotonic() + LIMIT_S
        while time.monotonic() < deadline and self._process.poll() is None:
            with contextlib.suppress(OSError, ValueError, KeyError):
                self.url = json.loads((runtime / f"jpserver-{self._process.pid}.json").read_text())["url"]
                await self.call("GET", "api")
                return
            await asyncio.sleep(0.2)
        raise SystemExit(f"The Jupyter server did not start: {(self.home / 'jupyter.log').read_text()[-2000:]}")

    async def call(self, method: str, path: str, body: dict[str, str] | None = None) -> dict[str, object]:
        """Ask the server."""
        request = HTTPRequest(
            self.url + path,
            method=method,
            body=None if body is None else json.dumps(body),
            headers={"Authorization": f"token {self.token}", "Content-Type": "application/json"},
            request_timeout=60,
        )
        answer: dict[str, object] = json.loads((await AsyncHTTPClient().fetch(request)).body)
        return answer

    async def sidebar(self) -> WebSocketClientConnection:
        """Open what a sidebar opens, and read until the cloud's state is there."""
        url = f"ws{self.url.removeprefix('http')}educloud/api/v1/socket"
        socket = await websocket_connect(HTTPRequest(url, headers={"Authorization": f"token {self.token}"}))
        async with asyncio.timeout(LIMIT_S):
            while True:
                message = await socket.read_message()
                if message is None:
                    raise SystemExit("the server closed the socket of a sidebar")
                if json.loads(message)["snapshot"]["version"]:
                    return socket

    def stop(self) -> None:
        """End it."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(30)


async def measure(sidebars: int, seconds: float) -> float:
    """Return the calls a minute of a server with so many open sidebars."""
    with tempfile.TemporaryDirectory(prefix="ec-") as name:
        home = Path(name)
        cloud = await asyncio.to_thread(process.start, home, hypervisor="simulated")
        server = Server(home)
        try:
            address = cloud["endpoint_url"].split("/")[2]
            relay = Relay(address.split(":")[0], int(address.split(":")[1]))
            await relay.open()
            # The broker reads where the cloud is from what it announced.
            announcement = Folders(home).announcement
            told = json.loads(announcement.read_text())
            told["endpoint_url"] = told["endpoint_url"].replace(address, f"127.0.0.1:{relay.port}")
            announcement.write_text(json.dumps(told))
            await server.start()
            await server.call("POST", "educloud/api/v1/leases", {"lab": "bench", "machine_profile": "tiny"})
            sockets = [await server.sidebar() for _ in range(sidebars)]
            await asyncio.sleep(SETTLE_S)
            begun_s, before = time.monotonic(), relay.requests
            await asyncio.sleep(seconds)
            rate = (relay.requests - before) * 60 / (time.monotonic() - begun_s)
            for socket in sockets:
                socket.close()
        finally:
            server.stop()
            await asyncio.to_thread(process.stop, home)
    print(f"{sidebars:2} open: {rate:5.1f} cloud calls a minute", flush=True)
    return rate


async def measure_both(seconds: float) -> list[float]:
    """Measure for each number of sidebars at the same time, each with a server and a cloud of its own."""
    return await asyncio.gather(*(measure(count, seconds) for count in SIDEBARS))


def main() -> int:
    """Measure and print; fails when ten sidebars cost more than one, or when nothing was counted."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=120.0, help="how long to count for each number of sidebars")
    parser.add_argument("--quick", action="store_true", help="30 seconds each")
    options = parser.parse_args()
    seconds = 30.0 if options.quick else options.seconds
    one, ten = asyncio.run(measure_both(seconds))
    # A look more or less may fall into the time that is counted; it is two or three calls.
    same = abs(one - ten) <= 4 * 60 / seconds
    print(f"one sidebar {one:.1f}, ten {ten:.1f}: {'the same' if same else 'NOT the same'}")
    return 0 if same and one > 0 else 1


if __name__ == "__main__":
    sys.exit(main())
