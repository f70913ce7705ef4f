"""What the profiles answer differently: ids and types of Eucalyptus 4.4, and AWS's own ways."""

from __future__ import annotations

import base64
import re

import pytest

from educloud_lab.localcloud.errors import ApiError, AuthError, BindError
from educloud_lab.localcloud.hypervisor.base import MachineReport, MachineState
from educloud_lab.localcloud.model import PROFILES, Behaviour, load_overlay, load_profile
from educloud_lab.localcloud.operations import OPERATIONS, perform
from educloud_lab.localcloud.state.tables import Volume


async def opened(bench, profile):
    """Turn the bench's cloud into one of another profile, before anything was made in it."""
    bench.service.cloud.model = load_profile(profile)
    bench.service.cloud.default_type = bench.service.cloud.model.behaviour.default_type
    return bench


@pytest.fixture
async def old(bench):
    return await opened(bench, "eucalyptus-4.4")


@pytest.fixture
async def aws(bench):
    return await opened(bench, "aws")


async def refused(code, work, status=400):
    with pytest.raises(ApiError) as caught:
        await work
    assert (caught.value.code, caught.value.status) == (code, status)


@pytest.mark.parametrize("profile", PROFILES)
def test_every_operation_of_a_profile_is_built(profile):
    assert set(load_profile(profile).operations) <= set(OPERATIONS)


def test_no_operation_is_built_that_no_profile_has():
    assert set(OPERATIONS) == {name for profile in PROFILES for name in load_profile(profile).operations}


@pytest.mark.parametrize("profile", PROFILES)
def test_a_profile_ignores_only_what_it_accepts(profile):
    overlay = load_overlay(profile)
    for operation, ignored in overlay["ignored"].items():
        assert set(ignored) <= set(overlay["accepts"][operation]), operation
        assert all(ignored.values()), operation


def test_a_profile_without_a_switch_is_refused():
    data = dict(load_overlay("aws")["behaviour"])
    del data["skew_s"]
    with pytest.raises(TypeError):
        Behaviour.of(data)


# Eucalyptus 4.4


async def test_ids_have_eight_digits_and_the_type_is_m1_small(old):
    machine, volume = await old.run(), await old.make_volume()
    assert re.fullmatch(r"i-[0-9a-f]{8}", machine)
    assert re.fullmatch(r"vol-[0-9a-f]{8}", volume)
    assert (await old.instance(machine))["InstanceType"] == "m1.small"
    types = (await old.call("DescribeInstanceTypes"))["InstanceTypeDetails"]
    assert {kind["Name"].partition(".")[0] for kind in types} == {"m1", "t1", "c1"}
    await refused("UnauthorizedOperation", old.run(InstanceType="t2.micro"), 403)


async def test_there_are_neither_tags_at_creation_nor_growing_volumes(old):
    tags = {"TagSpecification.1.ResourceType": "volume", "TagSpecification.1.Tag.1.Key": "k"}
    for query in (
        {"AvailabilityZone": "one", "Size": 1, **tags}, {"AvailabilityZone": "one", "Size": 1, "ClientToken": "x"},
    ):  # fmt: skip
        with pytest.raises(BindError):
            await old.call("CreateVolume", **query)
    with pytest.raises(BindError) as caught:
        await old.call("ModifyVolume", VolumeId="vol-00000000", Size=2)
    assert "Action = ModifyVolume" in caught.value.message
    assert load_profile("eucalyptus-4.4").default_version == "2016-09-15"
    assert load_profile("eucalyptus-4.4").id_prefixes["machine"] == "emi"


# AWS


async def test_unknown_parameters_and_actions(aws):
    await refused("UnknownParameter", aws.call("DescribeInstances", Nonsense="x"))
    await refused("InvalidParameterValue", aws.call("RunInstances", MinCount="one"))
    await refused("InvalidAction", aws.call("MigrateInstances"))
    await refused("MissingParameter", aws.call("DescribeInstanceAttribute", Attribute="userData"))


async def test_a_dry_run_changes_nothing(aws):
    query = {"ImageId": await aws.image(), "MinCount": 1, "MaxCount": 1, "DryRun": "true"}
    await refused("DryRunOperation", aws.call("RunInstances", **query), 412)
    assert (await aws.call("DescribeInstances"))["Reservations"] == []


async def test_no_room_is_a_code_of_its_own(aws):
    aws.memory = 0
    await refused("InsufficientInstanceCapacity", aws.run(), 500)


async def test_protection_holds_for_the_administrator_too(aws):
    machine = await aws.run(DisableApiTermination="true")
    with pytest.raises(ApiError, match="OperationNotPermitted"):
        await aws.call("TerminateInstances", "eucalyptus", InstanceId__1=machine)


async def test_tags_that_are_not_named_are_all_removed(aws):
    volume = await aws.make_volume(TagSpecification__1__ResourceType="volume", TagSpecification__1__Tag__1__Key="a")
    await aws.call("DeleteTags", ResourceId__1=volume)
    assert (await aws.volume(volume))["Tags"] == []


async def test_volumes_that_failed_are_impaired_in_aws_alone(aws):
    volume = await aws.make_volume()

    def break_it(session):
        session.get(Volume, volume).state = "error"

    await aws.service.cloud.database.run(break_it)
    for profile, status in (("aws", "impaired"), ("eucalyptus-6", "ok")):
        aws.service.cloud.model = load_profile(profile)
        (told,) = (await aws.call("DescribeVolumeStatus", VolumeId__1=volume))["VolumeStatuses"]
        assert told["VolumeStatus"]["Status"] == status
        query = {"Filter.1.Name": "volume-status.status", "Filter.1.Value.1": status}
        assert (await aws.call("DescribeVolumeStatus", **query))["VolumeStatuses"] == [told]


async def test_codes_have_no_leading_space(aws):
    machine = await aws.run()
    for query, code in (({}, "MissingParameter"), ({"Attribute": "x"}, "InvalidParameterValue")):
        with pytest.raises(ApiError) as caught:
            await aws.call("DescribeInstanceAttribute", InstanceId=machine, **query)
        assert caught.value.code == code


async def test_starting_what_is_not_stopped(aws):
    machine = await aws.run()
    (change,) = (await aws.call("StartInstances", InstanceId__1=machine))["StartingInstances"]
    assert (change["PreviousState"]["Name"], change["CurrentState"]["Name"]) == ("running", "running")
    await aws.call("TerminateInstances", InstanceId__1=machine)
    await refused("IncorrectInstanceState", aws.call("StartInstances", InstanceId__1=machine))


async def test_the_console_is_told_before_it_runs(aws):
    run = {"ImageId": await aws.image(), "MinCount": 1, "MaxCount": 1}
    machine = (await aws.call("RunInstances", **run))["Instances"][0]["InstanceId"]
    assert base64.b64decode((await aws.call("GetConsoleOutput", InstanceId=machine))["Output"]) == b" "


async def test_a_token_with_other_words_is_refused(aws):
    run = {"ImageId": await aws.image(), "MinCount": 1, "MaxCount": 1, "ClientToken": "t"}
    first = (await aws.call("RunInstances", **run))["Instances"][0]["InstanceId"]
    assert (await aws.call("RunInstances", **run))["Instances"][0]["InstanceId"] == first
    await refused("IdempotentParameterMismatch", aws.call("RunInstances", **run, InstanceType="t3.small"))


async def test_a_volume_comes_once_for_a_token(aws):
    query = {"AvailabilityZone": "one", "Size": 1, "ClientToken": "t"}
    first, again = await aws.call("CreateVolume", **query), await aws.call("CreateVolume", **query)
    assert first["VolumeId"] == again["VolumeId"]


@pytest.mark.parametrize(("behaviour", "state"), [("terminate", "terminated"), ("stop", "stopped")])
async def test_a_machine_that_powers_itself_off(aws, behaviour, state):
    machine = await aws.run(InstanceInitiatedShutdownBehavior=behaviour)
    shown = await aws.call(
        "DescribeInstanceAttribute", InstanceId=machine, Attribute="instanceInitiatedShutdownBehavior"
    )
    assert shown["InstanceInitiatedShutdownBehavior"] == {"Value": behaviour}
    await aws.service.supervisor._machines.ended(machine, MachineReport(machine, MachineState.ENDED, "guest-shutdown"))
    await aws.settle()
    seen = await aws.instance(machine)
    assert (seen["State"]["Name"], seen["StateReason"]["Code"]) == (state, "Client.InstanceInitiatedShutdown")


async def test_another_word_for_it_is_refused(aws):
    await refused("InvalidParameterValue", aws.run(InstanceInitiatedShutdownBehavior="sleep"))


async def test_pages(aws, monkeypatch):
    volumes = [await aws.make_volume() for _ in range(7)]
    first = await aws.call("DescribeVolumes", MaxResults=5)
    assert len(first["Volumes"]) == 5
    second = await aws.call("DescribeVolumes", MaxResults=5, NextToken=first["NextToken"])
    assert "NextToken" not in second
    seen = [volume["VolumeId"] for volume in (*first["Volumes"], *second["Volumes"])]
    assert sorted(seen) == sorted(volumes)
    monkeypatch.setattr(perform, "LARGEST_PAGE", 6)
    assert "NextToken" in await aws.call("DescribeVolumes"), "whoever asks for no page gets the largest"
    await refused("InvalidParameterValue", aws.call("DescribeVolumes", MaxResults=1))
    await refused("InvalidParameterValue", aws.call("DescribeVolumes", NextToken="x"))
    both = {"MaxResults": 5, "VolumeId.1": volumes[0]}
    await refused("InvalidParameterCombination", aws.call("DescribeVolumes", **both))


async def test_rules_that_are_there_or_not_and_groups_in_use(aws):
    rule = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "CidrIp": "0.0.0.0/0"}
    group = (await aws.call("CreateSecurityGroup", GroupName="lab", GroupDescription="x"))["GroupId"]
    added = await aws.call("AuthorizeSecurityGroupIngress", GroupId=group, **rule)
    assert added["SecurityGroupRules"][0]["CidrIpv4"] == "0.0.0.0/0"
    await refused("InvalidPermission.Duplicate", aws.call("AuthorizeSecurityGroupIngress", GroupId=group, **rule))
    await aws.call("RevokeSecurityGroupIngress", GroupId=group, **rule)
    await refused("InvalidPermission.NotFound", aws.call("RevokeSecurityGroupIngress", GroupId=group, **rule))
    machine = await aws.run(SecurityGroupId__1=group)
    await refused("DependencyViolation", aws.call("DeleteSecurityGroup", GroupId=group))
    await aws.call("ModifyInstanceAttribute", InstanceId=machine, GroupId__1="default")
    await aws.call("DeleteSecurityGroup", GroupId=group)
    await refused("CannotDelete", aws.call("DeleteSecurityGroup", GroupName="default"))


async def test_types_have_awss_shape(aws):
    query = {"InstanceType.1": "t3.micro"}
    (kind,) = (await aws.call("DescribeInstanceTypes", **query))["InstanceTypes"]
    assert (kind["InstanceType"], kind["MemoryInfo"], kind["VCpuInfo"]["DefaultVCpus"]) == (
        "t3.micro", {"SizeInMiB": 256}, 2,
    )  # fmt: skip
    await refused("InvalidInstanceType", aws.call("DescribeInstanceTypes", InstanceType__1="m1.small"))


async def test_ed25519_keys_and_ids_of_key_pairs(aws):
    made = await aws.call("CreateKeyPair", KeyName="k", KeyType="ed25519")
    assert "OPENSSH PRIVATE KEY" in made["KeyMaterial"]
    (seen,) = (await aws.call("DescribeKeyPairs", KeyPairId__1=made["KeyPairId"], IncludePublicKey="true"))["KeyPairs"]
    assert (seen["KeyType"], seen["PublicKey"].split()[0]) == ("ed25519", "ssh-ed25519")
    assert seen["KeyFingerprint"] == made["KeyFingerprint"]
    await refused("InvalidParameterValue", aws.call("CreateKeyPair", KeyName="l", KeyType="dsa"))


@pytest.mark.parametrize(
    ("kind", "code", "status"),
    [("key", "AuthFailure", 401), ("signature", "SignatureDoesNotMatch", 403), ("time", "RequestExpired", 400)],
)
def test_refused_signatures(kind, code, status):
    found = load_profile("aws").behaviour.refusal(AuthError("any words", kind))
    assert (found.code, found.status) == (code, status)
    assert load_profile("eucalyptus-6").behaviour.refusal(AuthError("any words", kind)) is None


def test_an_instance_without_address_shows_none():
    model = load_profile("aws")
    answer = {"Reservations": [{"Instances": [{"InstanceId": "i-1", "PrivateIpAddress": "0.0.0.0"}]}]}
    assert "0.0.0.0" not in model.render(model.operations["DescribeInstances"], answer, "2016-11-15", "r")
