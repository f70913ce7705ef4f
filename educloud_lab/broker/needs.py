"""Whether what a lab's notebook needs is here for a person: the domain's rules over what the person sees."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from educloud_lab.domain import needs_rules
from educloud_lab.domain.needs import Needs, Remark, VolumeNeed, Weight, read
from educloud_lab.domain.needs_rules import LeaseFacts, ProfileFacts
from educloud_lab.wire import models as wire

_GIB: Final = 1024**3


def report(snapshot: wire.Snapshot, metadata: object) -> wire.NeedsReport:
    """Judge a notebook's ``metadata.educloud``, whatever it is, by what a person's snapshot shows."""
    needs, remarks = read(metadata)
    if needs is not None:
        remarks += needs_rules.judge(
            needs,
            [_profile(each) for each in snapshot.profiles],
            course=snapshot.course,
            broken=_broken(needs.machine_profile, snapshot.profile_problems),
            lease=_lease(needs, snapshot.leases),
        )
    return wire_report(needs, remarks)


def wire_report(needs: Needs | None, remarks: Sequence[Remark]) -> wire.NeedsReport:
    """Return what was read and judged, the worst first."""
    order = list(Weight)
    return wire.NeedsReport(
        needs=_wire_needs(needs) if needs is not None else None,
        can_start=needs is not None and all(remark.weight is not Weight.REFUSAL for remark in remarks),
        remarks=[
            wire.NeedsRemark(
                code=remark.code,
                weight=remark.weight.value,
                field=remark.field,
                what=remark.what,
                next_step=remark.next_step,
            )
            for remark in sorted(remarks, key=lambda remark: order.index(remark.weight))
        ],
    )


def _wire_needs(needs: Needs) -> wire.LabNeeds:
    return wire.LabNeeds(
        course=needs.course,
        lab=needs.lab,
        machine_profile=needs.machine_profile,
        revision=needs.revision,
        slot=needs.slot,
        volumes=[wire.VolumeNeed(mount_point=one.mount_point, size_gib=one.size_gib) for one in needs.volumes],
        ports=list(needs.ports),
        minutes=needs.minutes,
        show_calls=needs.show_calls,
    )


def _profile(profile: wire.MachineProfile) -> ProfileFacts:
    return ProfileFacts(
        name=profile.name,
        revision=profile.revision,
        time_limit_s=profile.time_limit_s,
        volume_gib=profile.volume_size_bytes / _GIB if profile.volume_size_bytes else None,
        mount_point=profile.mount_point,
        ports=tuple(profile.ports),
        retired=profile.retired,
    )


def _broken(name: str, problems: Sequence[wire.Problem]) -> dict[str, str]:
    """Return what is wrong with the profile's file: the text names the file's profile in quotation marks."""
    what = next((problem.what for problem in problems if f"'{name}'" in problem.what), "")
    return {name: what} if what else {}


def _lease(needs: Needs, leases: Sequence[wire.Lease]) -> LeaseFacts | None:
    for lease in leases:
        if (lease.lab, lease.slot) == (needs.lab, needs.slot):
            at_work = lease.job is not None and lease.job.in_flight
            return LeaseFacts(
                machine_profile=lease.machine_profile.name,
                revision=lease.machine_profile.revision,
                exists=lease.instance is not None or at_work,
                volumes=tuple(VolumeNeed(one.mount_point, one.size_bytes // _GIB) for one in lease.volumes),
            )
    return None
