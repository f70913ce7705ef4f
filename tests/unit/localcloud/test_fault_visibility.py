"""Delayed visibility: Describe tells what was so some time ago, exactly; changes act on what is so."""

from __future__ import annotations

import pytest

from educloud_lab.localcloud.cloud import Caller
from educloud_lab.localcloud.errors import ApiError
from educloud_lab.localcloud.faults.faults import Wanted
from educloud_lab.localcloud.operations.perform import perform


async def seen(bench, action, account="educloud", **query):
    """Ask as a request does: through whatever the faults let it see."""
    caller = Caller(bench.service.accounts.named(account)[0], "request", "http://127.0.0.1:8773")
    cloud = bench.service.cloud.faults.seen_by(caller, action)
    return (await perform(cloud, caller, action, {n.replace("__", "."): str(v) for n, v in query.items()}))[1]


async def states(bench, **options):
    reservations = (await seen(bench, "DescribeInstances", **options))["Reservations"]
    return [i["State"]["Name"] for r in reservations for i in r["Instances"]]


async def test_each_moment_is_shown_as_it_was(bench):
    await bench.service.cloud.faults.create(Wanted("delayed-visibility", parameters={"delay_s": "60"}))
    bench.clock.move(10)
    machine = await bench.run()  # at 10
    bench.clock.move(20)
    await bench.call("StopInstances", InstanceId__1=machine)
    await bench.settle()  # at 30
    bench.clock.move(15)
    await bench.call("TerminateInstances", InstanceId__1=machine)
    await bench.settle()  # at 45
    assert await states(bench) == []
    bench.clock.move(24)  # 69: nothing of 10 yet
    assert await states(bench) == []
    with pytest.raises(ApiError, match="does not exist"):
        await seen(bench, "DescribeInstances", InstanceId__1=machine)
    bench.clock.move(1)  # 70
    assert await states(bench) == ["running"]
    bench.clock.move(19)  # 89
    assert await states(bench) == ["running"]
    bench.clock.move(1)  # 90
    assert await states(bench) == ["stopped"]
    bench.clock.move(15)  # 105
    assert await states(bench) == ["terminated"]


async def test_clearing_shows_what_is_so_and_nothing_is_kept(bench):
    faults = bench.service.cloud.faults
    await faults.create(Wanted("delayed-visibility"))
    await bench.run()
    assert await states(bench) == []
    await faults.delete()
    assert await states(bench) == ["running"]
    assert bench.service.cloud.database.after_commit is None


async def test_another_account_and_another_operation_see_what_is_so(bench):
    owner = bench.service.accounts.named("eucalyptus")[0].account_id
    faults = bench.service.cloud.faults
    await faults.create(Wanted("delayed-visibility", account_id=owner))
    await bench.run()
    assert await states(bench) == ["running"]
    assert await states(bench, account="eucalyptus", InstanceId__1="verbose") == []
    await faults.delete()
    await faults.create(Wanted("delayed-visibility", operation="DescribeVolumes"))
    await bench.run()
    assert await states(bench) == ["running", "running"]
    assert len((await seen(bench, "DescribeVolumes"))["Volumes"]) == 1


async def test_it_survives_a_restart_from_what_was_then(bench):
    await bench.service.cloud.faults.create(Wanted("delayed-visibility", parameters={"delay_s": "60"}))
    await bench.run()
    await bench.restart()
    assert await states(bench) == ["running"]  # older states went with the process
    await bench.run()
    assert await states(bench) == ["running"]
    bench.clock.move(60)
    assert await states(bench) == ["running", "running"]


async def test_when_its_time_is_over_no_more_copies_are_made(bench):
    await bench.service.cloud.faults.create(Wanted("delayed-visibility", for_s=60))
    await bench.run()
    bench.clock.move(61)
    assert await states(bench) == ["running"]
    await bench.settle()
    assert bench.service.cloud.database.after_commit is None
