"""Security groups: their rules in every form, told back, compared, refused, and what deletes them."""

from __future__ import annotations

import pytest

from educloud_lab.localcloud.errors import ApiError, BindError
from educloud_lab.localcloud.groups import Allowed, allowed

SSH = {"IpPermissions.1.IpProtocol": "tcp", "IpPermissions.1.FromPort": 22, "IpPermissions.1.ToPort": 22,
       "IpPermissions.1.IpRanges.1.CidrIp": "0.0.0.0/0"}  # fmt: skip
FLAT_SSH = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "CidrIp": "0.0.0.0/0"}


async def make(bench, name="lab", account="educloud"):
    made = await bench.call("CreateSecurityGroup", account, GroupName=name, GroupDescription="for a lab")
    return made["GroupId"]


async def authorize(bench, *, account="educloud", **query):
    return await bench.call("AuthorizeSecurityGroupIngress", account, **query)


async def told(bench, name="lab", account="educloud", **query):
    groups = await bench.call("DescribeSecurityGroups", account, **{"GroupName.1": name, **query})
    return groups["SecurityGroups"][0]["IpPermissions"]


async def refused(bench, code, action, account="educloud", **query):
    with pytest.raises(ApiError) as caught:
        await bench.call(action, account, **query)
    assert caught.value.code.strip() == code
    return caught.value


async def test_a_new_group_lets_nothing_in(bench):
    await make(bench)
    assert await told(bench) == []
    assert await told(bench, "default") == []


@pytest.mark.parametrize("rule", [SSH, FLAT_SSH, {**SSH, "IpPermissions.1.IpProtocol": "6"}])
async def test_the_old_and_the_new_form_say_the_same(bench, rule):
    await make(bench)
    assert (await authorize(bench, GroupName="lab", **rule))["Return"] is True
    assert await told(bench) == [
        {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "UserIdGroupPairs": [],
         "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    ]  # fmt: skip
    again = FLAT_SSH if rule is not FLAT_SSH else SSH
    assert await authorize(bench, GroupName="lab", **again) == {"Return": False}, "as Eucalyptus: no error"
    await bench.call("RevokeSecurityGroupIngress", GroupName="lab", **again)
    assert await told(bench) == []
    await bench.call("RevokeSecurityGroupIngress", GroupName="lab", **again)


async def test_all_or_nothing_is_added(bench):
    await make(bench)
    await authorize(bench, GroupName="lab", **SSH)
    two = {key.replace(".1.", ".2.", 1): value for key, value in SSH.items()} | {"IpPermissions.2.ToPort": 30}
    assert await authorize(bench, GroupName="lab", **SSH, **two) == {"Return": False}
    assert len(await told(bench)) == 1


async def test_a_group_as_source_even_of_another_account(bench):
    own, other = await make(bench), await make(bench, "theirs", "eucalyptus")
    administrator = bench.service.accounts.named("eucalyptus")[0].account_id
    await authorize(bench, GroupId=own, **{
        "IpPermissions.1.IpProtocol": "-1",
        "IpPermissions.1.Groups.1.GroupName": "theirs", "IpPermissions.1.Groups.1.UserId": administrator,
        "IpPermissions.1.Groups.2.GroupId": own,
    })  # fmt: skip
    (entry,) = await told(bench)
    mine = bench.service.accounts.named("educloud")[0].account_id
    assert entry == {
        "IpProtocol": "-1", "IpRanges": [],
        "UserIdGroupPairs": [
            {"UserId": administrator, "GroupName": "theirs", "GroupId": other},
            {"UserId": mine, "GroupName": "lab", "GroupId": own},
        ],
    }  # fmt: skip
    await refused(
        bench, "InvalidGroup.NotFound", "AuthorizeSecurityGroupIngress", GroupId=own,
        **{"IpPermissions.1.IpProtocol": "-1", "IpPermissions.1.Groups.1.GroupName": "theirs"},
    )  # fmt: skip
    await refused(bench, "InvalidGroup.InUse", "DeleteSecurityGroup", "eucalyptus", GroupId=other)


async def test_the_oldest_form_lets_a_whole_group_in(bench):
    await make(bench)
    mine = bench.service.accounts.named("educloud")[0].account_id
    source = {"SourceSecurityGroupName": "default", "SourceSecurityGroupOwnerId": mine}
    await bench.call("DescribeSecurityGroups")
    await authorize(bench, GroupName="lab", **source)
    what = [(rule["IpProtocol"], rule["FromPort"], rule["ToPort"]) for rule in await told(bench)]
    assert what == [("tcp", 1, 65535), ("udp", 1, 65535), ("icmp", -1, -1)]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"IpProtocol": None}, "MissingParameter"),
        ({"CidrIp": None}, "MissingParameter"),
        ({"FromPort": None}, "MissingParameter"),
        ({"IpProtocol": "sctp"}, "InvalidPermission.Malformed"),
        ({"IpProtocol": "256"}, "InvalidPermission.Malformed"),
        ({"FromPort": 23}, "InvalidPermission.Malformed"),
        ({"ToPort": 65536}, "InvalidPermission.Malformed"),
        ({"FromPort": -1}, "InvalidPermission.Malformed"),
        ({"CidrIp": "10.0.0.0"}, "InvalidParameterValue"),
        ({"CidrIp": "10.0.0.0/33"}, "InvalidParameterValue"),
        ({"CidrIp": "::/0"}, "InvalidParameterValue"),
        ({"IpProtocol": "icmp", "FromPort": 256, "ToPort": -1}, "InvalidParameterValue"),
        ({"SourceSecurityGroupName": "x", "SourceSecurityGroupOwnerId": "1"}, "InvalidParameterCombination"),
        ({"GroupName": "absent"}, "InvalidGroup.NotFound"),
        ({"GroupName": None}, "MissingParameter"),
    ],
)
async def test_rules_that_make_no_sense(bench, changes, code):
    await make(bench)
    query = {key: value for key, value in {"GroupName": "lab", **FLAT_SSH, **changes}.items() if value is not None}
    await refused(bench, code, "AuthorizeSecurityGroupIngress", **query)
    assert await told(bench) == []


async def test_what_groups_let_in_is_worked_out_for_machines(bench):
    group = await make(bench)
    await authorize(bench, GroupId=group, **SSH)
    inside = await bench.run(SecurityGroup__1="lab")
    outside = await bench.run()
    found = await bench.service.cloud.database.run(allowed)
    assert found == {inside: (Allowed("tcp", 22, 22, "0.0.0.0/0"),), outside: ()}


async def test_only_a_group_that_nothing_uses_is_deleted(bench):
    group = await make(bench)
    machine = await bench.run(SecurityGroup__1="lab")
    await refused(bench, "InvalidGroup.InUse", "DeleteSecurityGroup", GroupName="lab")
    await bench.call("TerminateInstances", InstanceId__1=machine)
    await bench.settle()
    await authorize(bench, GroupId=group, **SSH)
    await refused(bench, "InvalidGroup.NotFound", "DeleteSecurityGroup", GroupId="sg-00000000")
    await bench.call("CreateTags", ResourceId__1=group, Tag__1__Key="k", Tag__1__Value="v")
    assert (await bench.call("DeleteSecurityGroup", GroupId=group))["Return"] is True
    assert (await bench.call("DescribeTags"))["Tags"] == []
    await refused(bench, "InvalidGroup.NotFound", "DescribeSecurityGroups", GroupName__1="lab")
    await refused(bench, "InvalidGroup.Reserved", "DeleteSecurityGroup", GroupName="default")
    again = await make(bench)
    assert await told(bench) == [], f"{again} has nothing of its predecessor's"


async def test_another_accounts_group_does_not_exist(bench):
    theirs = await make(bench, "theirs", "eucalyptus")
    for action in ("DeleteSecurityGroup", "AuthorizeSecurityGroupIngress", "RevokeSecurityGroupIngress"):
        more = {} if action == "DeleteSecurityGroup" else FLAT_SSH
        await refused(bench, "InvalidGroup.NotFound", action, GroupId=theirs, **more)


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("group-name", "la*", True), ("group-name", "x*", False), ("description", "for a lab", True),
        ("ip-permission.cidr", "0.0.0.0/0", True), ("ip-permission.cidr", "10.*", False),
        ("ip-permission.protocol", "tcp", True), ("ip-permission.from-port", "22", True),
        ("ip-permission.to-port", "23", False), ("ip-permission.group-name", "*", False),
        ("tag:k", "v", True), ("tag-key", "k", True),
    ],
)  # fmt: skip
async def test_filters(bench, name, value, found):
    group = await make(bench)
    await authorize(bench, GroupId=group, **SSH)
    await bench.call("CreateTags", ResourceId__1=group, Tag__1__Key="k", Tag__1__Value="v")
    query = {"Filter.1.Name": name, "Filter.1.Value.1": value}
    groups = (await bench.call("DescribeSecurityGroups", **query))["SecurityGroups"]
    assert (group in [entry["GroupId"] for entry in groups]) is found


async def test_eucalyptus_does_not_know_pages_of_groups(bench):
    with pytest.raises(BindError):
        await bench.call("DescribeSecurityGroups", MaxResults=10)


async def test_a_group_has_its_limit_of_rules(bench):
    await make(bench)
    ranges = {f"IpPermissions.1.IpRanges.{n}.CidrIp": f"10.0.{n}.0/24" for n in range(1, 101)}
    base = {"GroupName": "lab", "IpPermissions.1.IpProtocol": "-1"}
    await authorize(bench, **base, **ranges)
    await refused(
        bench, "RulesPerSecurityGroupLimitExceeded", "AuthorizeSecurityGroupIngress", GroupName="lab", **FLAT_SSH
    )
