"""Regions, availability zones and instance types."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from educloud_lab.localcloud.capacity import UNLIMITED, capacity, most
from educloud_lab.localcloud.cloud import Caller, Cloud
from educloud_lab.localcloud.errors import ApiError, invalid
from educloud_lab.localcloud.model import InstanceType
from educloud_lab.localcloud.operations import filters
from educloud_lab.localcloud.operations.common import split_verbose
from educloud_lab.localcloud.state.tables import Node

_ZONE_FILTERS: dict[str, filters.Values[dict[str, Any]]] = {
    "zone-name": lambda zone: [zone["ZoneName"]],
    "state": lambda zone: [zone["State"]],
    "region-name": lambda zone: [zone["RegionName"]],
}
_REGION_FILTERS: dict[str, filters.Values[dict[str, Any]]] = {
    "region-name": lambda region: [region["RegionName"]],
    "endpoint": lambda region: [region["Endpoint"]],
}


async def describe_availability_zones(cloud: Cloud, caller: Caller, params: dict[str, Any]) -> dict[str, Any]:
    """List the zones: the clusters of this cloud."""
    names, verbose = split_verbose(params.get("ZoneNames", ()), caller)

    def work(session: Session) -> list[str]:
        return sorted(set(session.scalars(select(Node.zone).where(Node.enabled))))

    dead = cloud.faults.is_zone_dead
    zones: list[dict[str, Any]] = [
        {
            "ZoneName": zone, "State": "unavailable" if dead(zone) else "available",
            "RegionName": cloud.settings.region, "Messages": [],
        }
        for zone in await cloud.database.run(work)
    ]  # fmt: skip
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
    """List instance types, in Eucalyptus's own shape or in AWS's."""
    offered = [kind for name, kind in cloud.types.items() if name in cloud.model.behaviour.types]
    if cloud.model.behaviour.type_shape == "aws":
        return _types_of_aws(offered, params)
    if params.get("Availability") and not caller.account.is_administrator:
        raise ApiError("AuthFailure", "Not authorized to view availability")
    names = params.get("InstanceTypes", ())
    for name in names:
        if all(kind.name != name for kind in offered):
            raise invalid(f"Invalid instance type: {name[:60]}")
    details = []
    room = await _room(cloud) if params.get("Availability") else {}
    for kind in offered:
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


_TYPE_FILTERS: dict[str, filters.Values[InstanceType]] = {
    "instance-type": lambda kind: [kind.name],
    "current-generation": lambda _kind: [True],
    "memory-info.size-in-mib": lambda kind: [kind.memory_mib],
    "processor-info.supported-architecture": lambda _kind: ["x86_64"],
    "vcpu-info.default-vcpus": lambda kind: [kind.cpus],
}


def _types_of_aws(offered: list[InstanceType], params: dict[str, Any]) -> dict[str, Any]:
    names = params.get("InstanceTypes", ())
    for name in names:
        if all(kind.name != name for kind in offered):
            raise ApiError("InvalidInstanceType", f"The following supplied instance types do not exist: [{name[:60]}]")
    kept = [kind for kind in offered if not names or kind.name in names]
    return {
        "InstanceTypes": [
            {
                "InstanceType": kind.name, "CurrentGeneration": True, "FreeTierEligible": False,
                "SupportedUsageClasses": ["on-demand"], "SupportedRootDeviceTypes": ["ebs", "instance-store"],
                "SupportedVirtualizationTypes": ["hvm"], "BareMetal": False, "Hypervisor": "nitro",
                "ProcessorInfo": {"SupportedArchitectures": ["x86_64"]},
                "VCpuInfo": {"DefaultVCpus": kind.cpus, "DefaultCores": kind.cpus, "DefaultThreadsPerCore": 1},
                "MemoryInfo": {"SizeInMiB": kind.memory_mib}, "InstanceStorageSupported": True,
                "HibernationSupported": False, "BurstablePerformanceSupported": kind.name.startswith("t"),
                "DedicatedHostsSupported": False, "AutoRecoverySupported": False,
            }
            for kind in filters.apply(kept, params.get("Filters"), _TYPE_FILTERS, lambda _kind: {})
        ]
    }  # fmt: skip
