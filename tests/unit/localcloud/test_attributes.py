"""Attributes of instances: what may be changed and when, termination protection, and what clients ask besides."""

from __future__ import annotations

import base64

import pytest

from educloud_lab.localcloud.errors import ApiError, BindError


async def told(bench, machine, attribute):
    answer = await bench.call("DescribeInstanceAttribute", InstanceId=machine, Attribute=attribute)
    (value,) = [value for name, value in answer.items() if name != "InstanceId"]
    return value


async def modify(bench, machine, **query):
    await bench.call("ModifyInstanceAttribute", InstanceId=machine, **query)


async def refused(code, work):
    with pytest.raises(ApiError) as caught:
        await work
    assert caught.value.code.strip() == code


async def stopped(bench):
    machine = await bench.run()
    await bench.call("StopInstances", InstanceId__1=machine)
    await bench.settle()
    return machine


async def test_what_a_machine_boots_with_changes_only_while_it_is_stopped(bench):
    machine = await bench.run()
    data = base64.b64encode(b"#!/bin/sh").decode()
    changes = [
        {"InstanceType.Value": "t2.small"}, {"UserData.Value": data}, {"Kernel.Value": "aki-00000000"},
        {"Ramdisk.Value": "ari-00000000"},
    ]  # fmt: skip
    for change in changes:
        await refused("IncorrectInstanceState", modify(bench, machine, **change))
    await bench.call("StopInstances", InstanceId__1=machine)
    await bench.settle()
    await modify(bench, machine, **changes[0])
    await modify(bench, machine, **changes[1])
    assert await told(bench, machine, "instanceType") == {"Value": "t2.small"}
    assert await told(bench, machine, "userData") == {"Value": data}
    for change in changes[2:]:
        await refused("UnsupportedOperation", modify(bench, machine, **change))
    await bench.call("ResetInstanceAttribute", InstanceId=machine, Attribute="kernel")
    await refused(
        "InvalidParameterValue",
        bench.call("ResetInstanceAttribute", InstanceId=machine, Attribute="sourceDestCheck"),
    )


@pytest.mark.parametrize("value", ["x9.huge", "t3.micro"])
async def test_a_type_that_this_cloud_does_not_have(bench, value):
    machine = await stopped(bench)
    await refused("InvalidInstanceAttributeValue", modify(bench, machine, InstanceType__Value=value))


async def test_termination_protection(bench):
    machine = await bench.run()
    await modify(bench, machine, DisableApiTermination__Value="true")
    assert await told(bench, machine, "disableApiTermination") == {"Value": True}
    await refused("OperationNotPermitted", bench.call("TerminateInstances", InstanceId__1=machine))
    other = await bench.run(DisableApiTermination="true")
    await bench.call("TerminateInstances", "eucalyptus", InstanceId__1=other)
    await modify(bench, machine, DisableApiTermination__Value="false")
    await bench.call("TerminateInstances", InstanceId__1=machine)
    await bench.settle()
    assert (await bench.instance(machine))["State"]["Name"] == "terminated"


async def test_a_root_that_is_kept_survives_its_machine(bench):
    machine = await bench.run()
    (root,) = await told(bench, machine, "blockDeviceMapping")
    mapping = {
        "BlockDeviceMapping.1.DeviceName": root["DeviceName"],
        "BlockDeviceMapping.1.Ebs.DeleteOnTermination": "false",
    }
    await modify(bench, machine, **mapping)
    assert (await told(bench, machine, "blockDeviceMapping"))[0]["Ebs"]["DeleteOnTermination"] is False
    await bench.call("TerminateInstances", InstanceId__1=machine)
    await bench.settle()
    assert (await bench.volume(root["Ebs"]["VolumeId"]))["State"] == "available"
    await refused(
        "InvalidInstanceAttributeValue",
        modify(bench, machine, **{**mapping, "BlockDeviceMapping.1.DeviceName": "/dev/sdz"}),
    )


async def test_what_eucalyptus_accepts_and_ignores(bench):
    machine = await bench.run()
    for name in ("InstanceInitiatedShutdownBehavior", "SourceDestCheck", "EbsOptimized"):
        await modify(bench, machine, **{f"{name}.Value": "terminate" if name.startswith("Inst") else "false"})
    assert await told(bench, machine, "instanceInitiatedShutdownBehavior") == {"Value": "stop"}
    with pytest.raises(BindError):  # AWS's older form
        await modify(bench, machine, Attribute="userData", Value="")
    await refused("MissingParameter", modify(bench, machine))
    await refused("InvalidParameterCombination", modify(bench, machine, GroupId__1="default"))


async def test_groups_and_other_attributes_are_told(bench):
    machine = await bench.run()
    assert [group["GroupName"] for group in await told(bench, machine, "groupSet")] == ["default"]
    assert await told(bench, machine, "rootDeviceName") == {"Value": "/dev/sda"}
    assert await told(bench, machine, "productCodes") == []
    await refused("InvalidParameterValue", told(bench, machine, "nonsense"))


async def test_monitoring_stays_disabled_and_strangers_machines_do_not_exist(bench):
    machine = await bench.run()
    for action in ("MonitorInstances", "UnmonitorInstances"):
        answer = await bench.call(action, InstanceId__1=machine)
        assert answer == {"InstanceMonitorings": [{"InstanceId": machine, "Monitoring": {"State": "disabled"}}]}
    await refused("InvalidInstanceID.NotFound", bench.call("MonitorInstances", InstanceId__1="i-00000000"))


async def test_an_account_is_in_ec2_classic_without_addresses(bench):
    found = (await bench.call("DescribeAccountAttributes", AttributeName__1="supported-platforms"))["AccountAttributes"]
    assert found == [{"AttributeName": "supported-platforms", "AttributeValues": [{"AttributeValue": "EC2"}]}]
    assert (await bench.call("DescribeAddresses"))["Addresses"] == []
    await refused("InvalidAddress.NotFound", bench.call("DescribeAddresses", PublicIp__1="192.0.2.1"))
    await refused("InvalidParameterValue", bench.call("DescribeAccountAttributes", AttributeName__1="x"))


async def test_volumes_are_well_unless_they_failed(bench):
    volume = await bench.make_volume()
    (status,) = (await bench.call("DescribeVolumeStatus"))["VolumeStatuses"]
    assert (status["VolumeId"], status["VolumeStatus"]["Status"]) == (volume, "ok")
    query = {"Filter.1.Name": "volume-status.status", "Filter.1.Value.1": "impaired"}
    assert (await bench.call("DescribeVolumeStatus", **query))["VolumeStatuses"] == []
    answer = await bench.call("DescribeVolumeAttribute", VolumeId=volume, Attribute="autoEnableIO")
    assert answer == {"VolumeId": volume, "AutoEnableIO": {"Value": True}}
    await refused("InvalidVolume.NotFound", bench.call("DescribeVolumeStatus", VolumeId__1="vol-00000000"))
    await refused("InvalidParameterValue", bench.call("DescribeVolumeAttribute", VolumeId=volume, Attribute="nonsense"))


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("instance-state-name", "running", True), ("instance-state-code", "80", False),
        ("instance-status.status", "ok", True), ("system-status.reachability", "failed", False),
        ("system-status.status", "impaired", False), ("tag:Name", "a*", True), ("availability-zone", "two", False),
    ],
)  # fmt: skip
async def test_status_filters(bench, name, value, found):
    machine = await bench.run()
    await bench.call("CreateTags", ResourceId__1=machine, Tag__1__Key="Name", Tag__1__Value="ada")
    query = {"Filter.1.Name": name, "Filter.1.Value.1": value}
    assert bool((await bench.call("DescribeInstanceStatus", **query))["InstanceStatuses"]) is found
    await refused("InvalidParameterValue", bench.call("DescribeInstanceStatus", **{**query, "Filter.1.Name": "vpc-id"}))


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("launch-time", "2026-11-22T12:*", True), ("block-device-mapping.delete-on-termination", "true", True),
        ("monitoring-state", "enabled", False), ("private-dns-name", "172.*", True), ("vpc-id", "*", False),
    ],
)  # fmt: skip
async def test_further_filters_of_instances(bench, name, value, found):
    await bench.run()
    query = {"Filter.1.Name": name, "Filter.1.Value.1": value}
    assert bool((await bench.call("DescribeInstances", **query))["Reservations"]) is found
