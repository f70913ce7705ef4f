"""The packet filter of the namespace as one nftables text: a pure function of the machines and the policy.

The whole table is replaced at once (``nft -f`` is one transaction), so there is no moment without rules and none with
half of them. Connections that were let in go on when a rule is withdrawn: connection tracking knows them.

- A packet from a machine's card has to carry that machine's address (``start``); nothing else comes in, no IPv6 at all.
- A machine reaches another one as the openings say (``forward``), the outside only when that is switched on.
- The gateway's connections start in the namespace itself (``output``), and only where an opening lets the gateway in.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping

from educloud_lab.localcloud.network.policy import ANY, ICMP, PORTS, TCP, UDP, Opening, Policy

TABLE = "inet educloud"
METADATA = "169.254.169.254"
OUTSIDE = "out0"  # slirp4netns's card
OUTSIDE_NAMES = "10.0.2.3"  # its name server
TAPS = "eu"


def tap_name(address: str) -> str:
    """Name of a machine's card in the namespace (15 characters at most: linux/if.h)."""
    return f"{TAPS}{int(ipaddress.IPv4Address(address)):08x}"


def render(machines: Iterable[str], policy: Policy, *, network: str, outbound: bool) -> str:
    """Give the table's text.

    Parameters
    ----------
    machines : addresses of the machines that have a card.
    network : the machines' network; its first address is the router.
    outbound : whether machines reach the outside.

    Raises
    ------
    ValueError
        An address, port or protocol is none: nothing of it gets into the text.
    """
    inside = ipaddress.IPv4Network(network)
    router = inside.network_address + 1
    addresses = sorted(str(ipaddress.IPv4Address(address)) for address in machines)
    between: dict[str, list[str]] = {address: [] for address in addresses}
    gateway: dict[str, list[str]] = {address: [] for address in addresses}
    for opening in policy.openings:
        if opening.to not in between:
            continue
        match = _match(opening)
        if opening.sources:
            sources = ", ".join(str(ipaddress.IPv4Address(source)) for source in opening.sources)
            between[opening.to].append(f"ip saddr {{ {sources} }} {match}accept")
        if opening.gateway:
            gateway[opening.to].append(f"{match}accept")
    own = ", ".join(f'"{tap_name(address)}" . {address}' for address in addresses)
    lines = [
        f"table {TABLE} {{}}",
        f"delete table {TABLE}",
        f"table {TABLE} {{",
        f"set own {{ type ifname . ipv4_addr; {f'elements = {{ {own} }};' if own else ''} }}",
        *_chains("to", between),
        *_chains("gw", gateway),
        "chain start { type filter hook prerouting priority raw; policy drop;",
        'iifname "lo" accept',
        "iifname . ip saddr @own accept",
        f'iifname "{TAPS}*" ip saddr 0.0.0.0 udp sport 68 udp dport 67 accept',
        *([f'iifname "{OUTSIDE}" ip saddr != {inside} accept'] if outbound else []),
        "}",
        "chain input { type filter hook input priority filter; policy drop;",
        'iifname "lo" accept',
        "ct state established,related accept",
        f'iifname "{TAPS}*" udp sport 68 udp dport 67 accept',
        f'iifname "{TAPS}*" ip daddr {router} udp dport 53 accept',
        f'iifname "{TAPS}*" ip daddr {METADATA} tcp dport 80 accept',
        f'iifname "{TAPS}*" icmp type echo-request accept',
        "reject with icmp type admin-prohibited",
        "}",
        "chain forward { type filter hook forward priority filter; policy drop;",
        "ct state established,related accept",
        "ct state invalid drop",
        *_verdicts("to", between),
        *([f'oifname "{OUTSIDE}" ip daddr != {{ {inside}, 169.254.0.0/16 }} accept'] if outbound else []),
        "reject with icmp type admin-prohibited",
        "}",
        "chain output { type filter hook output priority filter; policy drop;",
        'oifname "lo" accept',
        "ct state established,related accept",
        f'oifname "{TAPS}*" udp sport 67 udp dport 68 accept',
        "meta l4proto icmp accept",
        *_verdicts("gw", gateway),
        *([f'oifname "{OUTSIDE}" ip daddr {OUTSIDE_NAMES} udp dport 53 accept'] if outbound else []),
        "reject with icmp type admin-prohibited",
        "}",
    ]
    if outbound:
        lines += [f'chain out {{ type nat hook postrouting priority srcnat; oifname "{OUTSIDE}" masquerade', "}"]
    return "\n".join([*lines, "}", ""])


def _chains(kind: str, rules: Mapping[str, list[str]]) -> list[str]:
    return [line for address, found in rules.items() for line in (f"chain {kind}_{tap_name(address)} {{", *found, "}")]


def _verdicts(kind: str, rules: Mapping[str, list[str]]) -> list[str]:
    # The card is named as well as the address: an address alone could be somebody's who has no card here.
    return [f'oifname "{tap_name(address)}" ip daddr {address} jump {kind}_{tap_name(address)}' for address in rules]


def _match(opening: Opening) -> str:
    """Give the part of a rule that tells the protocol and its ports, '' for everything."""
    protocol, first, last = opening.protocol, opening.first, opening.last
    if protocol == ANY:
        return ""
    if protocol in (TCP, UDP):
        if not PORTS[0] <= first <= last <= PORTS[1]:
            raise ValueError(f"{first} to {last} are no ports")
        return f"{protocol} dport {first}-{last} " if first != last else f"{protocol} dport {first} "
    if protocol == ICMP:
        if not (-1 <= first <= 255 and -1 <= last <= 255):
            raise ValueError(f"{first}, {last} are no type and code of ICMP")
        kind = f"icmp type {first} " if first >= 0 else ""
        code = f"icmp code {last} " if first >= 0 and last >= 0 else ""
        return f"meta l4proto icmp {kind}{code}"
    number = int(protocol)
    if not 0 <= number <= 255:
        raise ValueError(f"{protocol} is no protocol")
    return f"meta l4proto {number} "
