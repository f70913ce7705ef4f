"""Parameters that the data files call ignored are read by nothing; all others that are accepted are read."""

from __future__ import annotations

import contextlib

import pytest

from educloud_lab.localcloud.cloud import Caller
from educloud_lab.localcloud.errors import ApiError
from educloud_lab.localcloud.model import PROFILES, load_profile
from educloud_lab.localcloud.operations import OPERATIONS
from educloud_lab.localcloud.operations.perform import _page


class Recording(dict):
    """Parameters that remember which of them were asked for, whether they were given or not."""

    def __init__(self, values):
        super().__init__(values)
        self.read = set()

    def get(self, key, default=None):
        self.read.add(key)
        return super().get(key, default)

    def __getitem__(self, key):
        self.read.add(key)
        return super().__getitem__(key)

    def __contains__(self, key):
        self.read.add(key)
        return super().__contains__(key)


@pytest.mark.parametrize("profile", PROFILES)
async def test_what_is_ignored_and_what_is_not(bench, profile):
    cloud = bench.service.cloud
    cloud.model = load_profile(profile)
    cloud.default_type = cloud.model.behaviour.default_type
    caller = Caller(bench.service.accounts.named("educloud")[0], "request", "http://127.0.0.1:8773")
    read = {name: set() for name in cloud.model.operations}

    async def ask(action, **params):
        if action not in read:
            return  # this profile does not have it
        recording = Recording(params)
        with contextlib.suppress(ApiError):
            answer = await OPERATIONS[action](cloud, caller, recording)
            if page := cloud.model.behaviour.pages.get(action):
                _page(answer, recording, *page)
        read[action] |= recording.read

    image = await bench.image()
    machine, volume = await bench.run(), await bench.make_volume()
    snapshot = (await bench.call("CreateSnapshot", VolumeId=volume))["SnapshotId"]
    await bench.settle()
    group = (await bench.call("CreateSecurityGroup", GroupName="lab", GroupDescription="x"))["GroupId"]
    ids = {"InstanceId": machine, "VolumeId": volume, "SnapshotId": snapshot, "GroupId": group, "ImageId": image}
    for name in cloud.model.operations:
        # A first look with what names things, and one with an attribute of each kind: handlers read the rest.
        await ask(name, **ids, Attribute="userData")
        await ask(name, **ids, InstanceIds=[machine], Attribute="kernel", AttributeNames=[], KeyName="k")
    await bench.settle()
    # What these left is gone: the rest is asked about new things.
    machine, volume = await bench.run(), await bench.make_volume()
    await bench.call("CreateSecurityGroup", GroupName="lab", GroupDescription="x")
    await ask("ModifyInstanceAttribute", InstanceId=machine)
    await ask("AttachVolume", VolumeId=volume, InstanceId=machine, Device="/dev/sdf")
    await bench.settle()
    await ask("DetachVolume", VolumeId=volume)
    await bench.settle()
    volume = await bench.make_volume()
    snapshot = (await bench.call("CreateSnapshot", VolumeId=volume))["SnapshotId"]
    await bench.settle()
    await ask("CreateVolume", AvailabilityZone="one", Size=1)
    await ask("ModifyVolume", VolumeId=volume, Size=2)
    await ask("RunInstances", ImageId=image, MinCount=1, MaxCount=1, ClientToken="t")
    await ask("CreateKeyPair", KeyName="l")
    await ask("ImportKeyPair", KeyName="m", PublicKeyMaterial="AAAA")
    await ask("CreateSecurityGroup", GroupName="n", Description="x")
    await ask("AuthorizeSecurityGroupIngress", GroupName="lab", IpProtocol="-1", CidrIp="0.0.0.0/0")
    await ask("RevokeSecurityGroupIngress", GroupName="lab", IpProtocol="-1", CidrIp="0.0.0.0/0")
    await ask("DeleteSecurityGroup")
    await ask("CreateTags", Resources=[volume], Tags=[])
    await ask("DeleteTags", Resources=[volume])
    await ask("CreateSnapshot", VolumeId=volume)
    await ask("CreateImage", InstanceId=machine, Name="made")
    await ask("RegisterImage", Name="made-2", RootDeviceName="/dev/sda", BlockDeviceMappings=[
        {"DeviceName": "/dev/sda", "Ebs": {"SnapshotId": snapshot}}
    ])  # fmt: skip
    await ask("RegisterImage", ImageLocation="bucket/x.manifest.xml", Name="made-3")
    for action, named in (
        ("ModifyImageAttribute", {"ImageId": image}), ("ModifySnapshotAttribute", {"SnapshotId": snapshot}),
    ):  # fmt: skip
        await ask(action, **named)
        await ask(action, **named, UserIds=["000100000000"], OperationType="add")
    wrong = {}
    for name, operation in cloud.model.operations.items():
        accepted = {member for member, _node in operation.parameters.children.values()}
        ignored = set(cloud.model.ignored.get(name, ()))
        if found := (read[name] & ignored, accepted - ignored - read[name]):
            wrong.update({name: found} if any(found) else {})
    assert wrong == {}, "read though ignored, and honoured though not read"
