"""A machine profile that names an image that the cloud does not have."""

from dataclasses import replace

from educloud_lab.adapters.memory.world import PROFILE
from educloud_lab.wire import models as wire

ANN = "ann"
START = wire.LeaseRequest(lab="01-first", machine_profile="first-steps", start=True)


async def test_an_image_that_the_cloud_does_not_have_is_named_and_a_corrected_profile_starts(world):
    broker = await world.broker(profiles=[replace(PROFILE, image="nowhere")])
    await broker.ensure_lease(ANN, START)
    failed = await world.until(broker, "trouble")
    assert "'nowhere'" in failed.problem.what
    assert f"it has: {PROFILE.image}" in failed.problem.what
    assert failed.problem.kept == "Nothing was started."
    assert world.cloud.machines == {}
    world.brokers.remove(broker)
    await broker.close()
    corrected = await world.broker()
    await corrected.ensure_lease(ANN, START)
    await world.until(corrected, "ready")
    assert len(world.cloud.machines) == 1
