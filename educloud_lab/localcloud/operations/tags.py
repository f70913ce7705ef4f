"""CreateTags, DeleteTags, DescribeTags. Tags belong to the account that made them, as in Eucalyptus."""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from educloud_lab.localcloud.cloud import Caller, Cloud
from educloud_lab.localcloud.errors import ApiError
from educloud_lab.localcloud.operations import filters
from educloud_lab.localcloud.operations.common import put_tags, read_tags, require, resource_type
from educloud_lab.localcloud.state.tables import Tag

_FILTERS: dict[str, filters.Values[Tag]] = {
    "key": lambda tag: [tag.key],
    "value": lambda tag: [tag.value],
    "resource-id": lambda tag: [tag.resource_id],
    "resource-type": lambda tag: [tag.resource_type],
}


_WELL_FORMED = re.compile(r"[a-z]{1,32}-[0-9a-fA-F]{8}(?:[0-9a-fA-F]{9})?", re.ASCII)
_NOT_THERE = {
    "i": ("InvalidInstanceID.NotFound", "The instance ID '{}' does not exist"),
    "vol": ("InvalidVolume.NotFound", "The volume '{}' does not exist"),
    "snap": ("InvalidSnapshot.NotFound", "The snapshot '{}' does not exist."),
    "sg": ("InvalidGroup.NotFound", "The security group '{}' does not exist"),
    **dict.fromkeys(
        ("ami", "aki", "ari", "emi", "eki", "eri"), ("InvalidAMIID.NotFound", "The image ID '{}' does not exist")
    ),
}


async def create_tags(cloud: Cloud, caller: Caller, params: dict[str, Any]) -> dict[str, Any]:
    """Set tags on resources of the caller."""
    resources, tags = require(params, "Resources", "ResourceId"), read_tags(require(params, "Tags", "Tag"))

    def work(session: Session) -> None:
        for resource_id in resources:
            kind = _kind(session, caller, resource_id)
            put_tags(session, caller.account.account_id, kind, resource_id.lower(), tags)

    await cloud.database.run(work)
    return {}


async def delete_tags(cloud: Cloud, caller: Caller, params: dict[str, Any]) -> dict[str, Any]:
    """Remove tags; with a value only where it agrees. Without any tag AWS removes all, Eucalyptus none."""
    resources, entries = require(params, "Resources", "ResourceId"), params.get("Tags")
    everything = not entries and cloud.model.profile == "aws"

    def work(session: Session) -> None:
        for resource_id in resources:
            # One that is not there is passed over (TagManager.deleteTags looks it up with required=false).
            if not _WELL_FORMED.fullmatch(resource_id):
                _kind(session, caller, resource_id)
            rows = select(Tag).where(Tag.owner == caller.account.account_id, Tag.resource_id == resource_id.lower())
            for tag in session.scalars(rows):
                if everything or any(
                    e.get("Key") == tag.key and e.get("Value", tag.value) == tag.value for e in entries or ()
                ):
                    session.delete(tag)

    await cloud.database.run(work)
    return {}


async def describe_tags(cloud: Cloud, caller: Caller, params: dict[str, Any]) -> dict[str, Any]:
    """List the caller's tags."""

    def work(session: Session) -> list[Tag]:
        rows = select(Tag).where(Tag.owner == caller.account.account_id).order_by(Tag.resource_id, Tag.key)
        return list(session.scalars(rows))

    tags = filters.apply(
        await cloud.database.run(work), params.get("Filters"), _FILTERS, lambda tag: {tag.key: tag.value}
    )
    return {
        "Tags": [
            {"ResourceId": t.resource_id, "ResourceType": t.resource_type, "Key": t.key, "Value": t.value} for t in tags
        ]
    }


def _kind(session: Session, caller: Caller, resource_id: str) -> str:
    """Return what kind of resource it is; raises what Eucalyptus's TagManager says of one that is not there."""
    kind = resource_type(session, caller, resource_id)
    if kind is not None:
        return kind
    prefix = resource_id.partition("-")[0]
    if prefix in _NOT_THERE and _WELL_FORMED.fullmatch(resource_id):
        code, words = _NOT_THERE[prefix]
        raise ApiError(code, words.format(resource_id))
    raise ApiError("InvalidID", f"The ID '{resource_id[:100]}' is not valid")
