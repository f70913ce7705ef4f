"""How full the disk is on which the cloud keeps its disks."""

from __future__ import annotations

import shutil
from dataclasses import dataclass

from educloud_lab.localcloud import disklayers
from educloud_lab.localcloud.disks import MARGIN_BYTES
from educloud_lab.localcloud.settings import Folders


@dataclass(frozen=True, slots=True)
class DiskUsage:
    """Looks at the file system.

    Parameters
    ----------
    limited : whether disks take any room at all; simulated ones do not.
    """

    folders: Folders
    limited: bool = True

    def free_bytes(self) -> int | None:
        """Return what new data may take, without the margin that always stays; None for no limit."""
        return shutil.disk_usage(self.folders.volumes).free - MARGIN_BYTES if self.limited else None

    def volume_bytes(self, volume_id: str) -> int:
        """Return what a volume's own layer takes."""
        return disklayers.used_bytes(self.folders.volumes / f"{volume_id}.qcow2") if self.limited else 0

    def volumes_bytes(self) -> int:
        """Return what the own layers of all volumes take."""
        if not self.limited:
            return 0
        return sum(disklayers.used_bytes(path) for path in self.folders.volumes.glob("*.qcow2"))
