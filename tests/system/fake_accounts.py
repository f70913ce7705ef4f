"""What the fake server half says that a machine's latest actions called: the words are the broker's own."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from educloud_lab.broker.command_lines import aws_line
from educloud_lab.broker.command_lines_euca import euca_line
from educloud_lab.broker.ways import PARTS, way_of
from educloud_lab.wire import models as wire
from tests.system.fake_scenes import LAB, LEASE_ID, now


def _call(second: float, step: str, operation: str, parameters: dict[str, str], **more: Any) -> wire.CloudCall:
    way = way_of(operation, parameters)
    assert way is not None
    at = now() - timedelta(seconds=30 - second)
    answer = more.get("answer", {})
    told = {"at": at, "last_at": at, "duration_ms": 41, "outcome": "ok", "request_id": "0a1b2c3d-4e5f", **more}
    return wire.CloudCall(
        **told,
        step=step,
        operation=operation,
        parameters=parameters,
        aws=aws_line(operation, parameters),
        euca=euca_line(operation, parameters, answer),
        parts=[part.value for part in way.parts],
        way=way.said,
    )


def accounts(calls: int) -> wire.Accounts:
    """Return the account of a start that has made so many calls by now, at most five."""
    boot, disk = "Boot the machine", "Attach the data volume"
    run = {
        "ImageId": "emi-3f9a1c20",
        "MinCount": "1",
        "MaxCount": "1",
        "InstanceType": "t2.micro",
        "Placement.AvailabilityZone": "one",
        "UserData": "[user data, 1040 bytes]",
    }
    mine = {"Instances.1.InstanceId": "i-9b2e44d1", "Instances.1.State.Name": "pending"}
    attach = {"VolumeId": "vol-3f9a1c20", "InstanceId": "i-9b2e44d1", "Device": "/dev/vdf"}
    made = [
        _call(1, boot, "DescribeImages", {}, answer={"Images.1.Name": "tiny <b>x</b>", "others": "[left out]"}),
        _call(2, boot, "RunInstances", run, answer=mine),
        _call(3, boot, "DescribeInstances", {}, answer=mine, times=4),
        _call(4, disk, "AttachVolume", attach, outcome="refused", error_code="IncorrectState", error="Not 'running'"),
        _call(5, disk, "AttachVolume", attach, answer=attach | {"State": "attaching"}),
    ]
    account = wire.Account(
        job_id="j1",
        lease_id=LEASE_ID,
        kind="start",
        started_at=now() - timedelta(seconds=30),
        ended_at=None if calls < len(made) else now(),
        outcome="" if calls < len(made) else "done",
        calls=made[:calls],
    )
    parts = [wire.CloudPart(part=p.code.value, name=p.name, does=p.does, here=p.here) for p in PARTS]
    return wire.Accounts(lease_id=LEASE_ID, lab=LAB, components=parts, accounts=[account])
