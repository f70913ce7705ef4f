"""What is done to the namespace's kernel: cards, routes, the packet filter. Runs inside it; all of it repeatable."""

from __future__ import annotations

import fcntl
import ipaddress
import os
import socket
import struct
import subprocess
from pathlib import Path

from educloud_lab.localcloud.network.rules import METADATA, tap_name

_SIOCGIFFLAGS = 0x8913  # linux/sockios.h
_IFF_RUNNING = 0x40  # linux/if.h: a card without a machine behind it is up, but does not run
_SYSTEM_PATH = "/usr/sbin:/sbin"
_LIMIT_S = 20.0


class KernelError(Exception):
    """A command of the system refused; the message has its words."""


def run(*command: str, text: str = "") -> None:
    """Run one of the system's network commands. Raises KernelError."""
    # Debian keeps them where only root's PATH leads.
    environment = os.environ | {"PATH": f"{os.environ.get('PATH', '')}:{_SYSTEM_PATH}", "LC_ALL": "C"}
    try:
        done = subprocess.run(
            command, input=text, capture_output=True, text=True, env=environment, timeout=_LIMIT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise KernelError(f"{command[0]} could not be run: {error}") from error
    if done.returncode:
        raise KernelError(f"{' '.join(command)}: {(done.stderr or done.stdout).strip()[:500]}")


def prepare(network: str) -> None:
    """Give the namespace its router and metadata addresses, and let it forward. Raises KernelError."""
    router = ipaddress.IPv4Network(network).network_address + 1
    commands = [
        "link set lo up",
        f"addr replace {router}/32 dev lo",
        f"addr replace {METADATA}/32 dev lo",
        # Addresses that no machine has: said at once, instead of going wherever the default route leads.
        f"route replace unreachable {network}",
    ]
    run("ip", "-batch", "-", text="\n".join(commands) + "\n")
    _write("/proc/sys/net/ipv4/ip_forward", "1")


def plug(address: str, network: str) -> None:
    """Make a machine's card, which QEMU opens by name, and the way to it. Raises KernelError."""
    tap = tap_name(address)
    router = ipaddress.IPv4Network(network).network_address + 1
    if not exists(tap):
        run("ip", "tuntap", "add", "dev", tap, "mode", "tap")
        _write(f"/proc/sys/net/ipv6/conf/{tap}/disable_ipv6", "1", missing_ok=True)
        # The machine takes the whole network for its own wire; the kernel answers for all the others.
        _write(f"/proc/sys/net/ipv4/conf/{tap}/proxy_arp", "1")
    commands = [
        f"link set {tap} up",
        # The kernel waits up to 0.8 s before it answers for others, which is meant for wires with many answerers.
        f"ntable change name arp_cache dev {tap} proxy_delay 0",
        f"route replace {address}/32 dev {tap} src {router}",
    ]
    run("ip", "-batch", "-", text="\n".join(commands) + "\n")


def unplug(address: str) -> None:
    """Remove a machine's card; its route goes with it. Raises KernelError."""
    if exists(tap_name(address)):
        run("ip", "link", "del", tap_name(address))


def enforce(text: str) -> None:
    """Replace the packet filter. Raises KernelError; the former one stays."""
    run("nft", "-f", "-", text=text)


def exists(card: str) -> bool:
    """Whether there is a card of this name."""
    try:
        socket.if_nametoindex(card)
    except OSError:
        return False
    return True


def in_use(card: str) -> bool:
    """Whether a program (QEMU) holds the card."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        try:
            answer = fcntl.ioctl(any_socket, _SIOCGIFFLAGS, struct.pack("16sH22x", card.encode("ascii"), 0))
        except OSError:
            return False
    return bool(struct.unpack_from("H", answer, 16)[0] & _IFF_RUNNING)


def _write(path: str, value: str, *, missing_ok: bool = False) -> None:
    try:
        Path(path).write_text(value, "ascii")
    except FileNotFoundError as error:
        if not missing_ok:
            raise KernelError(f"{path} is not there") from error
    except OSError as error:
        raise KernelError(f"{path} cannot be written: {error.strerror}") from error
