"""Whether what a lab's notebook needs is here: course, machine profile, revision, volumes, ports, time.

The one place of these rules: the broker judges by them for the page, ``educloud lab check`` for authors.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from educloud_lab.domain.needs import Needs, Remark, VolumeNeed, Weight

LOCAL_COURSE: Final = "local"
"""The course of a laptop, where everybody may try everything."""


@dataclass(frozen=True, slots=True)
class ProfileFacts:
    """What is known of a machine profile that is here; sizes in GiB."""

    name: str
    revision: int
    time_limit_s: int
    volume_gib: float | None = None
    mount_point: str | None = None
    ports: tuple[int, ...] = ()
    retired: str = ""


@dataclass(frozen=True, slots=True)
class LeaseFacts:
    """What is known of the person's machine for this lab, where there is one."""

    machine_profile: str
    revision: int
    exists: bool  # an instance of it, running or asleep
    volumes: tuple[VolumeNeed, ...] = ()


def judge(
    needs: Needs,
    profiles: Sequence[ProfileFacts],
    *,
    course: str | None = None,
    broken: Mapping[str, str] | None = None,
    lease: LeaseFacts | None = None,
) -> list[Remark]:
    """Say what is not as a lab needs it, the worst first.

    Parameters
    ----------
    profiles : those that there are.
    course : that machines are made for here; None where there is no broker to ask.
    broken : what is wrong with the profile files that could not be read, by profile.
    lease : the person's machine for this lab, when they have one.
    """
    remarks = [*_course_of(needs, course)]
    profile = next((each for each in profiles if each.name == needs.machine_profile), None)
    if profile is None:
        remarks += _no_profile(needs, profiles, broken or {}, lease)
    else:
        remarks += _retired(profile, lease)
        remarks += _revision(needs, profile, lease)
        remarks += _volumes(needs, profile, lease)
        remarks += _ports(needs, profile)
        remarks += _minutes(needs, profile)
    remarks += _lease(needs, profile, lease)
    order = list(Weight)
    return sorted(remarks, key=lambda remark: order.index(remark.weight))


def _refusal(code: str, field: str, what: str, next_step: str) -> Remark:
    return Remark(code, Weight.REFUSAL, field, what, next_step)


def _warning(code: str, field: str, what: str, next_step: str) -> Remark:
    return Remark(code, Weight.WARNING, field, what, next_step)


def _course_of(needs: Needs, course: str | None) -> Iterable[Remark]:
    if course is None or needs.course in ("", course):
        return
    if course == LOCAL_COURSE:
        yield Remark(
            "other-course",
            Weight.NOTE,
            "course",
            f"This notebook belongs to the course '{needs.course}'; the machines here are this computer's own.",
            "You can try it here. What counts for the course is done on the course's own JupyterHub.",
        )
    elif needs.course == LOCAL_COURSE:
        return  # written on somebody's own computer, for no course
    else:
        yield _refusal(
            "other-course",
            "course",
            f"This notebook belongs to the course '{needs.course}'; the machines here are for the course '{course}'.",
            "Open it where that course is held, or ask whoever gave it to you for the one of this course.",
        )


def _no_profile(
    needs: Needs, profiles: Sequence[ProfileFacts], broken: Mapping[str, str], lease: LeaseFacts | None
) -> Iterable[Remark]:
    name = needs.machine_profile
    if lease is not None and lease.machine_profile == name:
        yield _warning(
            "no-such-profile",
            "machine_profile",
            f"The machine profile '{name}' is not here any more. Your machine was made from it and stays.",
            "Do not delete this machine: no other one could be made from that profile.",
        )
    elif name in broken:
        yield _refusal(
            "bad-profile", "machine_profile", broken[name], "Tell whoever runs this server, or correct the file."
        )
    else:
        known = ", ".join(sorted(each.name for each in profiles if not each.retired)) or "none"
        yield _refusal(
            "no-such-profile",
            "machine_profile",
            f"This notebook asks for the machine profile '{name}', which is not here (there is: {known}).",
            "Check the name in the notebook, or ask whoever gave it to you.",
        )


def _retired(profile: ProfileFacts, lease: LeaseFacts | None) -> Iterable[Remark]:
    if not profile.retired:
        return
    what = f"The machine profile '{profile.name}' is retired: {profile.retired}"
    if lease is not None and lease.machine_profile == profile.name:
        yield _warning(
            "profile-retired", "machine_profile", what, "Your machine stays. Save what you want to keep from it."
        )
    else:
        yield _refusal(
            "profile-retired",
            "machine_profile",
            what,
            "Ask whoever gave you the notebook for a newer one, which names another machine profile.",
        )


def _revision(needs: Needs, profile: ProfileFacts, lease: LeaseFacts | None) -> Iterable[Remark]:
    if needs.revision is None:
        return
    if profile.revision < needs.revision:
        old = f"The lab needs revision {needs.revision} of the machine profile '{profile.name}' or a newer one"
        yield _refusal(
            "profile-too-old",
            "revision",
            f"{old}; here is revision {profile.revision}.",
            "Bring educloud-lab (or the profile's file) up to date on this server, or ask whoever runs it.",
        )
        return
    ours = lease is not None and lease.exists and lease.machine_profile == profile.name
    if lease is not None and ours and lease.revision < needs.revision:
        made = f"The lab needs revision {needs.revision} of its machine"
        yield _warning(
            "machine-too-old",
            "revision",
            f"{made}; yours was made from revision {lease.revision}.",
            "Delete the machine and press Start for a new one: your data volume stays, the system disk does not.",
        )


def _volumes(needs: Needs, profile: ProfileFacts, lease: LeaseFacts | None) -> Iterable[Remark]:
    there = {need.mount_point: float(need.size_gib) for need in lease.volumes} if lease is not None else {}
    if lease is None and profile.mount_point is not None:
        there = {profile.mount_point: profile.volume_gib or 0}
    for index, need in enumerate(needs.volumes):
        size = there.get(need.mount_point)
        if size is None:
            places = " and ".join(sorted(there))
            seen = f"here it is at {places}" if places else "here the machine has none"
            what = f"The lab counts on a data volume at {need.mount_point}; {seen}."
            yield _refusal(
                "no-volume-there",
                f"volumes.{index}.mount_point",
                what,
                "What the lab writes there would be lost. Ask whoever gave you the notebook.",
            )
        elif size < need.size_gib:
            what = f"The lab counts on {need.size_gib} GiB at {need.mount_point}; here are {size:g} GiB."
            step = "Enlarge the volume in the machine's card, under Files, while the machine sleeps."
            if lease is None:
                step = "Press Start, then Stop; then enlarge it in the machine's card, under Files."
            yield _warning("volume-too-small", f"volumes.{index}.size_gib", what, step)


def _ports(needs: Needs, profile: ProfileFacts) -> Iterable[Remark]:
    closed = [port for port in needs.ports if port != 22 and port not in profile.ports]
    if closed:
        many = "ports" if len(closed) > 1 else "port"
        words = ", ".join(map(str, closed))
        yield _warning(
            "port-closed",
            "ports",
            f"The lab serves something on {many} {words}; machines of the profile '{profile.name}' do not open it.",
            "From outside nothing answers there. Its author can name a profile that opens it, such as tiny-web for 80.",
        )


def _minutes(needs: Needs, profile: ProfileFacts) -> Iterable[Remark]:
    if needs.minutes is not None and needs.minutes * 60 > profile.time_limit_s:
        limit = f"a machine is put to sleep after {profile.time_limit_s / 60:g}"
        yield _warning(
            "time-too-short",
            "minutes",
            f"The lab takes about {needs.minutes} minutes; {limit}.",
            "Press Keep when the warning comes, and save in the data volume.",
        )


def _lease(needs: Needs, profile: ProfileFacts | None, lease: LeaseFacts | None) -> Iterable[Remark]:
    if lease is None:
        return
    if lease.machine_profile != needs.machine_profile:
        made = f"Your machine of this lab was made from the machine profile '{lease.machine_profile}'"
        step = "Press Start: there is no machine now, and the next one is made from the notebook's profile."
        if lease.exists:
            step = "Delete the machine to get one of the notebook's profile (the data volume stays), or go on with it."
        yield _warning(
            "machine-of-another-profile",
            "machine_profile",
            f"{made}; the notebook names '{needs.machine_profile}'.",
            step,
        )
    elif profile is not None and lease.exists and lease.revision != profile.revision:
        yield Remark(
            "machine-of-another-revision",
            Weight.NOTE,
            "machine_profile",
            f"Your machine was made from revision {lease.revision} of '{profile.name}'; there is revision"
            f" {profile.revision} now.",
            "The next machine is made from it: after Delete machine, or when this one does not keep its system disk.",
        )
