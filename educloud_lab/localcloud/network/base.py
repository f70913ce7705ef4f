"""The network port: what the hypervisor asks of whatever connects machines to the gateway and to metadata.

A driver gives the command-line part for one machine's only network card and, later, a way for the gateway to
reach a port of it. Drivers keep no state of their own: what is forwarded is read back from the running
machine, so that a new process may take over at any time.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

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


class NetworkDriver(Protocol):
    """One way to connect machines."""

    @property
    def name(self) -> str:
        """The driver's name, as the doctor prints it."""

    def arguments(self, leg: NetworkLeg) -> list[str]:
        """QEMU arguments for the card. Raises NetworkError when the address cannot be served."""

    async def endpoint(self, leg: NetworkLeg, port: int, human: HumanMonitor) -> tuple[str, int] | None:
        """Host address and port that lead to ``port`` of the machine; made when absent. Raises NetworkError."""
