"""The memory cloud tells of its calls as the EC2 adapter does: the same operations, parameters and forms of answers."""

from __future__ import annotations

import base64
import functools
import inspect
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from educloud_lab.domain.errors import CloudError, CloudUnreachableError
from educloud_lab.ports.calls import CALLS, CallOutcome, CallSeen
from educloud_lab.ports.cloud import CloudView, ImageSeen, InstanceHealth, InstanceSeen, SnapshotSeen, VolumeSeen

C = TypeVar("C", bound=type)
GIB: Final = 1024**3
Arguments = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Told:
    """One request: its parameters, and its answer once there is one."""

    operation: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    answer: Callable[[Any], Mapping[str, Any]] = lambda _result: {}


def _tags(tags: Mapping[str, str], before: str) -> Iterator[tuple[str, str]]:
    for number, (key, value) in enumerate(tags.items(), 1):
        yield f"{before}Tag.{number}.Key", key
        yield f"{before}Tag.{number}.Value", value


def _specification(kind: str, tags: Mapping[str, str]) -> dict[str, str]:
    if not tags:
        return {}
    return {"TagSpecification.1.ResourceType": kind, **dict(_tags(tags, "TagSpecification.1."))}


def _instance(seen: InstanceSeen) -> dict[str, Any]:
    return {
        "InstanceId": seen.instance_id,
        "State": {"Name": str(seen.state)},
        "ImageId": seen.image_id,
        "InstanceType": seen.instance_type,
        "Placement": {"AvailabilityZone": seen.zone},
        "PrivateIpAddress": seen.address or "0.0.0.0",  # noqa: S104 - Eucalyptus's placeholder for "no address yet"
        "RootDeviceType": seen.root_device_type,
    }


def _volume(seen: VolumeSeen) -> dict[str, Any]:
    return {
        "VolumeId": seen.volume_id,
        "State": str(seen.state),
        "Size": seen.size_bytes // GIB,
        "AvailabilityZone": seen.zone,
        "SnapshotId": seen.snapshot_id,
        "Attachments": [
            {"VolumeId": a.volume_id, "InstanceId": a.instance_id, "Device": a.device, "State": a.state}
            for a in seen.attachments
        ],
    }


def _snapshot(seen: SnapshotSeen) -> dict[str, Any]:
    return {
        "SnapshotId": seen.snapshot_id,
        "VolumeId": seen.volume_id,
        "State": seen.state,
        "Progress": f"{seen.progress_percent}%",
        "VolumeSize": seen.size_bytes // GIB,
    }


def _image(seen: ImageSeen) -> dict[str, Any]:
    return {
        "ImageId": seen.image_id,
        "Name": seen.name,
        "State": seen.state,
        "Architecture": seen.architecture,
        "RootDeviceType": seen.root_device_type,
    }


def _observe(_a: Arguments) -> Iterator[_Told]:
    def instances(view: CloudView) -> Mapping[str, Any]:
        return {"Reservations": [{"Instances": [_instance(seen)]} for seen in view.instances.values()]}

    def volumes(view: CloudView) -> Mapping[str, Any]:
        return {"Volumes": [_volume(seen) for seen in view.volumes.values()]}

    yield _Told("DescribeInstances", answer=instances)
    yield _Told("DescribeVolumes", answer=volumes)


def _images(_a: Arguments) -> Iterator[_Told]:
    yield _Told("DescribeImages", answer=lambda found: {"Images": [_image(seen) for seen in found]})


def _zones(_a: Arguments) -> Iterator[_Told]:
    def answer(names: tuple[str, ...]) -> Mapping[str, Any]:
        return {"AvailabilityZones": [{"ZoneName": name, "State": "available"} for name in names]}

    yield _Told("DescribeAvailabilityZones", answer=answer)


def _zone_states(_a: Arguments) -> Iterator[_Told]:
    def answer(states: Mapping[str, str]) -> Mapping[str, Any]:
        return {"AvailabilityZones": [{"ZoneName": name, "State": state} for name, state in states.items()]}

    yield _Told("DescribeAvailabilityZones", answer=answer)


def _health(a: Arguments) -> Iterator[_Told]:
    def answer(health: InstanceHealth) -> Mapping[str, Any]:
        return {"InstanceStatuses": [{"InstanceId": a["instance_id"], "SystemStatus": {"Status": health.system}}]}

    yield _Told("DescribeInstanceStatus", {"InstanceId.1": a["instance_id"], "IncludeAllInstances": "true"}, answer)


def _ensure_group(a: Arguments) -> Iterator[_Told]:
    name = a["name"]
    there = name in a["self"].groups
    groups = {"SecurityGroups": [{"GroupId": f"sg-{name}", "GroupName": name}] if there else []}
    yield _Told("DescribeSecurityGroups", {"Filter.1.Name": "group-name", "Filter.1.Value.1": name}, lambda _: groups)
    if not there:
        made = {"GroupName": name, "GroupDescription": "Machines"}
        yield _Told("CreateSecurityGroup", made, lambda _: {"GroupId": f"sg-{name}"})
        rule = {"IpProtocol": "tcp", "FromPort": "22", "ToPort": "22", "IpRanges.1.CidrIp": "0.0.0.0/0"}
        permission = {f"IpPermissions.1.{field}": value for field, value in rule.items()}
        yield _Told("AuthorizeSecurityGroupIngress", {"GroupName": name, **permission}, lambda _: {"Return": True})


def _run_instance(a: Arguments) -> Iterator[_Told]:
    spec = a["spec"]
    parameters = {
        "ImageId": spec.image_id,
        "MinCount": "1",
        "MaxCount": "1",
        "InstanceType": spec.instance_type,
        "Placement.AvailabilityZone": spec.zone,
        "UserData": base64.b64encode(spec.user_data.encode()).decode(),
        "ClientToken": a["client_token"],
        **({"SecurityGroup.1": spec.group} if spec.group else {}),
        **_specification("instance", spec.tags),
    }
    yield _Told("RunInstances", parameters, lambda seen: {"Instances": [_instance(seen)]})


def _change(operation: str, member: str) -> Callable[[Arguments], Iterator[_Told]]:
    def tell(a: Arguments) -> Iterator[_Told]:
        instance_id = a["instance_id"]
        yield _Told(operation, {"InstanceId.1": instance_id}, lambda _: {member: [{"InstanceId": instance_id}]})

    return tell


def _console(a: Arguments) -> Iterator[_Told]:
    yield _Told("GetConsoleOutput", {"InstanceId": a["instance_id"]}, lambda text: {"Output": text})


def _create_volume(a: Arguments) -> Iterator[_Told]:
    parameters = {"Size": str(a["size_gib"]), "AvailabilityZone": a["zone"]}
    if a["snapshot_id"]:
        parameters["SnapshotId"] = a["snapshot_id"]
    tags = {} if a["untagged"] else a["tags"]
    yield _Told("CreateVolume", parameters | _specification("volume", tags), _volume)


def _create_snapshot(a: Arguments) -> Iterator[_Told]:
    parameters = {"VolumeId": a["volume_id"], "Description": a["description"]}
    yield _Told("CreateSnapshot", parameters | _specification("snapshot", a["tags"]), _snapshot)


def _delete(operation: str, argument: str, parameter: str) -> Callable[[Arguments], Iterator[_Told]]:
    def tell(a: Arguments) -> Iterator[_Told]:
        yield _Told(operation, {parameter: a[argument]})

    return tell


def _grow(a: Arguments) -> Iterator[_Told]:
    modified = {"VolumeModification": {"VolumeId": a["volume_id"], "TargetSize": a["size_gib"]}}
    yield _Told("ModifyVolume", {"VolumeId": a["volume_id"], "Size": str(a["size_gib"])}, lambda _: modified)


def _snapshots(_a: Arguments) -> Iterator[_Told]:
    def answer(found: Mapping[str, SnapshotSeen]) -> Mapping[str, Any]:
        return {"Snapshots": [_snapshot(seen) for seen in found.values()]}

    yield _Told("DescribeSnapshots", {"Owner.1": "self"}, answer)


def _attach(a: Arguments) -> Iterator[_Told]:
    asked = {"VolumeId": a["volume_id"], "InstanceId": a["instance_id"], "Device": a["device"]}
    yield _Told("AttachVolume", asked, lambda _: {**asked, "State": "attaching"})


def _detach(a: Arguments) -> Iterator[_Told]:
    asked = {"VolumeId": a["volume_id"], "InstanceId": a["instance_id"]}
    yield _Told("DetachVolume", asked, lambda _: {**asked, "State": "detaching"})


def _tag(a: Arguments) -> Iterator[_Told]:
    yield _Told("CreateTags", {"ResourceId.1": a["resource_id"], **dict(_tags(a["tags"], ""))})


TELLING: Final[Mapping[str, Callable[[Arguments], Iterator[_Told]]]] = {
    "observe": _observe,
    "images": _images,
    "zones": _zones,
    "zone_states": _zone_states,
    "instance_health": _health,
    "ensure_group": _ensure_group,
    "run_instance": _run_instance,
    "start_instance": _change("StartInstances", "StartingInstances"),
    "stop_instance": _change("StopInstances", "StoppingInstances"),
    "terminate_instance": _change("TerminateInstances", "TerminatingInstances"),
    "console_output": _console,
    "create_volume": _create_volume,
    "delete_volume": _delete("DeleteVolume", "volume_id", "VolumeId"),
    "grow_volume": _grow,
    "observe_snapshots": _snapshots,
    "create_snapshot": _create_snapshot,
    "delete_snapshot": _delete("DeleteSnapshot", "snapshot_id", "SnapshotId"),
    "attach_volume": _attach,
    "detach_volume": _detach,
    "tag": _tag,
}
"""By method of the port: the requests that it stands for."""


def telling(cloud: C) -> C:
    """Make a cloud's methods tell of their calls; for a class."""
    for name, tell in TELLING.items():
        setattr(cloud, name, _told(getattr(cloud, name), tell))
    return cloud


def _told(
    method: Callable[..., Awaitable[Any]], tell: Callable[[Arguments], Iterator[_Told]]
) -> Callable[..., Awaitable[Any]]:
    signature = inspect.signature(method)

    @functools.wraps(method)
    async def call(self: Any, *arguments: Any, **named: Any) -> Any:
        recorder = CALLS.get()
        if recorder is None:
            return await method(self, *arguments, **named)
        bound = signature.bind(self, *arguments, **named)
        bound.apply_defaults()
        requests, at = list(tell(bound.arguments)), self.clock.now()
        result: Any = None
        ended: dict[str, Any] = {"outcome": CallOutcome.OK}
        try:
            result = await method(self, *arguments, **named)
        except CloudError as error:
            lost = isinstance(error, CloudUnreachableError)
            ended = {"outcome": CallOutcome.LOST if lost else CallOutcome.REFUSED, "error": error.what}
            ended["error_code"] = "" if lost else error.code
            raise
        finally:
            for told in requests:
                answer = told.answer(result) if ended["outcome"] is CallOutcome.OK else {}
                parameters = {key: str(value) for key, value in told.parameters.items()}
                recorder(
                    CallSeen(
                        at=at, operation=told.operation, parameters=parameters, duration_ms=0, answer=answer, **ended
                    )
                )
        return result

    return call
