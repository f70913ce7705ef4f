"""RunInstances: what is refused and how, capacity, idempotence, and who sees what."""

from __future__ import annotations

import asyncio
import base64

import pytest

from educloud_lab.localcloud.errors import ApiError

MIB = 1 << 20


async def refused(bench, **query):
    arguments = {"ImageId": await bench.image(), "MinCount": 1, "MaxCount": 1, **query}
    with pytest.raises(ApiError) as caught:
        await bench.call("RunInstances", **{k: v for k, v in arguments.items() if v is not None})
    assert (await bench.call("DescribeInstances"))["Reservations"] == []
    assert (await bench.call("DescribeVolumes"))["Volumes"] == []
    return caught.value.status, caught.value.code, caught.value.message


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"InstanceType": "z9.huge"}, (403, "UnauthorizedOperation", "Not authorized to allocate vm type z9.huge")),
        (
            {"Placement__AvailabilityZone": "mars"},
            (503, "ServiceUnavailable",
             "Not enough resources: no cluster controller is currently available to run instances."),
        ),
        ({"ImageId": None}, (400, " MissingParameter", "The request must contain the parameter ImageId")),
        (
            {"ImageId": "emi-00000000"},
            (400, "InvalidAMIID.NotFound", "The image ID 'emi-00000000' does not exist"),
        ),
        (
            {"ImageId": "nonsense"},
            (400, "InvalidParameterValue",
             "Value (nonsense) for parameter image is invalid. Expected: 'ami-...'."),
        ),
        ({"KeyName": "none"}, (400, "InvalidKeyPair.NotFound", "The key pair 'none' does not exist")),
        ({"SecurityGroup__1": "none"}, (400, "InvalidGroup.NotFound", "The security group 'none' does not exist")),
        ({"UserData": "???"}, (400, "InvalidParameterValue", "User data decoding error.")),
        (
            {"UserData": base64.b64encode(b"x" * 16385).decode()},
            (400, "InvalidParameterValue", "User data may not exceed 16 KB"),
        ),
        ({"MinCount": 0}, (400, "InvalidParameterValue", "Invalid value for minCount, maxCount: 0, 1")),
        ({"MinCount": 3, "MaxCount": 2}, (400, "InvalidParameterValue", "Invalid value for minCount, maxCount: 3, 2")),
        ({"SubnetId": "subnet-1"}, (400, "InvalidSubnetID.NotFound", "The subnet ID 'subnet-1' does not exist")),
        (
            {"TagSpecification__1__ResourceType": "instance", "TagSpecification__1__Tag__1__Key": "euca:x"},
            (400, "InvalidParameterValue", "Tag keys starting with 'aws:' and 'euca:' are reserved for internal use"),
        ),
    ],
)  # fmt: skip
async def test_refusals_start_nothing(bench, query, expected):
    assert await refused(bench, **query) == expected


async def test_too_little_memory_is_no_capacity(bench):
    bench.memory = 300 * MIB
    assert await refused(bench) == (503, "ServiceUnavailable", "Not enough resources (0 in one < 1): vm instances.")


async def test_running_machines_count_with_all_that_they_may_come_to_use(bench):
    need = (256 + 114) * MIB
    bench.memory = 2 * need
    first = await bench.run()
    await bench.run()
    with pytest.raises(ApiError, match="Not enough resources"):
        await bench.run()
    bench.clock.move(3600)  # that they have run for a while makes no difference
    with pytest.raises(ApiError, match="Not enough resources"):
        await bench.run()
    await bench.call("StopInstances", InstanceId__1=first)
    await bench.settle()
    await bench.run()


async def test_requests_at_the_same_time_do_not_promise_the_same_memory_twice(bench):
    bench.memory = 3 * (256 + 114) * MIB
    image = await bench.image()
    calls = [bench.call("RunInstances", ImageId=image, MinCount=1, MaxCount=1) for _ in range(8)]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    refusals = [answer for answer in answers if isinstance(answer, ApiError)]
    assert len(refusals) == 5
    assert {(r.status, r.code) for r in refusals} == {(503, "ServiceUnavailable")}


async def test_stopped_machines_that_start_together_share_the_memory_that_there_is(bench):
    machines = [await bench.run() for _ in range(3)]
    ids = {f"InstanceId__{number}": machine for number, machine in enumerate(machines, 1)}
    await bench.call("StopInstances", **ids)
    await bench.settle()
    bench.memory = 2 * (256 + 114) * MIB
    with pytest.raises(ApiError, match="Not enough resources"):
        await bench.call("StartInstances", **ids)
    states = [(await bench.instance(machine))["State"]["Name"] for machine in machines]
    assert states == ["stopped"] * 3  # all or none
    await bench.call("StartInstances", InstanceId__1=machines[0], InstanceId__2=machines[1])


async def test_the_zones_tell_the_administrator_the_same_numbers(bench):
    bench.memory = 3 * (256 + 114) * MIB
    await bench.run()
    lines = (await bench.call("DescribeAvailabilityZones", "eucalyptus", ZoneName__1="verbose"))["AvailabilityZones"]
    micro = next(line["State"] for line in lines if line["ZoneName"] == "|- t2.micro")
    assert micro.startswith("0002 / 0003 ")


async def test_as_many_as_fit_are_started(bench):
    bench.memory = 2 * (256 + 114) * MIB
    answer = await bench.call("RunInstances", ImageId=await bench.image(), MinCount=1, MaxCount=5)
    assert [i["AmiLaunchIndex"] for i in answer["Instances"]] == [0, 1]


async def test_a_stopped_machine_does_not_start_without_memory(bench):
    machine = await bench.run()
    await bench.call("StopInstances", InstanceId__1=machine)
    await bench.settle()
    bench.memory = 0
    with pytest.raises(ApiError, match="Not enough resources"):
        await bench.call("StartInstances", InstanceId__1=machine)
    assert (await bench.instance(machine))["State"]["Name"] == "stopped"


async def test_the_same_token_is_the_same_reservation_even_after_its_end(bench):
    image = await bench.image()
    first = await bench.call("RunInstances", ImageId=image, MinCount=1, MaxCount=1, ClientToken="t")
    again = await bench.call("RunInstances", ImageId=image, MinCount=2, MaxCount=2, ClientToken="t")
    assert again == first
    machine = first["Instances"][0]["InstanceId"]
    await bench.settle()
    await bench.call("TerminateInstances", InstanceId__1=machine)
    await bench.settle()
    dead = await bench.call("RunInstances", ImageId=image, MinCount=1, MaxCount=1, ClientToken="t")
    assert dead["Instances"][0]["State"]["Name"] == "terminated"
    other = await bench.call("RunInstances", "eucalyptus", ImageId=image, MinCount=1, MaxCount=1, ClientToken="t")
    assert other["ReservationId"] != first["ReservationId"]


async def test_every_machine_has_its_own_address_and_card(bench):
    await bench.call("RunInstances", ImageId=await bench.image(), MinCount=3, MaxCount=3)
    await bench.settle()
    reservation = (await bench.call("DescribeInstances"))["Reservations"][0]
    addresses = {i["PrivateIpAddress"] for i in reservation["Instances"]}
    assert len(addresses) == 3
    machine = reservation["Instances"][0]
    await bench.call("TerminateInstances", InstanceId__1=machine["InstanceId"])
    await bench.settle()
    fresh = await bench.instance(await bench.run())
    assert fresh["PrivateIpAddress"] not in addresses  # a freed address is not given out again at once


async def test_another_account_sees_nothing_and_the_administrator_everything_on_demand(bench):
    machine = await bench.run()
    volume = await bench.make_volume()
    theirs = await bench.run(image="tiny-store")
    assert len((await bench.call("DescribeInstances"))["Reservations"]) == 2
    assert (await bench.call("DescribeInstances", "eucalyptus"))["Reservations"] == []
    assert len((await bench.call("DescribeInstances", "eucalyptus", InstanceId__1="verbose"))["Reservations"]) == 2
    assert len((await bench.call("DescribeInstances", InstanceId__1="verbose"))["Reservations"]) == 2
    own = await bench.call("RunInstances", "eucalyptus", ImageId=await bench.image(), MinCount=1, MaxCount=1)
    foreign = own["Instances"][0]["InstanceId"]
    await bench.settle()
    assert {machine, theirs} == {
        r["Instances"][0]["InstanceId"] for r in (await bench.call("DescribeInstances"))["Reservations"]
    }
    for action, query in (
        ("DescribeInstances", {"InstanceId__1": foreign}),
        ("TerminateInstances", {"InstanceId__1": foreign}),
        ("GetConsoleOutput", {"InstanceId": foreign}),
        ("AttachVolume", {"VolumeId": volume, "InstanceId": foreign, "Device": "/dev/vdb"}),
        ("ModifyInstanceAttribute", {"InstanceId": foreign, "DisableApiTermination__Value": "true"}),
    ):
        with pytest.raises(ApiError) as caught:
            await bench.call(action, **query)
        assert caught.value.code == "InvalidInstanceID.NotFound", action
    with pytest.raises(ApiError) as caught:
        await bench.call("CreateTags", ResourceId__1=foreign, Tag__1__Key="a", Tag__1__Value="b")
    assert caught.value.code == "InvalidInstanceID.NotFound"


async def test_one_foreign_id_among_several_changes_nothing(bench):
    machine = await bench.run()
    with pytest.raises(ApiError, match=r"InvalidInstanceID\.NotFound"):
        await bench.call("TerminateInstances", InstanceId__1=machine, InstanceId__2="i-00000000")
    await bench.settle()
    assert (await bench.instance(machine))["State"]["Name"] == "running"


async def test_termination_can_be_forbidden(bench):
    machine = await bench.run(DisableApiTermination="true")
    with pytest.raises(ApiError) as caught:
        await bench.call("TerminateInstances", InstanceId__1=machine)
    assert caught.value.code == "OperationNotPermitted"
    await bench.call("ModifyInstanceAttribute", InstanceId=machine, DisableApiTermination__Value="false")
    await bench.call("TerminateInstances", InstanceId__1=machine)


async def test_shutdown_behaviour_is_accepted_and_ignored(bench):
    machine = await bench.run(InstanceInitiatedShutdownBehavior="terminate")
    answer = await bench.call(
        "DescribeInstanceAttribute", InstanceId=machine, Attribute="instanceInitiatedShutdownBehavior"
    )
    assert answer["InstanceInitiatedShutdownBehavior"] == {"Value": "stop"}


async def test_type_and_user_data_change_only_while_stopped(bench):
    machine = await bench.run()
    with pytest.raises(ApiError, match="IncorrectInstanceState"):
        await bench.call("ModifyInstanceAttribute", InstanceId=machine, InstanceType__Value="t2.small")
    await bench.call("StopInstances", InstanceId__1=machine)
    await bench.settle()
    await bench.call("ModifyInstanceAttribute", InstanceId=machine, InstanceType__Value="t2.small")
    assert (await bench.instance(machine))["InstanceType"] == "t2.small"


async def test_the_console_of_a_machine_that_does_not_run_is_a_backend_error(bench):
    machine = await bench.run()
    assert b"booted" in base64.b64decode((await bench.call("GetConsoleOutput", InstanceId=machine))["Output"])
    await bench.call("StopInstances", InstanceId__1=machine)
    await bench.settle()
    with pytest.raises(ApiError) as caught:
        await bench.call("GetConsoleOutput", InstanceId=machine)
    assert (caught.value.status, caught.value.message) == (500, f"Instance {machine} is not in a running state.")


async def test_the_console_is_its_last_64_kilobytes_and_never_empty(bench):
    machine = await bench.run()
    console = bench.service.cloud.console_path(machine)
    console.write_bytes(b"first" + b"x" * 65536)
    assert base64.b64decode((await bench.call("GetConsoleOutput", InstanceId=machine))["Output"]) == b"x" * 65536
    console.write_bytes(b"")
    assert base64.b64decode((await bench.call("GetConsoleOutput", InstanceId=machine))["Output"]) == b" "


async def test_status_lists_running_machines_unless_all_are_asked_for(bench):
    machine = await bench.run()
    await bench.call("StopInstances", InstanceId__1=machine)
    await bench.settle()
    assert (await bench.call("DescribeInstanceStatus"))["InstanceStatuses"] == []
    (status,) = (await bench.call("DescribeInstanceStatus", IncludeAllInstances="true"))["InstanceStatuses"]
    assert status["SystemStatus"]["Status"] == "not-applicable"


async def test_malformed_ids_are_told_apart_from_unknown_ones(bench):
    for text in ("i-1", "i-xyz", "vol-00000000", "i-00000000 ", ""):
        with pytest.raises(ApiError, match=r"InvalidInstanceID.Malformed"):
            await bench.call("DescribeInstances", InstanceId__1=text)
    with pytest.raises(ApiError, match=r"InvalidInstanceID.NotFound"):
        await bench.call("DescribeInstances", InstanceId__1="i-00000000")
