"""The network port: what the hypervisor asks of whatever connects machines to the gateway and to metadata.

A driver gives the command-line part for one machine's only network card and, later, a way for the gateway to
reach a port of it. Drivers keep nothing that cannot be found again: a new process may take over at any time.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from educloud_lab.localcloud.network.policy import Policy

HumanMonitor = Callable[[str], Awaitable[str]]
"""Runs one line of QEMU's human monitor and gives its text ('' is success for most commands)."""


class NetworkError(Exception):
    """A driver could not connect a machine or forward a port; the message is for an administrator."""


@dataclass(frozen=True, slots=True)
class NetworkLeg:
    """One machine's network card.

    Parameters
    ----------
    mac : the card's address (QEMU gives every machine the same one unless told).
    address : private IPv4 address that the guest gets by DHCP.
    metadata_socket : unix socket of the metadata service that knows this machine.
    """

    mac: str
    address: str
    metadata_socket: Path


@dataclass(frozen=True, slots=True)
class Living:
    """A machine whose process lives: its card, the process, and the name of the driver that connected it."""

    leg: NetworkLeg
    pid: int
    driver: str


class NetworkDriver(Protocol):
    """One way to connect machines. Every method may be repeated."""

    @property
    def name(self) -> str:
        """The name of the driver for new machines, as records and the doctor have it."""

    def arguments(self, leg: NetworkLeg) -> list[str]:
        """QEMU arguments for the card. Raises NetworkError when the address cannot be served.

        Whatever the driver, the guest sees the same card (``virtio-net-pci`` without offloads, no option ROM), so
        that a saved memory may be resumed under either. What QEMU saves of the *backend* differs: slirp has a
        section of its own in the stream, a tap has none.
        """

    def prefix(self, leg: NetworkLeg) -> list[str]:
        """What stands before QEMU's own command ([] for nothing): it runs QEMU in the driver's namespace."""

    def used_by(self, leg: NetworkLeg) -> str:
        """Name of the driver that connects this machine, for its record."""

    async def open(self, living: Sequence[Living]) -> None:
        """Make ready, and take over the machines that live. Raises NetworkError."""

    async def close(self) -> None:
        """Let go; machines stay connected."""

    async def plug(self, leg: NetworkLeg) -> None:
        """Make the place for a machine's card, before QEMU starts. Raises NetworkError."""

    def alive(self, leg: NetworkLeg, pid: int) -> None:
        """Take note of the process of a plugged machine, once it runs."""

    async def unplug(self, leg: NetworkLeg) -> None:
        """Take the place away, after the machine has ended. Raises nothing."""

    async def apply(self, policy: Policy) -> None:
        """Put in force who may reach whom. Raises NetworkError; the former policy stays."""

    def door(self, address: str) -> Path | None:
        """Unix socket where the gateway gets a way to ``address`` (``network/door.py``); None when there is none."""

    async def endpoint(self, leg: NetworkLeg, port: int, human: HumanMonitor) -> tuple[str, int] | None:
        """Host address and port that lead to ``port`` of the machine; made when absent.

        None when the host has none (then :meth:`door` leads there). Raises NetworkError.
        """
