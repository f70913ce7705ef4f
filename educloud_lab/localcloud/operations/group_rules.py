"""Rules of security groups as callers write them: read, checked, compared and told. No rows are changed here."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from educloud_lab.localcloud.cloud import Caller
from educloud_lab.localcloud.errors import ApiError, invalid, missing
from educloud_lab.localcloud.state.tables import SecurityGroup, SecurityGroupRule

ANY = -1
_NAMES = {"1": "icmp", "6": "tcp", "17": "udp", "all": "-1", "-1": "-1"}
_PROTOCOL = re.compile(r"icmp|tcp|udp|-1|[0-9]|[0-9]{2}|1[0-9]{2}|2[0-4][0-9]|25[0-5]", re.ASCII)
_FLAT = ("IpProtocol", "FromPort", "ToPort", "CidrIp")
_SOURCE = ("SourceSecurityGroupName", "SourceSecurityGroupOwnerId")


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: what, and from one network or one group."""

    protocol: str
    from_port: int
    to_port: int
    cidr: str = ""
    source_owner: str = ""
    source_group_id: str = ""
    source_group_name: str = ""

    @classmethod
    def of(cls, row: SecurityGroupRule) -> Rule:
        """Return a row's rule."""
        return cls(
            row.protocol, row.from_port, row.to_port, row.cidr,
            row.source_owner, row.source_group_id, row.source_group_name,
        )  # fmt: skip

    @property
    def identity(self) -> tuple[object, ...]:
        """What makes two rules the same: a group may have been renamed by nobody, so its id is enough."""
        return self.protocol, self.from_port, self.to_port, self.cidr, self.source_group_id


def read_rules(session: Session, caller: Caller, params: Mapping[str, Any]) -> list[Rule]:
    """Return the rules of a request in its old flat form or in that of ``IpPermissions.N``, each once.

    Raises
    ------
    ApiError
        They contradict each other, are not complete, make no sense, or name a group that does not exist.
    """
    permissions = params.get("IpPermissions") or []
    flat = {name: params[name] for name in _FLAT if params.get(name) is not None}
    source = {name: params[name] for name in _SOURCE if params.get(name) is not None}
    if permissions:
        for name in (*flat, *source):
            raise _combination(name, "ipPermissions")
    elif source:
        for name in flat:
            raise _combination(name, "sourceSecurityGroupName")
        permissions = _whole_group(source)
    elif flat:
        for name in _FLAT:
            if name not in flat and not (name.endswith("Port") and str(flat.get("IpProtocol")) in ("-1", "all")):
                raise missing(name)
        permissions = [{**flat, "IpRanges": [{"CidrIp": flat["CidrIp"]}]}]
    else:
        raise missing("IpPermissions")
    found: dict[tuple[object, ...], Rule] = {}
    for permission in permissions:
        for rule in _rules(session, caller, permission):
            found.setdefault(rule.identity, rule)
    return list(found.values())


def permissions(rules: Iterable[SecurityGroupRule]) -> list[dict[str, Any]]:
    """Return rules in the model's shape: those of the same protocol and ports together."""
    grouped: dict[tuple[str, int, int], dict[str, Any]] = {}
    for rule in rules:
        entry = grouped.setdefault(
            (rule.protocol, rule.from_port, rule.to_port),
            {"IpProtocol": rule.protocol, "UserIdGroupPairs": [], "IpRanges": []},
        )
        if rule.protocol in ("tcp", "udp", "icmp"):
            entry["FromPort"], entry["ToPort"] = rule.from_port, rule.to_port
        if rule.cidr:
            entry["IpRanges"].append({"CidrIp": rule.cidr})
        else:
            entry["UserIdGroupPairs"].append(
                {"UserId": rule.source_owner, "GroupName": rule.source_group_name, "GroupId": rule.source_group_id}
            )
    return list(grouped.values())


def _whole_group(source: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return what the oldest form means: everything that a group's machines send."""
    for name in _SOURCE:
        if name not in source:
            raise missing(name)
    pair = {"UserId": source["SourceSecurityGroupOwnerId"], "GroupName": source["SourceSecurityGroupName"]}
    ported = {"FromPort": 1, "ToPort": 65535, "UserIdGroupPairs": [pair]}
    return [
        {"IpProtocol": "tcp", **ported},
        {"IpProtocol": "udp", **ported},
        {"IpProtocol": "icmp", "FromPort": ANY, "ToPort": ANY, "UserIdGroupPairs": [pair]},
    ]


def _rules(session: Session, caller: Caller, permission: Mapping[str, Any]) -> Iterable[Rule]:
    protocol, first, last = _what(permission)
    for entry in permission.get("IpRanges", ()):
        yield Rule(protocol, first, last, cidr=_network(entry.get("CidrIp", "")))
    for entry in permission.get("UserIdGroupPairs", ()):
        group = _source(session, caller, entry)
        yield Rule(
            protocol, first, last, source_owner=group.owner, source_group_id=group.id, source_group_name=group.name
        )


def _what(permission: Mapping[str, Any]) -> tuple[str, int, int]:
    text = str(permission.get("IpProtocol") or "").lower()
    if not text:
        raise missing("IpProtocol")
    protocol = _NAMES.get(text, text)
    if not _PROTOCOL.fullmatch(protocol):
        raise ApiError("InvalidPermission.Malformed", f"Invalid protocol ({text[:40]})")
    first, last = permission.get("FromPort"), permission.get("ToPort")
    if protocol == "icmp":
        first, last = (ANY if first is None else first), (ANY if last is None else last)
        for number in (first, last):
            if not ANY <= number <= 255:
                raise invalid(f"ICMP code ({number}) out of range. Supported range for ICMP code and type is 0 to 255")
        return protocol, first, last
    if protocol not in ("tcp", "udp"):
        return protocol, ANY, ANY
    if first is None or last is None:
        raise missing("FromPort" if first is None else "ToPort")
    if not 0 <= first <= 65535 or not 0 <= last <= 65535 or first > last:
        raise ApiError("InvalidPermission.Malformed", f"Invalid port range ({first}-{last})")
    return protocol, first, last


def _network(text: str) -> str:
    try:
        network = ipaddress.IPv4Network(text, strict=False)
    except ValueError as error:
        raise invalid(f"CIDR block {text[:40]} is malformed") from error
    if "/" not in text:
        raise invalid(f"CIDR block {text[:40]} is malformed")
    return str(network)


def _source(session: Session, caller: Caller, pair: Mapping[str, str]) -> SecurityGroup:
    owner = pair.get("UserId") or caller.account.account_id
    group_id, name = pair.get("GroupId", ""), pair.get("GroupName", "")
    query = select(SecurityGroup)
    if group_id:
        query = query.where(SecurityGroup.id == group_id.lower())
        if pair.get("UserId"):
            query = query.where(SecurityGroup.owner == owner)
    else:
        query = query.where(SecurityGroup.owner == owner, SecurityGroup.name == name)
    found = session.scalar(query)
    if found is None:
        raise ApiError("InvalidGroup.NotFound", f"The security group '{(group_id or name)[:255]}' does not exist")
    return found


def _combination(name: str, other: str) -> ApiError:
    return ApiError("InvalidParameterCombination", f"{name} and {other} must not both be set")
