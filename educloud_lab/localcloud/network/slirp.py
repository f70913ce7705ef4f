"""The ``slirp`` driver: QEMU's user network, each machine alone behind its own little router.

Needs no privilege, no namespace and no second process, so it works in any container. The machine has one card
and a fixed address; nothing goes outside (``restrict=on``); the gateway reaches it through an ephemeral port of
the loopback; 169.254.169.254:80 is handed, connection by connection, to the machine's metadata socket by the
relay in :mod:`educloud_lab.localcloud.network.relay`.

QEMU wants every special address inside ``net=``, whose prefix must be /4 to /32: 160.0.0.0/4 is the one network
that holds both 169.254.169.254 and 172.16.0.0/12, hence the instances' addresses are of the latter.
"""

from __future__ import annotations

import ipaddress
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from educloud_lab.localcloud.network import relay
from educloud_lab.localcloud.network.base import HumanMonitor, Living, NetworkError, NetworkLeg
from educloud_lab.localcloud.network.policy import Policy
from educloud_lab.localcloud.network.usernet import parse_forwards

NET = "160.0.0.0/4"
ADDRESSES = ipaddress.ip_network("172.16.0.0/12")
ROUTER = "172.16.0.1"
NAME_SERVER = "172.16.0.2"
METADATA = "169.254.169.254"
SSH_PORT = 22
_LOOPBACK = "127.0.0.1"
NETDEV = "net0"
# An option ROM only slows the start: these machines never boot from the network.
CARD = f"virtio-net-pci,netdev={NETDEV},mac={{mac}},romfile="
"""The card that the guest sees, the same with every driver: a saved memory fits only the devices it was saved with."""


def escape_option(value: str) -> str:
    """Double the commas, as QEMU's option parser wants them inside a value."""
    return value.replace(",", ",,")


class SlirpNetwork:
    """QEMU's user network.

    Parameters
    ----------
    outside : let machines reach the host's networks. Off by default, and mind that slirp then also lets them
        reach services on the host's own loopback, the cloud's among them.
    python : interpreter that runs the relay; default the one this process was installed with. It is started
        bare (``-IS``), so the base interpreter of a virtual environment serves.
    """

    name = "slirp"

    def __init__(self, *, outside: bool = False, python: str | None = None) -> None:
        self._outside = outside
        # A virtual environment's launcher looks up its configuration first: 2 ms more for every request.
        self._python = python or getattr(sys, "_base_executable", None) or sys.executable

    def arguments(self, leg: NetworkLeg) -> list[str]:
        """Give QEMU's arguments for the card; raises NetworkError for an address outside 172.16.0.0/12."""
        self._check_address(leg.address)
        command = shlex.join([self._python, "-IS", relay.__file__, str(leg.metadata_socket)])
        netdev = ",".join(
            [
                "user",
                f"id={NETDEV}",
                f"restrict={'off' if self._outside else 'on'}",
                "ipv6=off",
                f"net={NET}",
                f"host={ROUTER}",
                f"dns={NAME_SERVER}",
                f"dhcpstart={leg.address}",
                f"hostfwd=tcp:{_LOOPBACK}:0-{leg.address}:{SSH_PORT}",
                f"guestfwd=tcp:{METADATA}:80-cmd:{escape_option(command)}",
            ]
        )
        return ["-netdev", netdev, "-device", CARD.format(mac=leg.mac)]

    def prefix(self, leg: NetworkLeg) -> list[str]:
        """QEMU runs as it is."""
        return []

    def used_by(self, leg: NetworkLeg) -> str:
        """Give its own name."""
        return self.name

    async def open(self, living: Sequence[Living]) -> None:
        """Nothing to make ready: the network is part of each QEMU."""

    async def close(self) -> None:
        """Nothing to let go."""

    async def plug(self, leg: NetworkLeg) -> None:
        """Nothing to make: each machine is alone."""

    def alive(self, leg: NetworkLeg, pid: int) -> None:
        """Nothing to remember."""

    async def unplug(self, leg: NetworkLeg) -> None:
        """Nothing to take away."""

    async def apply(self, policy: Policy) -> None:
        """Nothing to enforce between machines that cannot reach each other; the gateway has its own table."""

    def door(self, address: str) -> Path | None:
        """Give none: the host reaches machines by :meth:`endpoint`."""
        return None

    async def endpoint(self, leg: NetworkLeg, port: int, human: HumanMonitor) -> tuple[str, int] | None:
        """Give the loopback port that leads to ``port``, forwarded first when it was not.

        Raises
        ------
        NetworkError
            QEMU refused to forward; nothing changed.
        """
        if not 0 < port < 65536:
            raise NetworkError(f"There is no TCP port {port}.")
        found = _find(await human("info usernet"), leg.address, port)
        if found is None:
            # Two callers at once make two forwards; both lead to the machine, and the first is found ever after.
            refusal = await human(f"hostfwd_add {NETDEV} tcp:{_LOOPBACK}:0-{leg.address}:{port}")
            if refusal.strip():
                raise NetworkError(f"QEMU did not forward port {port} of {leg.address}: {refusal.strip()}")
            found = _find(await human("info usernet"), leg.address, port)
        return None if found is None else (_LOOPBACK, found)

    @staticmethod
    def _check_address(address: str) -> None:
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError as error:
            raise NetworkError(f"{address!r} is not an IPv4 address.") from error
        if parsed not in ADDRESSES or address in {ROUTER, NAME_SERVER}:
            raise NetworkError(
                f"The slirp network cannot give a machine the address {address}: it serves {ADDRESSES} "
                f"without {ROUTER} and {NAME_SERVER}."
            )


def _find(text: str, address: str, port: int) -> int | None:
    for forward in parse_forwards(text):
        if (forward.protocol, forward.guest, forward.guest_port) == ("tcp", address, port):
            return forward.host_port
    return None
