"""Which files of registered images something still needs, by what the rows say."""

from __future__ import annotations

import os
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from educloud_lab.localcloud.state.tables import Image, Instance, Snapshot, Volume


def used_files(session: Session) -> frozenset[str]:
    """Return the folders of kept images that something still needs."""
    live = set(session.scalars(select(Instance.image_id).where(Instance.state != "terminated")))
    snapshots = set(session.scalars(select(Volume.snapshot_id).where(Volume.state != "deleted")))
    # A system disk can be registered again for as long as it is there, and then boots like the image it came from.
    live |= set(session.scalars(select(Volume.boots_like).where(Volume.state != "deleted")))
    live |= set(
        session.scalars(select(Snapshot.boots_like).where(Snapshot.state != "deleted", Snapshot.volume_id != ""))
    )
    used = set()
    for image in session.scalars(select(Image)):
        if image.state != "deregistered" or image.id in live or (image.snapshot_id and image.snapshot_id in snapshots):
            used.add(image.folder)
            used.update(os.path.normpath(Path(image.folder) / name).rpartition("/")[0] for name in image.files.values())
    for snapshot in session.scalars(select(Snapshot)):
        if snapshot.id in snapshots:
            used.add(snapshot.file.rpartition("/")[0])
    return frozenset(used)
