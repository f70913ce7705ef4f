"""A call as the command line that makes the same one: of ``aws``, and of euca2ools.

One table for each. A parameter that the table does not know would make the line another call than the one that was
made: then there is none. What the lines do not hold: endpoint and credentials, which are the reader's own, and user
data, which is named as a file.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from educloud_lab.broker.diagnosis.redact import LEFT_OUT

USER_DATA_FILE: Final = "user-data.txt"
Parameters = Mapping[str, str]
Words = list[str]
Maker = Callable[[Parameters], Words]
"""Returns words of a command line, from the parameters of the names that it was made for."""


class _Form:
    """Which parameters one option stands for, and its words."""

    def __init__(self, names: str, make: Maker) -> None:
        self.names = re.compile(names)
        self.make = make


def one(name: str, option: str = "") -> _Form:
    """Return the form of a single value; without option it stands by itself."""
    return _Form(re.escape(name), lambda p: [*([option] if option else []), p[name]] if name in p else [])


def many(name: str, option: str = "") -> _Form:
    """Return the form of a list: one option, then all values."""

    def make(p: Parameters) -> Words:
        values = listed(p, name)
        return [*([option] if option else []), *values] if values else []

    return _Form(rf"{name}\.\d+", make)


def each(name: str, option: str) -> _Form:
    """Return the form of a list where the option stands before each value."""
    return _Form(rf"{name}\.\d+", lambda p: [word for value in listed(p, name) for word in (option, value)])


def flag(name: str, option: str) -> _Form:
    """Return the form of something that is said or not."""
    return _Form(re.escape(name), lambda p: [option] if p.get(name) == "true" else [])


def form(names: str, make: Maker) -> _Form:
    """Return a form of its own."""
    return _Form(names, make)


def listed(p: Parameters, name: str) -> Words:
    """Return the values of ``name.1``, ``name.2``, ..."""
    values: Words = []
    while (value := p.get(f"{name}.{len(values) + 1}")) is not None:
        values.append(value)
    return values


def tags(p: Parameters, before: str = "") -> list[tuple[str, str]]:
    """Return the tags of ``Tag.1.Key``, ``Tag.1.Value``, ..."""
    found: list[tuple[str, str]] = []
    while (key := p.get(f"{before}Tag.{len(found) + 1}.Key")) is not None:
        found.append((key, p.get(f"{before}Tag.{len(found) + 1}.Value", "")))
    return found


def filters(p: Parameters) -> list[tuple[str, Words]]:
    """Return names and values of ``Filter.1.Name``, ``Filter.1.Value.1``, ..."""
    found: list[tuple[str, Words]] = []
    while (name := p.get(f"Filter.{len(found) + 1}.Name")) is not None:
        found.append((name, listed(p, f"Filter.{len(found) + 1}.Value")))
    return found


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _aws_tags(pairs: Sequence[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in pairs]


def _aws_filters(p: Parameters) -> Words:
    found = filters(p)
    return ["--filters", _json([{"Name": name, "Values": values} for name, values in found])] if found else []


def _aws_specification(p: Parameters) -> Words:
    kind = p.get("TagSpecification.1.ResourceType")
    if kind is None:
        return []
    made = {"ResourceType": kind, "Tags": _aws_tags(tags(p, "TagSpecification.1."))}
    return ["--tag-specifications", _json([made])]


def _aws_permissions(p: Parameters) -> Words:
    rule: dict[str, object] = {"IpProtocol": p["IpPermissions.1.IpProtocol"]}
    for name in ("FromPort", "ToPort"):
        if f"IpPermissions.1.{name}" in p:
            rule[name] = int(p[f"IpPermissions.1.{name}"])
    if network := p.get("IpPermissions.1.IpRanges.1.CidrIp"):
        rule["IpRanges"] = [{"CidrIp": network}]
    return ["--ip-permissions", _json([rule])]


def _aws_count(p: Parameters) -> Words:
    least, most = p.get("MinCount", "1"), p.get("MaxCount", "1")
    return ["--count", least if least == most else f"{least}:{most}"]


COUNT: Final = "M(?:in|ax)Count"
SPECIFICATION: Final = r"TagSpecification\.1\.(?:ResourceType|Tag\.\d+\.(?:Key|Value))"
TAGS: Final = r"Tag\.\d+\.(?:Key|Value)"
FILTERS: Final = r"Filter\.\d+\.(?:Name|Value\.\d+)"
PERMISSIONS: Final = r"IpPermissions\.1\.(?:FromPort|ToPort|IpProtocol|IpRanges\.1\.CidrIp)"

_INSTANCES: Final = many("InstanceId", "--instance-ids")
_VOLUME: Final = one("VolumeId", "--volume-id")
_DESCRIBE: Final = form(FILTERS, _aws_filters)
_WHOLE: Final = form(r"(?!)", lambda _p: ["--no-paginate"])  # stands for no parameter

AWS: Final[Mapping[str, tuple[str, tuple[_Form, ...]]]] = {
    "RunInstances": (
        "run-instances",
        (
            one("ImageId", "--image-id"),
            one("InstanceType", "--instance-type"),
            form(COUNT, _aws_count),
            form(
                r"Placement\.AvailabilityZone",
                lambda p: (
                    ["--placement", f"AvailabilityZone={p['Placement.AvailabilityZone']}"]
                    if "Placement.AvailabilityZone" in p
                    else []
                ),
            ),
            many("SecurityGroup", "--security-groups"),
            form("UserData", lambda p: ["--user-data", f"file://{USER_DATA_FILE}"] if "UserData" in p else []),
            one("ClientToken", "--client-token"),
            form(SPECIFICATION, _aws_specification),
        ),
    ),
    "StartInstances": ("start-instances", (_INSTANCES,)),
    "StopInstances": ("stop-instances", (_INSTANCES,)),
    "TerminateInstances": ("terminate-instances", (_INSTANCES,)),
    "GetConsoleOutput": ("get-console-output", (one("InstanceId", "--instance-id"),)),
    "CreateVolume": (
        "create-volume",
        (
            one("AvailabilityZone", "--availability-zone"),
            one("Size", "--size"),
            one("SnapshotId", "--snapshot-id"),
            form(SPECIFICATION, _aws_specification),
        ),
    ),
    "DeleteVolume": ("delete-volume", (_VOLUME,)),
    "ModifyVolume": ("modify-volume", (_VOLUME, one("Size", "--size"))),
    "AttachVolume": ("attach-volume", (_VOLUME, one("InstanceId", "--instance-id"), one("Device", "--device"))),
    "DetachVolume": ("detach-volume", (_VOLUME, one("InstanceId", "--instance-id"))),
    "CreateSnapshot": (
        "create-snapshot",
        (_VOLUME, one("Description", "--description"), form(SPECIFICATION, _aws_specification)),
    ),
    "DeleteSnapshot": ("delete-snapshot", (one("SnapshotId", "--snapshot-id"),)),
    "CreateTags": (
        "create-tags",
        (many("ResourceId", "--resources"), form(TAGS, lambda p: ["--tags", _json(_aws_tags(tags(p)))])),
    ),
    "CreateSecurityGroup": (
        "create-security-group",
        (one("GroupName", "--group-name"), one("GroupDescription", "--description")),
    ),
    "AuthorizeSecurityGroupIngress": (
        "authorize-security-group-ingress",
        (one("GroupName", "--group-name"), form(PERMISSIONS, _aws_permissions)),
    ),
    "DescribeInstances": ("describe-instances", (_INSTANCES, _DESCRIBE)),
    "DescribeInstanceStatus": (
        "describe-instance-status",
        (_INSTANCES, flag("IncludeAllInstances", "--include-all-instances")),
    ),
    # These two ask for pages of a thousand by themselves, unless told not to.
    "DescribeVolumes": ("describe-volumes", (many("VolumeId", "--volume-ids"), _DESCRIBE, _WHOLE)),
    "DescribeSnapshots": ("describe-snapshots", (many("Owner", "--owner-ids"), _DESCRIBE, _WHOLE)),
    "DescribeImages": ("describe-images", (many("ImageId", "--image-ids"), _DESCRIBE)),
    "DescribeAvailabilityZones": ("describe-availability-zones", ()),
    "DescribeSecurityGroups": ("describe-security-groups", (many("GroupId", "--group-ids"), _DESCRIBE)),
}
"""By operation: the subcommand of ``aws ec2`` and its options. A test has ``aws`` itself read every one of them."""


def words_of(parameters: Parameters, known: tuple[_Form, ...]) -> Words | None:
    """Return the words for parameters by their forms; None when one of them is not known, or was left out."""
    if any(LEFT_OUT in value for value in parameters.values()):
        return None
    if not all(any(each.names.fullmatch(name) for each in known) for name in parameters):
        return None
    return [word for each in known for word in each.make(parameters)]


def aws_line(operation: str, parameters: Parameters) -> str:
    """Return the call as a command line of ``aws``; '' where there is none."""
    if operation not in AWS:
        return ""
    name, known = AWS[operation]
    words = words_of(parameters, known)
    return "" if words is None else shlex.join(["aws", "ec2", name, *words])
