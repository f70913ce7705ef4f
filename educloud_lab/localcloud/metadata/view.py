"""What one instance may know about itself: the input of the metadata tree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class MetadataView:
    """One instance's metadata, read from the cloud's state at each request.

    Parameters
    ----------
    address : private IPv4 address.
    hostname : private DNS name; also ``local-hostname``.
    public_keys : (name, OpenSSH line) of the key pairs, in launch order.
    block_devices : virtual name (``ami``, ``root``, ``ebs1``, ``ephemeral0``) -> device, as EC2's
        ``block-device-mapping``.
    user_data : as given to RunInstances, decoded; None when none was given.
    public_address : shown as ``public-ipv4`` when there is one.
    kernel_id, ramdisk_id : '' for images without.
    """

    instance_id: str
    image_id: str
    instance_type: str
    address: str
    hostname: str
    availability_zone: str
    mac: str
    reservation_id: str
    security_groups: Sequence[str] = ("default",)
    public_keys: Sequence[tuple[str, str]] = ()
    block_devices: Mapping[str, str] = field(default_factory=dict)
    user_data: bytes | None = None
    launch_index: int = 0
    public_address: str = ""
    kernel_id: str = ""
    ramdisk_id: str = ""
