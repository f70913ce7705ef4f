"""Calls as command lines: what the broker sends, quoted for a shell; and no line where it would be another call."""

import shlex

import pytest

from educloud_lab.broker.command_lines import AWS, aws_line
from educloud_lab.broker.command_lines_euca import EUCA, euca_line
from educloud_lab.broker.pace import OPERATIONS
from educloud_lab.broker.telling import PARAMETERS
from educloud_lab.broker.ways import PARTS, WAYS, way_of

RUN = {
    "ImageId": "emi-1", "MinCount": "1", "MaxCount": "1", "InstanceType": "t2.micro",
    "Placement.AvailabilityZone": "one", "UserData": "[user data, 9 bytes]", "ClientToken": "tok",
    "SecurityGroup.1": "labs",
    "TagSpecification.1.ResourceType": "instance", "TagSpecification.1.Tag.1.Key": "Name",
    "TagSpecification.1.Tag.1.Value": "Ann O'Neil; rm -rf $HOME",
}  # fmt: skip
AUTHORIZE = "aws ec2 authorize-security-group-ingress --group-name labs --ip-permissions "
ASKED_BY_PEOPLE_ONLY = {"DescribeKeyPairs"}  # no job of ours asks it


def test_a_machine_is_run():
    assert shlex.split(aws_line("RunInstances", RUN)) == [
        "aws", "ec2", "run-instances", "--image-id", "emi-1", "--instance-type", "t2.micro", "--count", "1",
        "--placement", "AvailabilityZone=one", "--security-groups", "labs", "--user-data", "file://user-data.txt",
        "--client-token", "tok", "--tag-specifications",
        '[{"ResourceType":"instance","Tags":[{"Key":"Name","Value":"Ann O\'Neil; rm -rf $HOME"}]}]',
    ]  # fmt: skip


def test_euca2ools_sets_tags_by_a_second_line():
    first, second = euca_line("RunInstances", RUN, {"Instances.1.InstanceId": "i-1"}).split("\n")
    assert shlex.split(first) == [
        "euca-run-instances", "-n", "1", "-t", "t2.micro", "-z", "one", "-g", "labs", "-f", "user-data.txt",
        "--client-token", "tok", "emi-1",
    ]  # fmt: skip
    assert shlex.split(second) == ["euca-create-tags", "--tag", "Name=Ann O'Neil; rm -rf $HOME", "i-1"]
    assert euca_line("RunInstances", RUN, {}).endswith(" ID")


@pytest.mark.parametrize(
    ("operation", "parameters", "aws", "euca"),
    [
        ("StopInstances", {"InstanceId.1": "i-1", "InstanceId.2": "i-2"},
         "aws ec2 stop-instances --instance-ids i-1 i-2", "euca-stop-instances i-1 i-2"),
        ("CreateVolume", {"Size": "2", "AvailabilityZone": "one", "SnapshotId": "snap-1"},
         "aws ec2 create-volume --availability-zone one --size 2 --snapshot-id snap-1",
         "euca-create-volume -z one -s 2 --snapshot snap-1"),
        ("AttachVolume", {"VolumeId": "vol-1", "InstanceId": "i-1", "Device": "/dev/vdf"},
         "aws ec2 attach-volume --volume-id vol-1 --instance-id i-1 --device /dev/vdf",
         "euca-attach-volume -i i-1 -d /dev/vdf vol-1"),
        ("DetachVolume", {"VolumeId": "vol-1", "InstanceId": "i-1"},
         "aws ec2 detach-volume --volume-id vol-1 --instance-id i-1", "euca-detach-volume -i i-1 vol-1"),
        ("CreateTags", {"ResourceId.1": "vol-1", "Tag.1.Key": "a", "Tag.1.Value": "b c"},
         """aws ec2 create-tags --resources vol-1 --tags '[{"Key":"a","Value":"b c"}]'""",
         "euca-create-tags --tag 'a=b c' vol-1"),
        ("CreateSnapshot", {"VolumeId": "vol-1", "Description": "before lab 3"},
         "aws ec2 create-snapshot --volume-id vol-1 --description 'before lab 3'",
         "euca-create-snapshot -d 'before lab 3' vol-1"),
        ("ModifyVolume", {"VolumeId": "vol-1", "Size": "3"}, "aws ec2 modify-volume --volume-id vol-1 --size 3", ""),
        ("DescribeInstances", {}, "aws ec2 describe-instances", "euca-describe-instances"),
        ("DescribeImages", {}, "aws ec2 describe-images", "euca-describe-images --all"),
        ("DescribeSnapshots", {"Owner.1": "self"}, "aws ec2 describe-snapshots --owner-ids self --no-paginate",
         "euca-describe-snapshots -o self"),
        ("DescribeInstanceStatus", {"InstanceId.1": "i-1", "IncludeAllInstances": "true"},
         "aws ec2 describe-instance-status --instance-ids i-1 --include-all-instances",
         "euca-describe-instance-status --include-all-instances i-1"),
        ("DescribeSecurityGroups", {"Filter.1.Name": "group-name", "Filter.1.Value.1": "labs"},
         """aws ec2 describe-security-groups --filters '[{"Name":"group-name","Values":["labs"]}]'""",
         "euca-describe-groups --filter group-name=labs"),
        ("CreateSecurityGroup", {"GroupName": "labs", "GroupDescription": "SSH and ping"},
         "aws ec2 create-security-group --group-name labs --description 'SSH and ping'",
         "euca-create-group -d 'SSH and ping' labs"),
        ("AuthorizeSecurityGroupIngress",
         {"GroupName": "labs", "IpPermissions.1.IpProtocol": "tcp", "IpPermissions.1.FromPort": "22",
          "IpPermissions.1.ToPort": "22", "IpPermissions.1.IpRanges.1.CidrIp": "10.0.0.0/8"},
         AUTHORIZE + """'[{"IpProtocol":"tcp","FromPort":22,"ToPort":22,"IpRanges":[{"CidrIp":"10.0.0.0/8"}]}]'""",
         "euca-authorize -P tcp -p 22 -s 10.0.0.0/8 labs"),
        ("AuthorizeSecurityGroupIngress",
         {"GroupName": "labs", "IpPermissions.1.IpProtocol": "icmp", "IpPermissions.1.FromPort": "-1",
          "IpPermissions.1.ToPort": "-1", "IpPermissions.1.IpRanges.1.CidrIp": "0.0.0.0/0"},
         AUTHORIZE + """'[{"IpProtocol":"icmp","FromPort":-1,"ToPort":-1,"IpRanges":[{"CidrIp":"0.0.0.0/0"}]}]'""",
         "euca-authorize -P icmp -t -1:-1 -s 0.0.0.0/0 labs"),
    ],
)  # fmt: skip
def test_each_operation(operation, parameters, aws, euca):
    assert all(PARAMETERS.fullmatch(name) for name in parameters)
    assert aws_line(operation, parameters) == aws
    assert euca_line(operation, parameters, {}) == euca


@pytest.mark.parametrize("line", [aws_line, lambda *call: euca_line(*call, {})])
@pytest.mark.parametrize(
    "parameters",
    [{"InstanceId.1": "i-1", "Force": "true"}, {"InstanceId.1": "[left out]"}],
    ids=["unknown", "left out"],
)
def test_a_line_that_would_be_another_call_is_none(line, parameters):
    assert line("StopInstances", parameters) == ""
    assert line("NobodyKnowsThis", {}) == ""


def test_what_the_broker_calls_has_a_line_and_a_way():
    called = {name for names in OPERATIONS.values() for name in names} - ASKED_BY_PEOPLE_ONLY
    assert called <= set(AWS)
    assert called - {"ModifyVolume"} <= set(EUCA)
    assert {name for name in called if way_of(name, {}) is None} == set()


def test_a_way_begins_at_the_clc_and_says_each_part_that_it_passes():
    codes = [part.code for part in PARTS]
    assert codes == ["CLC", "CC", "NC", "SC", "Walrus"]
    ways = [*WAYS.values(), way_of("RunInstances", {}, root_device_type="instance-store"), way_of("DescribeImages", {}),
            way_of("CreateVolume", {"SnapshotId": "snap-1"})]  # fmt: skip
    for way in ways:
        assert way.parts[0] == "CLC"
        assert len(set(way.parts)) == len(way.parts)
        assert [code for code in way.parts if code not in way.said and code != "NC"] == []
        others = {code for code in codes if code not in way.parts}
        assert {code for code in others if f" {code}" in way.said} == set()
    assert way_of("SomethingElse", {}) is None


def test_where_the_system_disk_comes_from_decides_the_way_of_a_start():
    assert way_of("RunInstances", {}, root_device_type="ebs").parts[-1] == "SC"
    assert way_of("RunInstances", {}, root_device_type="instance-store").parts[-1] == "Walrus"
