"""What may be told of a call: parameters by a list of those without secrets, and of an answer what concerns a lease.

Both adapters hand calls over as they were. Whatever is not on one of the lists here is left out, so that a parameter or
a field that somebody adds one day is not told until somebody thinks about it (I7). In an account that many share, an
answer lists what is others': only the rows whose ids or names the caller knows are told (I6).
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from educloud_lab.broker.diagnosis.redact import LEFT_OUT, redact
from educloud_lab.ports.calls import CallSeen

MOST_LENGTH: Final = 300
MOST_FIELDS: Final = 40

PARAMETERS: Final = re.compile(
    r"""(?:Attribute|AvailabilityZone|ClientToken|Description|Device|Force|GroupDescription|GroupId|GroupName
    |ImageId|IncludeAllInstances|InstanceId|InstanceType|KernelId|KeyName|MaxCount|MinCount|RamdiskId|Size
    |SnapshotId|VolumeId|VolumeType
    |(?:GroupId|GroupName|ImageId|InstanceId|Owner|ResourceId|SecurityGroup|SecurityGroupId|SnapshotId|VolumeId
    |ZoneName)\.\d+
    |Filter\.\d+\.(?:Name|Value\.\d+)
    |IpPermissions\.\d+\.(?:FromPort|ToPort|IpProtocol|IpRanges\.\d+\.CidrIp)
    |Placement\.AvailabilityZone
    |TagSpecification\.\d+\.(?:ResourceType|Tag\.\d+\.(?:Key|Value))
    |Tag\.\d+\.(?:Key|Value))""",
    re.VERBOSE,
)
"""Parameters that are told as they were sent."""

_FREE: Final = frozenset({"Name", "StateTransitionReason"})
"""Fields of answers that others put words into: looked through for what might be a secret."""

_INSTANCE: Final = (
    "InstanceId",
    "State.Name",
    "StateTransitionReason",
    "ImageId",
    "KernelId",
    "RamdiskId",
    "InstanceType",
    "Placement.AvailabilityZone",
    "PrivateIpAddress",
    "RootDeviceType",
)
_CHANGE: Final = ("InstanceId", "PreviousState.Name", "CurrentState.Name")
_ATTACHMENT: Final = ("VolumeId", "InstanceId", "Device", "State")
_VOLUME: Final = ("VolumeId", "State", "Size", "AvailabilityZone", "SnapshotId", "Attachments")
_SNAPSHOT: Final = ("SnapshotId", "VolumeId", "State", "Progress", "VolumeSize")
_IMAGE: Final = ("ImageId", "Name", "State", "Architecture", "RootDeviceType", "KernelId", "RamdiskId")

LISTS: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "DescribeInstances": ("Instances", _INSTANCE),
    "DescribeVolumes": ("Volumes", _VOLUME),
    "DescribeSnapshots": ("Snapshots", _SNAPSHOT),
    "DescribeImages": ("Images", _IMAGE),
    "DescribeAvailabilityZones": ("AvailabilityZones", ("ZoneName", "State")),
    "DescribeSecurityGroups": ("SecurityGroups", ("GroupId", "GroupName")),
    "DescribeInstanceStatus": ("InstanceStatuses", ("InstanceId", "InstanceState.Name", "SystemStatus.Status")),
    "RunInstances": ("Instances", _INSTANCE),
    "StartInstances": ("StartingInstances", _CHANGE),
    "StopInstances": ("StoppingInstances", _CHANGE),
    "TerminateInstances": ("TerminatingInstances", _CHANGE),
}
"""By operation: what its answer lists, and which fields of each are told, its id first."""

SINGLE: Final[Mapping[str, tuple[str, ...]]] = {
    "CreateVolume": _VOLUME,
    "CreateSnapshot": _SNAPSHOT,
    "AttachVolume": _ATTACHMENT,
    "DetachVolume": _ATTACHMENT,
    "ModifyVolume": tuple(
        f"VolumeModification.{name}" for name in ("VolumeId", "ModificationState", "OriginalSize", "TargetSize")
    ),
    "CreateSecurityGroup": ("GroupId",),
    "AuthorizeSecurityGroupIngress": ("Return",),
}
"""By operation: the fields that are told of an answer that is one thing."""

_NAMES: Final[Mapping[str, str]] = {"Images": "Name", "SecurityGroups": "GroupName"}
"""What else than its id a row may be known by. Nothing else: two people's instances have one image."""

_PUBLIC: Final = frozenset({"DescribeAvailabilityZones"})  # zones are nobody's
_OTHERS: Final = "others"


def is_look(operation: str) -> bool:
    """Say whether an operation only looks."""
    return operation.startswith(("Describe", "Get"))


def parameters_of(call: CallSeen) -> dict[str, str]:
    """Return the parameters without secrets, as they were sent as far as they are told."""
    told = {name: _parameter(name, value) for name, value in list(call.parameters.items())[:MOST_FIELDS]}
    return told | ({_OTHERS: LEFT_OUT} if len(call.parameters) > MOST_FIELDS else {})


def _parameter(name: str, value: str) -> str:
    if name == "UserData":
        return f"[user data, {_decoded_length(value)} bytes]"
    if not PARAMETERS.fullmatch(name):
        return LEFT_OUT
    # Not brought to single spaces: a command line made from it is to be the same call.
    return value if value.isprintable() and len(value) <= MOST_LENGTH else f"{_cut(value)} {LEFT_OUT}"


def _field(path: str, value: str) -> str:
    return _cut(redact(value) if path in _FREE else value)


def _decoded_length(value: str) -> int:
    try:
        return len(base64.b64decode(value, validate=True))
    except (binascii.Error, ValueError):
        return len(value.encode())


def error_of(call: CallSeen) -> str:
    """Return the cloud's word for what went wrong, without what might be a secret."""
    return _cut(redact(call.error))


def answer_of(call: CallSeen, known: Iterable[str]) -> dict[str, str]:
    """Return what an answer tells of things that are known.

    Parameters
    ----------
    call : the call.
    known : ids and names; of a list only rows with one of these are told. Answers to calls that change something are
        about what the caller changed, and are told whoever knows it.
    """
    operation, answer = call.operation, call.answer
    if operation == "GetConsoleOutput":
        return {"Output": f"[{len(str(answer.get('Output') or ''))} characters]"}
    if operation in SINGLE:
        return _limited(_fields(answer, SINGLE[operation], ""))
    if operation not in LISTS:
        return {}
    member, names = LISTS[operation]
    wanted = None if operation in _PUBLIC or not is_look(operation) else set(known)
    identifying = (names[0], _NAMES.get(member, names[0]))
    told: dict[str, str] = {}
    number, others = 0, False
    for row in _rows(answer, member):
        if wanted is not None and wanted.isdisjoint(str(row.get(name, "")) for name in identifying):
            others = True
            continue
        number += 1
        if number <= MOST_FIELDS:
            told |= dict(_fields(row, names, f"{member}.{number}."))
    told = _limited(told.items())
    if number == 0:
        told[member] = "[none of this machine's]" if wanted is not None else "[none]"
    if others:
        told[_OTHERS] = LEFT_OUT
    return told


def _rows(answer: Mapping[str, Any], member: str) -> Iterator[Mapping[str, Any]]:
    if member == "Instances" and "Reservations" in answer:
        for reservation in answer["Reservations"] or ():
            yield from reservation.get("Instances") or ()
    else:
        yield from answer.get(member) or ()


def _fields(row: Mapping[str, Any], names: Iterable[str], before: str) -> Iterator[tuple[str, str]]:
    for path in names:
        if path == "Attachments":
            for number, attachment in enumerate(row.get(path) or (), 1):
                yield from _fields(attachment, _ATTACHMENT[1:], f"{before}{path}.{number}.")
            continue
        value: Any = row
        for name in path.split("."):
            value = value.get(name) if isinstance(value, Mapping) else None
        if value is not None and value != "":
            yield before + path, _field(path, str(value))


def _limited(fields: Iterable[tuple[str, str]]) -> dict[str, str]:
    return dict(list(fields)[:MOST_FIELDS])


def _cut(text: str) -> str:
    """Return a text on one line, not too long."""
    line = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
    return line if len(line) <= MOST_LENGTH else line[: MOST_LENGTH - 1] + "…"
