"""The local cloud over HTTP, spoken to by boto3: its answers parse back, its refusals are Eucalyptus's."""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import json
import threading
from pathlib import Path
from urllib.parse import urlencode
from xml.etree import ElementTree

import boto3
import pytest
from aiohttp import web
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from educloud_lab.localcloud.accounts import load_accounts
from educloud_lab.localcloud.api.http import MAX_BODY_BYTES
from educloud_lab.localcloud.service import LocalCloud
from educloud_lab.localcloud.settings import Folders, Settings
from tests import patience

VERSION = "2016-11-15"


def write_image(home: Path, name: str, root_device_type: str) -> None:
    folder = home / "images" / name
    folder.mkdir(parents=True)
    files = {"kernel": "vmlinux", "ramdisk": "ramdisk.img", "root": "root.qcow2"}
    for file_name in files.values():
        (folder / file_name).write_bytes(file_name.encode())
    manifest = {
        "schema": 1, "name": name, "version": "1", "title": name, "description": "x", "architecture": "x86_64",
        "virtualization_type": "hvm", "root_device_type": root_device_type, "files": files,
        "sha256": {n: hashlib.sha256(n.encode()).hexdigest() for n in files.values()},
        "root_size_bytes": 1 << 30, "min_memory_bytes": 128 << 20, "kernel_args": "x", "login_user": "student",
    }  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(manifest))


class Served:
    """A local cloud with simulated machines, served from a thread on a free port."""

    def __init__(self, home: Path, profile: str | None = None) -> None:
        self.home = home
        self.profile = profile
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.accounts = load_accounts(self._folders().credentials)
        self.port = 0
        self.start()

    def _folders(self) -> Folders:
        folders = Folders(self.home)
        folders.make()
        return folders

    def _do(self, work):
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(120)

    def start(self) -> None:
        self._do(self._start())

    def stop(self) -> None:
        self._do(self._stop())

    async def _start(self) -> None:
        self.cloud = LocalCloud(
            Settings(self._folders(), hypervisor="simulated", profile=self.profile, watch_period_s=0.02)
        )
        await self.cloud.open()
        self.runner = web.AppRunner(self.cloud.api.application(), access_log=None, shutdown_timeout=0.1)
        await self.runner.setup()
        site = web.TCPSite(self.runner, "127.0.0.1", self.port)
        await site.start()
        self.port = self.runner.addresses[0][1]

    async def _stop(self) -> None:
        await self.runner.cleanup()
        await self.cloud.close()

    def close(self) -> None:
        self.stop()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()

    def client(self, account="educloud", service="ec2", path="/services/compute", secret=None):
        found, own_secret = self.accounts.named(account)
        client = boto3.client(
            service,
            region_name="eucalyptus",
            endpoint_url=f"http://127.0.0.1:{self.port}{path}",
            aws_access_key_id=found.access_key,
            aws_secret_access_key=secret or own_secret,
            config=Config(retries={"mode": "standard", "max_attempts": 1}),
        )
        client.meta.events.register("before-call.ec2.CreateVolume", lambda params, **_: _drop_token(params))
        return client

    def raw(self, query, *, method="POST", path="/services/compute", headers=None, sign=True, body=None):
        """Send one request by hand; return status, content type and the parsed root (or None)."""
        account, secret = self.accounts.named("educloud")
        data = urlencode(query).encode() if body is None else body
        url = f"http://127.0.0.1:{self.port}{path}"
        request = AWSRequest(method, url, data=data, headers={"Host": f"127.0.0.1:{self.port}", **(headers or {})})
        if sign:
            SigV4Auth(Credentials(account.access_key, secret), "ec2", "eucalyptus").add_auth(request)
        prepared = request.prepare()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body=data, headers=dict(prepared.headers.items()))
            response = connection.getresponse()
            text = response.read()
        finally:
            connection.close()
        root = ElementTree.fromstring(text) if text.lstrip().startswith(b"<") else None
        return response.status, response.headers.get_content_type(), root


def _drop_token(params) -> None:
    params["body"].pop("ClientToken", None)


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    write_image(home, "tiny", "ebs")
    write_image(home, "tiny-store", "instance-store")
    served = Served(home)
    yield served
    served.close()


@pytest.fixture
def ec2(served):
    client = served.client()
    yield client
    client.close()


def until(probe):
    return patience.until(probe, period_s=0.01)


def instance_of(ec2, instance_id):
    return ec2.describe_instances(InstanceIds=[instance_id])["Reservations"][0]["Instances"][0]


def running(ec2, name="tiny", **arguments):
    images = {image["Name"]: image["ImageId"] for image in ec2.describe_images()["Images"]}
    answer = ec2.run_instances(ImageId=images[name], MinCount=1, MaxCount=1, **arguments)
    instance_id = answer["Instances"][0]["InstanceId"]
    until(lambda: instance_of(ec2, instance_id)["State"]["Name"] == "running")
    return instance_id


def test_the_whole_life_of_a_machine_and_a_volume_parses_back(ec2):
    tags = [{"ResourceType": "instance", "Tags": [{"Key": "n", "Value": "Å & <b> \"q\" 'x' 📦"}]}]
    machine = running(ec2, TagSpecifications=tags, UserData="#!/bin/sh\necho hi\n")
    shown = instance_of(ec2, machine)
    assert shown["Tags"] == tags[0]["Tags"]
    assert shown["LaunchTime"].tzinfo is not None
    assert "Hypervisor" not in shown
    assert "StateReason" not in shown
    volume = ec2.create_volume(AvailabilityZone="one", Size=1)["VolumeId"]
    state = lambda: ec2.describe_volumes(VolumeIds=[volume])["Volumes"][0]  # noqa: E731
    until(lambda: state()["State"] == "available")
    assert ec2.attach_volume(VolumeId=volume, InstanceId=machine, Device="/dev/vdb")["State"] == "attaching"
    until(lambda: state()["Attachments"][0]["State"] == "attached")
    assert ec2.detach_volume(VolumeId=volume)["State"] == "detaching"
    until(lambda: state()["State"] == "available")
    ec2.delete_volume(VolumeId=volume)
    assert ec2.stop_instances(InstanceIds=[machine])["StoppingInstances"][0]["CurrentState"]["Name"] == "stopping"
    until(lambda: instance_of(ec2, machine)["State"]["Name"] == "stopped")
    assert ec2.start_instances(InstanceIds=[machine])["StartingInstances"][0]["CurrentState"]["Name"] == "pending"
    until(lambda: instance_of(ec2, machine)["State"]["Name"] == "running")
    assert ec2.start_instances(InstanceIds=[machine])["StartingInstances"] == []
    ec2.reboot_instances(InstanceIds=[machine])
    until(lambda: "booted again" in ec2.get_console_output(InstanceId=machine)["Output"])
    attribute = ec2.describe_instance_attribute(InstanceId=machine, Attribute="userData")
    assert attribute["UserData"]["Value"]
    assert ec2.terminate_instances(InstanceIds=[machine])["TerminatingInstances"]
    until(lambda: instance_of(ec2, machine)["State"]["Name"] == "terminated")


def test_every_describe_answers(ec2):
    for call in (
        ec2.describe_instances, ec2.describe_instance_status, ec2.describe_volumes, ec2.describe_snapshots,
        ec2.describe_key_pairs, ec2.describe_images, ec2.describe_availability_zones, ec2.describe_regions,
        ec2.describe_tags, ec2.describe_security_groups,
    ):  # fmt: skip
        answer = call()
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200
        assert len(answer["ResponseMetadata"]["RequestId"]) == 36


def test_instance_types_are_invisible_to_boto3_and_there_in_the_text(ec2, served):
    assert set(ec2.describe_instance_types()) == {"ResponseMetadata"}
    _, _, root = served.raw({"Action": "DescribeInstanceTypes", "Version": VERSION})
    assert "t2.micro" in [name.text for name in root.findall("{*}instanceTypeDetails/{*}item/{*}name")]


def test_volumes_with_the_token_that_botocore_adds_are_refused(served):
    status, kind, root = served.raw(
        {"Action": "CreateVolume", "Version": VERSION, "AvailabilityZone": "one", "Size": "1", "ClientToken": "x"}
    )
    message = "Failed to bind the following fields:\nClientToken = x\n"
    assert (status, kind) == (400, "text/plain")
    assert (root.findtext(".//Code"), root.findtext(".//Message")) == ("400 Bad Request", message)
    assert root.findtext("RequestID") == message


def test_a_service_error_is_xml_without_a_namespace(served):
    status, kind, root = served.raw({"Action": "DescribeInstances", "InstanceId.1": "i-00000000"})
    assert (status, kind, root.tag) == (400, "application/xml", "Response")
    assert root.findtext("Errors/Error/Code") == "InvalidInstanceID.NotFound"
    assert root.findtext("Errors/Error/Message") == "The instance ID 'i-00000000' does not exist"


def test_a_wrong_secret_is_forbidden(served):
    client = served.client(secret="wrong")
    with pytest.raises(ClientError) as caught:
        client.describe_instances()
    client.close()
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    assert caught.value.response["Error"] == {"Code": "403 Forbidden", "Message": "Signature validation failed"}


def test_an_unsigned_request_is_forbidden_whatever_it_says(served):
    for path in ("/", "/services/compute", "/services/Euare", "/services/Tokens"):
        status, kind, root = served.raw({"Action": "DescribeInstances", "Nonsense": "1"}, sign=False, path=path)
        assert (status, kind) == (403, "text/plain")
        assert root.findtext("RequestID") == root.findtext(".//Message") == "Invalid access key or token"


@pytest.mark.parametrize("path", ["/", "/services/compute", "/services/compute/", "/services/Eucalyptus"])
def test_all_names_of_the_compute_service(served, path):
    client = served.client(path=path)
    assert client.describe_regions()["Regions"]
    client.close()


def test_who_am_i(served):
    for service, path in (("sts", "/services/Tokens"), ("sts", "/")):
        client = served.client(service=service, path=path)
        assert client.get_caller_identity()["Account"] == "000100000001"
        client.close()
    client = served.client("eucalyptus", "iam", "/services/Euare")
    assert client.get_user()["User"]["Arn"] == "arn:aws:iam::000100000000:user/admin"
    client.close()


def test_accounts_do_not_see_each_other(ec2, served):
    machine = running(ec2)
    administrator = served.client("eucalyptus")
    assert all(
        machine != i["InstanceId"] for r in administrator.describe_instances()["Reservations"] for i in r["Instances"]
    )
    everything = administrator.describe_instances(InstanceIds=["verbose"])["Reservations"]
    assert machine in [i["InstanceId"] for r in everything for i in r["Instances"]]
    theirs = running(administrator)
    administrator.close()
    with pytest.raises(ClientError, match=r"InvalidInstanceID\.NotFound"):
        ec2.terminate_instances(InstanceIds=[theirs])


def test_a_restart_of_the_service_keeps_everything(served, ec2):
    machine = running(ec2, ClientToken="restart")
    images = ec2.describe_images()["Images"]
    before = instance_of(ec2, machine)
    served.stop()
    served.start()
    assert instance_of(ec2, machine) == before
    assert ec2.describe_images()["Images"] == images
    again = ec2.run_instances(ImageId=images[0]["ImageId"], MinCount=1, MaxCount=1, ClientToken="restart")
    assert again["Instances"][0]["InstanceId"] == machine


def test_the_same_token_at_the_same_time_is_one_machine(served, ec2):
    image = next(i["ImageId"] for i in ec2.describe_images()["Images"] if i["Name"] == "tiny")
    found: list[str] = []

    def press() -> None:
        client = served.client()
        answer = client.run_instances(ImageId=image, MinCount=1, MaxCount=1, ClientToken="pressed-at-once")
        found.append(answer["Instances"][0]["InstanceId"])
        client.close()

    threads = [threading.Thread(target=press) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"Action": ""},
        {"Action": "Nonsense"},
        {"Action": "__class__"},
        {"Action": "RunInstances", "MinCount": "x"},
        {"Action": "RunInstances", "MinCount": "99999999999999999999"},
        {"Action": "DescribeInstances", "Filter.1.Name": "nonsense", "Filter.1.Value.1": "x"},
        {"Action": "DescribeInstances", "Filter.1.Value.1": "x"},
        {"Action": "DescribeInstances", "InstanceId.1": "\x00"},
        {"Action": "CreateTags", "ResourceId.1": "x", "Tag.1.Value": "y"},
        {"Action": "CreateVolume", "AvailabilityZone": "one", "Size": "-1"},
        {"Action": "ImportKeyPair", "KeyName": "a\nb", "PublicKeyMaterial": "AAAA"},
        {"Action": "ModifyInstanceAttribute", "InstanceId": "i-00000000"},
    ],
)
def test_requests_that_make_no_sense_are_the_callers_fault(served, query):
    status, _, root = served.raw(query)
    assert status == 400
    assert root.findtext(".//Code")


def test_a_request_that_is_not_text_and_one_that_is_too_long(served):
    assert served.raw({}, body=b"Action=\xff\xfe")[0] == 400
    assert served.raw({}, body=b"x=1&" * 2100)[0] == 400
    assert served.raw({}, body=b"x" * (MAX_BODY_BYTES + 1))[0] == 413
    assert served.raw({}, path="/services/nonsense")[0] == 404
    assert served.raw({}, method="PUT")[0] in (404, 405)


ACTIONS = sorted(
    ["RunInstances", "DescribeInstances", "StartInstances", "CreateVolume", "AttachVolume", "DetachVolume",
     "CreateTags", "DeleteTags", "DescribeImages", "ImportKeyPair", "ModifyInstanceAttribute", "DescribeVolumes"]
)  # fmt: skip
NAMES = st.sampled_from(
    ["InstanceId.1", "InstanceId", "VolumeId", "VolumeId.1", "ImageId", "MinCount", "MaxCount", "Size", "Device",
     "Filter.1.Name", "Filter.1.Value.1", "Tag.1.Key", "Tag.1.Value", "ResourceId.1", "AvailabilityZone", "UserData",
     "KeyName", "PublicKeyMaterial", "Attribute", "Value", "ClientToken", "BlockDeviceMapping.1.DeviceName",
     "BlockDeviceMapping.1.Ebs.VolumeSize", "Placement.AvailabilityZone", "SnapshotId"]
) | st.text(max_size=20)  # fmt: skip
VALUES = st.sampled_from(["one", "1", "-1", "i-00000000", "vol-00000000", "true", "*", "\\", "name"]) | st.text(
    max_size=30
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(action=st.sampled_from(ACTIONS), query=st.dictionaries(NAMES, VALUES, max_size=6))
def test_no_request_makes_the_cloud_fail(served, action, query):
    data = urlencode({**query, "Action": action}, errors="surrogatepass").encode()
    status, _, _ = served.raw({}, body=data)
    assert status in (200, 400, 403) or (status == 503 and action == "RunInstances")


# Profile aws: what an unmodified AWS client expects


@pytest.fixture(scope="module")
def as_aws(tmp_path_factory):
    home = tmp_path_factory.mktemp("aws")
    write_image(home, "tiny", "ebs")
    served = Served(home, "aws")
    yield served
    served.close()


def client_of_aws(as_aws, **more):
    account, secret = as_aws.accounts.named("educloud")
    keys = {"aws_access_key_id": account.access_key, "aws_secret_access_key": secret, **more}
    return boto3.client(
        "ec2", region_name="eu-central-1", endpoint_url=f"http://127.0.0.1:{as_aws.port}/", **keys,
        config=Config(retries={"mode": "standard", "max_attempts": 1}),
    )  # fmt: skip


def test_boto3_needs_nothing_special_with_awss_answers(as_aws):
    ec2 = client_of_aws(as_aws)
    made = {ec2.create_volume(AvailabilityZone="one", Size=1)["VolumeId"] for _ in range(6)}
    pages = list(ec2.get_paginator("describe_volumes").paginate(PaginationConfig={"PageSize": 5}))
    assert [len(page["Volumes"]) for page in pages] == [5, 1]
    assert {volume["VolumeId"] for page in pages for volume in page["Volumes"]} == made
    types = ec2.describe_instance_types(InstanceTypes=["t3.micro"])["InstanceTypes"]
    assert types[0]["MemoryInfo"]["SizeInMiB"] == 256
    with pytest.raises(ClientError) as caught:
        ec2.create_volume(AvailabilityZone="one", Size=1, DryRun=True)
    assert caught.value.response["Error"]["Code"] == "DryRunOperation"
    ec2.close()


@pytest.mark.parametrize(
    ("more", "code", "status"),
    [
        ({"aws_secret_access_key": "another"}, "SignatureDoesNotMatch", 403),
        ({"aws_access_key_id": "AKIA0123456789ABCDEF"}, "AuthFailure", 401),
    ],
)
def test_strangers_are_refused_as_aws_refuses_them(as_aws, more, code, status):
    ec2 = client_of_aws(as_aws, **more)
    with pytest.raises(ClientError) as caught:
        ec2.describe_volumes()
    ec2.close()
    assert caught.value.response["Error"]["Code"] == code
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == status


def test_unknown_parameters_are_errors_of_the_service(as_aws):
    status, kind, root = as_aws.raw({"Action": "DescribeInstances", "Nonsense": "x"})
    assert (status, kind, root.findtext(".//Code")) == (400, "application/xml", "UnknownParameter")
    assert as_aws.raw({"Action": "Nonsense"})[2].findtext(".//Code") == "InvalidAction"
