"""Which instances and volumes of the cloud are a lease's, by id, by token, by tags."""

from __future__ import annotations

from collections.abc import Mapping

from educloud_lab.domain import naming
from educloud_lab.ports.cloud import CloudView, InstanceSeen, VolumeSeen, VolumeState
from educloud_lab.ports.records import LeaseRecord, VolumeRecord

_GONE = frozenset({VolumeState.DELETED, VolumeState.DELETING})


def instance_tags(deployment: str, lease: LeaseRecord) -> dict[str, str]:
    """Return the tags of the lease's present generation (I2)."""
    return {
        "Name": naming.tag_value(f"{lease.lab} ({lease.person})"),
        naming.TAG_DEPLOYMENT: deployment,
        naming.TAG_COURSE: naming.tag_value(lease.course),
        naming.TAG_OWNER: naming.tag_value(lease.person),
        naming.TAG_LEASE: lease.id,
        naming.TAG_GENERATION: str(lease.generation),
        naming.TAG_NONCE: lease.client_token,
    }


def volume_tags(deployment: str, lease: LeaseRecord, volume: VolumeRecord) -> dict[str, str]:
    """Return the tags of the lease's data volume (I2)."""
    return {
        "Name": naming.tag_value(f"{lease.lab} data ({lease.person})"),
        naming.TAG_DEPLOYMENT: deployment,
        naming.TAG_COURSE: naming.tag_value(lease.course),
        naming.TAG_OWNER: naming.tag_value(lease.person),
        naming.TAG_LEASE: lease.id,
        naming.TAG_VOLUME: volume.id,
        naming.TAG_NONCE: f"{volume.id}-{volume.nonce}",
    }


def _has(tags: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    return all(tags.get(name) == text for name, text in wanted.items())


def find_instance(view: CloudView, deployment: str, lease: LeaseRecord) -> InstanceSeen | None:
    """Return the instance of the present generation, or None when it is not in the view (which proves nothing, I5)."""
    if lease.instance_id is not None:
        return view.instances.get(lease.instance_id)
    if not lease.client_token:
        return None
    wanted = {naming.TAG_DEPLOYMENT: deployment, naming.TAG_NONCE: lease.client_token}
    for seen in view.instances.values():
        if seen.client_token == lease.client_token or _has(seen.tags, wanted):
            return seen
    return None


def find_volumes(view: CloudView, deployment: str, volume: VolumeRecord) -> list[VolumeSeen]:
    """Return the volumes that carry this volume's tag and are not set aside, oldest first."""
    wanted = {naming.TAG_DEPLOYMENT: deployment, naming.TAG_NONCE: f"{volume.id}-{volume.nonce}"}
    found = [
        seen
        for seen in view.volumes.values()
        if _has(seen.tags, wanted) and seen.state not in _GONE and seen.volume_id not in volume.quarantined
    ]
    return sorted(found, key=lambda seen: (seen.created_at is None, seen.created_at, seen.volume_id))
