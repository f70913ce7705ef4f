"""What doctor and checks look at besides instances and volumes: zones, status, security groups, key pairs.

A cloud that refuses one of these questions (an administrator may have forbidden it) leaves the answer open.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from educloud_lab.adapters.ec2.groups import Call
from educloud_lab.domain.errors import CloudRefusedError
from educloud_lab.ports.cloud import GroupSeen, InstanceHealth, RuleSeen


async def zone_states(call: Call) -> dict[str, str]:
    """Return the state of every zone by its name."""
    answer = await call(lambda ec2: ec2.describe_availability_zones())
    return {zone["ZoneName"]: str(zone.get("State", "")) for zone in answer.get("AvailabilityZones", [])}


async def instance_health(call: Call, instance_id: str) -> InstanceHealth | None:
    """Return the cloud's own status of an instance; None when it tells none."""
    try:
        answer = await call(
            lambda ec2: ec2.describe_instance_status(InstanceIds=[instance_id], IncludeAllInstances=True)
        )
    except CloudRefusedError:
        return None
    for item in answer.get("InstanceStatuses", []):
        system, inside = item.get("SystemStatus", {}), item.get("InstanceStatus", {})
        return InstanceHealth(system=str(system.get("Status", "")), instance=str(inside.get("Status", "")))
    return None


async def lets_in(call: Call, instance_id: str, port: int) -> bool | None:
    """Say whether any rule of the instance's groups lets TCP in at a port; None when that is not shown."""
    try:
        answer = await call(lambda ec2: ec2.describe_instances(InstanceIds=[instance_id]))
        items = [item for group in answer.get("Reservations", []) for item in _with_groups(group)]
        ids = sorted({group["GroupId"] for item in items for group in item if group.get("GroupId")})
        if not ids:
            return None
        found = await call(lambda ec2: ec2.describe_security_groups(GroupIds=ids))
    except CloudRefusedError:
        return None
    groups = found.get("SecurityGroups", [])
    return any(_opens(rule, port) for group in groups for rule in group.get("IpPermissions", [])) if groups else None


def _with_groups(reservation: Mapping[str, Any]) -> Iterable[list[Mapping[str, Any]]]:
    """Yield each instance's groups; on EC2-Classic they stand at the reservation."""
    for item in reservation.get("Instances", []):
        yield item.get("SecurityGroups") or reservation.get("Groups") or []


def _opens(rule: Mapping[str, Any], port: int) -> bool:
    if not (rule.get("IpRanges") or rule.get("Ipv6Ranges") or rule.get("UserIdGroupPairs")):
        return False
    if rule.get("IpProtocol") == "-1":
        return True
    return rule.get("IpProtocol") in ("tcp", "6") and int(rule.get("FromPort", -1)) <= port <= int(
        rule.get("ToPort", -1)
    )


async def security_groups(call: Call, pages: Callable[..., list[Any]]) -> tuple[GroupSeen, ...]:
    """Return the account's security groups with their rules."""
    items = await call(lambda ec2: pages(ec2.describe_security_groups, "SecurityGroups"))
    return tuple(
        GroupSeen(
            group_id=str(item.get("GroupId") or ""),
            name=str(item.get("GroupName") or ""),
            rules=tuple(_rule(rule) for rule in item.get("IpPermissions") or ()),
        )
        for item in items
    )


def _rule(rule: Mapping[str, Any]) -> RuleSeen:
    networks = [str(item["CidrIp"]) for item in rule.get("IpRanges") or () if item.get("CidrIp")]
    networks += [str(item["CidrIpv6"]) for item in rule.get("Ipv6Ranges") or () if item.get("CidrIpv6")]
    groups = [str(item.get("GroupName") or item.get("GroupId") or "") for item in rule.get("UserIdGroupPairs") or ()]
    lists = [str(item.get("PrefixListId") or "") for item in rule.get("PrefixListIds") or ()]
    return RuleSeen(
        protocol=str(rule.get("IpProtocol") or "-1"),
        first_port=int(rule.get("FromPort", -1)),
        last_port=int(rule.get("ToPort", -1)),
        sources=(*networks, *groups, *lists),
    )


async def key_pairs(call: Call) -> tuple[str, ...]:
    """Return the names of the account's key pairs."""
    answer = await call(lambda ec2: ec2.describe_key_pairs())
    return tuple(str(item.get("KeyName") or "") for item in answer.get("KeyPairs", []))
