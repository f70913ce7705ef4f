"""Faults as the administrator sets them: limits, narrowing, counts, ends, and that they survive a restart."""

from __future__ import annotations

import pytest

from educloud_lab.localcloud import events
from educloud_lab.localcloud.errors import ApiError
from educloud_lab.localcloud.faults.catalogue import KINDS
from educloud_lab.localcloud.faults.faults import MAX_FAULTS, Wanted


def faults(bench):
    return bench.service.cloud.faults


async def press_start(bench, **query):
    answer = await bench.call("RunInstances", **{"ImageId": await bench.image(), **query})
    await bench.settle()
    return answer["Instances"][0]["InstanceId"]


async def state(bench, machine):
    return (await bench.instance(machine))["State"]["Name"]


async def test_every_kind_can_be_set_with_its_defaults_and_cleared(bench):
    for name in KINDS:
        made = await faults(bench).create(Wanted(name))
        assert made.parameters == {p.name: p.default for p in KINDS[name].parameters}
    assert [f.kind.name for f in faults(bench).all()] == list(KINDS)
    assert len(await faults(bench).delete()) == len(KINDS)
    assert faults(bench).all() == []
    assert faults(bench).any is False


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (Wanted("earthquake"), "There is no fault 'earthquake'; the kinds are: attach-drops,"),
        (Wanted("slow-answers", parameters={"delay_s": "soon"}), "delay_s must be 0.01 to 600 s, not 'soon'"),
        (Wanted("slow-answers", parameters={"delay_s": "nan"}), "delay_s must be"),
        (Wanted("slow-answers", parameters={"delay_s": "601"}), "delay_s must be"),
        (Wanted("slow-answers", parameters={"seed": "1.5"}), "seed must be"),
        (Wanted("slow-answers", parameters={"speed": "1"}), "has no parameter 'speed'; it has: delay_s,"),
        (Wanted("quota", parameters={"what": "ducks"}), "what must be instances or volumes or both"),
        (Wanted("lost-reply", parameters={"describes": "perhaps"}), "describes must be true or false"),
        (Wanted("clock-skew", account_id="000100000001"), "cannot be narrowed by account"),
        (Wanted("throttling", operation="Explode"), "There is no operation 'Explode'"),
        (Wanted("capacity", count=0), "Count is 1 to 1000000"),
        (Wanted("node-dies", count=1), "node-dies cannot be counted"),
        (Wanted("capacity", for_s=0), "lasts for more than 0 seconds"),
        (Wanted("capacity", resource="tag:nothing"), "is written tag:KEY=VALUE"),
        (Wanted("capacity", resource="tag:=nothing"), "is written tag:KEY=VALUE"),
    ],
)
async def test_what_makes_no_sense_is_refused_and_nothing_is_set(bench, wanted, message):
    with pytest.raises(ApiError, match="InvalidParameterValue") as caught:
        await faults(bench).create(wanted)
    assert message in caught.value.message
    assert faults(bench).all() == []


async def test_a_fault_survives_a_restart_with_its_count_and_what_it_holds(bench):
    made = await faults(bench).create(Wanted("pending-for-ever", count=1))
    machine = await press_start(bench)
    await bench.restart()
    await bench.settle()
    assert await state(bench, machine) == "pending"
    found = faults(bench).all()
    assert [(f.id, f.remaining, f.struck, list(f.held)) for f in found] == [(made.id, 0, 1, [machine])]
    assert await state(bench, await press_start(bench)) == "running"
    await faults(bench).delete([made.id])
    await bench.settle()
    assert await state(bench, machine) == "running"


async def test_what_a_fault_left_is_mended_after_a_restart_too(bench):
    machine = await bench.run()
    await faults(bench).create(Wanted("no-address", for_s=60))
    await bench.settle()
    bench.clock.move(61)  # it is over before anybody looked again
    await bench.restart()
    await bench.settle()
    assert (await bench.instance(machine))["PrivateIpAddress"] != "0.0.0.0"


async def test_a_fault_ends_by_itself(bench):
    await faults(bench).create(Wanted("capacity", for_s=60))
    with pytest.raises(ApiError):
        await press_start(bench)
    bench.clock.move(60)
    await press_start(bench)
    await bench.settle()
    assert faults(bench).any is False


async def test_a_fault_for_one_account_spares_the_others(bench):
    theirs = bench.service.accounts.named("eucalyptus")[0].account_id
    await faults(bench).create(Wanted("capacity", account_id=theirs))
    await press_start(bench)
    image = await bench.image()
    with pytest.raises(ApiError, match="Not enough resources"):
        await bench.call("RunInstances", account="eucalyptus", ImageId=image)


async def test_a_fault_for_a_tag_strikes_what_carries_it_and_what_is_made_with_it(bench):
    await faults(bench).create(Wanted("pending-for-ever", resource="tag:educloud:lease=ab=12"))
    tag = {
        "TagSpecification.1.ResourceType": "instance",
        "TagSpecification.1.Tag.1.Key": "educloud:lease",
        "TagSpecification.1.Tag.1.Value": "ab=12",
    }
    other = {**tag, "TagSpecification.1.Tag.1.Value": "ab=13"}
    assert await state(bench, await press_start(bench, **tag)) == "pending"
    assert await state(bench, await press_start(bench, **other)) == "running"
    await faults(bench).delete()
    await faults(bench).create(Wanted("capacity", resource="tag:educloud:lease=ab=12"))
    await press_start(bench, **other)
    with pytest.raises(ApiError, match="Not enough resources"):
        await press_start(bench, **tag)


async def test_setting_and_ending_are_events(bench):
    made = await faults(bench).create(Wanted("capacity"))
    await faults(bench).delete()
    rows = await bench.service.cloud.database.run(lambda session: events.latest(session, 50))
    texts = [row.text for row in rows if row.resource_id == made.id]
    assert texts == ["No room for another instance: fault capacity", "fault capacity was cleared"]


async def test_there_is_an_end_to_faults_and_spent_ones_make_room(bench):
    spent = await faults(bench).create(Wanted("capacity", count=1))
    with pytest.raises(ApiError, match="Not enough resources"):
        await press_start(bench)
    for _ in range(MAX_FAULTS):
        last = await faults(bench).create(Wanted("clock-skew"))
    ids = [fault.id for fault in faults(bench).all()]
    assert (len(ids), spent.id in ids, last.id in ids) == (MAX_FAULTS, False, True)
    with pytest.raises(ApiError, match="At most"):
        await faults(bench).create(Wanted("clock-skew"))
