"""Which instances and volumes of the cloud are a lease's, by id, by token, by tags."""

from __future__ import annotations

from collections.abc import Mapping

from educloud_lab.domain import naming
from educloud_lab.ports.cloud import CloudView, InstanceSeen, SnapshotSeen, VolumeSeen, VolumeState
from educloud_lab.ports.records import LeaseRecord, SnapshotRecord, VolumeRecord

GONE = frozenset({VolumeState.DELETED, VolumeState.DELETING})


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
        naming.TAG_NONCE: volume_nonce(volume),
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


def volume_nonce(volume: VolumeRecord) -> str:
    """Return what a lease's new data volume is known by."""
    return f"{volume.id}-{volume.nonce}"


def find_by_nonce(view: CloudView, deployment: str, nonce: str, set_aside: tuple[str, ...]) -> list[VolumeSeen]:
    """Return the volumes that carry a nonce of ours and are not set aside, oldest first."""
    wanted = {naming.TAG_DEPLOYMENT: deployment, naming.TAG_NONCE: nonce}
    found = [
        seen
        for seen in view.volumes.values()
        if _has(seen.tags, wanted) and seen.state not in GONE and seen.volume_id not in set_aside
    ]
    return sorted(found, key=lambda seen: (seen.created_at is None, seen.created_at, seen.volume_id))


def find_volumes(view: CloudView, deployment: str, volume: VolumeRecord) -> list[VolumeSeen]:
    """Return the volumes that carry this volume's tag and are not set aside, oldest first."""
    return find_by_nonce(view, deployment, volume_nonce(volume), volume.quarantined)


def snapshot_tags(deployment: str, snapshot: SnapshotRecord) -> dict[str, str]:
    """Return the tags of a snapshot of a data volume."""
    return {
        "Name": naming.tag_value(f"{snapshot.lab}: {snapshot.name} ({snapshot.person})"),
        naming.TAG_DEPLOYMENT: deployment,
        naming.TAG_COURSE: naming.tag_value(snapshot.course),
        naming.TAG_OWNER: naming.tag_value(snapshot.person),
        naming.TAG_LEASE: snapshot.lease_id,
        naming.TAG_NONCE: snapshot_nonce(snapshot),
    }


def snapshot_nonce(snapshot: SnapshotRecord) -> str:
    """Return what a snapshot is known by until it has an id."""
    return f"{snapshot.id}-{snapshot.nonce}"


def snapshot_description(deployment: str, snapshot: SnapshotRecord) -> str:
    """Return a snapshot's description: it comes with the call on every cloud, so it is what finds it again."""
    return f"educloud {deployment} {snapshot_nonce(snapshot)}"


def find_snapshots(seen: Mapping[str, SnapshotSeen], deployment: str, snapshot: SnapshotRecord) -> list[SnapshotSeen]:
    """Return the snapshots that carry this one's description or tags, oldest first."""
    text = snapshot_description(deployment, snapshot)
    wanted = {naming.TAG_DEPLOYMENT: deployment, naming.TAG_NONCE: snapshot_nonce(snapshot)}
    found = [item for item in seen.values() if item.description == text or _has(item.tags, wanted)]
    return sorted(found, key=lambda item: (item.created_at is None, item.created_at, item.snapshot_id))
