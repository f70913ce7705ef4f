"""Key pairs, tags, zones, types, groups, and what the gateway is told of them."""

from __future__ import annotations

import base64
import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from educloud_lab.localcloud.errors import ApiError


def public_line(key):
    line = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH) + b" someone@somewhere"
    return base64.b64encode(line).decode()


@pytest.fixture(scope="module")
def rsa_key():
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


async def test_a_made_key_pair_hands_out_its_private_half_once(bench):
    answer = await bench.call("CreateKeyPair", KeyName="mine")
    key = load_pem_private_key(answer["KeyMaterial"].encode(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    (listed,) = (await bench.call("DescribeKeyPairs"))["KeyPairs"]
    assert (listed["KeyName"], listed["KeyFingerprint"]) == ("mine", answer["KeyFingerprint"])
    assert answer["KeyMaterial"].encode() not in (bench.home / "cloud" / "cloud.sqlite").read_bytes()


async def test_only_rsa_keys_are_imported(bench, rsa_key):
    await bench.call("ImportKeyPair", KeyName="rsa", PublicKeyMaterial=public_line(rsa_key))
    for material in (public_line(ed25519.Ed25519PrivateKey.generate()), "AAAA", "%%%", base64.b64encode(b"x").decode()):
        with pytest.raises(ApiError) as caught:
            await bench.call("ImportKeyPair", KeyName="bad", PublicKeyMaterial=material)
        assert caught.value.code == "InvalidKey.Format"


async def test_names_are_unique_in_an_account(bench, rsa_key):
    query = {"KeyName": "k", "PublicKeyMaterial": public_line(rsa_key)}
    await bench.call("ImportKeyPair", **query)
    for action in ("ImportKeyPair", "CreateKeyPair"):
        with pytest.raises(ApiError) as caught:
            await bench.call(action, **(query if action == "ImportKeyPair" else {"KeyName": "k"}))
        assert caught.value.code == "InvalidKeyPair.Duplicate"
    await bench.call("ImportKeyPair", "eucalyptus", **query)
    await bench.call("DeleteKeyPair", KeyName="k")
    await bench.call("DeleteKeyPair", KeyName="k")
    with pytest.raises(ApiError, match=r"InvalidKeyPair\.NotFound"):
        await bench.call("DescribeKeyPairs", KeyName__1="k")
    assert len((await bench.call("DescribeKeyPairs", "eucalyptus"))["KeyPairs"]) == 1


async def test_the_gateway_lets_a_key_reach_the_machines_started_with_it_and_no_other(bench, rsa_key):
    await bench.call("ImportKeyPair", KeyName="k", PublicKeyMaterial=public_line(rsa_key))
    lines = bench.home / "cloud" / "gateway" / "lines.d" / "keypairs.keys"
    await bench.settle()
    assert lines.read_text() == ""
    with_key, without = await bench.run(KeyName="k"), await bench.run()
    address = (await bench.instance(with_key))["PrivateIpAddress"]
    (line,) = lines.read_text().splitlines()
    assert line.startswith(f'restrict,port-forwarding,permitopen="{address}:*" ssh-rsa AAAA')
    assert (await bench.instance(without))["PrivateIpAddress"] not in line
    assert (lines.stat().st_mode & 0o777) == 0o600
    await bench.call("TerminateInstances", InstanceId__1=with_key)
    await bench.settle()
    assert lines.read_text() == ""


async def let_ssh_in(bench):
    rule = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "CidrIp": "0.0.0.0/0"}
    await bench.call("AuthorizeSecurityGroupIngress", GroupName="default", **rule)


async def test_routes_lead_to_the_running_machines(bench, monkeypatch):
    async def endpoint(instance_id, port):
        return ("127.0.0.1", 40000)

    monkeypatch.setattr(bench.hypervisor, "endpoint", endpoint)
    monkeypatch.setattr(bench.hypervisor, "reachable", True)
    await let_ssh_in(bench)
    machine = await bench.run()
    address = (await bench.instance(machine))["PrivateIpAddress"]
    routes = bench.home / "cloud" / "gateway" / "routes.json"
    assert json.loads(routes.read_text()) == {f"{address}:22": "127.0.0.1:40000", f"{address}:*": "closed"}
    await bench.call("StopInstances", InstanceId__1=machine)
    await bench.settle()
    assert json.loads(routes.read_text()) == {}


async def test_the_gateway_knows_the_way_before_anybody_is_told_the_address(bench, monkeypatch):
    seen = []

    async def endpoint(instance_id, port):
        seen.append((await bench.instance(instance_id))["PrivateIpAddress"])
        return ("127.0.0.1", 40000)

    monkeypatch.setattr(bench.hypervisor, "endpoint", endpoint)
    monkeypatch.setattr(bench.hypervisor, "reachable", True)
    await let_ssh_in(bench)
    await bench.run()
    assert seen == ["0.0.0.0"]


async def test_a_key_pair_that_was_deleted_still_opens_the_machines_started_with_it(bench, rsa_key):
    await bench.call("ImportKeyPair", KeyName="k", PublicKeyMaterial=public_line(rsa_key))
    machine = await bench.run(KeyName="k")
    await bench.call("DeleteKeyPair", KeyName="k")
    await bench.settle()
    assert (await bench.instance(machine))["KeyName"] == "k"
    assert (bench.home / "cloud" / "gateway" / "lines.d" / "keypairs.keys").read_text() != ""


async def test_tags_are_set_changed_found_and_removed(bench):
    machine, volume = await bench.run(), await bench.make_volume()
    odd = "Å \"quoted\" & 'single' <tag> 📦"
    await bench.call("CreateTags", ResourceId__1=machine, ResourceId__2=volume, Tag__1__Key="course", Tag__1__Value=odd)
    assert (await bench.instance(machine))["Tags"] == [{"Key": "course", "Value": odd}]
    found = await bench.call("DescribeVolumes", Filter__1__Name="tag:course", Filter__1__Value__1="Å*")
    assert [v["VolumeId"] for v in found["Volumes"]] == [volume]
    kinds = {t["ResourceType"] for t in (await bench.call("DescribeTags"))["Tags"]}
    assert kinds == {"instance", "volume"}
    await bench.call("DeleteTags", ResourceId__1=machine, Tag__1__Key="course", Tag__1__Value="other")
    assert (await bench.instance(machine))["Tags"] != []
    await bench.call("DeleteTags", ResourceId__1=machine, Tag__1__Key="course")
    assert (await bench.instance(machine))["Tags"] == []


async def test_tags_with_the_creation(bench):
    machine = await bench.run(
        TagSpecification__1__ResourceType="instance",
        TagSpecification__1__Tag__1__Key="a",
        TagSpecification__1__Tag__1__Value="1",
        TagSpecification__2__ResourceType="volume",
        TagSpecification__2__Tag__1__Key="b",
    )
    shown = await bench.instance(machine)
    assert shown["Tags"] == [{"Key": "a", "Value": "1"}]
    root = await bench.volume(shown["BlockDeviceMappings"][0]["Ebs"]["VolumeId"])
    assert root["Tags"] == [{"Key": "b", "Value": ""}]
    volume = await bench.make_volume(TagSpecification__1__ResourceType="volume", TagSpecification__1__Tag__1__Key="c")
    assert (await bench.volume(volume))["Tags"] == [{"Key": "c", "Value": ""}]


async def test_at_most_fifty_tags(bench):
    volume = await bench.make_volume()
    for number in range(50):
        await bench.call("CreateTags", ResourceId__1=volume, Tag__1__Key=f"k{number}", Tag__1__Value="")
    await bench.call("CreateTags", ResourceId__1=volume, Tag__1__Key="k0", Tag__1__Value="changed")
    with pytest.raises(ApiError, match="TagLimitExceeded"):
        await bench.call("CreateTags", ResourceId__1=volume, Tag__1__Key="k50", Tag__1__Value="")


async def test_zones_regions_types_and_groups(bench):
    (zone,) = (await bench.call("DescribeAvailabilityZones"))["AvailabilityZones"]
    assert (zone["ZoneName"], zone["State"]) == ("one", "available")
    with pytest.raises(ApiError, match=r"InvalidZone\.NotFound"):
        await bench.call("DescribeAvailabilityZones", ZoneName__1="two")
    (region,) = (await bench.call("DescribeRegions"))["Regions"]
    assert region["Endpoint"] == "http://127.0.0.1:8773/services/compute"
    types = (await bench.call("DescribeInstanceTypes", InstanceType__1="t2.micro"))["InstanceTypeDetails"]
    assert types == [{"Name": "t2.micro", "Cpu": 1, "Disk": 5, "Memory": 256, "NetworkInterfaces": 1}]
    with pytest.raises(ApiError, match="AuthFailure"):
        await bench.call("DescribeInstanceTypes", Availability="true")
    bench.memory = 2 * (256 + 114) << 20
    (micro,) = (
        await bench.call("DescribeInstanceTypes", "eucalyptus", Availability="true", InstanceType__1="t2.micro")
    )["InstanceTypeDetails"]
    assert micro["Availability"][0]["Available"] == 2
    (group,) = (await bench.call("DescribeSecurityGroups"))["SecurityGroups"]
    assert group["GroupName"] == "default"
    made = await bench.call("CreateSecurityGroup", GroupName="web", GroupDescription="pages")
    machine = await bench.run(SecurityGroup__1="web")
    assert (await bench.instance(machine))["SecurityGroups"] == [{"GroupId": made["GroupId"], "GroupName": "web"}]
    with pytest.raises(ApiError, match=r"InvalidGroup\.Duplicate"):
        await bench.call("CreateSecurityGroup", GroupName="web", GroupDescription="again")
