"""Five hundred machines in one process: the whole life of all, and rounds that cost what changed."""

from __future__ import annotations

import pytest

COUNT = 500


async def each(bench, action, ids):
    for start in range(0, len(ids), 500):
        await bench.call(action, **{f"InstanceId__{n}": key for n, key in enumerate(ids[start : start + 500], 1)})
    await bench.settle()


async def states(bench):
    statuses = (await bench.call("DescribeInstanceStatus", IncludeAllInstances="true"))["InstanceStatuses"]
    found: dict[str, int] = {}
    for status in statuses:
        name = status["InstanceState"]["Name"]
        found[name] = found.get(name, 0) + 1
    return found


async def test_five_hundred_machines_live_and_end(bench, monkeypatch):
    image = await bench.image()
    for _ in range(COUNT // 50):
        await bench.call("RunInstances", ImageId=image, MinCount=50, MaxCount=50)
    await bench.settle()
    assert await states(bench) == {"running": COUNT}
    rows = [i for r in (await bench.call("DescribeInstances"))["Reservations"] for i in r["Instances"]]
    ids = [row["InstanceId"] for row in rows]
    assert len({row["PrivateIpAddress"] for row in rows}) == len(set(ids)) == COUNT

    # At rest a round looks at no machine and reads no row of them; one that ends is looked at alone.
    looked = []
    report = bench.hypervisor.report

    async def counted(instance_id):
        looked.append(instance_id)
        return await report(instance_id)

    async def never():
        pytest.fail("all machines were looked at")

    with monkeypatch.context() as patch:
        patch.setattr(bench.hypervisor, "report", counted)
        patch.setattr(bench.hypervisor, "report_all", never)
        for _ in range(3):
            await bench.service.supervisor.round()
        assert looked == []
        bench.hypervisor.power_off_from_inside(ids[7])
        await bench.settle()
        assert set(looked) == {ids[7]}
    assert await states(bench) == {"running": COUNT - 1, "stopped": 1}

    await each(bench, "StopInstances", ids)
    assert await states(bench) == {"stopped": COUNT}
    await each(bench, "StartInstances", ids)
    assert await states(bench) == {"running": COUNT}
    await bench.restart()
    await bench.settle()
    assert await states(bench) == {"running": COUNT}
    await each(bench, "TerminateInstances", ids)
    assert await states(bench) == {"terminated": COUNT}
    assert list((bench.home / "cloud" / "volumes").iterdir()) == []
    assert await bench.hypervisor.report_all() == {}


async def test_a_machine_that_ends_while_its_row_says_pending_is_noticed(bench, monkeypatch):
    """Its end is told once only, and at that moment the row did not yet say that it runs."""
    start = bench.hypervisor.start

    async def start_and_end(spec):
        await start(spec)
        bench.hypervisor.power_off_from_inside(spec.instance_id)
        await bench.service.supervisor.round()

    monkeypatch.setattr(bench.hypervisor, "start", start_and_end)
    machine = await bench.run()
    await bench.settle()
    assert (await bench.instance(machine))["State"]["Name"] == "stopped"


async def test_what_was_read_before_a_change_is_never_told_after_it(bench):
    """The gateway's files are written anew exactly when rows changed; answers always come from the rows."""
    machine = await bench.run()
    for value in ("a", "b", "c"):
        await bench.call("CreateTags", ResourceId__1=machine, Tag__1__Key="k", Tag__1__Value=value)
        assert (await bench.instance(machine))["Tags"] == [{"Key": "k", "Value": value}]
