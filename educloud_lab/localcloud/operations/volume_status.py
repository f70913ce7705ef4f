"""DescribeVolumeStatus and DescribeVolumeAttribute: whether a volume can be written, and that it is always on."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from educloud_lab.localcloud.cloud import Caller, Cloud
from educloud_lab.localcloud.errors import invalid
from educloud_lab.localcloud.operations import filters
from educloud_lab.localcloud.operations.common import find_volume, require, split_verbose
from educloud_lab.localcloud.state.tables import Volume

_BROKEN = ("error", "failed", "unavailable")
_FILTERS: dict[str, filters.Values[Volume]] = {
    "availability-zone": lambda row: [row.zone],
    "volume-id": lambda row: [row.id],
    "volume-status.status": lambda row: [_status(row)],
}


async def describe_volume_status(cloud: Cloud, caller: Caller, params: dict[str, Any]) -> dict[str, Any]:
    """Tell of each volume whether it is well; AWS says of those that failed that they are impaired."""
    told = _status if cloud.model.profile == "aws" else _always_well
    known = {**_FILTERS, "volume-status.status": lambda row: [told(row)]}
    ids, everybody = split_verbose(params.get("VolumeIds", ()), caller)

    def work(session: Session) -> list[Volume]:
        if ids:
            return [find_volume(session, caller, text, what="volumes") for text in ids]
        query = (
            select(Volume).where(Volume.state.not_in(("deleting", "deleted"))).order_by(Volume.created_at, Volume.id)
        )
        return list(session.scalars(query if everybody else query.where(Volume.owner == caller.account.account_id)))

    rows = filters.apply(await cloud.database.run(work), params.get("Filters"), known, lambda _row: {})
    return {
        "VolumeStatuses": [
            {
                "VolumeId": row.id, "AvailabilityZone": row.zone, "Events": [], "Actions": [],
                "VolumeStatus": {
                    "Status": told(row),
                    "Details": [{"Name": "io-enabled", "Status": "failed" if told(row) == "impaired" else "passed"}],
                },
            }
            for row in rows
        ]
    }  # fmt: skip


async def describe_volume_attribute(cloud: Cloud, caller: Caller, params: dict[str, Any]) -> dict[str, Any]:
    """Tell one of the two attributes of a volume, which are the same for all."""
    volume_id, attribute = require(params, "VolumeId"), require(params, "Attribute")
    if attribute not in ("autoEnableIO", "productCodes"):
        raise invalid(f"Value ({attribute[:60]}) for parameter attribute is invalid.")
    found = await cloud.database.run(lambda session: find_volume(session, caller, volume_id).id)
    if attribute == "productCodes":
        return {"VolumeId": found, "ProductCodes": []}
    return {"VolumeId": found, "AutoEnableIO": {"Value": True}}


def _always_well(_row: Volume) -> str:
    """What Eucalyptus answers whatever happened (VolumeToVolumeStatusItemTypeTransform)."""
    return "ok"


def _status(row: Volume) -> str:
    if row.state == "creating":
        return "insufficient-data"
    return "impaired" if row.state in _BROKEN else "ok"
