"""What is kept of answers is never older than the rows: whatever changes, the quick answer is the slow one's."""

from __future__ import annotations

import pytest

from educloud_lab.localcloud.cloud import Caller
from educloud_lab.localcloud.operations import OPERATIONS
from educloud_lab.localcloud.operations.instance_answers import MOST, answers_of
from educloud_lab.localcloud.state.tables import Attachment, Image, Instance, Tag


async def both(bench):
    """Return DescribeInstances written quickly, from what is kept, and slowly, by a filter that all instances pass."""
    cloud = bench.service.cloud
    caller = Caller(bench.service.accounts.named("educloud")[0], "r", "http://127.0.0.1:8773")
    written = []
    for params in ({}, {"Filters": [{"Name": "instance-id", "Values": ["i-*"]}]}):
        answer = await OPERATIONS["DescribeInstances"](cloud, caller, params)
        written.append(cloud.model.render(cloud.model.operations["DescribeInstances"], answer, "2016-11-15", "r"))
    return written


async def same(bench):
    for _ in range(2):  # the second time from what is kept
        quick, slow = await both(bench)
        assert quick == slow
    return quick


async def test_every_change_is_seen_at_once(bench):
    seen = {await same(bench)}
    first, second = await bench.run(), await bench.run("tiny-store")
    volume = await bench.make_volume()
    steps = (
        ("CreateTags", {"ResourceId__1": first, "Tag__1__Key": "k", "Tag__1__Value": "a"}),
        ("CreateTags", {"ResourceId__1": first, "Tag__1__Key": "k", "Tag__1__Value": "b"}),
        ("CreateTags", {"ResourceId__1": second, "Tag__1__Key": "j", "Tag__1__Value": "<&>"}),
        ("DeleteTags", {"ResourceId__1": first, "Tag__1__Key": "k"}),
        ("AttachVolume", {"VolumeId": volume, "InstanceId": first, "Device": "/dev/vdb"}),
        ("DetachVolume", {"VolumeId": volume}),
        ("StopInstances", {"InstanceId__1": first}),
        ("StartInstances", {"InstanceId__1": first}),
        ("TerminateInstances", {"InstanceId__1": second}),
    )
    for action, query in steps:
        await bench.call(action, **query)
        seen.add(await same(bench))  # on its way
        await bench.settle()
        seen.add(await same(bench))  # there
    assert len(seen) >= 1 + len(steps)
    bench.hypervisor.power_off_from_inside(first)
    await bench.settle()
    assert "stopped" in await same(bench)


@pytest.mark.parametrize("table", [Instance, Attachment, Tag, Image])
async def test_a_change_of_any_column_is_seen_at_once(bench, table):
    """Also one that some later operation makes: the rows decide, not who changed them."""
    machine = await bench.run()
    await bench.call("CreateTags", ResourceId__1=machine, Tag__1__Key="k", Tag__1__Value="a")
    await same(bench)
    for column in table.__table__.columns:
        if column.primary_key or column.name in ("owner", "resource_type", "instance_id", "state", "image_id"):
            continue

        def change(session, name=column.name):
            row = session.query(table).first()
            value = getattr(row, name)
            if isinstance(value, bool):
                setattr(row, name, not value)
            elif isinstance(value, str):
                setattr(row, name, value + "1")
            elif isinstance(value, int):
                setattr(row, name, value + 1)

        await bench.service.cloud.database.run(change)
        await same(bench)


async def test_another_account_sees_its_own(bench):
    await bench.run()
    await same(bench)
    assert (await bench.call("DescribeInstances", account="eucalyptus"))["Reservations"] == []


async def test_what_is_kept_has_a_bound(bench, monkeypatch):
    monkeypatch.setattr("educloud_lab.localcloud.operations.instance_answers.MOST", 3)
    for _ in range(3):
        await bench.run()
        await same(bench)
    answers = answers_of(bench.service.cloud.database)
    assert len(answers._kept) == 3
    await bench.run()
    await same(bench)
    assert len(answers._kept) <= 3 < MOST
