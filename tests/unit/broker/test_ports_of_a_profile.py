"""Ports of a machine profile: the group, the front end's lines, and when a change of them acts."""

import re
from dataclasses import replace

import pytest

from educloud_lab.adapters.memory.world import PROFILE
from educloud_lab.domain import naming
from educloud_lab.domain.errors import ProfileRetiredError
from educloud_lab.wire import models as wire

ANN = "ann"
LAB = wire.LeaseRequest(lab="01-first", machine_profile="first-steps")
START = LAB.model_copy(update={"start": True})
WEB = replace(PROFILE, revision=PROFILE.revision + 1, ports=(80, 8080))


def opened(world):
    """Return the destinations that each principal of the lease may reach, without the address."""
    (lines,) = world.frontend.lines.values()
    assert len({line.split("principals=")[1].split('"')[1] for line in lines}) == len(lines)
    return [tuple(re.findall(r':(\d+)"', line.partition("cert-authority")[0])) for line in lines]


def group(world):
    (machine,) = world.cloud.machines.values()
    return machine.groups


async def running(world, profile):
    broker = await world.broker(profiles=[profile])
    lease = await broker.ensure_lease(ANN, START)
    await world.until(broker, "ready")
    return broker, lease.id


async def asleep(world, broker, lease_id):
    await broker.stop(ANN, lease_id)
    await world.until(broker, "asleep")


async def test_a_profile_without_ports_opens_ssh_alone(world):
    await running(world, PROFILE)
    assert opened(world) == [("22",), ("22",)]
    assert list(world.cloud.groups.values()) == [()]


async def test_ports_are_opened_in_the_profiles_own_group_and_in_the_lines(world):
    await running(world, WEB)
    deployment = world.store.peek().meta["deployment"]
    assert world.cloud.groups == {naming.group_name(deployment, "first-steps"): (80, 8080)}
    assert opened(world) == [("22", "80", "8080"), ("22", "80", "8080")]


async def test_two_profiles_have_two_groups(world):
    other = replace(PROFILE, name="other")
    broker = await world.broker(profiles=[WEB, other])
    await broker.ensure_lease(ANN, START)
    await world.until(broker, "ready")
    await broker.ensure_lease("bob", wire.LeaseRequest(lab="02", machine_profile="other", start=True))
    await world.until(broker, "ready", person="bob")
    assert sorted(world.cloud.groups.values()) == [(), (80, 8080)]
    assert {seen.groups for seen in (await world.cloud.observe()).instances.values()} == {
        (name,) for name in world.cloud.groups
    }


@pytest.mark.parametrize(("before", "after"), [(PROFILE, WEB), (WEB, replace(PROFILE, revision=9))])
async def test_changed_ports_act_with_the_next_start_of_the_same_machine(world, before, after):
    broker, lease_id = await running(world, before)
    await broker.close()
    broker = await world.broker(profiles=[after])
    await broker.start(ANN, lease_id)  # it runs: nothing changes under its person
    assert list(world.cloud.groups.values()) == [before.ports]
    assert world.lease().profile == before
    await asleep(world, broker, lease_id)
    await broker.start(ANN, lease_id)
    await world.until(broker, "ready")
    assert list(world.cloud.groups.values()) == [after.ports]
    assert opened(world)[0] == ("22", *map(str, after.ports))
    lease = world.lease()
    assert lease.generation == 1
    # Of everything else in a new revision nothing is true of a machine that was made before it.
    assert (lease.profile.revision, lease.profile.ports) == (before.revision, after.ports)


async def test_no_new_machine_is_made_from_a_retired_profile_and_old_ones_stay(world):
    broker, lease_id = await running(world, PROFILE)
    await broker.close()
    broker = await world.broker(profiles=[replace(PROFILE, retired="Use 'newer'.")])
    with pytest.raises(ProfileRetiredError, match="Use 'newer'"):
        await broker.ensure_lease("bob", START)
    assert (await broker.snapshot("bob")).leases == []
    assert (await broker.ensure_lease(ANN, START)).id == lease_id
    await asleep(world, broker, lease_id)
    await broker.start(ANN, lease_id)
    await world.until(broker, "ready")
