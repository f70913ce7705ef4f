"""Drives the cloud with boto3; see test_clients.py for what is expected of a client."""

import base64
import os
import time

import boto3
from botocore.config import Config

ec2 = boto3.client(
    "ec2",
    endpoint_url=os.environ["ENDPOINT"],
    region_name=os.environ["REGION"],
    config=Config(retries={"mode": "standard", "max_attempts": 1}),
)


def ok(step):
    print("ok", step, flush=True)


def until(what):
    end = time.monotonic() + 60
    while not what():
        if time.monotonic() > end:
            raise SystemExit("it never came about")
        time.sleep(0.1)


key = ec2.create_key_pair(KeyName="boto3")
assert "PRIVATE KEY" in key["KeyMaterial"]
assert [k["KeyName"] for k in ec2.describe_key_pairs(KeyNames=["boto3"])["KeyPairs"]] == ["boto3"]
ok("key pair")

group = ec2.create_security_group(GroupName="boto3", Description="by boto3")["GroupId"]
ec2.authorize_security_group_ingress(GroupId=group, IpProtocol="tcp", FromPort=22, ToPort=22, CidrIp="0.0.0.0/0")
rules = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]["IpPermissions"]
assert (rules[0]["FromPort"], rules[0]["IpRanges"][0]["CidrIp"]) == (22, "0.0.0.0/0")
ok("group")

place = {"AvailabilityZone": os.environ["ZONE"]}
machine = ec2.run_instances(
    ImageId=os.environ["IMAGE"], InstanceType=os.environ["TYPE"], MinCount=1, MaxCount=1, KeyName="boto3",
    SecurityGroupIds=[group], Placement=place, UserData="#!/bin/sh\n",
)["Instances"][0]["InstanceId"]  # fmt: skip
ok("run")
waiting = {"Delay": 1, "MaxAttempts": 60}
ec2.get_waiter("instance_running").wait(InstanceIds=[machine], WaiterConfig=waiting)
ok("wait")

ec2.create_tags(Resources=[machine], Tags=[{"Key": "Name", "Value": "boto3's"}])
found = ec2.describe_instances(Filters=[{"Name": "tag:Name", "Values": ["boto3's"]}])["Reservations"]
assert [i["InstanceId"] for r in found for i in r["Instances"]] == [machine]
ok("tag")

answer = ec2.get_console_output(InstanceId=machine)
assert "booted" in answer["Output"] or base64.b64decode(answer["Output"])
ok("console")

volume = ec2.create_volume(AvailabilityZone=os.environ["ZONE"], Size=1)["VolumeId"]
ec2.get_waiter("volume_available").wait(VolumeIds=[volume], WaiterConfig=waiting)
ok("volume")
ec2.attach_volume(VolumeId=volume, InstanceId=machine, Device="/dev/sdf")
ec2.get_waiter("volume_in_use").wait(VolumeIds=[volume], WaiterConfig=waiting)
until(lambda: ec2.describe_volumes(VolumeIds=[volume])["Volumes"][0]["Attachments"][0]["State"] == "attached")
ok("attach")

snapshot = ec2.create_snapshot(VolumeId=volume, Description="by boto3")["SnapshotId"]
ec2.get_waiter("snapshot_completed").wait(SnapshotIds=[snapshot], WaiterConfig=waiting)
ok("snapshot")
second = ec2.create_volume(AvailabilityZone=os.environ["ZONE"], SnapshotId=snapshot)["VolumeId"]
ec2.get_waiter("volume_available").wait(VolumeIds=[second], WaiterConfig=waiting)
ok("volume from snapshot")

ec2.detach_volume(VolumeId=volume)
ec2.get_waiter("volume_available").wait(VolumeIds=[volume], WaiterConfig=waiting)
ok("detach")
ec2.stop_instances(InstanceIds=[machine])
ec2.get_waiter("instance_stopped").wait(InstanceIds=[machine], WaiterConfig=waiting)
ok("stop")
ec2.start_instances(InstanceIds=[machine])
ec2.get_waiter("instance_running").wait(InstanceIds=[machine], WaiterConfig=waiting)
ok("start")
ec2.terminate_instances(InstanceIds=[machine])
ec2.get_waiter("instance_terminated").wait(InstanceIds=[machine], WaiterConfig=waiting)
ok("terminate")

for volume_id in (volume, second):
    ec2.delete_volume(VolumeId=volume_id)
ec2.delete_snapshot(SnapshotId=snapshot)
ec2.delete_security_group(GroupId=group)
ec2.delete_key_pair(KeyName="boto3")
ok("clean up")
