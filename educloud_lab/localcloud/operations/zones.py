"""Regions, availability zones, instance types and security groups."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from educloud_lab.localcloud.capacity import UNLIMITED, capacity, most
from educloud_lab.localcloud.cloud import Caller, Cloud
from educloud_lab.localcloud.errors import ApiError, invalid
from educloud_lab.localcloud.ids import new_id
from educloud_lab.localcloud.operations import filters
from educloud_lab.localcloud.operations.common import require, split_verbose, tag_list, tags_of
from educloud_lab.localcloud.state.tables import Node, SecurityGroup

_ZONE_FILTERS: dict[str, filters.Values[dict[str, Any]]] = {
    "zone-name": lambda zone: [zone["ZoneName"]],
    "state": lambda zone: [zone["State"]],
    "region-name": lambda zone: [zone["RegionName"]],
}
_REGION_FILTERS: dict[str, filters.Values[dict[str, Any]]] = {
    "region-name": lambda region: [region["RegionName"]],
    "endpoint": lambda region: [region["Endpoint"]],
}
_GROUP_FILTERS: dict[str, filters.Values[SecurityGroup]] = {
    "group-name": lambda group: [group.name],
    "group-id": lambda group: [group.id],
    "description": lambda group: [group.description],
    "owner-id": lambda group: [group.owner],
}


async def describe_availability_zones(cloud: Cloud, caller: Caller, params: dict[str, Any]) -> dict[str, Any]:
    """List the zones: the clusters of this cloud."""
    names, verbose = split_verbose(params.get("ZoneNames", ()), caller)

    def work(session: Session) -> list[str]:
        return sorted(set(session.scalars(select(Node.zone).where(Node.enabled))))

    zones = [
        {"ZoneName": zone, "State": "available", "RegionName": cloud.settings.region, "Messages": []}
        for zone in await cloud.database.run(work)
    ]
    for name in names:
        if all(zone["ZoneName"] != name for zone in zones):
            raise ApiError("InvalidZone.NotFound", f"The zone '{name[:100]}' does not exist.")
    kept = [zone for zone in zones if not names or zone["ZoneName"] in names]
    kept = filters.apply(kept, params.get("Filters"), _ZONE_FILTERS, lambda _zone: {})
    return {"AvailabilityZones": [*kept, *(_capacity_lines(cloud, await _room(cloud)) if verbose else [])]}


def _capacity_lines(cloud: Cloud, room: dict[str, tuple[int, int]]) -> list[dict[str, Any]]:
    """Return what Eucalyptus adds for its administrator: free and most machines of each type, as zones."""
    lines = [{"ZoneName": "|- vm types", "State": "free / max   cpu   ram  disk"}]
    for kind in cloud.types.values():
        free, largest = room[kind.name]
        state = f"{free:04} / {largest:04}  {kind.cpus:2}   {kind.memory_mib:4}  {kind.disk_gib:4}"
        lines.append({"ZoneName": f"|- {kind.name}", "State": state})
    return [{**line, "RegionName": cloud.settings.region, "Messages": []} for line in lines]


async def _room(cloud: Cloud) -> dict[str, tuple[int, int]]:
    """Return how many machines of each type may start now, and how many there could be at most."""

    def work(session: Session) -> dict[str, tuple[int, int]]:
        return {
            kind.name: (capacity(session, cloud, kind.memory_bytes, UNLIMITED), most(cloud, kind.memory_bytes))
            for kind in cloud.types.values()
        }

    return await cloud.database.run(work)


async def describe_regions(cloud: Cloud, caller: Caller, params: dict[str, Any]) -> dict[str, Any]:
    """Tell the only region, with this cloud's own address."""
    region = {"RegionName": cloud.settings.region, "Endpoint": f"{caller.endpoint}/services/compute"}
    names = params.get("RegionNames", ())
    kept = [region] if not names or region["RegionName"] in names else []
    return {"Regions": filters.apply(kept, params.get("Filters"), _REGION_FILTERS, lambda _region: {})}


async def describe_instance_types(cloud: Cloud, caller: Caller, params: dict[str, Any]) -> dict[str, Any]:
    """List instance types in Eucalyptus's own shape."""
    if params.get("Availability") and not caller.account.is_administrator:
        raise ApiError("AuthFailure", "Not authorized to view availability")
    names = params.get("InstanceTypes", ())
    for name in names:
        if name not in cloud.types:
            raise invalid(f"Invalid instance type: {name[:60]}")
    details = []
    room = await _room(cloud) if params.get("Availability") else {}
    for kind in cloud.types.values():
        if names and kind.name not in names:
            continue
        entry: dict[str, Any] = {
            "Name": kind.name, "Cpu": kind.cpus, "Disk": kind.disk_gib, "Memory": kind.memory_mib,
            "NetworkInterfaces": 1,
        }  # fmt: skip
        if params.get("Availability"):
            free, largest = room[kind.name]
            zone = {"Name": kind.name, "ZoneName": cloud.settings.zone, "Max": largest, "Available": free}
            entry["Availability"] = [zone]
        details.append(entry)
    return {"InstanceTypeDetails": details}


async def describe_security_groups(cloud: Cloud, caller: Caller, params: dict[str, Any]) -> dict[str, Any]:
    """List the caller's groups; everybody has ``default``."""
    owner = caller.account.account_id
    names, ids = params.get("GroupNames", ()), params.get("GroupIds", ())

    def work(session: Session) -> tuple[list[SecurityGroup], dict[str, dict[str, str]]]:
        ensure_default_group(session, owner)
        rows = select(SecurityGroup).where(SecurityGroup.owner == owner).order_by(SecurityGroup.name)
        return list(session.scalars(rows)), tags_of(session, owner, "security-group")

    groups, tags = await cloud.database.run(work)
    for name in names:
        if name != "verbose" and all(group.name != name for group in groups):
            raise ApiError("InvalidGroup.NotFound", f"The security group '{name[:255]}' does not exist")
    for group_id in ids:
        if group_id != "verbose" and all(group.id != group_id for group in groups):
            raise ApiError("InvalidGroup.NotFound", f"The security group '{group_id[:40]}' does not exist")
    wanted = {*names, *ids} - {"verbose"}
    kept = [group for group in groups if not wanted or group.name in wanted or group.id in wanted]
    kept = filters.apply(kept, params.get("Filters"), _GROUP_FILTERS, lambda group: tags.get(group.id, {}))
    return {
        "SecurityGroups": [
            {
                "OwnerId": group.owner, "GroupName": group.name, "GroupId": group.id,
                "Description": group.description, "IpPermissions": [], "IpPermissionsEgress": [],
                "Tags": tag_list(tags.get(group.id, {})),
            }
            for group in kept
        ]
    }  # fmt: skip


async def create_security_group(cloud: Cloud, caller: Caller, params: dict[str, Any]) -> dict[str, Any]:
    """Make a group. Rules are not kept yet: machines are isolated from each other whatever their groups."""
    name, description = require(params, "GroupName"), require(params, "Description", "GroupDescription")
    owner = caller.account.account_id
    if len(name) > 255 or not name.isprintable():
        raise invalid("Value for parameter groupName is invalid.")

    def work(session: Session) -> str:
        ensure_default_group(session, owner)
        rows = select(SecurityGroup).where(SecurityGroup.owner == owner, SecurityGroup.name == name)
        if session.scalar(rows) is not None:
            raise ApiError("InvalidGroup.Duplicate", f"The security group '{name}' already exists")
        group = SecurityGroup(id=new_id("sg"), owner=owner, name=name, description=description[:255])
        session.add(group)
        return group.id

    return {"GroupId": await cloud.database.run(work)}


def ensure_default_group(session: Session, owner: str) -> SecurityGroup:
    """Return the account's ``default`` group, making it where missing."""
    rows = select(SecurityGroup).where(SecurityGroup.owner == owner, SecurityGroup.name == "default")
    group = session.scalar(rows)
    if group is None:
        group = SecurityGroup(id=new_id("sg"), owner=owner, name="default", description="default group")
        session.add(group)
        session.flush()
    return group
