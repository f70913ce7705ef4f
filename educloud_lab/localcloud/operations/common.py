"""Reading rows as their owner sees them, and their tags."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy import select
from sqlalchemy.orm import Session

from educloud_lab.localcloud.cloud import Caller
from educloud_lab.localcloud.errors import ApiError, invalid, missing
from educloud_lab.localcloud.ids import check_id, check_instance_id
from educloud_lab.localcloud.state.tables import (
    Image,
    Instance,
    LaunchPermission,
    SecurityGroup,
    Snapshot,
    SnapshotPermission,
    Tag,
    Volume,
)

T = TypeVar("T")
VERBOSE = "verbose"
MAX_TAGS = 50
MAX_KEY_CHARACTERS, MAX_VALUE_CHARACTERS = 127, 255

_OWNED: tuple[tuple[type[Instance | Volume | SecurityGroup], str], ...] = (
    (Instance, "instance"),
    (Volume, "volume"),
    (SecurityGroup, "security-group"),
)


def require(params: Mapping[str, Any], name: str, wire: str | None = None) -> Any:
    """Return a parameter; raises ``MissingParameter`` when it is absent or empty."""
    value = params.get(name)
    if value is None or value in ("", []):
        raise missing(wire or name)
    return value


def split_verbose(ids: Sequence[str], caller: Caller) -> tuple[list[str], bool]:
    """Return the ids without ``verbose``, and whether the administrator asked for everybody's resources."""
    kept = [text for text in ids if text != VERBOSE]
    return kept, len(kept) != len(ids) and caller.account.is_administrator


def find_instance(session: Session, caller: Caller, text: str) -> Instance:
    """Return the caller's instance; anybody else's does not exist for them."""
    instance_id = check_instance_id(text)
    row = session.get(Instance, instance_id)
    if row is None or not may_use(caller, row.owner):
        raise ApiError("InvalidInstanceID.NotFound", f"The instance ID '{instance_id}' does not exist")
    return row


def find_volume(session: Session, caller: Caller, text: str, *, what: str = "") -> Volume:
    """Return the caller's volume; a deleted one does not exist any more."""
    volume_id = check_id(text, "vol", what=what)
    row = session.get(Volume, volume_id)
    if row is None or row.state == "deleted" or not may_use(caller, row.owner):
        raise ApiError("InvalidVolume.NotFound", f"The volume '{volume_id}' does not exist")
    return row


def may_use(caller: Caller, owner: str) -> bool:
    """Whether the caller may act on a resource of this account."""
    return caller.account.is_administrator or owner == caller.account.account_id


def tags_of(
    session: Session, owner: str | None, resource_type: str, only: Collection[str] | None = None
) -> dict[str, dict[str, str]]:
    """Return the tags of one kind of resource by id; those of every account when ``owner`` is None.

    Parameters
    ----------
    only : the resources whose tags are wanted, where they are few; default all.
    """
    query = select(Tag).where(Tag.resource_type == resource_type).order_by(Tag.key)
    if owner is not None:
        query = query.where(Tag.owner == owner)
    if only is not None:
        query = query.where(Tag.resource_id.in_(only))
    found: dict[str, dict[str, str]] = {}
    for tag in session.scalars(query):
        found.setdefault(tag.resource_id, {})[tag.key] = tag.value
    return found


def tag_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """Return tags in the model's shape."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def read_tags(entries: Iterable[Mapping[str, Any]] | None) -> dict[str, str]:
    """Check tags as they came; raises the errors that Eucalyptus has for them (TagHelper.validateTags)."""
    tags: dict[str, str] = {}
    for entry in entries or ():
        key, value = str(entry.get("Key", "")).strip(), str(entry.get("Value", "")).strip()
        if key.startswith(("aws:", "euca:")):
            raise invalid("Tag keys starting with 'aws:' and 'euca:' are reserved for internal use")
        if not key or len(key) > MAX_KEY_CHARACTERS:
            raise invalid(f"Tag key exceeds the maximum length of {MAX_KEY_CHARACTERS} characters")
        if len(value) > MAX_VALUE_CHARACTERS:
            raise invalid(f"Tag value exceeds the maximum length of {MAX_VALUE_CHARACTERS} characters")
        if key in tags:
            raise invalid("Duplicate tag key")
        tags[key] = value
    return tags


def specified_tags(params: Mapping[str, Any], allowed: Sequence[str]) -> dict[str, dict[str, str]]:
    """Return the tags of ``TagSpecification.N`` by resource type."""
    found: dict[str, dict[str, str]] = {}
    for entry in params.get("TagSpecifications", ()):
        resource_type = entry.get("ResourceType", "")
        if resource_type not in allowed:
            raise invalid(f"Value ({resource_type[:60]}) for parameter resourceType is invalid.")
        found.setdefault(resource_type, {}).update(read_tags(entry.get("Tags")))
    for tags in found.values():
        _check_count(len(tags))
    return found


def put_tags(session: Session, owner: str, resource_type: str, resource_id: str, tags: Mapping[str, str]) -> None:
    """Set tags of one resource; others of it stay."""
    if not tags:
        return
    existing = set(session.scalars(select(Tag.key).where(Tag.owner == owner, Tag.resource_id == resource_id)))
    _check_count(len(existing | set(tags)))
    for key, value in tags.items():
        session.merge(Tag(owner=owner, resource_id=resource_id, resource_type=resource_type, key=key, value=value))


def drop_tags(session: Session, resource_id: str) -> None:
    """Remove every tag of a resource that is gone."""
    for tag in session.scalars(select(Tag).where(Tag.resource_id == resource_id)):
        session.delete(tag)


def resource_type(session: Session, caller: Caller, resource_id: str) -> str | None:
    """Return what kind of resource the caller's id is, None when it does not exist for them."""
    resource_id = resource_id.lower()
    account = caller.account.account_id
    if (snapshot := session.get(Snapshot, resource_id)) is not None and snapshot.state != "deleted":
        shared = snapshot.public or session.get(SnapshotPermission, (resource_id, account)) is not None
        return "snapshot" if shared or may_use(caller, snapshot.owner) else None
    if (image := session.get(Image, resource_id)) is not None and image.state != "deregistered":
        shared = image.public or session.get(LaunchPermission, (resource_id, account)) is not None
        return "image" if shared or may_use(caller, image.owner) else None
    for owned, kind in _OWNED:
        owner = session.scalar(select(owned.owner).where(owned.id == resource_id))
        if owner is not None and may_use(caller, owner):
            return kind
    return None


def _check_count(count: int) -> None:
    if count > MAX_TAGS:
        raise ApiError("TagLimitExceeded", "The maximum number of Tags for a resource has been reached.")
