"""What usual clients ask about an account, and detailed monitoring, which there is none of here."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from educloud_lab.localcloud.cloud import Caller, Cloud
from educloud_lab.localcloud.errors import ApiError, invalid
from educloud_lab.localcloud.operations import filters
from educloud_lab.localcloud.operations.common import find_instance, require

_ATTRIBUTES = {
    "supported-platforms": ["EC2"],
    "default-vpc": ["none"],
    "max-instances": ["50"],
    "vpc-max-security-groups-per-interface": ["5"],
    "max-elastic-ips": ["0"],
    "vpc-max-elastic-ips": ["0"],
}
_ADDRESS_FILTERS: dict[str, filters.Values[dict[str, Any]]] = {
    "public-ip": lambda address: [address["PublicIp"]],
    "instance-id": lambda address: [address["InstanceId"]],
    "domain": lambda address: [address["Domain"]],
    "allocation-id": lambda _address: [],
}


async def describe_account_attributes(_cloud: Cloud, _caller: Caller, params: dict[str, Any]) -> dict[str, Any]:
    """Tell that machines are in EC2-Classic and that there are no public addresses."""
    names = params.get("AttributeNames") or list(_ATTRIBUTES)
    for name in names:
        if name not in _ATTRIBUTES:
            raise invalid(f"Value ({name[:60]}) for parameter attributeName is invalid.")
    return {
        "AccountAttributes": [
            {"AttributeName": name, "AttributeValues": [{"AttributeValue": value} for value in _ATTRIBUTES[name]]}
            for name in names
        ]
    }


async def describe_addresses(_cloud: Cloud, _caller: Caller, params: dict[str, Any]) -> dict[str, Any]:
    """List no addresses: machines are reached through the gateway only."""
    for address in params.get("PublicIps", ()):
        if address != "verbose":
            raise ApiError("InvalidAddress.NotFound", f"Address '{address[:60]}' not found.")
    for allocation in params.get("AllocationIds", ()):
        raise ApiError("InvalidAllocationID.NotFound", f"The allocation ID '{allocation[:60]}' does not exist")
    nothing: list[dict[str, Any]] = []
    return {"Addresses": filters.apply(nothing, params.get("Filters"), _ADDRESS_FILTERS, lambda _address: {})}


async def monitor_instances(cloud: Cloud, caller: Caller, params: dict[str, Any]) -> dict[str, Any]:
    """Answer that monitoring of the instances is as it was: disabled."""
    ids = require(params, "InstanceIds", "InstanceId")

    def work(session: Session) -> list[str]:
        return [find_instance(session, caller, text).id for text in ids]

    found = await cloud.database.run(work)
    return {
        "InstanceMonitorings": [
            {"InstanceId": instance_id, "Monitoring": {"State": "disabled"}} for instance_id in found
        ]
    }
