"""Room in the cloud: first come, first served, and only the head of the queue asks (SAFETY.md section 4, row 5)."""

import re
from itertools import pairwise

import pytest

from educloud_lab.adapters.memory.cloud import MemoryCloud
from educloud_lab.broker import queue
from educloud_lab.broker.config import BrokerConfig
from educloud_lab.domain import naming
from educloud_lab.domain.errors import CapacityError, CloudUnreachableError
from educloud_lab.ports.cloud import InstanceState
from educloud_lab.ports.store import Rate
from educloud_lab.wire import models as wire

START = wire.LeaseRequest(lab="01-first", machine_profile="first-steps", start=True)
FAST = {"all": Rate(1000.0, 1000.0), "other": Rate(1000.0, 1000.0)}


class FullCloud(MemoryCloud):
    """A cloud with room for so many running machines."""

    def __init__(self, clock, room):
        super().__init__(clock)
        self.room = room
        self.asked = []  # when, for whom
        self.order = []  # who got one

    async def run_instance(self, spec, *, client_token):
        known = any(row.seen.client_token == client_token for row in self._instances.values())
        if not known:
            self._ask(spec.tags[naming.TAG_OWNER])
        return await super().run_instance(spec, client_token=client_token)

    async def start_instance(self, instance_id):
        if self._row(instance_id).seen.state is InstanceState.STOPPED:
            self._ask(self._row(instance_id).seen.tags[naming.TAG_OWNER])
        await super().start_instance(instance_id)

    def _ask(self, who):
        self._advance()
        up = (InstanceState.PENDING, InstanceState.RUNNING, InstanceState.STOPPING, InstanceState.SHUTTING_DOWN)
        self.asked.append((self.clock.monotonic_s(), who))
        if sum(row.seen.state in up for row in self._instances.values()) >= self.room:
            raise CapacityError("The cloud has no room for another machine now.", next_step="It is tried again.")
        self.order.append(who)


def full(world, room):
    """Give the world's cloud an end."""
    world.cloud = world.shell.cloud = FullCloud(world.clock, room)


@pytest.fixture
def config():
    return BrokerConfig(workers=8, rates=FAST)


async def start(world, broker, people):
    for person in people:
        world.clock.jump(0.001)  # nobody presses in the same instant as another
        await broker.ensure_lease(person, START)


async def place(broker, person):
    lease = (await broker.snapshot(person)).leases[0]
    return lease, lease.job.queue


async def waiting(world, number):
    """Drive until so many wait and nobody else is on the way."""

    def settled():
        rows = [job for job in world.store.peek().jobs.values() if job.ended_at is None]
        return len(rows) == number and all(job.queued_at for job in rows) and not any(map(is_claimed, rows))

    def is_claimed(job):
        return job.claimed_until is not None and job.claimed_until > world.clock.now()

    await world.clock.drive(settled, limit_s=300.0)


def names(number):
    return [f"p{i:03}" for i in range(number)]


async def test_fifty_of_two_hundred_run_and_the_others_keep_their_order(world, config):
    full(world, 50)
    one = await world.broker(config=config)
    two = await world.broker(config=config)
    people = names(200)
    await start(world, one, people)
    await waiting(world, 150)
    assert len(world.cloud.order) == 50
    queued = [person for person in people if person not in world.cloud.order]
    refused_at_once = len(world.cloud.asked) - 50
    assert refused_at_once <= 2 * config.workers  # those that were under way when the first of them was refused
    for number, person in enumerate(queued, 1):
        lease, where = await place(two, person)
        assert (where.position, where.waiting) == (number, 150)
        assert lease.phase == "starting"
        assert lease.headline.startswith("Waiting for room in the cloud: ")
    assert (await place(one, queued[2]))[0].headline == "Waiting for room in the cloud: 3rd of 150"
    # Ten minutes of it: only the head asks, twice a minute at most.
    asked = len(world.cloud.asked)
    await world.clock.advance(600.0)
    probes = world.cloud.asked[asked:]
    assert {who for _, who in probes} == {queued[0]}
    assert 600 / (config.room_s + config.room_jitter_s) - 2 <= len(probes) <= 600 / config.room_s + 1
    times = [at for at, _ in probes]
    assert all(later - earlier >= config.room_s - 0.01 for earlier, later in pairwise(times))
    # Three machines end: three go on, in their order, long before the next probe would be due.
    ended = world.cloud.order[:3]
    for person in ended:
        await one.stop(person, world.lease(person).id)
    took = await world.clock.drive(lambda: len(world.cloud.order) == 53, limit_s=60.0)
    assert world.cloud.order[50:] == queued[:3]
    assert took < config.room_s
    await waiting(world, 147)
    assert (await place(one, queued[3]))[1].position == 1
    # Room for all comes without a word from the cloud: the head finds it, and nobody starves.
    world.cloud.room = 500
    await world.clock.drive(lambda: len(world.cloud.order) == 200, limit_s=300.0)
    assert world.cloud.order[50:] == queued
    await world.clock.drive(
        lambda: all(world.phase(person) == "ready" for person in people if person not in ended), limit_s=300.0
    )
    assert len(world.cloud.machines) == 200


async def test_a_start_that_comes_later_does_not_pass_those_who_wait(world, config):
    full(world, 0)
    broker = await world.broker(config=config)
    await start(world, broker, ["ann"])
    await waiting(world, 1)
    asked = len(world.cloud.asked)
    await start(world, broker, ["ben"])
    await waiting(world, 2)
    assert len(world.cloud.asked) == asked  # nobody asked for ben
    assert (await place(broker, "ben"))[1].position == 2
    world.cloud.room = 1
    await world.clock.drive(lambda: world.phase("ann") == "ready", limit_s=120.0)
    assert world.cloud.order == ["ann"]
    assert (await place(broker, "ben"))[1].position == 1


async def test_pressing_start_again_does_not_ask_the_cloud_more_often(world, config):
    full(world, 0)
    broker = await world.broker(config=config)
    await start(world, broker, ["ann", "ben"])
    await waiting(world, 2)
    before = len(world.cloud.asked)
    for _ in range(20):
        for person in ("ann", "ben"):
            await broker.start(person, world.lease(person).id)
        await world.clock.advance(1.0)
    assert len(world.cloud.asked) - before <= 1


@pytest.mark.parametrize("wish", ["stop", "delete"])
async def test_who_wants_something_else_leaves_the_queue_at_once(world, config, wish):
    full(world, 0)
    broker = await world.broker(config=config)
    await start(world, broker, ["ann", "ben", "cat"])
    await waiting(world, 3)
    lease_id = world.lease("ann").id
    await (broker.stop("ann", lease_id) if wish == "stop" else broker.delete("ann", lease_id, confirm="01-first"))
    assert (await place(broker, "ben"))[1].position == 1
    assert (await place(broker, "cat"))[1].position == 2
    await world.clock.drive(lambda: world.phase("ann") == "off", limit_s=20.0)
    world.cloud.room = 5
    await world.clock.drive(lambda: world.phase("cat") == "ready", limit_s=90.0)
    assert world.cloud.order == ["ben", "cat"]


async def test_each_kind_of_machine_has_its_own_queue(world, config):
    full(world, 0)
    broker = await world.broker(config=config)
    await start(world, broker, ["ann"])
    await waiting(world, 1)
    job = next(iter(world.store.peek().jobs.values()))
    assert job.queue == "one:t2.micro"
    assert job.queued_at == job.created_at
    assert (await place(broker, "ann"))[1].what == "another t2.micro machine in zone one"


async def test_a_machine_that_sleeps_waits_for_room_as_well(world, config):
    full(world, 2)
    broker = await world.broker(config=config)
    await start(world, broker, ["ann", "ben"])
    await world.clock.drive(lambda: world.phase("ann") == world.phase("ben") == "ready", limit_s=60.0)
    await broker.stop("ann", world.lease("ann").id)
    await world.until(broker, "asleep")
    await start(world, broker, ["cat"])
    await world.clock.drive(lambda: world.phase("cat") == "ready", limit_s=60.0)
    await broker.start("ann", world.lease("ann").id)
    await waiting(world, 1)
    assert (await place(broker, "ann"))[1].position == 1
    await broker.stop("ben", world.lease("ben").id)
    assert await world.clock.drive(lambda: world.phase("ann") == "ready", limit_s=29.0)
    assert len(world.cloud.machines) == 3


async def test_another_broker_takes_the_queue_over(world, config):
    full(world, 0)
    one = await world.broker(config=config)
    await start(world, one, ["ann", "ben"])
    await waiting(world, 2)
    await one.close()
    world.brokers.clear()
    two = await world.broker(config=config)
    world.cloud.room = 2
    await world.clock.drive(lambda: world.phase("ann") == world.phase("ben") == "ready", limit_s=90.0)
    assert world.cloud.order == ["ann", "ben"]
    assert (await place(two, "ann"))[1] is None


async def test_a_start_whose_answer_was_lost_looks_before_it_waits_for_long(world, config):
    full(world, 1)
    world.cloud.faults.lost_replies["run_instance"] = 1
    world.cloud.faults.lag_s = 5.0
    broker = await world.broker(config=config)
    await start(world, broker, ["ann", "ben"])
    await world.clock.drive(lambda: world.phase("ann") == "ready", limit_s=120.0)
    assert len(world.cloud.machines) == 1
    assert (await place(broker, "ben"))[1].position == 1


async def test_a_volume_without_room_is_not_a_machine_without_room(world, config):
    world.cloud.faults.errors["create_volume"] = [CapacityError("No room for the volume.")]
    broker = await world.broker(config=config)
    await start(world, broker, ["ann"])
    await world.until(broker, "ready")
    assert all(job.queue == "" for job in world.store.peek().jobs.values())


async def test_an_unknown_answer_is_no_place_in_the_queue(world, config):
    world.cloud.faults.errors["run_instance"] = [CloudUnreachableError("No answer.")]
    broker = await world.broker(config=config)
    await start(world, broker, ["ann"])
    await world.until(broker, "ready")
    assert world.cloud.calls["run_instance"] == 2


def test_places_are_counted_as_people_count():
    said = [queue.headline(wire.QueuePlace(position=n, waiting=200, since="2026-03-02T09:00:00Z", what="x")) for n in
            (1, 2, 3, 4, 11, 12, 13, 21, 22, 103, 111, 112)]  # fmt: skip
    assert [re.search(r"\d+([a-z]+) of 200", text).group(1) for text in said] == (
        ["st", "nd", "rd", "th", "th", "th", "th", "st", "nd", "rd", "th", "th"]
    )
