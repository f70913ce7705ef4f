"""Requests for instances and volumes that the cloud refuses for want of room or because of a quota."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from educloud_lab.localcloud.errors import ApiError
from educloud_lab.localcloud.faults.active import Target

if TYPE_CHECKING:
    from educloud_lab.localcloud.faults.faults import Faults

_USER = "admin"  # each account has one user


def over_quota(*, aws: bool) -> ApiError:
    """Error for more instances than a quota allows; Eucalyptus's front end rewrites it like a want of room."""
    if aws:
        return ApiError("InstanceLimitExceeded", "You have requested more instances than your limit allows.")
    return ApiError("ServiceUnavailable", f"Quota exceeded while trying to create: instance by user: {_USER}", 503)


def refuse(
    faults: Faults,
    account_id: str,
    operation: str,
    zone: str,
    *,
    least: int = 1,
    ids: Iterable[str] = (),
    tags: Iterable[tuple[str, str]] = (),
) -> None:
    """Raise what Eucalyptus (or AWS) answers when a fault strikes the request; nothing was made then.

    Parameters
    ----------
    least : how many instances are asked for at least.
    ids, tags : what the request is about and the tags that it brings.
    """
    target = Target(account_id, operation, zone, frozenset(ids), frozenset(f"{key}={value}" for key, value in tags))
    aws = faults.cloud.model.profile == "aws"
    if operation == "CreateVolume":
        for fault in faults.of("quota"):
            if fault.parameters["what"] in ("volumes", "both") and fault.strikes(target):
                raise ApiError("VolumeLimitExceeded", "Request would exceed quota for type: volume")
        return
    if faults.is_zone_dead(zone):
        message = "Not enough resources: no cluster controller is currently available to run instances."
        raise ApiError("ServiceUnavailable", message, 503)
    for fault in faults.of("quota"):
        starts = operation == "RunInstances"  # a stopped instance counts already
        if starts and fault.parameters["what"] in ("instances", "both") and fault.strikes(target):
            raise over_quota(aws=aws)
    for fault in faults.of("capacity"):
        if fault.strikes(target):
            message = f"Not enough resources (0 in {zone} < {least}): vm instances."
            raise ApiError("ServiceUnavailable", message, 503)
