"""The cloud's own end of instances: fixed at RunInstances, shown nowhere, kept across stop and start."""

from dataclasses import replace

import pytest

HOUR = 3600


@pytest.fixture
async def bench(bench):
    bench.service.cloud.settings = replace(bench.service.cloud.settings, keep_alive_min=60)
    return bench


async def test_an_ebs_machine_is_stopped_at_its_end_and_again_after_each_start(bench):
    machine = await bench.run()
    bench.clock.move(HOUR - 1)
    await bench.settle()
    assert (await bench.instance(machine))["State"]["Name"] == "running"
    bench.clock.move(1)
    await bench.settle()
    stopped = await bench.instance(machine)
    assert stopped["State"]["Name"] == "stopped"
    assert stopped["StateTransitionReason"].startswith("EXPIRED")
    answer = await bench.call("StartInstances", InstanceId__1=machine)
    assert answer["StartingInstances"][0]["CurrentState"]["Name"] == "pending"
    await bench.settle()
    assert (await bench.instance(machine))["State"]["Name"] == "stopped"


async def test_an_instance_store_machine_is_terminated_at_its_end(bench):
    machine = await bench.run("tiny-store")
    bench.clock.move(HOUR)
    await bench.settle()
    assert (await bench.instance(machine))["State"]["Name"] == "terminated"


async def test_the_end_is_fixed_when_it_is_made_and_a_stop_does_not_move_it(bench):
    machine = await bench.run()
    bench.clock.move(HOUR // 2)
    await bench.call("StopInstances", InstanceId__1=machine)
    await bench.settle()
    bench.service.cloud.settings = replace(bench.service.cloud.settings, keep_alive_min=None)
    later = await bench.run()
    await bench.call("StartInstances", InstanceId__1=machine)
    await bench.settle()
    assert (await bench.instance(machine))["State"]["Name"] == "running"
    bench.clock.move(HOUR // 2)
    await bench.settle()
    assert (await bench.instance(machine))["State"]["Name"] == "stopped"
    assert (await bench.instance(later))["State"]["Name"] == "running"


async def test_no_answer_shows_the_end(bench):
    limited = await bench.run()
    bench.service.cloud.settings = replace(bench.service.cloud.settings, keep_alive_min=None)
    free = await bench.run()
    assert set(await bench.instance(limited)) == set(await bench.instance(free))


async def test_it_outlives_a_restart_of_the_cloud_and_is_forgotten_with_the_instance(bench):
    machine = await bench.run("tiny-store")
    await bench.restart()
    bench.clock.move(HOUR)
    await bench.settle()
    assert (await bench.instance(machine))["State"]["Name"] == "terminated"
    bench.clock.move(2 * HOUR)
    await bench.settle()

    def ends(session):
        from educloud_lab.localcloud.state.tables import Meta

        return session.query(Meta).filter(Meta.key.startswith("expires:")).count()

    assert await bench.service.cloud.database.run(ends) == 0
