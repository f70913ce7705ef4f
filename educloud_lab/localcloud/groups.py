"""What security groups let in, worked out from rows: for the gateway, and for networks that filter between machines.

No input or output but reading rows; nothing here knows how a rule is enforced. A machine is let in what any of its
groups lets in (EC2 has no rules that forbid). Eucalyptus's EDGE mode has no egress rules.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from educloud_lab.localcloud.state.tables import Instance, SecurityGroupRule

ANY = -1
EVERY_PROTOCOL = "-1"
LIVE = ("pending", "running", "stopping")
_PORTED = ("tcp", "udp", "6", "17")
_NUMBERS = {"icmp": "1", "tcp": "6", "udp": "17"}


@dataclass(frozen=True, slots=True)
class Allowed:
    """One thing that may come in to a machine.

    Parameters
    ----------
    protocol : ``tcp``, ``udp``, ``icmp``, a protocol's number as text, or ``-1`` for every one.
    from_port, to_port : both inclusive; of ICMP the type and the code. -1 is any.
    cidr : IPv4 network that it may come from; None when it comes from machines of a group.
    addresses : private addresses that it may come from, sorted; empty when ``cidr`` is given, and when the source
        group has no machine now (then the rule lets nobody in).
    """

    protocol: str
    from_port: int
    to_port: int
    cidr: str | None
    addresses: tuple[str, ...] = ()

    def matches(self, protocol: str, port: int, source: str) -> bool:
        """Whether a packet of this protocol from ``source`` (an IPv4 address) to ``port`` is let in.

        For ICMP ``port`` is the type; for protocols without ports it is not looked at.
        """
        if self.protocol != EVERY_PROTOCOL and _number(self.protocol) != _number(protocol):
            return False
        if self.protocol in _PORTED and not (self.from_port == ANY or self.from_port <= port <= self.to_port):
            return False
        if _number(self.protocol) == "1" and self.from_port not in (ANY, port):
            return False
        if self.cidr is None:
            return source in self.addresses
        return ipaddress.IPv4Address(source) in ipaddress.IPv4Network(self.cidr, strict=False)


def allowed(session: Session) -> dict[str, tuple[Allowed, ...]]:
    """Return what may come in to each machine that has an address, by instance id, in a stable order.

    Machines whose groups have no rules are in the result, with an empty tuple: nothing may come in. Rules of several
    groups are joined and told once. A group source stands for the private addresses of its machines that have one
    now, whoever owns the group; so this has to be asked anew whenever a machine gets or loses its address.
    """
    rows = list(session.scalars(select(Instance).where(Instance.state.in_(LIVE), Instance.address != "")))
    members: dict[str, list[str]] = {}
    for row in rows:
        for group_id, _name in row.groups:
            members.setdefault(group_id, []).append(row.address)
    rules: dict[str, list[Allowed]] = {}
    for rule in session.scalars(select(SecurityGroupRule).order_by(SecurityGroupRule.id)):
        rules.setdefault(rule.group_id, []).append(_allowed(rule, members))
    return {
        row.id: tuple(dict.fromkeys(rule for group_id, _name in row.groups for rule in rules.get(group_id, ())))
        for row in sorted(rows, key=lambda row: row.id)
    }


def lets_in(rules: Iterable[Allowed], protocol: str, port: int, source: str) -> bool:
    """Whether any of the rules lets this in; see :meth:`Allowed.matches`."""
    return any(rule.matches(protocol, port, source) for rule in rules)


def _allowed(rule: SecurityGroupRule, members: Mapping[str, list[str]]) -> Allowed:
    if rule.cidr:
        return Allowed(rule.protocol, rule.from_port, rule.to_port, rule.cidr)
    addresses = sorted(members.get(rule.source_group_id, ()), key=ipaddress.IPv4Address)
    return Allowed(rule.protocol, rule.from_port, rule.to_port, None, tuple(addresses))


def _number(protocol: str) -> str:
    return _NUMBERS.get(protocol, protocol)
