"""Faults that strike requests, as boto3 meets them over HTTP; and the administrator's calls that set them."""

from __future__ import annotations

import threading
import time

import botocore.exceptions
import pytest

from educloud_lab.localcloud.faults.catalogue import KINDS
from educloud_lab.localcloud.faults.client import FaultClient, FaultError
from tests.contracts.faulty_cloud import FaultyCloud


@pytest.fixture(scope="module")
def cloud(tmp_path_factory):
    cloud = FaultyCloud(tmp_path_factory.mktemp("home"))
    yield cloud
    cloud.close()


@pytest.fixture
def faults(cloud):
    client = cloud.faults()
    yield client
    client.clear()


@pytest.fixture
def ec2(cloud):
    client = cloud.client()
    yield client
    client.close()


def image(ec2):
    return ec2.describe_images()["Images"][0]["ImageId"]


def refused(call, **arguments):
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call(**arguments)
    answer = caught.value.response
    return answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"], answer["Error"]["Message"]


def volumes(ec2):
    """Which there are; their states change by themselves, as what tests before this one asked for is done."""
    return {volume["VolumeId"] for volume in ec2.describe_volumes()["Volumes"]}


def test_throttling_strikes_as_often_as_it_was_asked_to(faults, ec2):
    faults.add("throttling", count=2)
    for _ in range(2):
        assert refused(ec2.describe_regions) == (503, "ServiceUnavailable", "Request limit exceeded.")
    assert ec2.describe_regions()["Regions"]
    assert [(f.struck, f.remaining, f.state) for f in faults.faults()] == [(2, 0, "spent")]


def test_throttling_by_rate_lets_some_through(faults, ec2):
    faults.add("throttling", operation="DescribeRegions", calls_per_minute=3)
    for _ in range(3):
        assert ec2.describe_regions()["Regions"]
    assert refused(ec2.describe_regions)[0] == 503
    assert ec2.describe_images()["Images"]
    faults.clear()
    assert ec2.describe_regions()["Regions"]


def test_a_client_that_tries_again_gets_through(cloud, faults):
    faults.add("internal-error", count=1)
    client = cloud.client(attempts=2)
    assert client.describe_regions()["Regions"]
    client.close()
    assert faults.faults()[0].struck == 1


def test_an_internal_error_changes_nothing(faults, ec2):
    before = volumes(ec2)
    faults.add("internal-error", operation="CreateVolume")
    assert refused(ec2.create_volume, AvailabilityZone="one", Size=1)[:2] == (500, "InternalFailure")
    assert volumes(ec2) == before


def test_a_lost_reply_leaves_its_effect_and_a_lost_request_none(faults, ec2):
    before = volumes(ec2)
    with faults.fault("lost-request", count=1):
        with pytest.raises(botocore.exceptions.ConnectionClosedError):
            ec2.create_volume(AvailabilityZone="one", Size=1)
    assert volumes(ec2) == before
    with faults.fault("lost-reply", count=1):
        assert ec2.describe_regions()["Regions"]  # looks are spared unless asked for
        with pytest.raises(botocore.exceptions.ConnectionClosedError):
            ec2.create_volume(AvailabilityZone="one", Size=1)
    assert len(volumes(ec2)) == len(before) + 1
    with faults.fault("lost-reply", operation="DescribeRegions"), pytest.raises(botocore.exceptions.HTTPClientError):
        ec2.describe_regions()


def test_a_refusal_does_not_use_up_a_lost_reply(faults, ec2):
    made = faults.add("lost-reply", count=1)
    assert refused(ec2.delete_volume, VolumeId="vol-00000000")[1] == "InvalidVolume.NotFound"
    assert [fault.struck for fault in faults.faults() if fault.id == made.id] == [0]


def test_the_same_token_finds_the_instance_whose_reply_was_lost(faults, ec2):
    arguments = {"ImageId": image(ec2), "MinCount": 1, "MaxCount": 1, "ClientToken": "lost"}
    with faults.fault("lost-reply", operation="RunInstances", count=1):
        with pytest.raises(botocore.exceptions.ConnectionClosedError):
            ec2.run_instances(**arguments)
        again = ec2.run_instances(**arguments)["Instances"][0]["InstanceId"]
    found = ec2.describe_instances(Filters=[{"Name": "client-token", "Values": ["lost"]}])["Reservations"]
    assert [i["InstanceId"] for r in found for i in r["Instances"]] == [again]


@pytest.mark.parametrize("keep_percent", [0, 60, 99])
def test_a_cut_answer_cannot_be_parsed(faults, ec2, keep_percent):
    with faults.fault("truncated-xml", keep_percent=keep_percent, count=1):
        with pytest.raises(botocore.parsers.ResponseParserError):
            ec2.describe_images()
        assert ec2.describe_images()["Images"]


def test_what_was_done_shows_late(faults, ec2):
    before = volumes(ec2)
    faults.add("delayed-visibility", delay_s=3600)
    made = ec2.create_volume(AvailabilityZone="one", Size=1)["VolumeId"]
    assert volumes(ec2) == before
    assert refused(ec2.describe_volumes, VolumeIds=[made])[1] == "InvalidVolume.NotFound"
    ec2.create_tags(Resources=[made], Tags=[{"Key": "late", "Value": "yes"}])
    assert ec2.describe_tags(Filters=[{"Name": "key", "Values": ["late"]}])["Tags"] == []
    faults.clear()
    assert made in volumes(ec2)
    assert ec2.describe_tags(Filters=[{"Name": "key", "Values": ["late"]}])["Tags"]


def test_delayed_visibility_for_one_operation_leaves_the_others(faults, ec2):
    faults.add("delayed-visibility", delay_s=3600, operation="DescribeInstances")
    made = ec2.create_volume(AvailabilityZone="one", Size=1)["VolumeId"]
    assert made in volumes(ec2)


@pytest.mark.parametrize(("offset_s", "words"), [(3600, "Message has expired"), (-3600, "generated in the future")])
def test_a_wrong_clock_refuses_right_keys_and_spares_the_administrators_call(faults, ec2, offset_s, words):
    faults.add("clock-skew", offset_s=offset_s)
    status, code, message = refused(ec2.describe_regions)
    assert (status, code) == (403, "403 Forbidden")
    assert words in message
    faults.clear()
    assert ec2.describe_regions()["Regions"]


def test_a_slow_cloud_answers_right_and_others_do_not_wait(cloud, faults, ec2):
    faults.add("slow-answers", delay_s=0.5, operation="DescribeRegions")
    begun, answers = time.monotonic(), []
    thread = threading.Thread(target=lambda: answers.append((ec2.describe_regions(), time.monotonic() - begun)))
    thread.start()
    assert ec2.describe_images()["Images"]
    thread.join()
    assert answers[0][0]["Regions"]
    assert answers[0][1] >= 0.5


def test_chance_strikes_the_same_requests_for_the_same_seed(faults, ec2):
    def pattern():
        with faults.fault("throttling", operation="DescribeRegions", chance_percent=50, seed=7):
            struck = []
            for _ in range(24):
                try:
                    ec2.describe_regions()
                    struck.append(False)
                except botocore.exceptions.ClientError:
                    struck.append(True)
        return struck

    first = pattern()
    assert pattern() == first
    assert 0 < sum(first) < 24


def test_a_fault_for_one_account_or_resource(cloud, faults, ec2):
    one, other = (ec2.create_volume(AvailabilityZone="one", Size=1)["VolumeId"] for _ in range(2))
    faults.add("internal-error", resource=one)
    tags = [{"Key": "a", "Value": "b"}]
    assert refused(ec2.create_tags, Resources=[one], Tags=tags)[0] == 500
    ec2.create_tags(Resources=[other], Tags=tags)
    faults.clear()
    faults.add("internal-error", account="eucalyptus")
    assert ec2.describe_regions()["Regions"]
    administrator = cloud.client("eucalyptus")
    assert refused(administrator.describe_regions)[0] == 500
    administrator.close()


def test_whatever_is_set_the_administrators_calls_work(faults):
    for name in KINDS:
        faults.add(name)
    assert [fault.kind for fault in faults.faults()] == list(KINDS)
    assert len(faults.clear()) == len(KINDS)
    assert faults.faults() == []


def test_nobody_else_learns_anything(cloud, faults):
    faults.add("capacity")
    student = cloud.faults("educloud")
    for call in (student.faults, student.kinds, student.clear, lambda: student.add("capacity")):
        with pytest.raises(FaultError, match="You are not authorized to perform this operation"):
            call()
    access_key, _ = cloud.keys("eucalyptus")
    with pytest.raises(FaultError, match="Signature validation failed"):
        FaultClient(cloud.endpoint, access_key, "a wrong secret").faults()
    assert len(faults.faults()) == 1


def test_what_is_listed_is_what_was_asked_for(faults):
    made = faults.add(
        "internal-error", account="educloud", operation="RunInstances", resource="tag:Name=ключ & <b>", count=3,
        for_s=90.5, chance_percent=50, seed=4,
    )  # fmt: skip
    (found,) = faults.faults()
    assert found == made
    assert (found.account, found.operation, found.resource) == ("educloud", "RunInstances", "tag:Name=ключ & <b>")
    assert (found.remaining, found.struck, found.state) == (3, 0, "active")
    assert found.parameters == {"chance_percent": "50", "seed": "4"}
    assert found.until.endswith("Z")


def test_kinds_are_described(faults):
    kinds = {kind["name"]: kind for kind in faults.kinds()}
    assert set(kinds) == set(KINDS)
    assert kinds["clock-skew"]["scopes"] == []
    assert kinds["capacity"]["scopes"] == ["account", "resource", "zone"]
    delay = next(p for p in kinds["slow-answers"]["parameters"] if p["name"] == "delay_s")
    assert (delay["default"], delay["limits"]) == ("5", "0.01 to 600 s")
    for kind in kinds.values():
        assert all(kind[part] for part in ("title", "component", "cause", "shown", "source", "seen", "ends"))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda f: f.add("earthquake"), "There is no fault 'earthquake'"),
        (lambda f: f.add("capacity", account="nobody"), "There is no account 'nobody'"),
        (lambda f: f.add("capacity", count=-1), "for parameter Count is invalid"),
        (lambda f: f.add("slow-answers", delay_s="1e400"), "delay_s must be"),
        (lambda f: f._call("DeleteFaults", {"All": "no"}), "must contain the parameter FaultId or All"),
        (lambda f: f._call("DeleteFaults", {"FaultId.x": "1"}), "Failed to bind"),
        (lambda f: f._call("ExplodeFaults", {}), "Failed to bind"),
    ],
)
def test_calls_that_make_no_sense_say_why(faults, call, message):
    with pytest.raises(FaultError, match=message):
        call(faults)
    assert faults.faults() == []
