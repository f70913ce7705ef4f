"""A call as a command line of euca2ools.

Names and options were read in euca2ools's sources (github.com/eucalyptus/euca2ools, versions 3.3 to 3.4):
``euca2ools/commands/ec2/*.py``, one file a command; the names of the programs are in its ``bin/``. What it cannot say:
tags that come with the call that creates something (its ``RunInstances``, ``CreateVolume`` and ``CreateSnapshot`` take
none), so a second line sets them, as the broker does on Eucalyptus 4.4; and ``ModifyVolume``, which no program makes.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Final

from educloud_lab.broker.command_lines import (
    COUNT,
    FILTERS,
    PERMISSIONS,
    SPECIFICATION,
    TAGS,
    USER_DATA_FILE,
    Parameters,
    Words,
    _Form,
    each,
    filters,
    flag,
    form,
    many,
    one,
    tags,
    words_of,
)

_MADE: Final[Mapping[str, str]] = {
    "RunInstances": "Instances.1.InstanceId",
    "CreateVolume": "VolumeId",
    "CreateSnapshot": "SnapshotId",
}
"""Where the answer names what was made."""


def _count(p: Parameters) -> Words:
    least, most = p.get("MinCount", "1"), p.get("MaxCount", "1")
    return ["-n", least if least == most else f"{least}-{most}"]


def _filters(p: Parameters) -> Words:
    return [word for name, values in filters(p) for value in values for word in ("--filter", f"{name}={value}")]


def _tags(p: Parameters, before: str = "") -> Words:
    return [word for key, value in tags(p, before) for word in ("--tag", f"{key}={value}")]


def _permissions(p: Parameters) -> Words:
    protocol = p.get("IpPermissions.1.IpProtocol", "tcp")
    first, last = p.get("IpPermissions.1.FromPort", "-1"), p.get("IpPermissions.1.ToPort", "-1")
    # It takes "-1:-1" after -t for a value although it looks like an option (modgroup.py, process_cli_args).
    ports = ["-t", f"{first}:{last}"] if protocol == "icmp" else ["-p", first if first == last else f"{first}-{last}"]
    network = p.get("IpPermissions.1.IpRanges.1.CidrIp")
    return ["-P", protocol, *ports, *(["-s", network] if network else [])]


_NOTHING: Final = form(SPECIFICATION, lambda _p: [])  # said by a second line
_FILTERED: Final = form(FILTERS, _filters)
_INSTANCES: Final = many("InstanceId")
_TO: Final = one("InstanceId", "-i")

EUCA: Final[Mapping[str, tuple[str, tuple[_Form, ...]]]] = {
    "RunInstances": (  # runinstances.py
        "euca-run-instances",
        (
            form(COUNT, _count),
            one("InstanceType", "-t"),
            one("Placement.AvailabilityZone", "-z"),
            each("SecurityGroup", "-g"),
            form("UserData", lambda p: ["-f", USER_DATA_FILE] if "UserData" in p else []),
            one("ClientToken", "--client-token"),
            one("ImageId"),
            _NOTHING,
        ),
    ),
    "StartInstances": ("euca-start-instances", (_INSTANCES,)),
    "StopInstances": ("euca-stop-instances", (_INSTANCES,)),
    "TerminateInstances": ("euca-terminate-instances", (_INSTANCES,)),
    "GetConsoleOutput": ("euca-get-console-output", (one("InstanceId"),)),
    "CreateVolume": (  # createvolume.py
        "euca-create-volume",
        (one("AvailabilityZone", "-z"), one("Size", "-s"), one("SnapshotId", "--snapshot"), _NOTHING),
    ),
    "DeleteVolume": ("euca-delete-volume", (one("VolumeId"),)),
    "AttachVolume": ("euca-attach-volume", (_TO, one("Device", "-d"), one("VolumeId"))),  # attachvolume.py
    "DetachVolume": ("euca-detach-volume", (_TO, one("VolumeId"))),  # detachvolume.py
    "CreateSnapshot": ("euca-create-snapshot", (one("Description", "-d"), one("VolumeId"), _NOTHING)),
    "DeleteSnapshot": ("euca-delete-snapshot", (one("SnapshotId"),)),
    "CreateTags": ("euca-create-tags", (form(TAGS, _tags), many("ResourceId"))),  # createtags.py
    "CreateSecurityGroup": (  # createsecuritygroup.py
        "euca-create-group",
        (one("GroupDescription", "-d"), one("GroupName")),
    ),
    "AuthorizeSecurityGroupIngress": ("euca-authorize", (form(PERMISSIONS, _permissions), one("GroupName"))),
    "DescribeInstances": ("euca-describe-instances", (_FILTERED, _INSTANCES)),
    "DescribeInstanceStatus": (  # describeinstancestatus.py
        "euca-describe-instance-status",
        (flag("IncludeAllInstances", "--include-all-instances"), _INSTANCES),
    ),
    "DescribeVolumes": ("euca-describe-volumes", (_FILTERED, many("VolumeId"))),
    "DescribeSnapshots": ("euca-describe-snapshots", (_FILTERED, each("Owner", "-o"))),  # describesnapshots.py
    # Without --all it asks twice: for one's own images, and for those that one may run (describeimages.py, main).
    "DescribeImages": ("euca-describe-images", (_FILTERED, many("ImageId"))),
    "DescribeAvailabilityZones": ("euca-describe-availability-zones", ()),
    "DescribeSecurityGroups": ("euca-describe-groups", (_FILTERED, many("GroupId"))),
}
"""By operation: the program and its options."""


def euca_line(operation: str, parameters: Parameters, answer: Mapping[str, str]) -> str:
    """Return the call as command lines of euca2ools; '' where there is none.

    Parameters
    ----------
    operation, parameters : the call.
    answer : names what was made, for the line that sets its tags.
    """
    if operation not in EUCA:
        return ""
    name, known = EUCA[operation]
    words = words_of(parameters, known)
    if words is None:
        return ""
    if operation == "DescribeImages" and not parameters:
        words = ["--all"]
    lines = [shlex.join([name, *words])]
    pairs = _tags(parameters, "TagSpecification.1.")
    if pairs:
        lines.append(shlex.join(["euca-create-tags", *pairs, answer.get(_MADE.get(operation, ""), "ID")]))
    return "\n".join(lines)
