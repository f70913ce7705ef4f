"""Who may reach whom: plain values, worked out from security groups by the cloud and put in force by a driver."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol

TCP, UDP, ICMP, ANY = "tcp", "udp", "icmp", "-1"
_NUMBERS = {"6": TCP, "17": UDP, "1": ICMP, "all": ANY}
PORTS = (0, 65535)


@dataclass(frozen=True, slots=True)
class Opening:
    """One thing that a machine lets in.

    Parameters
    ----------
    to : the machine's address.
    protocol : ``tcp``, ``udp``, ``icmp``, ``-1`` (everything) or a protocol's number.
    first, last : ports of tcp and udp; type and code of icmp, -1 for any. Without meaning for the others.
    sources : addresses of the machines that may send it.
    gateway : whether the gateway may, too.
    """

    to: str
    protocol: str
    first: int
    last: int
    sources: tuple[str, ...]
    gateway: bool

    @property
    def tcp_ports(self) -> tuple[int, int] | None:
        """The TCP ports that it opens, first and last; None for none."""
        if self.protocol == ANY:
            return (1, 65535)
        return (max(1, self.first), self.last) if self.protocol == TCP and self.last >= 1 else None


@dataclass(frozen=True, slots=True)
class Policy:
    """What a driver enforces and answers.

    Parameters
    ----------
    openings : everything that is not listed is refused.
    owners : address -> account, for every machine.
    names : (account, name, address): the account's machines may ask for the name.
    """

    openings: tuple[Opening, ...] = ()
    owners: Mapping[str, str] | None = None
    names: tuple[tuple[str, str, str], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Give it as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Policy:
        """Read what :meth:`to_json` gave."""
        openings = tuple(Opening(**{**item, "sources": tuple(item["sources"])}) for item in data["openings"])
        return cls(openings, data["owners"], tuple((str(a), str(b), str(c)) for a, b, c in data["names"]))


class Rule(Protocol):
    """What a security group lets in, as ``localcloud.groups`` gives it: from a network, or from addresses."""

    @property
    def protocol(self) -> str:
        """As in EC2: ``tcp``, ``udp``, ``icmp``, a number, or ``-1``."""

    @property
    def from_port(self) -> int:
        """First port, or ICMP type; -1 any."""

    @property
    def to_port(self) -> int:
        """Last port, or ICMP code; -1 any."""

    @property
    def cidr(self) -> str | None:
        """The network; None when the rule names a group."""

    @property
    def addresses(self) -> Iterable[str]:
        """The addresses of that group's machines."""


def gateway_address(network: str) -> str:
    """Give the address that machines see the gateway come from: the first one of their network."""
    return str(ipaddress.IPv4Network(network).network_address + 1)


@dataclass(frozen=True, slots=True)
class Member:
    """A machine as the policy sees it."""

    instance_id: str
    address: str
    owner: str
    name: str = ""  # its Name tag


def work_out(members: Iterable[Member], rules: Mapping[str, Iterable[Rule]], gateway: str) -> Policy:
    """Turn machines and their groups' rules into a policy.

    A machine is reached as its groups' rules say and in no other way: to share a group opens nothing by itself (a
    group that names itself does). A rule with a network counts for the owner's own machines and for the gateway, a rule
    that names a group for that group's machines, whoever owns them. So nobody reaches another owner's machine unless
    that owner named the group.
    """
    machines = sorted(members, key=lambda member: member.address)
    openings: list[Opening] = []
    for machine in machines:
        own = [other for other in machines if other.owner == machine.owner and other.address != machine.address]
        for rule in rules.get(machine.instance_id, ()):
            if rule.cidr is None:
                sources, from_gateway = tuple(sorted(set(rule.addresses) - {machine.address})), False
            else:
                network = ipaddress.IPv4Network(rule.cidr, strict=False)
                sources = tuple(other.address for other in own if ipaddress.IPv4Address(other.address) in network)
                from_gateway = ipaddress.IPv4Address(gateway) in network
            if sources or from_gateway:
                openings.append(_opening(machine.address, rule, sources, from_gateway))
    names = tuple(name for machine in machines for name in _names(machine))
    return Policy(tuple(dict.fromkeys(openings)), {machine.address: machine.owner for machine in machines}, names)


def _opening(to: str, rule: Rule, sources: tuple[str, ...], from_gateway: bool) -> Opening:
    protocol = _NUMBERS.get(rule.protocol, rule.protocol)
    first, last = rule.from_port, rule.to_port
    if protocol in (TCP, UDP) and first < 0:
        first, last = PORTS
    if protocol not in (TCP, UDP, ICMP):
        first, last = -1, -1
    return Opening(to, protocol, first, last, sources, from_gateway)


def _names(machine: Member) -> list[tuple[str, str, str]]:
    names = [f"ip-{machine.address.replace('.', '-')}", machine.instance_id.lower()]
    label = machine.name.lower().replace(" ", "-").replace("_", "-")
    if 0 < len(label) < 64 and label.isascii() and label.replace("-", "").isalnum() and label.strip("-") == label:
        names.append(label)
    return [(machine.owner, name, machine.address) for name in names]
