"""Tries in a namespace of its own what the ``netns`` driver needs: cards, routes, rules, and real packets through them.

Only a packet that went from one card to another, and one with a false address that did not, tell that a kernel and a
container's limits allow it: ``/dev/net/tun`` may be there and not open, rules may be accepted and a module be missing.

Run as ``unshare --user --map-root-user --net python -m educloud_lab.localcloud.network.trial``; prints one JSON object.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import socket
import struct
import sys
import time

from educloud_lab.localcloud.network import kernel
from educloud_lab.localcloud.network.policy import ANY, Opening, Policy
from educloud_lab.localcloud.network.rules import render, tap_name

NETWORK = "172.16.64.0/18"
_FROM, _TO, _STRANGER = "172.16.64.20", "172.16.64.21", "172.16.64.22"
_TUNSETIFF = 0x400454CA  # linux/if_tun.h
_SIOCGIFHWADDR = 0x8927  # linux/sockios.h
_IFF_TAP, _IFF_NO_PI = 0x0002, 0x1000
_CARD = bytes.fromhex("d00d00000002")
_LIMIT_S = 5.0


class TrialError(Exception):
    """What does not work here, and what to do about it."""


def main() -> int:
    """Try, and say what came of it."""
    try:
        _try()
    except (kernel.KernelError, TrialError, OSError) as error:
        sys.stdout.write(json.dumps({"works": False, "reason": str(error)}) + "\n")
        return 1
    sys.stdout.write(json.dumps({"works": True, "reason": "two cards, their rules and a packet between them"}) + "\n")
    return 0


def _try() -> None:
    kernel.prepare(NETWORK)
    for address in (_FROM, _TO):
        kernel.plug(address, NETWORK)
    # Of the packets with a false address it is the rules that have to stop them.
    policy = Policy((Opening(_TO, ANY, -1, -1, (_FROM, _STRANGER), gateway=False),))
    kernel.enforce(render((_FROM, _TO), policy, network=NETWORK, outbound=True))
    source, target = _open(tap_name(_FROM)), _open(tap_name(_TO))
    kernel.run("ip", "neigh", "replace", _TO, "lladdr", _CARD.hex(":"), "dev", tap_name(_TO), "nud", "permanent")
    to_kernel = _hardware(tap_name(_FROM))
    end = time.monotonic() + _LIMIT_S
    while time.monotonic() < end:
        for sender in (_STRANGER, _FROM):
            os.write(source, to_kernel + _CARD + b"\x08\x00" + _datagram(sender, _TO))
        found = _arrived(target)
        if _STRANGER in found:
            raise TrialError("a packet with a false address went through the rules")
        if _FROM in found:
            return
    raise TrialError(f"no packet went from one card to the other within {_LIMIT_S:.0f} s")


def _open(card: str) -> int:
    try:
        handle = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise TrialError(f"/dev/net/tun cannot be opened ({error.strerror})") from error
    fcntl.ioctl(handle, _TUNSETIFF, struct.pack("16sH22x", card.encode("ascii"), _IFF_TAP | _IFF_NO_PI))
    return handle


def _hardware(card: str) -> bytes:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        answer = fcntl.ioctl(any_socket, _SIOCGIFHWADDR, struct.pack("16s24x", card.encode("ascii")))
    return answer[18:24]


def _datagram(source: str, target: str) -> bytes:
    body = struct.pack("!HHHH", 9, 9, 8 + 5, 0) + b"trial"
    head = bytearray(struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 1, 0, 64, 17, 0))
    for address in (source, target):
        head += bytes(map(int, address.split(".")))
    total = sum(struct.unpack("!10H", head))
    total = (total & 0xFFFF) + (total >> 16)
    struct.pack_into("!H", head, 10, ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF)
    return bytes(head) + body


def _arrived(target: int) -> set[str]:
    """Give the senders of the IPv4 packets that arrive within a moment."""
    found = set()
    while select.select([target], [], [], 0.2)[0]:
        frame = os.read(target, 2048)
        if frame[12:14] == b"\x08\x00" and frame[14 + 9] == 17:
            found.add(".".join(map(str, frame[26:30])))
    return found


if __name__ == "__main__":
    sys.exit(main())
