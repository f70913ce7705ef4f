"""What is known of Eucalyptus, fact by fact, against the local cloud over signed HTTP in both its profiles.

Each row begins with the section of the collected facts that it is from (sections 0 to 4; numbers after a dot are
items). Facts that need a clock, a broken node or a guest are proven elsewhere: times of signatures in
tests/unit/localcloud/test_sigv4.py, an hour of being listed and guests that power off in test_lifecycle.py, faults in
test_fault_kinds.py, metadata in test_metadata.py, disk serials in test_volumes.py.
"""

from __future__ import annotations

import base64
import http.client
import time
from types import SimpleNamespace
from urllib.parse import urlencode
from xml.etree import ElementTree

import pytest
from botocore.auth import SigV2Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.contracts.eucalyptus_facts import BOTH, FOUR, ORDER, REFUSALS, RUN, SIX, UNBOUND, VERIFIERS
from tests.contracts.faulty_cloud import FaultyCloud, write_image

FORM = "application/x-www-form-urlencoded"


class Bench:
    """One cloud with a machine in each state that the facts speak of."""

    def __init__(self, home, profile):
        write_image(home, "tiny-store", "instance-store")
        self.profile = profile
        self.cloud = FaultyCloud(home, profile)
        self.port = self.cloud.runner.addresses[0][1]
        images = self.items("DescribeImages", "imagesSet")
        self.image = next(i.findtext("{*}imageId") for i in images if i.findtext("{*}name") == "tiny")
        self.store_image = next(i.findtext("{*}imageId") for i in images if i.findtext("{*}name") == "tiny-store")
        kernel = next(i.findtext("{*}imageId") for i in images if i.findtext("{*}imageType") == "kernel")
        machine, stopped, store = self.run(), self.run(), self.run(ImageId=self.store_image)
        foreign = self.run(account="eucalyptus")
        self.ok("StopInstances", **{"InstanceId.1": stopped})
        self.reach(stopped, "stopped")
        attached, free = (self.volume() for _ in range(2))
        self.ok("AttachVolume", VolumeId=attached, InstanceId=machine, Device="/dev/vdb")
        self.until(
            lambda: self.texts("DescribeVolumes", ".//{*}attachmentSet/{*}item/{*}status", volume=attached), "attached"
        )
        self.names = SimpleNamespace(
            machine=machine, stopped=stopped, store=store, foreign=foreign, attached=attached, free=free,
            image=self.image, store_image=self.store_image, kernel=kernel,
            root=self.root_of(machine), stopped_root=self.root_of(stopped),
        )  # fmt: skip

    def raw(self, query, *, account="educloud", path="/services/compute", region="eucalyptus", service="ec2"):
        access_key, secret = self.cloud.keys(account)
        request = AWSRequest(
            "POST", f"http://127.0.0.1:{self.port}{path}", data=urlencode(query).encode(),
            headers={"Host": f"127.0.0.1:{self.port}"},
        )  # fmt: skip
        SigV4Auth(Credentials(access_key, secret), service, region).add_auth(request)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request("POST", path, body=request.data, headers=dict(request.prepare().headers.items()))
            answer = connection.getresponse()
            return answer.status, answer.headers.get_content_type(), ElementTree.fromstring(answer.read())
        finally:
            connection.close()

    def ok(self, action, account="educloud", **query):
        status, _, root = self.raw({"Action": action, **query}, account=account)
        assert status == 200, ElementTree.tostring(root)
        return root

    def items(self, action, holder, **query):
        return self.ok(action, **query).findall(f".//{{*}}{holder}/{{*}}item")

    def texts(self, action, path, instance=None, volume=None, **query):
        ids = {"InstanceId.1": instance} if instance else {"VolumeId.1": volume} if volume else {}
        return [node.text for node in self.ok(action, **ids, **query).findall(path)]

    def until(self, look, wanted):
        end = time.monotonic() + 60
        while time.monotonic() < end:
            if look() == [wanted]:
                return
            time.sleep(0.01)
        raise AssertionError(f"waited in vain for {wanted}")

    def reach(self, machine, state, account="educloud"):
        path = ".//{*}instanceState/{*}name"
        self.until(lambda: self.texts("DescribeInstances", path, machine, account=account), state)

    def run(self, account="educloud", **query):
        arguments = {"ImageId": self.image, "MinCount": "1", "MaxCount": "1", **query}
        machine = self.ok("RunInstances", account, **arguments).findtext(".//{*}instanceId")
        self.reach(machine, "running", account)
        return machine

    def volume(self):
        volume = self.ok("CreateVolume", AvailabilityZone="one", Size="1").findtext("{*}volumeId")
        self.until(
            lambda: self.texts("DescribeVolumes", ".//{*}volumeSet/{*}item/{*}status", volume=volume), "available"
        )
        return volume

    def root_of(self, machine):
        return self.texts("DescribeInstances", ".//{*}ebs/{*}volumeId", machine)[0]

    def filled(self, query):
        return {name: value.format(**vars(self.names)) for name, value in query.items()}


@pytest.fixture(scope="module", params=BOTH)
def bench(request, tmp_path_factory):
    bench = Bench(tmp_path_factory.mktemp(request.param), request.param)
    yield bench
    bench.cloud.close()


def ids_of(rows):
    return [f"{row[0]}-{number}".replace(" ", "-") for number, row in enumerate(rows)]


@pytest.mark.parametrize(("section", "query", "status", "code", "message"), REFUSALS, ids=ids_of(REFUSALS))
def test_what_is_refused_and_how(bench, section, query, status, code, message):
    found, kind, root = bench.raw(bench.filled(query))
    assert (found, kind) == (status, "application/xml"), section
    # Section 4: no namespace, and the request's own id.
    assert [part.tag for part in root.iter()] == ["Response", "Errors", "Error", "Code", "Message", "RequestID"]
    assert root.findtext("Errors/Error/Code") == code
    assert root.findtext("Errors/Error/Message") == message.format(**vars(bench.names))
    assert len(root.findtext("RequestID")) == 36


@pytest.mark.parametrize(("section", "action", "name", "profiles"), UNBOUND, ids=ids_of(UNBOUND))
def test_what_does_not_bind(bench, section, action, name, profiles):
    query = {"Action": action} if name == "Action" else {"Action": action, name: "true"}
    status, kind, root = bench.raw(query)
    message = f"Failed to bind the following fields:\n{name} = {query[name]}\n"
    if bench.profile in profiles:
        assert (status, kind, root.findtext(".//Code")) == (400, "text/plain", "400 Bad Request"), section
        assert root.findtext(".//Message") == root.findtext("RequestID") == message
    else:
        assert root.findtext(".//{*}Message") != message


@pytest.mark.parametrize("number", range(len(VERIFIERS)), ids=[name for name, _, _ in VERIFIERS])
def test_the_first_verifier_speaks(bench, number):
    name, fault, code = VERIFIERS[number]
    if bench.profile == FOUR and name == "tags":
        assert bench.raw({**bench.filled(RUN), **fault})[1] == "text/plain"
        return
    alone = bench.raw({**bench.filled(RUN), **fault})[2]
    assert alone.findtext(".//Code") == code
    for later, more, _ in VERIFIERS[number + 1 :]:
        if bench.profile == FOUR and later == "tags":
            continue
        both = bench.raw({**bench.filled(RUN), **more, **fault})[2]
        assert both.findtext(".//Message") == alone.findtext(".//Message"), later


@pytest.mark.parametrize(("action", "holder", "order"), ORDER, ids=[f"{row[0]}-{row[1]}" for row in ORDER])
def test_elements_have_eucalyptus_order_and_there_are_no_others(bench, action, holder, order):
    items = bench.items(action, holder)
    assert items
    for item in items:
        present = [part.tag.rpartition("}")[2] for part in item]
        assert present == [name for name in order.split() if name in present]


@pytest.mark.parametrize(
    ("query", "namespace"),
    [
        ({}, {SIX: "2016-11-15", FOUR: "2016-09-15"}),
        ({"Version": "2010-08-31"}, dict.fromkeys(BOTH, "2010-08-31")),
        ({"Version": "2031-01-01"}, dict.fromkeys(BOTH, "2031-01-01")),
    ],
)
def test_the_namespace_is_that_of_the_asked_version(bench, query, namespace):
    _, kind, root = bench.raw({"Action": "DescribeRegions", **query})
    assert kind == "application/xml"
    expected = f"{{http://ec2.amazonaws.com/doc/{namespace[bench.profile]}/}}"
    assert root.tag == f"{expected}DescribeRegionsResponse"
    assert root[0].tag == f"{expected}requestId"


@pytest.mark.parametrize("path", ["/", "/services/compute", "/services/compute/", "/services/Eucalyptus"])
def test_names_of_the_service_and_signatures_of_any_region(bench, path):
    answer = bench.raw({"Action": "DescribeRegions"}, path=path, region="mars-1", service="anything")
    assert answer[0] == 200
    assert answer[2].findtext(".//{*}regionEndpoint").startswith("http://127.0.0.1:")


@pytest.mark.parametrize(
    ("path", "action"), [("/services/compute", "DescribeRegions"), ("/services/Tokens", "GetCallerIdentity"),
                         ("/services/Euare", "GetUser")],
)  # fmt: skip
def test_signatures_of_version_2_are_read_by_every_service(bench, path, action):
    request = AWSRequest(
        "POST", f"http://127.0.0.1:{bench.port}{path}", data={"Action": action, "Version": "2010-05-08"}
    )
    SigV2Auth(Credentials(*bench.cloud.keys("educloud"))).add_auth(request)
    connection = http.client.HTTPConnection("127.0.0.1", bench.port, timeout=20)
    try:
        connection.request("POST", path, body=urlencode(request.data), headers={"Content-Type": FORM})
        answer = connection.getresponse()
        assert (answer.status, answer.headers.get_content_type()) == (200, "application/xml"), answer.read()
    finally:
        connection.close()


def test_who_asks(bench):
    sts = bench.raw({"Action": "GetCallerIdentity"}, path="/services/Tokens", service="sts")[2]
    assert sts.findtext(".//{*}Account") == "000100000001"
    status, kind, _ = bench.raw({"Action": "GetSessionToken"}, path="/services/Tokens", service="sts")
    assert (status, kind) == (400, "text/plain")


def test_ids_are_of_the_version_and_read_in_any_case(bench):
    digits = {SIX: 17, FOUR: 8}[bench.profile]
    assert [len(name.partition("-")[2]) for name in (bench.names.machine, bench.names.free)] == [digits, digits]
    prefixes = {SIX: ("ami", "aki"), FOUR: ("emi", "eki")}[bench.profile]
    assert (bench.names.image.partition("-")[0], bench.names.kernel.partition("-")[0]) == prefixes
    upper = "i-" + bench.names.machine[2:].upper()
    assert bench.texts("DescribeInstances", ".//{*}instanceId", upper) == [bench.names.machine]


def test_a_pending_machine_has_no_address_yet_and_a_running_one_no_names(bench):
    pending = bench.ok("RunInstances", ImageId=bench.image, MinCount="1", MaxCount="1").find(
        ".//{*}instancesSet/{*}item"
    )
    names = ("privateDnsName", "dnsName", "privateIpAddress", "ipAddress")
    assert {pending.findtext(f"{{*}}{name}") for name in names} == {"0.0.0.0"}
    assert pending.findtext("{*}instanceState/{*}code") == "0"
    assert pending.findtext("{*}reason") == "NORMAL:  -- []"
    kind = {SIX: "t2.micro", FOUR: "m1.small"}[bench.profile]
    assert pending.findtext("{*}instanceType") == kind
    running = bench.items("DescribeInstances", "instancesSet", **{"InstanceId.1": bench.names.machine})[0]
    (shown,) = {running.findtext(f"{{*}}{name}") for name in names}
    assert shown.startswith("172.")
    assert running.findtext("{*}placement/{*}availabilityZone") == "one"
    assert [part.tag.rpartition("}")[2] for part in running.find("{*}placement")] == ["availabilityZone"]
    machine = pending.findtext("{*}instanceId")
    done = bench.ok("TerminateInstances", **{"InstanceId.1": machine})
    assert done.findtext(".//{*}currentState/{*}code") == "32"
    bench.reach(machine, "terminated")
    ended = bench.items("DescribeInstances", "instancesSet", **{"InstanceId.1": machine})[0]
    assert ended.findtext("{*}instanceState/{*}code") == "48"
    assert ended.findtext("{*}reason").startswith("USER_TERMINATED:")


def test_what_happens_to_machines_in_other_states(bench):
    started = bench.ok("StartInstances", **{"InstanceId.1": bench.names.machine})
    assert len(started.find("{*}instancesSet")) == 0
    stopped = bench.items("DescribeInstances", "instancesSet", **{"InstanceId.1": bench.names.stopped})[0]
    assert stopped.findtext("{*}instanceState/{*}code") == "80"
    assert stopped.findtext("{*}reason") == "USER_STOPPED:  -- []"
    asked = {"InstanceId": bench.names.machine, "InstanceInitiatedShutdownBehavior.Value": "terminate"}
    assert bench.ok("ModifyInstanceAttribute", **asked).findtext("{*}return") == "true"
    told = bench.ok(
        "DescribeInstanceAttribute", InstanceId=bench.names.machine, Attribute="instanceInitiatedShutdownBehavior"
    )
    assert told.findtext(".//{*}value") == "stop"


@pytest.mark.parametrize(
    ("attribute", "element", "value"),
    [("ebsOptimized", "ebsOptimized", "false"), ("sourceDestCheck", "sourceDestCheck", "true"),
     ("disableApiTermination", "disableApiTermination", "false"), ("rootDeviceName", "rootDeviceName", "/dev/sda"),
     ("productCodes", "productCodes", None), ("kernel", "kernel", "")],
)  # fmt: skip
def test_attributes_are_told_one_at_a_time(bench, attribute, element, value):
    told = bench.ok("DescribeInstanceAttribute", InstanceId=bench.names.machine, Attribute=attribute)
    assert [part.tag.rpartition("}")[2] for part in told] == ["requestId", "instanceId", element]
    assert told.findtext(f"{{*}}{element}/{{*}}value") == value


def test_status_is_hard_wired_for_instances_and_only_of_running_ones(bench):
    listed = bench.items("DescribeInstanceStatus", "instanceStatusSet")
    states = {item.findtext("{*}instanceState/{*}name") for item in listed}
    assert states == {"running"}
    assert {item.findtext("{*}instanceStatus/{*}status") for item in listed} == {"ok"}
    assert {item.findtext("{*}instanceStatus/{*}details/{*}item/{*}status") for item in listed} == {"passed"}
    stopped = {"InstanceId.1": bench.names.stopped}
    assert bench.items("DescribeInstanceStatus", "instanceStatusSet", **stopped) == []
    (one,) = bench.items("DescribeInstanceStatus", "instanceStatusSet", IncludeAllInstances="true", **stopped)
    assert one.findtext("{*}systemStatus/{*}status") == "not-applicable"


@pytest.mark.parametrize("action", ["DescribeInstances", "DescribeVolumes", "DescribeSnapshots", "DescribeTags",
                                    "DescribeInstanceStatus"])  # fmt: skip
def test_pages_are_accepted_and_ignored(bench, action):
    whole, page = bench.ok(action), bench.ok(action, MaxResults="5", NextToken="anything")
    assert page.find("{*}nextToken") is None
    assert [len(part) for part in page] == [len(part) for part in whole]


@pytest.mark.parametrize(
    ("action", "name", "path"),
    [
        ("DescribeInstances", "InstanceId.1", ".//{*}instanceId"),
        ("DescribeVolumes", "VolumeId.1", ".//{*}volumeSet/{*}item/{*}volumeId"),
        ("DescribeKeyPairs", "KeyName.1", ".//{*}keyName"),
        ("DescribeSecurityGroups", "GroupId.1", ".//{*}groupId"),
    ],
)
def test_verbose_is_for_the_administrator(bench, action, name, path):
    if action == "DescribeKeyPairs" and not bench.items("DescribeKeyPairs", "keySet"):
        bench.ok("CreateKeyPair", KeyName="mine")
    mine = {node.text for node in bench.ok(action).findall(path)}
    assert mine
    assert {node.text for node in bench.ok(action, **{name: "verbose"}).findall(path)} == mine
    theirs = {node.text for node in bench.ok(action, "eucalyptus").findall(path)}
    assert not mine & theirs or action == "DescribeSecurityGroups"
    assert mine <= {node.text for node in bench.ok(action, "eucalyptus", **{name: "verbose"}).findall(path)}


def test_zones_of_an_administrator_tell_capacity(bench):
    path = ".//{*}zoneName"
    assert bench.texts("DescribeAvailabilityZones", path, **{"ZoneName.1": "verbose"}) == ["one"]
    lines = bench.texts("DescribeAvailabilityZones", path, account="eucalyptus", **{"ZoneName.1": "verbose"})
    assert lines[:2] == ["one", "|- vm types"]
    assert f"|- { {SIX: 't2.micro', FOUR: 'm1.small'}[bench.profile] }" in lines


def test_a_token_gives_the_same_reservation_whatever_else_is_asked(bench):
    first = bench.ok("RunInstances", ImageId=bench.image, MinCount="1", MaxCount="1", ClientToken="again")
    again = bench.ok("RunInstances", ImageId=bench.store_image, MinCount="2", MaxCount="2", ClientToken="again")
    ids = [root.findtext(".//{*}instanceId") for root in (first, again)]
    assert ids[0] == ids[1]
    bench.reach(ids[0], "running")
    bench.ok("TerminateInstances", **{"InstanceId.1": ids[0]})


@pytest.mark.parametrize("filter_name", ["state-reason-code", "hypervisor", "product-code"])
def test_filters_that_eucalyptus_does_not_have(bench, filter_name):
    query = {"Action": "DescribeInstances", "Filter.1.Name": filter_name, "Filter.1.Value.1": "x"}
    status, _, root = bench.raw(query)
    assert (status, root.findtext(".//Code")) == (400, "InvalidParameterValue")


@pytest.mark.parametrize("name", ["InstanceId", "InstanceId.1"])
def test_the_console_is_never_empty_and_asked_for_in_two_ways(bench, name):
    path = bench.cloud.service.cloud.console_path(bench.names.machine)
    kept = path.read_bytes() if path.exists() else b""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
    answer = bench.ok("GetConsoleOutput", **{name: bench.names.machine})
    path.write_bytes(kept)
    assert [part.tag.rpartition("}")[2] for part in answer] == ["requestId", "instanceId", "timestamp", "output"]
    assert base64.b64decode(answer.findtext("{*}output")) == b" "


def public_line(key):
    return base64.b64encode(key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)).decode()


def test_only_rsa_keys_of_three_lengths_are_imported(bench):
    keys = [ed25519.Ed25519PrivateKey.generate(), ec.generate_private_key(ec.SECP256R1()),
            rsa.generate_private_key(public_exponent=65537, key_size=1280)]  # fmt: skip
    for key in keys:
        _, _, root = bench.raw({"Action": "ImportKeyPair", "KeyName": "odd", "PublicKeyMaterial": public_line(key)})
        assert root.findtext(".//Code") == "InvalidKey.Format"
        assert root.findtext(".//Message") == "Invalid or unsupported key format"
    good = public_line(rsa.generate_private_key(public_exponent=65537, key_size=1024))
    answer = bench.ok("ImportKeyPair", KeyName="good", PublicKeyMaterial=good)
    assert [part.tag.rpartition("}")[2] for part in answer] == ["requestId", "keyName", "keyFingerprint"]
    again = bench.raw({"Action": "ImportKeyPair", "KeyName": "good", "PublicKeyMaterial": good})[2]
    assert again.findtext(".//Message") == "The keypair 'good' already exists."
    for item in bench.items("DescribeKeyPairs", "keySet"):
        assert [part.tag.rpartition("}")[2] for part in item] == ["keyName", "keyFingerprint"]


def test_a_volume_goes_through_its_states_and_a_snapshot_tells_its_progress(bench):
    made = bench.ok("CreateVolume", AvailabilityZone="one", Size="1")
    assert (made.findtext("{*}status"), made.findtext("{*}volumeType")) == ("creating", "standard")
    volume = made.findtext("{*}volumeId")
    path = ".//{*}volumeSet/{*}item/{*}status"
    bench.until(lambda: bench.texts("DescribeVolumes", path, volume=volume), "available")
    snapshot = bench.ok("CreateSnapshot", VolumeId=volume)
    assert (snapshot.findtext("{*}status"), snapshot.findtext("{*}progress")) == ("pending", "0%")
    named = {"SnapshotId.1": snapshot.findtext("{*}snapshotId")}
    bench.until(lambda: bench.texts("DescribeSnapshots", ".//{*}snapshotSet/{*}item/{*}status", **named), "completed")
    assert bench.texts("DescribeSnapshots", ".//{*}progress", **named) == ["100%"]
    attached = bench.ok("AttachVolume", VolumeId=volume, InstanceId=bench.names.store, Device="/dev/vdd")
    assert attached.findtext("{*}status") == "attaching"
    bench.until(
        lambda: bench.texts("DescribeVolumes", ".//{*}attachmentSet/{*}item/{*}status", volume=volume), "attached"
    )
    assert bench.texts("DescribeVolumes", path, volume=volume) == ["in-use"]
    assert bench.ok("DetachVolume", VolumeId=volume).findtext("{*}status") == "detaching"
    bench.until(lambda: bench.texts("DescribeVolumes", path, volume=volume), "available")
    assert bench.ok("DeleteVolume", VolumeId=volume).findtext("{*}return") == "true"


@pytest.mark.parametrize(
    ("action", "holder", "time", "name"),
    [("DescribeVolumes", "volumeSet", "createTime", "create-time"),
     ("DescribeVolumes", "attachmentSet", "attachTime", "attachment.attach-time"),
     ("DescribeSnapshots", "snapshotSet", "startTime", "start-time"),
     ("DescribeInstances", "instancesSet", "launchTime", "launch-time")],
)  # fmt: skip
def test_times_are_found_as_they_are_told(bench, action, holder, time, name):
    told = bench.items(action, holder)[0].findtext(f"{{*}}{time}")
    found = bench.items(action, holder, **{"Filter.1.Name": name, "Filter.1.Value.1": told})
    assert {item.findtext(f"{{*}}{time}") for item in found} == {told}


def test_volume_status_is_hard_wired_too(bench):
    listed = bench.items("DescribeVolumeStatus", "volumeStatusSet")
    assert {item.findtext("{*}volumeStatus/{*}status") for item in listed} == {"ok"}


def test_tags_without_names_are_left_alone_and_what_is_gone_is_passed_over(bench):
    machine = bench.names.store
    bench.ok("CreateTags", **{"ResourceId.1": machine, "Tag.1.Key": "kept", "Tag.1.Value": " trimmed "})
    bench.ok("DeleteTags", **{"ResourceId.1": machine})
    bench.ok("DeleteTags", **{"ResourceId.1": "vol-00000000", "Tag.1.Key": "kept"})
    listed = bench.items("DescribeTags", "tagSet", **{"Filter.1.Name": "resource-id", "Filter.1.Value.1": machine})
    assert [[part.text for part in item] for item in listed] == [[machine, "instance", "kept", "trimmed"]]


def test_growth_is_told_in_eucalyptus_order_where_there_is_any(bench):
    if bench.profile == FOUR:
        return  # its Action does not bind, see above
    answer = bench.ok("ModifyVolume", VolumeId=bench.names.free, Size="2").find("{*}volumeModification")
    present = [part.tag.rpartition("}")[2] for part in answer]
    assert present == sorted(present)
    status, _, root = bench.raw({"Action": "ModifyVolume", "VolumeId": bench.names.attached, "Size": "2"})
    assert (status, root.findtext(".//Code")) == (400, "IncorrectState")
