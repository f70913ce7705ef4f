"""Whether what is promised fits the disk: sizes are counted when they are asked for, not when they are filled.

Files grow as they are written. What volumes may still come to take is the sum of their sizes without what they take
already; it may be ``disk_overcommit`` times what the file system has free, since nobody fills everything. A snapshot
promises as much again as its volume holds, for all of it may be written anew.
"""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from educloud_lab.localcloud.cloud import Cloud
from educloud_lab.localcloud.errors import ApiError
from educloud_lab.localcloud.state.tables import Volume

_GIB = 1 << 30


def check_volume(session: Session, cloud: Cloud, more_gib: int) -> None:
    """Raise ``VolumeLimitExceeded`` where another volume of this size, or so much growth, does not fit."""
    if room_bytes(session, cloud) < more_gib * _GIB:
        raise ApiError("VolumeLimitExceeded", f"Not enough storage for a volume of {more_gib} GiB. {_ADVICE}")


def check_snapshot(session: Session, cloud: Cloud, volume: Volume) -> None:
    """Raise ``SnapshotLimitExceeded`` where the volume could not be written anew after a snapshot."""
    if room_bytes(session, cloud) < cloud.disk_usage.volume_bytes(volume.id):
        raise ApiError("SnapshotLimitExceeded", f"Not enough storage for a snapshot of {volume.id}. {_ADVICE}")


def machines_that_fit(session: Session, cloud: Cloud, gib_each: int, wanted: int) -> int:
    """Return for how many machines with so much disk each there is room, at most ``wanted``."""
    return int(max(0, min(wanted, room_bytes(session, cloud) // (max(1, gib_each) * _GIB))))


def room_bytes(session: Session, cloud: Cloud) -> int:
    """Return how much may still be promised."""
    free = cloud.disk_usage.free_bytes()
    if free is None:
        return 1 << 62
    promised = session.scalar(select(func.sum(Volume.size_gib)).where(Volume.state.not_in(("deleted", "failed")))) or 0
    open_bytes = max(0, int(promised) * _GIB - cloud.disk_usage.volumes_bytes())
    if free <= 0:
        return -1
    return int(free * cloud.settings.disk_overcommit) - open_bytes


_ADVICE = "Delete volumes or snapshots that are not needed, or free space on the disk."
