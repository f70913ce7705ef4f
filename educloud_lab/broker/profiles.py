"""Which machine profile a lease is made from, and what of a newer revision it takes over when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from educloud_lab.broker.intents import new_id
from educloud_lab.domain import naming
from educloud_lab.domain.errors import ConflictError, EducloudError, NotFoundError, ProfileError, ProfileRetiredError
from educloud_lab.domain.lease import LeaseKey, Status
from educloud_lab.domain.profile import MachineProfile
from educloud_lab.ports.records import LeaseRecord, VolumeRecord
from educloud_lab.ports.store import Transaction

_GIB: Final = 1024**3


def find(profiles: Sequence[MachineProfile], problems: Sequence[EducloudError], name: str) -> MachineProfile:
    """Return the machine profile of that name.

    Raises
    ------
    ProfileError
        Its file is wrong.
    NotFoundError
        There is none.
    """
    profile = next((profile for profile in profiles if profile.name == name), None)
    if profile is None:
        for error in problems:
            if isinstance(error, ProfileError) and name in error.what:
                raise error
        known = ", ".join(sorted(profile.name for profile in profiles if not profile.retired)) or "none"
        raise NotFoundError(
            f"There is no machine profile '{name}' (there is: {known}).",
            next_step="Check the name in the notebook's metadata.",
        )
    if profile.volume is not None and not naming.is_mount_point(profile.volume.mount_point):
        raise ProfileError(f"The mount point of machine profile '{name}' is not a plain absolute path.")
    return profile


def new_lease(tx: Transaction, key: LeaseKey, profile: MachineProfile) -> LeaseRecord:
    """Record a person's first claim on a machine of a lab, and the volume that will stay.

    Raises
    ------
    ProfileRetiredError
        No new machines are made from this profile.
    """
    if profile.retired:
        raise ProfileRetiredError(
            f"The machine profile '{profile.name}' is retired: {profile.retired}",
            kept="Nothing was made.",
            next_step="Ask whoever gave you the notebook for a newer one, which names another machine profile.",
        )
    now = tx.now()
    lease = LeaseRecord(
        id=new_id(),
        course=key.course,
        lab=key.lab,
        person=key.person,
        slot=key.slot,
        profile=profile,
        created_at=now,
        updated_at=now,
    )
    tx.put_lease(lease)
    if profile.volume is not None:
        tx.put_volume(
            VolumeRecord(
                id=new_id(),
                lease_id=lease.id,
                size_bytes=profile.volume.size_gib * _GIB,
                mount_point=profile.volume.mount_point,
                device=profile.volume.device,
            )
        )
    return lease


def take_over(tx: Transaction, lease: LeaseRecord, profile: MachineProfile) -> LeaseRecord:
    """Take over another profile or revision where no machine exists that was made from the old one.

    Of a machine that exists and sleeps the ports alone follow: its group and the front end's lines are put right at
    each start.

    Raises
    ------
    ConflictError
        Its machine was made from a profile of another name.
    """
    # A token that was never sent made nothing: a start that failed over its profile follows the mended one.
    working = tx.job_in_flight(lease.id) is not None
    exists = lease.token_sent or lease.instance_id is not None or working
    if exists and lease.profile.name != profile.name:
        raise ConflictError(
            f"The machine of this lab was made from the machine profile '{lease.profile.name}'.",
            kept="Nothing was changed.",
            next_step="Delete the machine first (the data volume stays), or use another slot.",
        )
    if exists:  # a new revision counts from the next machine on
        if working or lease.status is Status.RUNNING or lease.profile.ports == profile.ports:
            return lease
        profile = replace(lease.profile, ports=profile.ports)
    lease = replace(lease, profile=profile)
    tx.put_lease(lease)
    return lease
