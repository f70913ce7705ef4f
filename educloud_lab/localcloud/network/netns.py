"""The ``netns`` driver: one rootless namespace a cloud, a routed card a machine, rules between them.

This is the cloud's side; :mod:`educloud_lab.localcloud.network.holder` is the process in the namespace. The driver
finds that process again, starts it where there is none (inside the namespaces of a machine that lives, when one does),
and says to it at each change, whole, which machines there are and who may reach whom.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from educloud_lab.localcloud.accounts import write_private
from educloud_lab.localcloud.network import holder
from educloud_lab.localcloud.network.base import HumanMonitor, Living, NetworkError, NetworkLeg
from educloud_lab.localcloud.network.netns_process import into, spawn, start_holder, tool
from educloud_lab.localcloud.network.policy import Policy
from educloud_lab.localcloud.network.rules import OUTSIDE, tap_name
from educloud_lab.localcloud.network.slirp import CARD, NETDEV
from educloud_lab.localcloud.processes import end_surely, is_alive, start_ticks

log = logging.getLogger("educloud.network")

_READY_LIMIT_S = 30.0
_ANSWER_LIMIT_S = 30.0
_OUTSIDE_LIMIT_S = 10.0
_END_LIMIT_S = 5.0


class NetnsNetwork:
    """The driver.

    Parameters
    ----------
    folder : 0700 folder for the socket and the record of the process; its path is short.
    log_file : what the holder and slirp4netns say.
    network : the machines' network; its first address is the router's, and the gateway's towards machines.
    outbound : let machines reach the outside, by slirp4netns.
    """

    name = "netns"

    def __init__(self, folder: Path, log_file: Path, network: str, *, outbound: bool = False) -> None:
        self._folder = folder
        self._log_file = log_file
        self._network = ipaddress.IPv4Network(network)
        self._outbound = outbound
        self._legs: dict[str, NetworkLeg] = {}
        self._pids: dict[str, int] = {}
        self._policy: Policy | None = None  # not known yet: what the holder has stays in force
        self._said = ""
        self._pid = 0
        self._lines: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._turn = asyncio.Lock()

    @property
    def socket(self) -> Path:
        """Where the holder listens."""
        return self._folder / "net.sock"

    def arguments(self, leg: NetworkLeg) -> list[str]:
        """Give QEMU's arguments for the card; raises NetworkError for an address outside the network."""
        self._check(leg)
        # Without the tap's own header (offloads) the guest's card is the very one that it has with slirp.
        netdev = f"tap,id={NETDEV},ifname={tap_name(leg.address)},script=no,downscript=no,vhost=off,vnet_hdr=off"
        return ["-netdev", netdev, "-device", CARD.format(mac=leg.mac)]

    def used_by(self, leg: NetworkLeg) -> str:
        """Give its own name."""
        return self.name

    def prefix(self, leg: NetworkLeg) -> list[str]:
        """Run QEMU in the namespaces: its process keeps them alive, whatever becomes of the holder."""
        return into(self._pid)

    async def open(self, living: Sequence[Living]) -> None:
        """Find the holder or start it, and take over the machines that live. Raises NetworkError."""
        async with self._turn:
            self._legs |= {machine.leg.address: machine.leg for machine in living}
            self._pids |= {machine.leg.address: machine.pid for machine in living}
            await self._ensure()

    async def close(self) -> None:
        """Let go; the holder ends at once when there is no machine, else it stays as the machines do."""
        async with self._turn:
            try:
                if self._lines is not None and not self._legs:
                    await self._ask({"op": "quit"})
            except NetworkError:
                pass  # it is gone already, which is what was wanted
            self._hang_up()

    async def plug(self, leg: NetworkLeg) -> None:
        """Make a machine's card. Raises NetworkError."""
        self._check(leg)
        async with self._turn:
            self._legs[leg.address] = leg
            try:
                await self._ensure()
                await self._say()
            except NetworkError:
                self._legs.pop(leg.address, None)
                raise

    async def unplug(self, leg: NetworkLeg) -> None:
        """Take a machine's card away."""
        async with self._turn:
            self._pids.pop(leg.address, None)
            if self._legs.pop(leg.address, None) is not None and self._lines is not None:
                try:
                    await self._say()
                except NetworkError as error:
                    log.warning("The card of %s was not taken away, the next change does it: %s", leg.address, error)

    def alive(self, leg: NetworkLeg, pid: int) -> None:
        """Remember the process of a machine: its namespaces are the way back in."""
        if leg.address in self._legs:
            self._pids[leg.address] = pid

    async def apply(self, policy: Policy) -> None:
        """Put a policy in force; a holder that is gone is started again. Raises NetworkError."""
        async with self._turn:
            self._policy = policy
            if not self._legs and self._lines is None:
                return  # nothing to hold: the first machine has it started again
            await self._ensure()
            await self._say()

    def door(self, address: str) -> Path | None:
        """Give the holder's socket for a machine that has a card here."""
        return self.socket if address in self._legs else None

    async def endpoint(self, leg: NetworkLeg, port: int, human: HumanMonitor) -> tuple[str, int] | None:
        """The host has no address for a machine; the gateway goes by :meth:`door`."""
        return None

    # The holder's process.

    async def _ensure(self) -> None:
        """Have a holder that answers. Raises NetworkError."""
        if self._lines is not None and self._lines[1].is_closing():
            self._hang_up()
        if self._lines is not None:
            try:
                if self._fits(await self._ask({"op": "hello"})):
                    return
            except NetworkError as error:
                log.warning("The network's process is gone, another one takes its place: %s", error)
            self._hang_up()
        record = self._record()
        if is_alive(record.get("pid"), record.get("start_ticks")):
            try:
                await self._connect()
                if self._fits(await self._ask({"op": "hello"})):
                    self._pid = record["pid"]
                    await self._say()
                    return
            except NetworkError as error:
                log.warning("The network's process %s does not answer and is ended: %s", record["pid"], error)
            self._hang_up()
            await asyncio.to_thread(end_surely, record["pid"], record["start_ticks"], _END_LIMIT_S)
        await self._start()
        await self._say()

    def _fits(self, answer: dict[str, Any]) -> bool:
        """Whether the holder is of this version and set as wanted; else another one takes its place."""
        return (
            answer.get("version") == holder.VERSION
            and answer.get("network") == str(self._network)
            and answer.get("outbound") == self._outbound
            and answer.get("outside") == self._outbound
        )

    async def _start(self) -> None:
        # The way out ends with the holder that held it: by this pipe, which nobody writes to.
        alive_read, alive_write = os.pipe()
        try:
            process = await asyncio.to_thread(
                start_holder,
                [f"--socket={self.socket}", f"--network={self._network}", *(["--outbound"] if self._outbound else [])],
                tuple(self._pids.values()),
                self._log_file,
                (alive_write,),
            )
            self._pid = process.pid
            ticks = start_ticks(process.pid)
            write_private(self._folder / "net.json", json.dumps({"pid": process.pid, "start_ticks": ticks}) + "\n")
            try:
                async with asyncio.timeout(_READY_LIMIT_S):
                    while True:
                        if process.poll() is not None:
                            raise NetworkError(f"the network's process ended at once; see {self._log_file}")
                        try:
                            await self._connect()
                            answer = await self._ask({"op": "hello"})
                        except NetworkError:
                            self._hang_up()
                            await asyncio.sleep(0.02)
                            continue
                        if answer.get("pid") == process.pid:
                            break
                        self._hang_up()
                        await asyncio.sleep(0.02)
                if self._outbound:
                    await self._go_outside(process.pid, alive_read)
            except (NetworkError, TimeoutError) as error:
                self._hang_up()
                await asyncio.to_thread(end_surely, process.pid, ticks or 0, _END_LIMIT_S)
                raise NetworkError(
                    str(error) or f"the network's process did not answer; see {self._log_file}"
                ) from error
        finally:
            os.close(alive_read)
            os.close(alive_write)

    async def _go_outside(self, pid: int, alive: int) -> None:
        """Start slirp4netns at the holder's namespace. Raises NetworkError."""
        async with asyncio.timeout(_OUTSIDE_LIMIT_S):
            # That of an earlier holder ends by itself, a moment after it.
            while (await self._ask({"op": "hello"})).get("outside"):  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.05)
        # Services of the host's own loopback, the cloud's among them, stay out of the machines' reach.
        command = [tool("slirp4netns"), "--configure", "--mtu=1500", "--disable-host-loopback", f"--exit-fd={alive}"]
        process = spawn([*command, str(pid), OUTSIDE], self._log_file, (alive,))
        async with asyncio.timeout(_OUTSIDE_LIMIT_S):
            while not (await self._ask({"op": "hello"})).get("outside"):
                if process.poll() is not None:
                    raise NetworkError(f"slirp4netns ended at once; see {self._log_file}")
                await asyncio.sleep(0.05)

    async def _connect(self) -> None:
        try:
            self._lines = await asyncio.open_unix_connection(str(self.socket), limit=1 << 20)
        except OSError as error:
            raise NetworkError(f"{self.socket} is not served: {error.strerror}") from error

    async def _say(self) -> None:
        """Say what is wanted, unless that was said already. Raises NetworkError."""
        state = {
            "op": "state",
            "machines": {address: str(leg.metadata_socket) for address, leg in sorted(self._legs.items())},
            "policy": None if self._policy is None else self._policy.to_json(),
        }
        text = json.dumps(state)
        if text == self._said:
            return
        answer = await self._ask(state)
        if "error" in answer:
            raise NetworkError(f"the network was not changed: {answer['error']}")
        self._said = text

    async def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        if self._lines is None:
            raise NetworkError("the network's process is not connected")
        reader, writer = self._lines
        try:
            async with asyncio.timeout(_ANSWER_LIMIT_S):
                writer.write(json.dumps(request).encode() + b"\n")
                await writer.drain()
                answer: dict[str, Any] = json.loads(await reader.readline() or b"null") or {}
        except (OSError, TimeoutError, ValueError) as error:
            raise NetworkError(f"the network's process did not answer: {type(error).__name__} {error}") from error
        if not answer:
            raise NetworkError("the network's process has ended")
        return answer

    def _hang_up(self) -> None:
        self._said = ""
        if self._lines is not None:
            self._lines[1].close()
            self._lines = None

    def _record(self) -> dict[str, Any]:
        try:
            found = json.loads((self._folder / "net.json").read_text("utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def _check(self, leg: NetworkLeg) -> None:
        try:
            fits = ipaddress.IPv4Address(leg.address) in self._network
        except ValueError as error:
            raise NetworkError(f"{leg.address!r} is not an IPv4 address.") from error
        if not fits or ipaddress.IPv4Address(leg.address) == self._network.network_address + 1:
            raise NetworkError(f"The network {self._network} cannot give a machine the address {leg.address}.")
