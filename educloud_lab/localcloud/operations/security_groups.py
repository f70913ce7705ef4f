"""Security groups: made, listed, deleted, and their rules.

What a group lets in is worked out in :mod:`educloud_lab.localcloud.groups`; the gateway and the network enforce it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from educloud_lab.localcloud.cloud import Caller, Cloud
from educloud_lab.localcloud.errors import ApiError, invalid, missing
from educloud_lab.localcloud.operations import filters
from educloud_lab.localcloud.operations.common import (
    drop_tags,
    may_use,
    put_tags,
    require,
    specified_tags,
    split_verbose,
    tag_list,
    tags_of,
)
from educloud_lab.localcloud.operations.group_rules import Rule, permissions, read_rules
from educloud_lab.localcloud.state.tables import Instance, SecurityGroup, SecurityGroupRule

DEFAULT = "default"
MAX_GROUPS, MAX_RULES = 500, 100
_EVERYTHING_OUT = [{"IpProtocol": "-1", "UserIdGroupPairs": [], "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]

Rules = Mapping[str, Sequence[SecurityGroupRule]]


async def describe_security_groups(cloud: Cloud, caller: Caller, params: dict[str, Any]) -> dict[str, Any]:
    """List the caller's groups with their rules; everybody has ``default``."""
    owner = caller.account.account_id
    names, all_by_name = split_verbose(params.get("GroupNames", ()), caller)
    ids, all_by_id = split_verbose(params.get("GroupIds", ()), caller)
    everybody = all_by_name or all_by_id

    def work(session: Session) -> tuple[list[SecurityGroup], dict[str, list[SecurityGroupRule]], Any]:
        ensure_default_group(session, cloud, owner)
        query = select(SecurityGroup).order_by(SecurityGroup.owner, SecurityGroup.name)
        rows = session.scalars(query if everybody else query.where(SecurityGroup.owner == owner))
        return list(rows), rules_of(session), tags_of(session, None if everybody else owner, "security-group")

    groups, rules, tags = await cloud.database.run(work)
    for name in names:
        if all(group.name != name for group in groups):
            raise _not_found(name)
    for group_id in ids:
        if all(group.id != group_id.lower() for group in groups):
            raise _not_found(group_id)
    wanted = {*names, *(group_id.lower() for group_id in ids)}
    kept = [group for group in groups if not wanted or group.name in wanted or group.id in wanted]
    kept = filters.apply(kept, params.get("Filters"), group_filters(rules), lambda group: tags.get(group.id, {}))
    egress = _EVERYTHING_OUT if cloud.model.behaviour.egress else []
    return {
        "SecurityGroups": [
            {
                "OwnerId": group.owner, "GroupName": group.name, "GroupId": group.id,
                "Description": group.description, "IpPermissions": permissions(rules.get(group.id, ())),
                "IpPermissionsEgress": egress, "Tags": tag_list(tags.get(group.id, {})),
            }
            for group in kept
        ]
    }  # fmt: skip


async def create_security_group(cloud: Cloud, caller: Caller, params: dict[str, Any]) -> dict[str, Any]:
    """Make a group without rules: nothing may come in to its machines."""
    name, description = require(params, "GroupName"), require(params, "Description", "GroupDescription")
    owner = caller.account.account_id
    if len(name) > 255 or not name.isprintable() or not name.isascii():
        raise invalid(f"Value ({name[:60]}) for parameter GroupName is invalid.")
    if len(description) > 255 or not description.isprintable() or not description.isascii():
        raise invalid("Value for parameter GroupDescription is invalid.")
    tags = specified_tags(params, ("security-group",)).get("security-group", {})

    def work(session: Session) -> str:
        ensure_default_group(session, cloud, owner)
        rows = list(session.scalars(select(SecurityGroup).where(SecurityGroup.owner == owner)))
        if any(row.name == name for row in rows):
            raise ApiError("InvalidGroup.Duplicate", f"The security group '{name}' already exists")
        if len(rows) >= MAX_GROUPS:
            raise ApiError("SecurityGroupLimitExceeded", f"There are {MAX_GROUPS} security groups already")
        group = SecurityGroup(id=cloud.new_id("sg"), owner=owner, name=name, description=description)
        session.add(group)
        session.flush()
        put_tags(session, owner, "security-group", group.id, tags)
        return group.id

    return {"GroupId": await cloud.database.run(work), "Tags": tag_list(tags)}


async def delete_security_group(cloud: Cloud, caller: Caller, params: dict[str, Any]) -> dict[str, Any]:
    """Delete a group that no machine has and no other group's rule names."""

    def work(session: Session) -> None:
        group = find_group(session, cloud, caller, params)
        if group.name == DEFAULT:
            raise ApiError("InvalidGroup.Reserved", "The security group 'default' is reserved")
        live = session.scalars(select(Instance).where(Instance.state != "terminated"))
        named = select(SecurityGroupRule).where(
            SecurityGroupRule.source_group_id == group.id, SecurityGroupRule.group_id != group.id
        )
        if any(group.id == one[0] for row in live for one in row.groups) or session.scalar(named.limit(1)) is not None:
            raise ApiError("InvalidGroup.InUse", "Specified group cannot be deleted because it is in use.")
        for rule in session.scalars(select(SecurityGroupRule).where(SecurityGroupRule.group_id == group.id)):
            session.delete(rule)
        drop_tags(session, group.id)
        session.delete(group)

    await cloud.database.run(work)
    return {"Return": True}


async def authorize_security_group_ingress(cloud: Cloud, caller: Caller, params: dict[str, Any]) -> dict[str, Any]:
    """Add rules, all or none. Where one is there already Eucalyptus adds none and says ``return`` false."""

    def work(session: Session) -> list[dict[str, Any]] | None:
        group = find_group(session, cloud, caller, params)
        wanted = read_rules(session, caller, params)
        present = rules_of(session, group.id).get(group.id, [])
        known = {Rule.of(row).identity for row in present}
        for rule in wanted:
            if rule.identity in known:
                if cloud.model.behaviour.duplicate_rule_is_error:
                    raise ApiError("InvalidPermission.Duplicate", f'the specified rule "{_words(rule)}" already exists')
                return None
        if len(present) + len(wanted) > MAX_RULES:
            raise ApiError("RulesPerSecurityGroupLimitExceeded", f"Rules limit exceeded for {group.id}")
        rows = [SecurityGroupRule(group_id=group.id, **asdict(rule)) for rule in wanted]
        session.add_all(rows)
        session.flush()
        return [_rule_view(row, group.owner) for row in rows]

    added = await cloud.database.run(work)
    if added is None:
        return {"Return": False}
    cloud.wake()
    return {"Return": True, "SecurityGroupRules": added}


async def revoke_security_group_ingress(cloud: Cloud, caller: Caller, params: dict[str, Any]) -> dict[str, Any]:
    """Remove rules. Eucalyptus passes over those that are not there."""

    def work(session: Session) -> None:
        group = find_group(session, cloud, caller, params)
        wanted = {rule.identity for rule in read_rules(session, caller, params)}
        found = [row for row in rules_of(session, group.id).get(group.id, []) if Rule.of(row).identity in wanted]
        if len(found) < len(wanted) and cloud.model.behaviour.duplicate_rule_is_error:
            message = "The specified rule does not exist in this security group."
            raise ApiError("InvalidPermission.NotFound", message)
        for row in found:
            session.delete(row)

    await cloud.database.run(work)
    cloud.wake()
    return {"Return": True}


def ensure_default_group(session: Session, cloud: Cloud, owner: str) -> SecurityGroup:
    """Return the account's ``default`` group, making it where missing."""
    rows = select(SecurityGroup).where(SecurityGroup.owner == owner, SecurityGroup.name == DEFAULT)
    group = session.scalar(rows)
    if group is None:
        group = SecurityGroup(id=cloud.new_id("sg"), owner=owner, name=DEFAULT, description="default group")
        session.add(group)
        if cloud.model.behaviour.default_group_open:
            rule = Rule("-1", -1, -1, source_owner=owner, source_group_id=group.id, source_group_name=DEFAULT)
            session.add(SecurityGroupRule(group_id=group.id, **asdict(rule)))
        session.flush()
    return group


def find_group(session: Session, cloud: Cloud, caller: Caller, params: Mapping[str, Any]) -> SecurityGroup:
    """Return the group that ``GroupName`` or ``GroupId`` names."""
    name, group_id = params.get("GroupName"), params.get("GroupId")
    if name:
        owner = caller.account.account_id
        if name == DEFAULT:
            return ensure_default_group(session, cloud, owner)
        group = session.scalar(select(SecurityGroup).where(SecurityGroup.owner == owner, SecurityGroup.name == name))
    elif group_id:
        group = session.get(SecurityGroup, group_id.lower())
    else:
        raise missing("GroupId")
    if group is None or not may_use(caller, group.owner):
        raise _not_found(str(name or group_id))
    return group


def rules_of(session: Session, group_id: str | None = None) -> dict[str, list[SecurityGroupRule]]:
    """Return rules by group, in the order in which they were made."""
    query = select(SecurityGroupRule).order_by(SecurityGroupRule.id)
    found: dict[str, list[SecurityGroupRule]] = {}
    for rule in session.scalars(query if group_id is None else query.where(SecurityGroupRule.group_id == group_id)):
        found.setdefault(rule.group_id, []).append(rule)
    return found


def group_filters(rules: Rules) -> dict[str, filters.Values[SecurityGroup]]:
    """Return the supported filters."""

    def each(read: Any) -> filters.Values[SecurityGroup]:
        return lambda group: [value for rule in rules.get(group.id, ()) if (value := read(rule)) not in ("", None)]

    return {
        "description": lambda group: [group.description],
        "group-id": lambda group: [group.id],
        "group-name": lambda group: [group.name],
        "ip-permission.cidr": each(lambda rule: rule.cidr),
        "ip-permission.from-port": each(lambda rule: rule.from_port),
        "ip-permission.group-id": each(lambda rule: rule.source_group_id),
        "ip-permission.group-name": each(lambda rule: rule.source_group_name),
        "ip-permission.protocol": each(lambda rule: rule.protocol),
        "ip-permission.to-port": each(lambda rule: rule.to_port),
        "ip-permission.user-id": each(lambda rule: rule.source_owner),
        "owner-id": lambda group: [group.owner],
    }


def _rule_view(rule: SecurityGroupRule, owner: str) -> dict[str, Any]:
    view: dict[str, Any] = {
        "SecurityGroupRuleId": f"sgr-{rule.id:017x}", "GroupId": rule.group_id, "GroupOwnerId": owner,
        "IsEgress": False, "IpProtocol": rule.protocol, "FromPort": rule.from_port, "ToPort": rule.to_port,
    }  # fmt: skip
    if rule.cidr:
        return {**view, "CidrIpv4": rule.cidr}
    return {**view, "ReferencedGroupInfo": {"GroupId": rule.source_group_id, "UserId": rule.source_owner}}


def _words(rule: Rule) -> str:
    peer = rule.cidr or rule.source_group_id
    return f"peer: {peer}, {rule.protocol.upper()}, from port: {rule.from_port}, to port: {rule.to_port}, ALLOW"


def _not_found(text: str) -> ApiError:
    return ApiError("InvalidGroup.NotFound", f"The security group '{text[:255]}' does not exist")
