"""An instance's metadata, as the cloud's state has it."""

from __future__ import annotations

import base64

from sqlalchemy import select
from sqlalchemy.orm import Session

from educloud_lab.localcloud.metadata.view import MetadataView
from educloud_lab.localcloud.operations.images import ROOT_DEVICE
from educloud_lab.localcloud.state.tables import Attachment, Instance


def read_view(session: Session, instance_id: str) -> MetadataView | None:
    """Return what one instance may know about itself; None when there is no such instance."""
    row = session.get(Instance, instance_id)
    if row is None:
        return None
    devices = {"ami": ROOT_DEVICE.removeprefix("/dev/"), "root": ROOT_DEVICE}
    query = select(Attachment).where(Attachment.instance_id == instance_id, Attachment.is_root.is_(False))
    for number, attachment in enumerate(session.scalars(query.order_by(Attachment.device)), 1):
        devices[f"ebs{number}"] = attachment.device
    return MetadataView(
        instance_id=row.id,
        image_id=row.image_id,
        instance_type=row.instance_type,
        address=row.address,
        hostname=row.address,
        availability_zone=row.zone,
        mac=row.mac,
        reservation_id=row.reservation_id,
        security_groups=[group[1] for group in row.groups],
        public_keys=[(row.key_name, row.key_material)] if row.key_material else [],
        block_devices=devices,
        user_data=base64.b64decode(row.user_data) if row.user_data else None,
        launch_index=row.launch_index,
        public_address=row.address,
        kernel_id=row.kernel_id,
        ramdisk_id=row.ramdisk_id,
    )
