"""What was seen in between is not absent, whoever looked (I5)."""

import asyncio

from educloud_lab.adapters.memory.clock import FakeClock
from educloud_lab.adapters.memory.cloud import MemoryCloud
from educloud_lab.broker.sight import Sight


async def looked(clock, sight):
    task = asyncio.ensure_future(sight.look())
    await clock.drive(task.done)
    return task.result()


async def test_a_look_that_shows_it_ends_an_absence_though_nobody_said_so():
    clock = FakeClock()
    cloud = MemoryCloud(clock)

    async def nobody(_error):
        return

    sight = Sight(cloud, clock, period_s=0.3, on_health=nobody)
    made = await cloud.create_volume(size_gib=1, zone="one", tags={})
    row = cloud.volume_row(made.volume_id)
    for shown in (False, True, False, True, False, True, False):
        row.listed_at_s = 0.0 if shown else float("inf")
        await clock.advance(40)
        view = await looked(clock, sight)
        assert (made.volume_id in view.volumes) is shown
        if not shown:
            assert not sight.confirmed_absent(made.volume_id, looks=3, over_s=60)
