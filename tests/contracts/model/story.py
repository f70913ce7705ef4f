"""What may happen, one step at a time: people, machines, faults of the cloud, brokers that die, time.

A step is a name and two numbers; what the numbers mean is decided when the step is taken (the person, the fault, how
long), and a step that makes no sense just then does nothing. So any list of steps can be replayed, and any part of it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from educloud_lab.adapters.memory import shell as memory_shell
from educloud_lab.broker.broker import Broker
from educloud_lab.domain import errors, naming
from educloud_lab.domain.lease import Status, Target
from educloud_lab.ports.cloud import InstanceState
from educloud_lab.ports.records import LeaseRecord
from educloud_lab.wire import models as wire
from tests.contracts.model import invariants
from tests.contracts.model.cloud import OTHERS
from tests.contracts.model.world import LAB, PEOPLE, Died, Process, Violation, World

Step = tuple[str, int, int]
StepCode = Callable[["Story", int, int], Awaitable[None]]
STEPS: dict[str, StepCode] = {}
WEIGHTS: dict[str, int] = {}

_CALLS = (
    "observe", "run_instance", "create_volume", "attach_volume", "detach_volume", "stop_instance", "start_instance",
    "terminate_instance", "ensure_group", "images", "zones", "create_snapshot", "delete_snapshot", "grow_volume",
    "delete_volume", "observe_snapshots", "tag",
)  # fmt: skip
_SCRIPTS = tuple(sorted({name for name, _ in memory_shell._SCRIPTS.values()}))
_ERRORS: tuple[Callable[[], errors.CloudError], ...] = (
    lambda: errors.CloudBusyError("Slow down."),
    lambda: errors.CapacityError("No room."),
    lambda: errors.CloudUnreachableError("No answer."),
    lambda: errors.QuotaError("Too many."),
    lambda: errors.CloudStateError("Not now."),
    lambda: errors.CloudError("Something."),
    lambda: errors.CloudAuthError("Who are you?"),
    lambda: errors.CloudRefusedError("No."),
)
_SHORT_S = (0.2, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0)
_LONG_S = (30.0, 60.0, 95.0, 130.0)
_JUMPS_S = (60.0, 900.0, 2000.0, 3600.0, 4 * 3600.0 + 30, 26 * 3600.0, 8 * 86400.0)


def step(weight: int) -> Callable[[StepCode], StepCode]:
    """Register a step, which is taken in proportion to its weight."""

    def register(code: StepCode) -> StepCode:
        name = code.__name__
        STEPS[name], WEIGHTS[name] = code, weight
        return code

    return register


class Story:
    """One run of the model.

    Parameters
    ----------
    seed : decides identifiers and jitter (the steps come from outside).
    root_device_type : ``ebs`` or ``instance-store``.
    """

    def __init__(self, seed: int, root_device_type: str = "ebs") -> None:
        self.seed = seed
        self.loop = asyncio.new_event_loop()
        self.world = World(seed, root_device_type)
        self.loop.set_task_factory(self.world.factory)
        self.loop.set_exception_handler(lambda *_: None)  # a dead process's tasks end in Died, as they should
        self.taken: list[Step] = []
        self.wishes: dict[str, Target] = {}
        self.kept: dict[str, dict[str, str]] = {}  # by volume of the cloud: what was saved on it
        self.written = 0
        self.rebooted: set[str] = set()
        self.calls = 0
        self.failed = False
        self._names = self.world.same_every_time()
        self._names.__enter__()
        self.run(self._begin())

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run something of the model to its end."""
        return self.loop.run_until_complete(work)

    async def _begin(self) -> None:
        await self.world.start_process()
        await self.world.start_process()

    def take(self, one: Step) -> None:
        """Take one step, and look whether anything happened that must never happen."""
        self.taken.append(one)
        self.run(self._take(one))

    async def _take(self, one: Step) -> None:
        name, a, b = one
        await STEPS[name](self, a, b)
        await self.world.clock.turns()
        while await self.world.bury():
            await self.world.clock.turns()
        if not self.world.processes:
            await self.world.start_process()
        found = await invariants.now(self, people=len(self.taken) % 8 == 0)
        if found:
            raise Violation("; ".join(found))

    def finish(self) -> None:
        """Take all faults away, let time pass: everything must come to what was wished last."""
        self.run(invariants.converge(self))

    def close(self) -> None:
        """End it, whatever state it is in."""
        try:
            self.run(self.world.close())
            self.loop.close()
        finally:
            self._names.__exit__(None, None, None)

    # What steps use.

    def leases(self) -> list[LeaseRecord]:
        """Return all leases."""
        return list(self.world.store.peek().leases.values())

    def lease(self, number: int) -> LeaseRecord | None:
        """Return the lease of one of the people."""
        person = PEOPLE[number % len(PEOPLE)]
        return next((row for row in self.leases() if row.person == person), None)

    def process(self, number: int) -> Process | None:
        """Return one of the processes that answer."""
        usable = self.world.usable()
        return usable[number % len(usable)] if usable else None

    async def ask(self, number: int, work: Callable[[Broker], Coroutine[Any, Any, Any]]) -> Any:
        """Ask a broker; a refusal is an answer (None), and so is the death of who was asked."""
        process = self.process(number)
        if process is None or process.broker is None:
            return None
        self.calls += 1
        try:
            return await self.world.inside(process, work(process.broker))
        except (errors.EducloudError, Died) as error:
            if isinstance(error, errors.NotFoundError):
                raise Violation(f"a person's own machine was not found: {error}") from error
            return None

    async def ask_any(self, number: int, work: Callable[[Broker], Coroutine[Any, Any, Any]]) -> Any:
        """Ask for something of the person's that may be gone already, so that it is not found."""
        try:
            return await self.ask(number, work)
        except Violation as refused:
            if not isinstance(refused.__cause__, errors.NotFoundError):
                raise
            return None

    async def wish(self, person: int, target: Target, asked: int, work: Callable[[Broker, str, str], Any]) -> None:
        """Ask for a target, and remember it when the store took it."""
        lease = self.lease(person)
        if lease is None:
            return
        await self.ask(asked, lambda broker: work(broker, lease.person, lease.id))
        now = self.lease(person)
        if now is not None and now.target is target:
            self.wishes[lease.id] = target

    def up(self, number: int) -> Any:
        """Return one of the machines that run, or None."""
        cloud = self.world.cloud
        rows = [m for k, m in cloud.machines.items() if m.up and k not in cloud.foreign]
        return rows[number % len(rows)] if rows else None


# People.


@step(14)
async def start(story: Story, a: int, b: int) -> None:
    """Press Start."""
    lease = story.lease(a)
    if lease is not None:
        await story.wish(a, Target.RUNNING, b, lambda broker, who, what: broker.start(who, what))
        return
    request = wire.LeaseRequest(lab=LAB, machine_profile="first-steps", start=True)
    await story.ask(b, lambda broker: broker.ensure_lease(PEOPLE[a % len(PEOPLE)], request))
    lease = story.lease(a)
    if lease is not None:
        story.wishes[lease.id] = Target.RUNNING


@step(9)
async def stop(story: Story, a: int, b: int) -> None:
    """Press Stop."""
    await story.wish(a, Target.STOPPED, b, lambda broker, who, what: broker.stop(who, what))


@step(3)
async def delete(story: Story, a: int, b: int) -> None:
    """Delete the machine."""
    await story.wish(a, Target.DELETED, b, lambda broker, who, what: broker.delete(who, what, confirm=LAB))


@step(3)
async def keep(story: Story, a: int, b: int) -> None:
    """Press Keep."""
    lease = story.lease(a)
    if lease is not None:
        await story.ask(b, lambda broker: broker.extend(lease.person, lease.id))


@step(2)
async def connect(story: Story, a: int, b: int) -> None:
    """Open a terminal: a grant must be for the own machine and its proved key."""
    lease = story.lease(a)
    if lease is None:
        return
    grant = await story.ask(b, lambda broker: broker.grant(lease.person, lease.id))
    now = story.lease(a)
    if grant is None or now is None:
        return
    if grant.principal != naming.lease_principal(lease.id, now.generation) or grant.user != "student":
        raise Violation(f"a grant for {grant.principal} was given to {lease.person} (I6)")
    if set(grant.host_keys) != {now.host_key}:
        raise Violation("a person's grant expects another key than the machine's own (I8)")
    with contextlib.suppress(errors.ShellError):
        connection = await story.world.shell.connect(grant)
        if connection._machine.principals.get("student") != grant.principal:
            raise Violation("a grant opened another person's machine (I6)")
        await connection.close()


@step(3)
async def pry(story: Story, a: int, b: int) -> None:
    """Try everything on somebody else's machine: it must look as if there were none."""
    lease = story.lease(a)
    process = story.process(b)
    if lease is None or process is None or process.broker is None:
        return
    who, what, broker = PEOPLE[(a + 1) % len(PEOPLE)], lease.id, process.broker
    attempts: tuple[Callable[[], Coroutine[Any, Any, Any]], ...] = (
        lambda: broker.start(who, what),
        lambda: broker.stop(who, what),
        lambda: broker.delete(who, what, confirm=LAB),
        lambda: broker.extend(who, what),
        lambda: broker.grant(who, what),
        lambda: broker.console(who, what),
        lambda: broker.limits.keep(who, what),
        lambda: broker.limits.busy(who, what, None),
        lambda: broker.limits.activity(who, what, "terminal"),
        lambda: broker.volumes.snapshot(who, what, wire.SnapshotRequest(name="mine")),
        lambda: broker.volumes.grow(who, what, 2),
        lambda: broker.volumes.discard(who, what, confirm=LAB),
        lambda: broker.volumes.restore(who, what, "none"),
        lambda: broker.volumes.return_from_bin(who, what, "none"),
        lambda: broker.volumes.delete_snapshot(who, what, "none"),
    )
    attempt = attempts[b % len(attempts)]
    try:
        await story.world.inside(process, attempt())
    except (errors.NotFoundError, Died):
        return
    raise Violation(f"attempt {b % len(attempts)} of {who} on {lease.person}'s machine was not refused as absent (I6)")


# Machines.


@step(7)
async def write(story: Story, a: int, b: int) -> None:
    """Write a file on a machine, half of them with sync."""
    machine, cloud = story.up(a), story.world.cloud
    if machine is None or machine.hung or not machine.mounts:
        return
    story.written += 1
    volume_id = next(iter(machine.mounts.values()))
    name, text = f"f{story.written % 7}", f"{story.written}"
    if b % 2:
        cloud.unsynced.setdefault(volume_id, {})[name] = text
    else:
        cloud.unsynced.get(volume_id, {}).pop(name, None)
        cloud.disks[volume_id].files[name] = text


@step(2)
async def machine_dies(story: Story, a: int, b: int) -> None:
    """Cut a machine's power."""
    machine = story.up(a)
    if machine is not None:
        story.world.cloud.by_hand_kill(machine.instance_id)


@step(2)
async def machine_reboots(story: Story, a: int, b: int) -> None:
    """Reboot from inside."""
    machine = story.up(a)
    if machine is not None and not machine.hung:
        story.world.cloud.by_hand_reboot(machine.instance_id)
        story.rebooted.add(machine.instance_id)


@step(2)
async def machine_hangs(story: Story, a: int, b: int) -> None:
    """Let a machine not answer, or answer again; or let it refuse logins."""
    machine = story.up(a)
    if machine is not None:
        if b % 3 == 0:
            machine.refuses_login = not machine.refuses_login
        else:
            machine.hung = not machine.hung


@step(5)
async def machine_is_used(story: Story, a: int, b: int) -> None:
    """Let a program keep the volume busy, or end it."""
    machine = story.up(a)
    if machine is None:
        return
    if machine.holders:
        machine.holders.clear()
    else:
        machine.holders.append("vim notes.txt")


@step(1)
async def machine_is_another(story: Story, a: int, b: int) -> None:
    """Put something else at the machine's address, which shows another host key; or take it away again."""
    machine = story.up(a)
    if machine is None:
        return
    mine = machine.own_key if machine.configured_own else machine.bootstrap_key
    machine.served_key = mine if machine.served_key != mine else "ssh-ed25519 EVIL"


@step(1)
async def deleted_by_hand(story: Story, a: int, b: int) -> None:
    """Somebody deletes an instance in the cloud's own console."""
    ours = story.world.cloud.ours()
    if ours:
        story.world.cloud.by_hand_terminate(ours[a % len(ours)].instance_id)


@step(1)
async def started_by_hand(story: Story, a: int, b: int) -> None:
    """Somebody starts an instance that is not ours: without tags, or another deployment's."""
    tags: dict[str, str] = {}
    if a % 2:
        tags = {naming.TAG_DEPLOYMENT: OTHERS, naming.TAG_COURSE: "local", naming.TAG_OWNER: "ann"}
        lease = story.lease(b)
        if b % 2 and lease is not None:
            tags |= {naming.TAG_LEASE: f"x{lease.id}", naming.TAG_GENERATION: "1"}
    story.world.cloud.by_hand_run(tags)


# The cloud's faults.


@step(6)
async def lost_reply(story: Story, a: int, b: int) -> None:
    """A call has its effect, and its answer is lost (or cut short)."""
    story.world.cloud.faults.lost_replies[_CALLS[a % len(_CALLS)]] += 1 + b % 2


@step(6)
async def refusal(story: Story, a: int, b: int) -> None:
    """The next calls of an operation are refused."""
    found = story.world.cloud.faults.errors.setdefault(_CALLS[a % len(_CALLS)], [])
    found.extend(_ERRORS[b % len(_ERRORS)]() for _ in range(1 + (a + b) % 3))


@step(5)
async def cloud_misbehaves(story: Story, a: int, b: int) -> None:
    """Set one of the cloud's lasting faults, or take it away."""
    faults, kind = story.world.cloud.faults, a % 11
    if kind == 0:
        faults.out_of_sight = not faults.out_of_sight
    elif kind == 1:
        faults.lag_s = (0.0, 2.0, 20.0, 60.0)[b % 4]
    elif kind == 2:
        faults.pending_for_ever = not faults.pending_for_ever
    elif kind == 3:
        faults.no_address = not faults.no_address
    elif kind == 4:
        faults.silent_attaches = b % 3
    elif kind == 5:
        faults.silent_detaches = b % 3
    elif kind == 6:
        faults.failed_volumes = b % 2
    elif kind == 7:
        faults.dead_on_arrival = b % 2
    elif kind == 8:
        faults.failed_snapshots = b % 2
    elif kind == 9:
        faults.snapshots_pending = not faults.snapshots_pending
    else:
        faults.cannot_grow = not faults.cannot_grow


@step(3)
async def connection_breaks(story: Story, a: int, b: int) -> None:
    """A connection breaks before or after what a script does."""
    shell = story.world.shell
    where = shell.break_before if b % 2 else shell.break_after
    where[_SCRIPTS[a % len(_SCRIPTS)]] = 1


@step(2)
async def front_end_fails(story: Story, a: int, b: int) -> None:
    """The gateway does not take its lines."""
    story.world.frontend.errors.append(errors.MachineUnreachableError("The gateway does not answer."))


@step(6)
async def cloud_recovers(story: Story, a: int, b: int) -> None:
    """Take all faults of the cloud away."""
    invariants.mend_cloud(story.world)


# Brokers.


@step(2)
async def broker_killed(story: Story, a: int, b: int) -> None:
    """Kill a broker where it stands, and start another one, at once or later."""
    processes = story.world.processes
    if processes:
        processes[a % len(processes)].dead = True
        await story.world.bury()
    if b % 2 or not story.world.processes:
        await story.world.start_process()


@step(5)
async def broker_killed_at(story: Story, a: int, b: int) -> None:
    """Let a broker die between an effect and its record."""
    processes = story.world.processes
    if processes:
        processes[a % len(processes)].dies_in = b % 40


@step(3)
async def broker_started(story: Story, a: int, b: int) -> None:
    """Start a broker where one is missing."""
    if len(story.world.processes) < 2:
        await story.world.start_process()


@step(2)
async def broker_paused(story: Story, a: int, b: int) -> None:
    """Stop a broker as SIGSTOP does: now, or between an effect and its record."""
    processes = story.world.processes
    if not processes:
        return
    process = processes[a % len(processes)]
    if b % 4 == 0:
        process.going.clear()
    else:
        process.pauses_in = b % 30


@step(4)
async def broker_resumed(story: Story, a: int, b: int) -> None:
    """Let stopped brokers go on."""
    for process in story.world.processes:
        process.pauses_in = None
        process.going.set()


# Time.


@step(26)
async def a_moment(story: Story, a: int, b: int) -> None:
    """Let some seconds pass."""
    await story.world.clock.advance(_SHORT_S[a % len(_SHORT_S)])


@step(5)
async def a_while(story: Story, a: int, b: int) -> None:
    """Let a minute or two pass."""
    await story.world.clock.advance(_LONG_S[a % len(_LONG_S)])


@step(2)
async def a_long_time(story: Story, a: int, b: int) -> None:
    """Let minutes to days pass at once, as for a laptop that sleeps; the cloud goes on."""
    story.world.clock.jump(_JUMPS_S[a % len(_JUMPS_S)])
    await story.world.clock.advance(3.0)


@step(1)
async def store_clock_jumps(story: Story, a: int, b: int) -> None:
    """Let the database's clock jump by an hour."""
    await story.world.store.set_clock_offset_for_tests((0.0, 3600.0, -3600.0)[a % 3])


def running(lease: LeaseRecord) -> bool:
    """Say whether a lease is at rest and runs."""
    return lease.status is Status.RUNNING and lease.target is Target.RUNNING


LIVE = (InstanceState.PENDING, InstanceState.RUNNING, InstanceState.STOPPING, InstanceState.STOPPED)
