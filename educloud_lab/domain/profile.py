"""Machine profiles: what a lab's machine is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class VolumeSpec:
    """The data volume that stays."""

    size_gib: int
    mount_point: str  # absolute path, e.g. /data
    device: str = "/dev/vdf"  # Eucalyptus requires one; the guest finds the disk by its serial


@dataclass(frozen=True, slots=True)
class MachineProfile:
    """One revision of a lab's machine, read from a validated file.

    ``time_limit_s`` is the hard limit of one session; the machine is suspended when it is over. All limits are
    in seconds.
    """

    name: str
    revision: int
    title: str
    description: str
    image: str  # the image's name in the cloud, or its id
    instance_type: str
    login_user: str
    volume: VolumeSpec | None
    time_limit_s: int
    idle_limit_s: int = 0  # suspended after so long without activity; 0: never for that
    first_connection_limit_s: int = 0  # suspended when nobody connected in so long after it was ready; 0: never
    warn_before_s: tuple[int, ...] = (900, 300, 60)  # warnings so long before a limit, longest first
    ports: tuple[int, ...] = ()  # reachable on the machine from the front end, besides SSH
    retired: str = ""  # why new machines should not be made from it, and what instead; '' while it is in use
    sha256: str = ""  # of the file, so that a changed profile without a new revision is noticed
