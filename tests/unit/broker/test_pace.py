"""The cloud is asked no faster than the buckets allow, by all brokers of a store together."""

import asyncio
import inspect
import random
from collections import Counter, defaultdict
from types import SimpleNamespace

import pytest

from educloud_lab.adapters.memory.clock import FakeClock
from educloud_lab.adapters.memory.store import MemoryStore
from educloud_lab.adapters.memory.world import MemoryWorld
from educloud_lab.broker.config import LOCAL_RATES, REMOTE_RATES, BrokerConfig
from educloud_lab.broker.pace import ASKS_NOTHING, OPERATIONS, TELL, Pace, paced
from educloud_lab.domain.errors import CapacityError, CloudBusyError, CloudUnreachableError
from educloud_lab.ports.cloud import Cloud
from educloud_lab.ports.store import Rate
from educloud_lab.wire import models as wire

RATES = {"all": Rate(8.0, 16.0), "other": Rate(1.0, 2.0), "RunInstances": Rate(2.0, 5.0)}


class Asked:
    """Stands for a cloud: remembers when it was asked what."""

    def __init__(self, clock):
        self.clock = clock
        self.at = defaultdict(list)
        self.refuse = 0

    def __getattr__(self, name):
        async def call():
            for operation in OPERATIONS.get(name, (name,)):
                self.at[operation].append(self.clock.monotonic_s())
            if self.refuse > 0:
                self.refuse -= 1
                raise CloudBusyError("Slow down.")

        return call


def never_over(times, rate):
    """Check every window between two calls: never more than the burst and what came since."""
    for first, began in enumerate(times):
        for last in range(first, len(times)):
            assert last - first + 1 <= rate.burst + rate.per_s * (times[last] - began) + 1e-6


@pytest.fixture
def shared():
    clock = FakeClock()
    return SimpleNamespace(clock=clock, store=MemoryStore(clock), asked=Asked(clock))


def broker_of(shared, rates=None):
    return paced(shared.asked, Pace(shared.store, shared.clock, BrokerConfig(rates=rates or RATES)))


async def run_all(clock, calls, limit_s=600.0):
    tasks = [asyncio.ensure_future(call) for call in calls]
    took = await clock.drive(lambda: all(task.done() for task in tasks), limit_s=limit_s)
    await asyncio.gather(*tasks)
    return took


async def test_a_burst_and_then_the_rate(shared):
    cloud = broker_of(shared)
    took = await run_all(shared.clock, [cloud.run_instance() for _ in range(45)])
    assert took == pytest.approx(20.0, abs=0.1)  # 5 at once and 40 at 2 a second
    never_over(shared.asked.at["RunInstances"], RATES["RunInstances"])


async def test_two_brokers_on_one_store_share_the_rate(shared):
    one, two = broker_of(shared), broker_of(shared)
    names = ("run_instance", "observe", "stop_instance", "create_volume")
    calls = [getattr(cloud, name)() for _ in range(20) for name in names for cloud in (one, two)]
    await run_all(shared.clock, calls)
    for operation, times in shared.asked.at.items():
        assert len(times) == 40
        never_over(times, RATES.get(operation, RATES["other"]))
    never_over(sorted(at for times in shared.asked.at.values() for at in times), RATES["all"])


async def test_a_question_is_shared_by_those_who_wait_for_their_turn_with_it(shared):
    cloud = broker_of(shared)
    await run_all(shared.clock, [cloud.images() for _ in range(50)])
    assert len(shared.asked.at["DescribeImages"]) <= 3
    await shared.clock.advance(10.0)
    await cloud.images()  # whoever asks later is answered anew
    assert shared.asked.at["DescribeImages"][-1] == shared.clock.monotonic_s()


async def test_one_operation_that_waits_does_not_hold_up_the_others(shared):
    cloud = broker_of(shared)
    waiting = [asyncio.ensure_future(cloud.run_instance()) for _ in range(20)]
    await shared.clock.turns()
    assert await run_all(shared.clock, [cloud.stop_instance()]) <= 0.2
    assert not all(task.done() for task in waiting)
    await run_all(shared.clock, waiting)


async def test_the_cloud_asks_to_slow_down_and_the_rate_comes_back_slowly(shared):
    paces = Pace(shared.store, shared.clock, BrokerConfig(rates=RATES))
    cloud = paced(shared.asked, paces)
    shared.asked.refuse = 1
    with pytest.raises(CloudBusyError):
        await cloud.run_instance()
    assert paces.rate("RunInstances").per_s == 1.0
    assert paces.rate("StopInstances") == RATES["other"]  # each operation for itself
    paces.slow_down("RunInstances")  # a call that was under way at the same time counts once
    assert paces.rate("RunInstances").per_s == 1.0
    for _ in range(20):
        await shared.clock.advance(2.5)
        paces.slow_down("RunInstances")
    assert paces.rate("RunInstances").per_s == RATES["RunInstances"].per_s / 8
    assert paces.rate("RunInstances").burst >= 1.0
    slow = paces.rate("RunInstances").per_s
    await shared.clock.advance(10.0)
    assert slow < paces.rate("RunInstances").per_s < RATES["RunInstances"].per_s
    await shared.clock.advance(300.0)
    assert paces.rate("RunInstances") == RATES["RunInstances"]


async def test_days_after_it_was_asked_to_slow_down_nothing_is_slower(shared):
    cloud = broker_of(shared)
    shared.asked.refuse = 1
    with pytest.raises(CloudBusyError):
        await cloud.run_instance()
    shared.clock.jump(400 * 86400.0)
    await cloud.run_instance()
    assert len(shared.asked.at["RunInstances"]) == 2


async def test_other_errors_do_not_slow_down(shared):
    paces = Pace(shared.store, shared.clock, BrokerConfig(rates=RATES))

    async def fail():
        raise CapacityError("No room.")

    cloud = paced(SimpleNamespace(run_instance=fail), paces)
    with pytest.raises(CapacityError):
        await cloud.run_instance()
    assert paces.rate("RunInstances") == RATES["RunInstances"]


async def test_a_call_that_waits_long_says_so_and_a_quick_one_says_nothing(shared):
    said = []

    async def tell(text):
        said.append(text)

    TELL.set(tell)
    cloud = broker_of(shared)
    await run_all(shared.clock, [cloud.run_instance() for _ in range(5 + 3)])
    assert said == []
    await shared.clock.advance(60.0)
    await run_all(shared.clock, [cloud.run_instance() for _ in range(5 + 8)])
    assert said[0].startswith("The cloud is asked no faster than 2 times a second; ")
    assert said[0].endswith(" calls wait")


async def test_a_call_that_is_given_up_leaves_its_place_to_the_next(shared):
    cloud = broker_of(shared)
    tasks = [asyncio.ensure_future(cloud.run_instance()) for _ in range(30)]
    await shared.clock.advance(1.0)
    for task in tasks[7:29]:
        task.cancel()
    await shared.clock.drive(tasks[29].done, limit_s=1.1)
    assert len(shared.asked.at["RunInstances"]) == 8


def test_every_method_of_the_port_is_in_the_table():
    methods = {name for name, method in vars(Cloud).items() if inspect.iscoroutinefunction(method)}
    assert set(OPERATIONS) == methods
    plain = {name for name in vars(Cloud) if not name.startswith("_")} - methods
    assert plain <= ASKS_NOTHING


@pytest.mark.parametrize("rates", [LOCAL_RATES, REMOTE_RATES], ids=["local", "remote"])
def test_the_rates_name_only_operations_that_are_asked(rates):
    known = {operation for operations in OPERATIONS.values() for operation in operations}
    assert set(rates) <= known | {"all", "other"}
    assert all(rate.burst >= 1 and rate.per_s > 0 for rate in rates.values())


async def test_the_card_says_that_calls_wait_their_turn(world):
    slow = BrokerConfig(workers=8, rates={"all": Rate(100, 100), "other": Rate(100, 100), "RunInstances": Rate(0.1, 1)})
    broker = await world.broker(config=slow)
    for person in ("ann", "ben"):
        await broker.ensure_lease(person, wire.LeaseRequest(lab="01-first", machine_profile="first-steps", start=True))
    await world.clock.advance(4.0)
    waiting = []
    for person in ("ann", "ben"):
        lease = (await broker.snapshot(person)).leases[0]
        waiting += [step.waiting_for for step in lease.job.steps if step.name == "instance"]
    assert "The cloud is asked no faster than once in 10 seconds; 1 call waits" in waiting
    for person in ("ann", "ben"):
        await world.until(broker, "ready", person=person)


async def at_errors(share, machines=40):
    """Return how many requests were sent until so many machines had started and stopped, and what went wrong."""
    chance = random.Random(11)
    world = MemoryWorld()
    sent, done, plain = Counter(), Counter(), world.cloud._begin

    def begin(operation):
        sent[operation] += 1
        if chance.random() < share:
            raise chance.choice((CloudBusyError, CloudUnreachableError))("Not now.")
        done[operation] += 1
        return plain(operation)

    world.cloud.__class__ = type("Failing", (type(world.cloud),), {"__slots__": (), "_begin": staticmethod(begin)})
    broker = await world.broker(config=BrokerConfig(workers=16, cloud_kind="remote"))
    people = [f"p{number:02}" for number in range(machines)]
    for person in people:
        await broker.ensure_lease(person, wire.LeaseRequest(lab="01-first", machine_profile="first-steps", start=True))
    await world.clock.drive(lambda: all(world.phase(person) == "ready" for person in people), limit_s=3600.0)
    for person in people:
        await broker.stop(person, world.lease(person).id)
    await world.clock.drive(lambda: all(world.phase(person) == "asleep" for person in people), limit_s=3600.0)
    await world.close()
    assert world.cloud.violations == []
    assert len(world.cloud.machines) == len(world.cloud.disks) == machines
    return sent, done, world.clock.monotonic_s()


CHANGES = ("run_instance", "create_volume", "attach_volume", "detach_volume", "stop_instance")


async def test_errors_in_three_of_ten_answers_do_not_multiply_the_requests():
    machines, share = 40, 0.3
    calm, _, calm_s = await at_errors(0.0, machines)
    sent, done, took_s = await at_errors(share, machines)
    assert {name: calm[name] for name in CHANGES} == dict.fromkeys(CHANGES, machines)
    for name in CHANGES:
        # Each of them has to be sent 1 / (1 - share) times on average until it was answered well once.
        assert sent[name] <= 1.3 * machines / (1.0 - share), (name, sent[name], done[name])
    # A cloud that is in trouble is not asked more often than one that is well: what fails waits longer.
    assert sum(sent.values()) / took_s <= 1.3 * sum(calm.values()) / calm_s
