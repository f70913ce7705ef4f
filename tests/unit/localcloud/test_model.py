"""The compiled model: parameters in, XML out, and the committed data is current."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree

import pytest

from educloud_lab.localcloud.errors import BindError
from educloud_lab.localcloud.model import instance_types, load_profile
from educloud_lab.localcloud.operations import OPERATIONS

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def model():
    return load_profile("eucalyptus-6")


def parse(model, action, **query):
    return model.parse(model.operations[action], {name.replace("__", "."): value for name, value in query.items()})


def test_the_committed_model_is_what_the_script_makes():
    result = subprocess.run(
        [sys.executable, ROOT / "scripts" / "compile_cloud_model.py", "--check"], capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr


def test_every_operation_of_the_profile_is_built_and_no_other(model):
    assert set(OPERATIONS) <= set(model.operations)


def test_lists_and_structures_are_put_together_in_the_order_of_their_numbers(model):
    got = parse(
        model,
        "RunInstances",
        TagSpecification__1__ResourceType="instance",
        TagSpecification__1__Tag__10__Key="z",
        TagSpecification__1__Tag__2__Key="a",
        SecurityGroup__1="default",
        Placement__AvailabilityZone="one",
        MinCount="1",
        DisableApiTermination="true",
    )
    assert got == {
        "TagSpecifications": [{"ResourceType": "instance", "Tags": [{"Key": "a"}, {"Key": "z"}]}],
        "SecurityGroups": ["default"],
        "Placement": {"AvailabilityZone": "one"},
        "MinCount": 1,
        "DisableApiTermination": True,
    }


@pytest.mark.parametrize(
    ("action", "name", "value"),
    [
        ("CreateVolume", "ClientToken", "abc"),
        ("RunInstances", "DryRun", "true"),
        ("RunInstances", "MetadataOptions.HttpTokens", "required"),
        ("DescribeImages", "MaxResults", "10"),
        ("DescribeKeyPairs", "MaxResults", "10"),
        ("DescribeSecurityGroups", "NextToken", "x"),
        ("CreateKeyPair", "KeyType", "ed25519"),
        ("CreateKeyPair", "TagSpecification.1.ResourceType", "key-pair"),
        ("GetConsoleOutput", "Latest", "true"),
        ("StopInstances", "Hibernate", "true"),
        ("RunInstances", "MinCount", "one"),
        ("RunInstances", "MinCount", "²"),
        ("RunInstances", "MinCount", "1" * 30),
        ("RunInstances", "DisableApiTermination", "maybe"),
        ("RunInstances", "Placement", "one"),
        ("RunInstances", "ImageId.1", "emi-1"),
        ("RunInstances", "SecurityGroup.x", "default"),
        ("RunInstances", "SecurityGroup.1.Name", "default"),
        ("RunInstances", "TagSpecification.1", "x"),
        ("RunInstances", "", "x"),
        ("RunInstances", "...", "x"),
    ],
)
def test_what_eucalyptus_does_not_know_or_cannot_read_does_not_bind(model, action, name, value):
    with pytest.raises(BindError) as caught:
        model.parse(model.operations[action], {name: value, "Version": "2016-11-15"})
    assert caught.value.message == f"Failed to bind the following fields:\n{name} = {value}\n"


def test_console_output_takes_the_list_form_of_old_clients(model):
    assert parse(model, "GetConsoleOutput", InstanceId__1="i-00000001") == {"InstanceId": "i-00000001"}


def test_an_answer_has_the_namespace_of_the_asked_version_with_a_slash_and_the_request_id_first(model):
    text = model.render(model.operations["DescribeInstances"], {"Reservations": []}, "2014-10-01", "abc")
    root = ElementTree.fromstring(text)
    assert root.tag == "{http://ec2.amazonaws.com/doc/2014-10-01/}DescribeInstancesResponse"
    assert root[0].tag.endswith("}requestId")
    assert root[0].text == "abc"


def test_an_instance_has_eucalyptus_order_and_lacks_what_it_lacks(model):
    instance = {
        "State": {"Name": "running", "Code": 16}, "Tags": [], "InstanceId": "i-1", "PublicIpAddress": "1.2.3.4",
        "ImageId": "emi-1", "LaunchTime": datetime(2026, 1, 2, 3, 4, 5, 678901, UTC),
        "Hypervisor": "xen", "StateReason": {"Code": "x"},
    }  # fmt: skip
    text = model.render(
        model.operations["DescribeInstances"],
        {"Reservations": [{"ReservationId": "r-1", "Groups": [], "Instances": [instance]}]},
        "2016-11-15",
        "abc",
    )
    item = ElementTree.fromstring(text).find(".//{*}instancesSet/{*}item")
    assert [child.tag.partition("}")[2] for child in item] == [
        "instanceId", "imageId", "instanceState", "launchTime", "ipAddress", "tagSet",
    ]  # fmt: skip
    assert item.findtext("{*}launchTime") == "2026-01-02T03:04:05.678Z"


def test_text_that_xml_cannot_hold_is_replaced_and_everything_else_comes_back(model):
    value = "a<b>&\"'\r\n\t \x00\x0b\ud800 ünïcode ☃ 𝄞"
    answer = {"Tags": [{"ResourceId": "i-1", "Key": "k", "Value": value}]}
    text = model.render(model.operations["DescribeTags"], answer, "2016-11-15", "abc")
    assert ElementTree.fromstring(text).findtext(".//{*}value") == "a<b>&\"'\r\n\t ��� ünïcode ☃ 𝄞"


def test_operations_without_an_answer_say_true(model):
    text = model.render(model.operations["DeleteVolume"], {}, "2016-11-15", "abc")
    assert ElementTree.fromstring(text).findtext("{*}return") == "true"


def test_the_default_type_exists():
    default, types = instance_types()
    assert types[default].memory_mib == 256
