"""What the terminal bench stands on: one sshd, one Jupyter server with both kinds of terminal, and their pages."""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
from terminal_server import LEASE, PRINCIPAL
from tornado.httpclient import AsyncHTTPClient, HTTPRequest
from tornado.websocket import websocket_connect

from educloud_lab.adapters.ssh import AsyncsshAuthority

BENCH = Path(__file__).resolve().parent
ACK_BYTES = 64 * 1024


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def wait_for_port(port, process):
    deadline = time.monotonic() + 60
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        if process.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(f"{process.args[0]} did not start")
        time.sleep(0.05)


class Rig:
    """Starts and ends everything; use with ``with``."""

    forced_command = "ForceCommand exec /bin/sh\n"
    """What the sshd starts whatever is asked for, as a line of its configuration; '': what is asked for."""

    def __init__(self, folder):
        self.folder = folder
        self.processes = []
        self.token = secrets.token_hex(16)

    def __enter__(self):
        try:
            self._start_sshd()
            self._start_server()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for process in reversed(self.processes):
            children = []
            with contextlib.suppress(psutil.NoSuchProcess):
                children = psutil.Process(process.pid).children(recursive=True)
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)
            for child in children:
                with contextlib.suppress(psutil.NoSuchProcess):
                    child.kill()

    def _start_sshd(self):
        sshd = shutil.which("sshd", path="/usr/sbin:/usr/bin")
        if sshd is None or shutil.which("ssh") is None:
            raise SystemExit("OpenSSH is missing: apt install openssh-server openssh-client")
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd refuses to run as root without it
        authority = AsyncsshAuthority()
        host, ca, key = (authority.new_key_pair() for _ in range(3))
        for name, text in (("host", host.private), ("key", key.private)):
            (self.folder / name).touch(0o600)
            (self.folder / name).write_text(text)
        (self.folder / "ca.pub").write_text(ca.public + "\n")
        (self.folder / "authorized_keys").write_text(key.public + "\n")
        (self.folder / "principals").write_text(PRINCIPAL + "\n")
        port = free_port()
        (self.folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {host.public}\n")
        (self.folder / "sshd_config").write_text(
            f"ListenAddress 127.0.0.1:{port}\nHostKey {self.folder}/host\nPidFile none\nUsePAM no\nStrictModes no\n"
            f"UseDNS no\nTrustedUserCAKeys {self.folder}/ca.pub\nAuthorizedPrincipalsFile {self.folder}/principals\n"
            f"AuthorizedKeysFile {self.folder}/authorized_keys\nPermitRootLogin prohibit-password\n"
            f"{self.forced_command}SetEnv SHLVL=2\nPasswordAuthentication no\nMaxSessions 100\nMaxStartups 100\n"
            "PrintLastLog no\nPrintMotd no\n"
        )
        self.processes.append(
            subprocess.Popen([sshd, "-D", "-e", "-f", self.folder / "sshd_config"], stderr=subprocess.DEVNULL)
        )
        wait_for_port(port, self.processes[-1])
        (self.folder / "machine.json").touch(0o600)
        (self.folder / "machine.json").write_text(
            json.dumps({"user": getpass.getuser(), "port": port, "host_key": host.public, "ca_private": ca.private})
        )
        self.ssh = ["ssh", "-F", "none", "-tt", "-q", "-i", str(self.folder / "key"), "-p", str(port)]
        self.ssh += ["-o", f"UserKnownHostsFile={self.folder}/known_hosts", "-o", "IdentityAgent=none", "127.0.0.1"]

    def _start_server(self):
        self.port = free_port()
        (self.folder / "root").mkdir()
        extensions = {"terminal_server": True, "jupyter_server_terminals": True}
        command = [sys.executable, "-m", "jupyter_server", f"--ServerApp.jpserver_extensions={extensions}"]
        command += [
            f"--port={self.port}",
            "--no-browser",
            "--ip=127.0.0.1",
            "--allow-root",
            "--ServerApp.port_retries=0",
        ]
        command += [f"--IdentityProvider.token={self.token}", f"--ServerApp.root_dir={self.folder / 'root'}"]
        command += [f"--ServerApp.terminado_settings={ {'shell_command': self.ssh} }"]
        environment = dict(os.environ)
        environment |= {
            "PYTHONPATH": f"{BENCH}:{BENCH.parent}",
            "EDUCLOUD_BENCH_MACHINE": str(self.folder / "machine.json"),
            "JUPYTER_CONFIG_DIR": str(self.folder / "config"),
            "JUPYTER_RUNTIME_DIR": str(self.folder / "runtime"),
            "JUPYTER_DATA_DIR": str(self.folder / "data"),
            "JUPYTER_NO_CONFIG": "1",
        }
        log = (self.folder / "server.log").open("w")
        self.processes.append(
            subprocess.Popen(command, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        )
        wait_for_port(self.port, self.processes[-1])
        self.bridge = psutil.Process(self.processes[-1].pid)

    # The bridge is the Jupyter server and, for JupyterLab's terminal, its ssh processes.

    def bridge_processes(self):
        return [self.bridge, *self.bridge.children(recursive=True)]

    def cpu_s(self):
        total = 0.0
        for process in self.bridge_processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                total += times.user + times.system
        return total

    def memory_mb(self):
        """Proportional set size, so that what the ssh processes share is counted once."""
        total = 0
        for process in self.bridge_processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                total += process.memory_full_info().pss
        return total / 1e6

    def server_rss_mb(self):
        return self.bridge.memory_info().rss / 1e6

    async def open(self, kind):
        """Open a terminal of a kind and wait for its prompt; its ``opened_ms`` says how long that took.

        sshd starts a plain sh for both kinds (SHLVL keeps bash from reading ~/.bashrc on the way): a login shell's own
        start would hide the difference.
        """
        prefix = "educloud/vm/" if kind == "ours" else ""
        began = time.perf_counter()
        body = {"lease_id": LEASE} if kind == "ours" else {}
        reply = await AsyncHTTPClient().fetch(
            f"http://127.0.0.1:{self.port}/{prefix}api/terminals",
            method="POST",
            headers={"Authorization": f"token {self.token}", "Content-Type": "application/json"},
            body=json.dumps(body),
        )
        name = json.loads(reply.body)["name"]
        page = Page(self, kind, prefix, name)
        await page.connect()
        await page.until(("$ ", "# "))
        page.opened_ms = (time.perf_counter() - began) * 1e3
        await page.command("PS1='READY''> '; printf set-%s up", "set-up")
        return page


class Page:
    """A page: JupyterLab's own for JupyterLab's terminal, the extension's (which acknowledges) for ours."""

    def __init__(self, rig, kind, prefix, name):
        self.rig, self.kind, self.prefix, self.name = rig, kind, prefix, name
        self.counting = False
        self.owed = 0
        self.received_bytes = 0
        self.tail = ""
        self.opened_ms = 0.0

    async def connect(self):
        url = f"ws://127.0.0.1:{self.rig.port}/{self.prefix}terminals/websocket/{self.name}"
        self.socket = await websocket_connect(
            HTTPRequest(url, headers={"Authorization": f"token {self.rig.token}"}), max_message_size=1 << 28
        )
        self.socket.protocol.stream.set_nodelay(True)  # what a browser does
        self.send("set_size", 24, 80, 0, 0)

    def send(self, *message):
        self.socket.write_message(json.dumps(message))

    async def next(self, speed=None):
        """Take one message; with a speed (bytes a second) as slowly as a page that shows no more."""
        message = await self.socket.read_message()
        if message is None:
            raise SystemExit(f"the {self.kind} terminal closed its socket")
        message = json.loads(message)
        if message[0] != "stdout":
            if message[0] == "setup" and self.kind == "ours":
                self.send("flow", 1)
            self.counting = self.counting or message[0] == "flow"
            return ""
        text = message[1]
        self.received_bytes += len(text)
        self.tail = (self.tail + text[-4096:])[-8192:]
        if speed:
            await asyncio.sleep(len(text) / speed)
        if self.counting:
            self.owed += message[2]
            if self.owed >= ACK_BYTES:
                self.send("ack", self.owed)
                self.owed = 0
        return text

    async def until(self, expected, timeout_s=60, speed=None):
        expected = (expected,) if isinstance(expected, str) else expected
        async with asyncio.timeout(timeout_s):
            while not any(each in self.tail for each in expected):
                await self.next(speed)
        self.tail = ""

    async def command(self, text, expected, timeout_s=60):
        self.tail = ""
        self.send("stdin", text + "\r")
        await self.until(expected, timeout_s)

    async def close(self):
        self.socket.close()
        await AsyncHTTPClient().fetch(
            f"http://127.0.0.1:{self.rig.port}/{self.prefix}api/terminals/{self.name}",
            method="DELETE",
            headers={"Authorization": f"token {self.rig.token}"},
            raise_error=False,
        )
