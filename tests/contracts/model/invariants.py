"""What must never happen (I1 to I8), looked at from the cloud's own point of view, and where everything must end."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from educloud_lab.adapters.memory.faults import Faults
from educloud_lab.domain import naming
from educloud_lab.domain.errors import EducloudError
from educloud_lab.domain.job import HostKeyStage
from educloud_lab.domain.lease import Status, Target
from educloud_lab.ports.cloud import InstanceState, VolumeState
from educloud_lab.ports.records import LeaseRecord
from tests.contracts.model.world import LAB, PEOPLE, Died, Violation, World

if TYPE_CHECKING:
    from tests.contracts.model.story import Story

ROUNDS = 12
LIMIT_S = 7200.0
SETTLED = {
    Target.RUNNING: (Status.RUNNING,),
    Target.STOPPED: (Status.STOPPED, Status.NEW),
    Target.DELETED: (Status.NEW,),
}


async def now(story: Story, *, people: bool) -> list[str]:
    """Return what is wrong at this very moment."""
    world = story.world
    found = [*world.cloud.violations, *world.broken, *_machines(story), *_volumes(story), *_keys(story)]
    if people:
        found += await _snapshots(story)
    return found


def _machines(story: Story) -> list[str]:
    found = []
    ours = story.world.cloud.ours()
    by_lease = Counter(seen.tags.get(naming.TAG_LEASE, "") for seen in ours)
    found += [f"{count} live instances of lease {lease_id} (I1)" for lease_id, count in by_lease.items() if count > 1]
    leases = story.world.store.peek().leases
    for seen in ours:
        lease = leases.get(seen.tags.get(naming.TAG_LEASE, ""))
        if lease is None:
            found.append(f"{seen.instance_id} has no lease (I2)")
        elif seen.instance_id in story.world.cloud.hand_deleted:
            continue
        elif lease.instance_id != seen.instance_id and lease.client_token != seen.client_token:
            found.append(f"{seen.instance_id} ({seen.state}) lives, and its lease has forgotten it (I2, I5)")
    return found


def _volumes(story: Story) -> list[str]:
    found = []
    cloud = story.world.cloud
    for volume_id, disk in cloud.disks.items():
        kept = story.kept.setdefault(volume_id, {})
        lost = [name for name, text in kept.items() if not _there(disk.files, name, text)]
        found += [f"{volume_id} lost {name} (I3)" for name in lost]
        kept.update(disk.files)
        born = cloud._volumes[volume_id].seen.snapshot_id
        if disk.files and not disk.formats and not born:
            found.append(f"{volume_id} holds files and was never formatted")
    mounted = Counter(v for m in cloud.machines.values() if m.up for v in m.mounts.values())
    found += [f"{volume_id} is mounted by {count} machines" for volume_id, count in mounted.items() if count > 1]
    return found


def _there(files: dict[str, str], name: str, text: str) -> bool:
    # What is written later counts higher.
    return name in files and int(files[name]) >= int(text)


def _keys(story: Story) -> list[str]:
    tables = story.world.store.peek()
    found = []
    for name in tables.secrets:
        if not name.startswith("bootstrap-"):
            continue
        lease_id, _, generation = name.removeprefix("bootstrap-").rpartition("-g")
        lease = tables.leases.get(lease_id)
        if lease is None or (str(lease.generation) == generation and lease.host_key_stage is HostKeyStage.PINNED):
            found.append(f"the secret {name} outlives first contact (I7)")
    for lease in tables.leases.values():
        running = lease.status is Status.RUNNING and lease.target is Target.RUNNING
        if running and lease.host_key_stage is not HostKeyStage.PINNED:
            found.append(f"{lease.person}'s machine is let in before its own key is proved (I8)")
    told = [row for row in tables.audits.values() if "private of" in str(row)]
    found += [f"a private key in the audit log (I7): {row}" for row in told]
    return found


async def _snapshots(story: Story) -> list[str]:
    found: list[str] = []
    process = story.process(0)
    if process is None or process.broker is None:
        return found
    for person in PEOPLE:
        try:
            seen = await story.world.inside(process, process.broker.snapshot(person))
        except (Died, EducloudError):
            return found
        text = seen.model_dump_json()
        if "private of" in text:
            found.append(f"a private key in what {person} sees (I7)")
        others = [row for row in story.leases() if row.person != person]
        found += [f"{person} sees {row.person}'s machine (I6)" for row in others if f'"{row.id}"' in text]
        if others and story.lease(PEOPLE.index(person)) is None and seen.leases:
            found.append(f"{person} has no machine and sees one (I6)")
    return found


# The end.


def mend_cloud(world: World) -> None:
    """Take all faults of the cloud away."""
    world.cloud.faults = Faults()
    world.cloud.unstick()


def mend(story: Story) -> None:
    """Take all faults away."""
    world = story.world
    mend_cloud(world)
    world.shell.break_before.clear()
    world.shell.break_after.clear()
    world.frontend.errors.clear()
    for machine in world.cloud.machines.values():
        machine.served_key = machine.own_key if machine.configured_own else machine.bootstrap_key
    for process in world.processes:
        process.dies_in = process.pauses_in = None
        process.going.set()


def _settled(story: Story) -> bool:
    jobs = story.world.store.peek().jobs.values()
    if any(job.ended_at is None for job in jobs):
        return False
    return all(lease.status in (*SETTLED[lease.target], Status.FAILED) for lease in story.leases())


async def converge(story: Story) -> None:
    """Let time pass without faults until everything is as it was wished, pressing again what had failed."""
    world = story.world
    mend(story)
    await world.store.set_clock_offset_for_tests(0)
    while len(world.processes) < 2:
        await world.start_process()
    for _ in range(ROUNDS):
        try:
            await world.clock.drive(lambda: _settled(story), limit_s=LIMIT_S)
        except TimeoutError as error:
            raise Violation(f"it does not come to rest: {state(story)}") from error
        found = await now(story, people=True)
        if found:
            raise Violation("; ".join(found))
        failed = [lease for lease in story.leases() if lease.status is Status.FAILED]
        if not failed:
            break
        for lease in failed:
            await _press_again(story, lease)
    else:
        raise Violation(f"pressing again does not help: {state(story)}")
    await world.clock.advance(200)  # a machine that died unseen is found by a look
    await world.clock.drive(lambda: _settled(story), limit_s=LIMIT_S)
    _check_end(story)


async def _press_again(story: Story, lease: LeaseRecord) -> None:
    who, what = lease.person, lease.id
    story.wishes[what] = lease.target  # a limit may have wished it; from here on the person does
    if lease.target is Target.RUNNING:
        await story.ask(0, lambda broker: broker.start(who, what))
    elif lease.target is Target.STOPPED:
        await story.ask(0, lambda broker: broker.stop(who, what))
    else:
        await story.ask(0, lambda broker: broker.delete(who, what, confirm=LAB))


def _check_end(story: Story) -> None:
    world = story.world
    for lease in story.leases():
        wish = story.wishes.get(lease.id)
        if lease.reason == "" and wish is not None and lease.target is not wish:
            raise Violation(f"{lease.person} wished {wish}, and it is {lease.target}: {state(story)}")
        live = [seen for seen in world.cloud.ours() if seen.tags.get(naming.TAG_LEASE) == lease.id]
        running = [seen for seen in live if seen.state is InstanceState.RUNNING]
        if lease.target is Target.RUNNING and lease.status is Status.RUNNING:
            if len(running) != 1:
                raise Violation(f"{lease.person}'s machine should run, and there is {live}: {state(story)}")
            machine = world.cloud.machines[running[0].instance_id]
            volume = next(row for row in world.store.peek().volumes.values() if row.lease_id == lease.id)
            rebooted = machine.instance_id in story.rebooted
            if volume.cloud_id not in machine.mounts.values() and not rebooted:
                raise Violation(f"{lease.person}'s volume is not mounted: {state(story)}")
        elif running:
            raise Violation(f"{lease.person}'s machine should not run: {state(story)}")
        elif lease.target is Target.DELETED and live:
            raise Violation(f"{lease.person}'s machine should be gone: {state(story)}")
    _check_owners(story)


def _check_owners(story: Story) -> None:
    """Every volume of ours is somebody's, or is on a list that people see (I2)."""
    tables = story.world.store.peek()
    known = {row.cloud_id for row in tables.volumes.values()} | set(tables.orphans)
    known |= {row.cloud_id for row in tables.shelf.values()}
    known |= {volume_id for row in tables.volumes.values() for volume_id in row.quarantined}
    for volume_id, row in story.world.cloud._volumes.items():
        ours = naming.TAG_DEPLOYMENT in row.seen.tags
        if ours and volume_id not in known and row.seen.state is not VolumeState.DELETED:
            raise Violation(f"{volume_id} is nobody's and on no list (I2): {row.seen} {state(story)}")


def state(story: Story) -> str:
    """Say how everything stands, for whoever reads a failure."""
    tables = story.world.store.peek()
    lines = []
    for lease in tables.leases.values():
        job = next((row for row in tables.jobs.values() if row.lease_id == lease.id and row.ended_at is None), None)
        problem = lease.problem.what if lease.problem else ""
        lines.append(f"{lease.person}: target {lease.target}, status {lease.status}, {lease.reason!r} {problem!r}")
        if job is not None:
            doing = [f"{s.name}: {s.state} {s.waiting_for}" for s in tables.steps.values() if s.job_id == job.id]
            lines.append(f"  job {job.kind} attempts {job.attempts} waits {job.waiting_for!r} of {job.holder} {doing}")
    lines += [f"{s.instance_id}: {s.state} {s.address}" for s in story.world.cloud.ours()]
    return "\n".join(lines)
