"""Each kind of fault that strikes instances and volumes: what callers see, and that clearing it heals."""

from __future__ import annotations

import base64

import pytest

from educloud_lab.localcloud.errors import ApiError
from educloud_lab.localcloud.faults.faults import Wanted

NONE = "0.0.0.0"


async def fault(bench, kind, parameters=None, **options):
    return await bench.service.cloud.faults.create(Wanted(kind, parameters=parameters or {}, **options))


async def clear(bench):
    await bench.service.cloud.faults.delete()
    await bench.settle()


async def press_start(bench, image="tiny", **query):
    arguments = {"ImageId": await bench.image(image), "MinCount": 1, "MaxCount": 1, **query}
    answer = await bench.call("RunInstances", **arguments)
    await bench.settle()
    return answer["Instances"][0]["InstanceId"]


async def state(bench, machine):
    return (await bench.instance(machine))["State"]["Name"]


async def reason(bench, machine):
    return (await bench.instance(machine))["StateTransitionReason"]


async def refusal(bench, action, **query):
    with pytest.raises(ApiError) as caught:
        await bench.call(action, **query)
    return caught.value.status, caught.value.code, caught.value.message


async def console(bench, machine):
    return base64.b64decode((await bench.call("GetConsoleOutput", InstanceId=machine))["Output"]).decode()


async def test_pending_for_ever_until_it_is_cleared(bench):
    await fault(bench, "pending-for-ever")
    machine = await press_start(bench)
    shown = await bench.instance(machine)
    assert (shown["State"]["Name"], shown["PrivateIpAddress"]) == ("pending", NONE)
    bench.clock.move(1800)
    await bench.settle()
    assert await state(bench, machine) == "pending"
    await clear(bench)
    assert await state(bench, machine) == "running"


async def test_the_cloud_gives_a_pending_instance_up_after_an_hour(bench):
    await fault(bench, "pending-for-ever", count=1)
    machine = await press_start(bench)
    bench.clock.move(3601)
    await bench.settle()
    assert await state(bench, machine) == "terminated"
    assert (await reason(bench, machine)).startswith("FAILED: The instance failed to start on the NC. --")
    await bench.settle()
    assert [f.spent for f in bench.service.cloud.faults.all()] == [True]
    assert await state(bench, await press_start(bench)) == "running"


async def test_a_pending_instance_can_be_terminated(bench):
    await fault(bench, "pending-for-ever")
    machine = await press_start(bench)
    await bench.call("TerminateInstances", InstanceId__1=machine)
    await bench.settle()
    assert await state(bench, machine) == "terminated"


async def test_no_address_until_it_is_cleared(bench):
    machine = await bench.run()
    before = (await bench.instance(machine))["PrivateIpAddress"]
    await fault(bench, "no-address", resource=machine)
    await bench.settle()
    other = await bench.run()
    shown = await bench.instance(machine)
    assert (shown["State"]["Name"], shown["PrivateIpAddress"], shown["PublicIpAddress"]) == ("running", NONE, NONE)
    assert (await bench.instance(other))["PrivateIpAddress"] != NONE
    await clear(bench)
    assert (await bench.instance(machine))["PrivateIpAddress"] == before


async def test_no_address_from_the_first_moment(bench):
    made = await fault(bench, "no-address", count=1)
    machine = await press_start(bench)
    assert (await bench.instance(machine))["PrivateIpAddress"] == NONE
    assert (await bench.instance(await press_start(bench)))["PrivateIpAddress"] != NONE
    assert (made.struck, made.remaining, list(made.held)) == (1, 0, [machine])


async def test_capacity_is_refused_as_eucalyptus_words_it_and_makes_nothing(bench):
    stopped = await bench.run()
    await bench.call("StopInstances", InstanceId__1=stopped)
    await bench.settle()
    image = await bench.image()
    known = await bench.call("RunInstances", ImageId=image, MinCount=1, MaxCount=1, ClientToken="before")
    await fault(bench, "capacity")
    no_room = (503, "ServiceUnavailable", "Not enough resources (0 in one < 1): vm instances.")
    assert await refusal(bench, "RunInstances", ImageId=image, MinCount=1, MaxCount=1) == no_room
    assert await refusal(bench, "StartInstances", InstanceId__1=stopped) == no_room
    again = await bench.call("RunInstances", ImageId=image, MinCount=1, MaxCount=1, ClientToken="before")
    assert again["ReservationId"] == known["ReservationId"]
    assert len((await bench.call("DescribeInstances"))["Reservations"]) == 2
    await clear(bench)
    await bench.call("StartInstances", InstanceId__1=stopped)
    await bench.settle()
    assert await state(bench, stopped) == "running"


async def test_a_count_of_strikes_and_an_image_that_does_not_exist_does_not_use_one_up(bench):
    image = await bench.image()
    made = await fault(bench, "capacity", count=2)
    for _ in range(3):
        assert (await refusal(bench, "RunInstances", ImageId="emi-00000000"))[1] == "InvalidAMIID.NotFound"
    for _ in range(2):
        assert (await refusal(bench, "RunInstances", ImageId=image))[0] == 503
    await press_start(bench)
    assert (made.struck, made.spent) == (2, True)


async def test_quotas_of_instances_and_volumes(bench):
    image = await bench.image()
    await fault(bench, "quota")
    status, code, message = await refusal(bench, "RunInstances", ImageId=image)
    assert (status, code) == (503, "ServiceUnavailable")
    assert message.startswith("Quota exceeded while trying to create: instance by user: ")
    refused = await refusal(bench, "CreateVolume", AvailabilityZone="one", Size=1)
    assert refused[:2] == (400, "VolumeLimitExceeded")
    await clear(bench)
    await fault(bench, "quota", {"what": "volumes"})
    await press_start(bench)
    await clear(bench)
    assert (await bench.volume(await bench.make_volume()))["State"] == "available"


async def test_an_attachment_vanishes_and_the_next_one_works(bench):
    machine, volume = await bench.run(), await bench.make_volume()
    await fault(bench, "attach-drops", count=1)
    for expected in ("available", "in-use"):
        answer = await bench.call("AttachVolume", VolumeId=volume, InstanceId=machine, Device="/dev/sdf")
        assert answer["State"] == "attaching"
        await bench.settle()
        assert (await bench.volume(volume))["State"] == expected
    assert volume in bench.hypervisor.serials(machine)


async def attached(bench):
    machine, volume = await bench.run(), await bench.make_volume()
    await bench.call("AttachVolume", VolumeId=volume, InstanceId=machine, Device="/dev/sdf")
    await bench.settle()
    return machine, volume


async def test_a_detach_sticks_until_it_is_cleared(bench):
    machine, volume = await attached(bench)
    await fault(bench, "detach-sticks", resource=machine)
    await bench.call("DetachVolume", VolumeId=volume)
    await bench.settle()
    assert (await bench.volume(volume))["Attachments"][0]["State"] == "detaching"
    assert volume in bench.hypervisor.serials(machine)
    await clear(bench)
    assert (await bench.volume(volume))["State"] == "available"
    assert volume not in bench.hypervisor.serials(machine)


async def test_a_detach_that_reverts_can_be_asked_for_again(bench):
    _, volume = await attached(bench)
    await fault(bench, "detach-sticks", {"outcome": "reverts"}, count=1)
    for expected in ("attached", None):
        await bench.call("DetachVolume", VolumeId=volume)
        await bench.settle()
        attachments = (await bench.volume(volume))["Attachments"]
        assert (attachments[0]["State"] if attachments else None) == expected


async def test_a_volume_fails_and_a_root_volume_is_spared(bench):
    await fault(bench, "volume-fails")
    failed = await bench.make_volume()
    assert (await bench.volume(failed))["State"] == "failed"
    assert await state(bench, await press_start(bench)) == "running"
    await bench.call("DeleteVolume", VolumeId=failed)
    await clear(bench)
    assert (await bench.volume(await bench.make_volume()))["State"] == "available"


async def test_a_forgotten_ramdisk_ends_in_a_panic_and_a_stop_and_start_heals(bench):
    await fault(bench, "image-does-not-boot", count=1)
    machine = await press_start(bench)
    assert await state(bench, machine) == "running"
    assert "Kernel panic - not syncing: VFS: Unable to mount root fs" in await console(bench, machine)
    assert "booted" not in await console(bench, machine)
    for action in ("StopInstances", "StartInstances"):
        await bench.call(action, InstanceId__1=machine)
        await bench.settle()
    assert "booted" in (await console(bench, machine)).rpartition("Kernel panic")[2]


@pytest.mark.parametrize(("image", "end"), [("tiny", "terminated"), ("tiny-store", "terminated")])
async def test_a_kernel_of_another_architecture_is_refused_by_the_node(bench, image, end):
    await fault(bench, "image-does-not-boot", {"cause": "wrong-architecture"})
    machine = await press_start(bench, image)
    assert await state(bench, machine) == end
    assert "for another architecture" in await reason(bench, machine)
    await clear(bench)
    assert await state(bench, await press_start(bench, image)) == "running"


async def zone_state(bench):
    return [zone["State"] for zone in (await bench.call("DescribeAvailabilityZones"))["AvailabilityZones"]]


async def system_status(bench, machine):
    answer = await bench.call("DescribeInstanceStatus", InstanceId__1=machine)
    return answer["InstanceStatuses"][0]["SystemStatus"]["Status"]


async def test_a_node_dies_and_its_instances_are_missed_only_later(bench):
    kept, store = await bench.run(), await bench.run("tiny-store")
    image = await bench.image()
    assert await zone_state(bench) == ["available"]
    await fault(bench, "node-dies", {"expire_s": "600"})
    await bench.settle()
    assert (await bench.hypervisor.report(kept)).state == "absent"
    assert [await state(bench, m) for m in (kept, store)] == ["running", "running"]
    assert await zone_state(bench) == ["unavailable"]
    assert (await refusal(bench, "RunInstances", ImageId=image))[2].endswith("available to run instances.")
    assert await system_status(bench, kept) == "ok"
    bench.clock.move(301)
    assert await system_status(bench, kept) == "impaired"
    bench.clock.move(300)
    await bench.settle()
    assert [await state(bench, m) for m in (kept, store)] == ["stopped", "terminated"]
    assert (await reason(bench, kept)).startswith("EXPIRED: Instance expired after not being reported.")
    assert (await refusal(bench, "StartInstances", InstanceId__1=kept))[0] == 503
    await clear(bench)
    assert await zone_state(bench) == ["available"]
    await bench.call("StartInstances", InstanceId__1=kept)
    await bench.settle()
    assert await state(bench, kept) == "running"


async def test_a_node_that_comes_back_has_lost_its_instances(bench):
    machine = await bench.run()
    await fault(bench, "node-dies", zone="one")
    await bench.settle()
    await clear(bench)
    assert await state(bench, machine) == "stopped"
    assert (await reason(bench, machine)).startswith("EXPIRED:")


async def test_a_volume_that_is_attached_at_a_dead_node_waits_for_what_becomes_of_the_instance(bench):
    machine, volume = await bench.run(), await bench.make_volume()
    await fault(bench, "node-dies")
    await bench.call("AttachVolume", VolumeId=volume, InstanceId=machine, Device="/dev/sdf")
    await bench.settle()
    assert (await bench.volume(volume))["Attachments"][0]["State"] == "attaching"
    await clear(bench)
    assert await state(bench, machine) == "stopped"
    await bench.call("StartInstances", InstanceId__1=machine)
    await bench.settle()
    assert (await bench.volume(volume))["Attachments"][0]["State"] == "attached"
    assert volume in bench.hypervisor.serials(machine)


async def test_a_node_of_another_zone_is_no_concern(bench):
    machine = await bench.run()
    await fault(bench, "node-dies", zone="two")
    await bench.settle()
    assert await state(bench, machine) == "running"
    assert await zone_state(bench) == ["available"]


async def test_a_stop_sticks_and_force_gets_through(bench):
    machine, other = await bench.run(), await bench.run()
    await fault(bench, "stop-sticks")
    for each in (machine, other):
        await bench.call("StopInstances", InstanceId__1=each)
    await bench.settle()
    assert await state(bench, machine) == "stopping"
    await bench.call("StopInstances", InstanceId__1=machine, Force="true")
    await bench.settle()
    assert [await state(bench, m) for m in (machine, other)] == ["stopped", "stopping"]
    bench.clock.move(601)
    await bench.settle()
    assert await state(bench, other) == "stopped"


async def test_a_dead_node_stays_dead_over_a_restart_of_the_cloud(bench):
    machine = await bench.run()
    await fault(bench, "node-dies")
    await bench.settle()
    await bench.restart()
    await bench.settle()
    assert await state(bench, machine) == "running"
    assert await zone_state(bench) == ["unavailable"]
    await clear(bench)
    assert await state(bench, machine) == "stopped"
