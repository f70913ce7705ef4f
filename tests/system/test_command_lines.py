"""The ``aws`` command lines of "What just happened": ``aws`` itself reads each, and would send what was sent.

From parameters to a line and, by the real command's own parser, back to parameters: both must be the same. Lines that
only look are run against a local cloud as well.
"""

import json
import os
import subprocess
from pathlib import Path

import pytest

from educloud_lab.broker.command_lines import AWS, aws_line
from tests.system.test_clients import CLIENTS, cloud, command

GROUP = "educloud-ab12-first-steps"
TAG = 'l\'ab é "x" $HOME; rm -rf (ann)'


def _tags(before: str) -> dict[str, str]:
    pairs = {"Name": TAG, "educloud-owner": "ann", "empty": "", "comma": "a,b=c"}
    found = {}
    for number, (key, value) in enumerate(pairs.items(), 1):
        found |= {f"{before}Tag.{number}.Key": key, f"{before}Tag.{number}.Value": value}
    return found


def _made(kind: str) -> dict[str, str]:
    return {"TagSpecification.1.ResourceType": kind, **_tags("TagSpecification.1.")}


def _rule(protocol: str, first: str, last: str) -> dict[str, str]:
    fields = {"IpProtocol": protocol, "FromPort": first, "ToPort": last, "IpRanges.1.CidrIp": "0.0.0.0/0"}
    return {"GroupName": GROUP, **{f"IpPermissions.1.{name}": value for name, value in fields.items()}}


CASES: list[tuple[str, dict[str, str]]] = [
    (
        "RunInstances",
        {
            "ImageId": "emi-1",
            "MinCount": "1",
            "MaxCount": "1",
            "InstanceType": "t2.micro",
            "Placement.AvailabilityZone": "one",
            "UserData": "IyEvYmluL3No",
            "ClientToken": "educloud-0123",
            "SecurityGroup.1": GROUP,
            **_made("instance"),
        },
    ),
    ("RunInstances", {"ImageId": "emi-1", "MinCount": "1", "MaxCount": "3", "ClientToken": "t"}),
    ("StartInstances", {"InstanceId.1": "i-1"}),
    ("StopInstances", {"InstanceId.1": "i-1", "InstanceId.2": "i-2"}),
    ("TerminateInstances", {"InstanceId.1": "i-1"}),
    ("GetConsoleOutput", {"InstanceId": "i-1"}),
    ("CreateVolume", {"Size": "2", "AvailabilityZone": "one", **_made("volume")}),
    ("CreateVolume", {"Size": "2", "AvailabilityZone": "one", "SnapshotId": "snap-1"}),
    ("DeleteVolume", {"VolumeId": "vol-1"}),
    ("ModifyVolume", {"VolumeId": "vol-1", "Size": "3"}),
    ("AttachVolume", {"VolumeId": "vol-1", "InstanceId": "i-1", "Device": "/dev/vdf"}),
    ("DetachVolume", {"VolumeId": "vol-1", "InstanceId": "i-1"}),
    ("CreateSnapshot", {"VolumeId": "vol-1", "Description": TAG, **_made("snapshot")}),
    ("DeleteSnapshot", {"SnapshotId": "snap-1"}),
    ("CreateTags", {"ResourceId.1": "vol-1", **_tags("")}),
    ("CreateSecurityGroup", {"GroupName": GROUP, "GroupDescription": "Machines: SSH and ping"}),
    ("AuthorizeSecurityGroupIngress", _rule("tcp", "22", "22")),
    ("AuthorizeSecurityGroupIngress", _rule("icmp", "-1", "-1")),
    ("DescribeInstances", {}),
    ("DescribeInstances", {"Filter.1.Name": "instance-state-name", "Filter.1.Value.1": "running"}),
    ("DescribeVolumes", {}),
    ("DescribeSnapshots", {"Owner.1": "self"}),
    ("DescribeImages", {}),
    ("DescribeAvailabilityZones", {}),
    ("DescribeSecurityGroups", {"Filter.1.Name": "group-name", "Filter.1.Value.1": GROUP}),
    ("DescribeInstanceStatus", {"IncludeAllInstances": "true"}),
]


def test_every_operation_is_tried() -> None:
    assert {operation for operation, _ in CASES} == set(AWS)


def test_aws_reads_each_line_as_the_call_that_was_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    (tmp_path / "user-data.txt").write_text("#!/bin/sh")
    cases = [
        {"line": aws_line(operation, parameters), "looks": operation.startswith("Describe")}
        for operation, parameters in CASES
    ]
    python = command("awscli")[0]
    with cloud(tmp_path / "home", "eucalyptus-6") as told:
        clean = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "LANG": "C.UTF-8"}
        done = subprocess.run(
            [python, str(CLIENTS / "with_command_lines.py")], env=clean | told, input=json.dumps(cases),
            capture_output=True, text=True, timeout=300, check=False, cwd=tmp_path,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for (_, parameters), case, found in zip(CASES, cases, json.loads(done.stdout), strict=True):
        assert found["status"] in (0, None), (case["line"], found["complained"])
        (sent,) = found["sent"]
        if "ClientToken" not in parameters:
            sent.pop("ClientToken", None)  # the command adds one of its own where there may be one
        assert sent == parameters, case["line"]
        if case["looks"]:
            assert json.loads(found["printed"]), case["line"]
