"""The process that holds the machines' network: a user and a network namespace, and the services in it.

Started by the ``netns`` driver inside the namespaces (``python -m educloud_lab.localcloud.network.holder``), one a
cloud. It outlives the cloud's own process, as machines do, and ends when neither a cloud nor a machine needs it.
What is in force lies in the kernel; the rest (who has which metadata, which names) is said again by each cloud that
connects, so that this process may be killed: the next one joins the namespaces that the machines still are in.

Its unix socket takes one JSON object a line: ``{"op": "hello"}``, ``{"op": "state", ...}`` and ``{"op": "quit"}`` from
the cloud, ``{"connect": "ADDRESS:PORT"}`` from the gateway, which gets a TCP socket *of this namespace* to connect by
itself. So a session through the gateway does not pass through this process, and outlives it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ipaddress
import json
import logging
import os
import resource
import signal
import socket
import stat
from collections import Counter
from pathlib import Path
from typing import Any

from educloud_lab.localcloud.network import kernel
from educloud_lab.localcloud.network.policy import Policy
from educloud_lab.localcloud.network.rules import METADATA, OUTSIDE, OUTSIDE_NAMES, render, tap_name
from educloud_lab.localcloud.network.services import Dhcp, Names, relay

VERSION = 1
"""Of what is said on the socket. A cloud that speaks another one replaces the holder; machines do not notice."""

IDLE_S = 15.0
_LOOK_S = 3.0
_LINE_BYTES = 16 << 20
_SOCKETS_AT_ONCE = 512
_METADATA_AT_ONCE = 16
"""Connections of one machine: a guest's own programs ask one at a time, and all machines share this process."""
_ACCEPT_AGAIN_S = 0.2
_MOST_FILES = 65536

log = logging.getLogger("educloud.network")


class Holder:
    """The state of one network.

    Parameters
    ----------
    network : the machines' network.
    outbound : whether the outside is to be reached.
    """

    def __init__(self, network: str, *, outbound: bool) -> None:
        self.network = network
        self.outbound = outbound
        self.metadata: dict[str, str] = {}  # address -> unix socket
        self.policy = Policy()
        self.ended = asyncio.Event()
        self._clouds = 0
        self._waiting = 0
        self._asking: Counter[str] = Counter()  # machines' connections to their metadata, by address
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, path: Path) -> None:
        """Serve until it is over. Raises KernelError, OSError."""
        kernel.prepare(self.network)
        router = str(ipaddress.IPv4Network(self.network).network_address + 1)
        loop = asyncio.get_running_loop()
        dhcp = Dhcp(self.network, self._address_of)
        resolver, _ = await loop.create_datagram_endpoint(
            lambda: Names(self._known, OUTSIDE_NAMES if self.outbound else None), local_addr=(router, 53)
        )
        metadata = await asyncio.start_server(self._metadata, METADATA, 80, reuse_address=True)
        listening, made = _listen(path)
        acceptor = loop.create_task(self._accept(listening))
        watcher = loop.create_task(self._watch())
        log.info("holding the network %s, %s", self.network, "with the outside" if self.outbound else "by itself")
        try:
            await self.ended.wait()
        finally:
            for task in (acceptor, watcher, *self._tasks):
                task.cancel()
            _withdraw(path, made)
            listening.close()
            metadata.close()
            resolver.close()
            dhcp.close()
            log.info("not needed any more")

    def set_state(self, metadata: dict[str, str], policy: Policy) -> None:
        """Make cards and rules as they are wanted. Raises KernelError, ValueError; what is not done stays as it was."""
        for address in set(metadata) - set(self.metadata):
            kernel.plug(address, self.network)
        # In force before a machine that comes may speak, and after one that goes cannot.
        kernel.enforce(render(metadata, policy, network=self.network, outbound=self.outbound))
        self.metadata, self.policy = metadata, policy
        wanted = {tap_name(address) for address in metadata}
        for _, card in socket.if_nameindex():
            if card.startswith("eu") and card not in wanted and len(card) == len("eu") + 8:
                kernel.unplug(str(ipaddress.IPv4Address(int(card[2:], 16))))

    def _known(self, address: str) -> dict[str, str]:
        owner = (self.policy.owners or {}).get(address)
        return {name: place for account, name, place in reversed(self.policy.names) if account == owner}

    def _address_of(self, card: str) -> str | None:
        return next((address for address in self.metadata if tap_name(address) == card), None)

    async def _metadata(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Hand a machine's request to the socket that is its own: its address cannot be another's (``rules``)."""
        address = writer.get_extra_info("peername")[0]
        path = self.metadata.get(address)
        self._asking[address] += 1
        try:
            if path is not None and self._asking[address] <= _METADATA_AT_ONCE:
                await relay(reader, writer, *await asyncio.open_unix_connection(path))
        except OSError:
            pass  # the cloud is being restarted: the machine sees the connection close, and asks again
        finally:
            self._asking[address] -= 1
            if not self._asking[address]:
                del self._asking[address]
            writer.close()

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(listening)
            except OSError as error:  # too many files are open, say: this loop is the gateway's only way in
                log.warning("nobody is let in for a moment: %s", error)
                await asyncio.sleep(_ACCEPT_AGAIN_S)
                continue
            if self._waiting >= _SOCKETS_AT_ONCE:
                connection.close()
                continue
            task = loop.create_task(self._converse(connection))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _converse(self, connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        connection.setblocking(False)
        self._waiting += 1
        is_cloud, data = False, b""
        try:
            while True:
                while b"\n" not in data:
                    more = await loop.sock_recv(connection, 65536)
                    if not more or len(data) > _LINE_BYTES:
                        return
                    data += more
                line, _, data = data.partition(b"\n")
                request = json.loads(line)
                if "connect" in request:
                    self._give_socket(connection)
                    continue
                if not is_cloud:
                    is_cloud = True
                    self._clouds += 1
                await loop.sock_sendall(connection, json.dumps(self._obey(request)).encode() + b"\n")
        except (OSError, ValueError, TypeError, KeyError) as error:
            log.warning("a conversation ended: %s: %s", type(error).__name__, error)
        finally:
            self._waiting -= 1
            self._clouds -= is_cloud
            connection.close()

    def _obey(self, request: dict[str, Any]) -> dict[str, Any]:
        if request["op"] == "state":
            try:
                policy = self.policy if request["policy"] is None else Policy.from_json(request["policy"])
                self.set_state(dict(request["machines"]), policy)
            except (kernel.KernelError, ValueError) as error:
                return {"error": str(error)}
        elif request["op"] == "quit" and not self._used():
            self.ended.set()
        return {
            "version": VERSION,
            "pid": os.getpid(),
            "network": self.network,
            "outbound": self.outbound,
            "outside": kernel.exists(OUTSIDE),
        }

    @staticmethod
    def _give_socket(connection: socket.socket) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as made:
            socket.send_fds(connection, [b'{"socket": true}\n'], [made.fileno()])

    def _used(self) -> bool:
        return any(kernel.in_use(card) for _, card in socket.if_nameindex() if card.startswith("eu"))

    async def _watch(self) -> None:
        """End when there was neither a cloud nor a machine for a while."""
        idle_s = 0.0
        while idle_s < IDLE_S:
            await asyncio.sleep(_LOOK_S)
            idle_s = 0.0 if self._clouds or self._used() else idle_s + _LOOK_S
        self.ended.set()


def _listen(path: Path) -> tuple[socket.socket, int]:
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    listening.bind(str(path))
    path.chmod(stat.S_IRUSR | stat.S_IWUSR)
    listening.listen(128)
    return listening, path.stat().st_ino


def _withdraw(path: Path, made: int) -> None:
    """Remove the socket, unless a holder after this one has put its own there."""
    with contextlib.suppress(FileNotFoundError):
        if path.stat().st_ino == made:
            path.unlink()


async def _main(path: Path, network: str, outbound: bool) -> None:
    holder = Holder(network, outbound=outbound)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, holder.ended.set)
    await holder.serve(path)


def main() -> None:
    """Run the holder of the arguments."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--socket", type=Path, required=True)
    parser.add_argument("--network", required=True)
    parser.add_argument("--outbound", action="store_true")
    arguments = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))  # 1024 are not many for all machines together
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    asyncio.run(_main(arguments.socket, arguments.network, arguments.outbound))


if __name__ == "__main__":
    main()
