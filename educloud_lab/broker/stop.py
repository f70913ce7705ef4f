"""Stopping and deleting: the volume saved, unmounted, verified, detached, and only then the machine (I4)."""

from __future__ import annotations

from datetime import UTC, datetime

from educloud_lab.broker import data_volume, grants
from educloud_lab.broker.dial import dial
from educloud_lab.broker.machine import note
from educloud_lab.broker.run import Run
from educloud_lab.broker.scripts import disk as scripts
from educloud_lab.broker.scripts.grammar import read_answer
from educloud_lab.broker.tags import find_instance
from educloud_lab.domain import naming
from educloud_lab.domain.errors import (
    CloudStateError,
    HostKeyError,
    LoginRefusedError,
    MachineUnreachableError,
    VolumeBusyError,
)
from educloud_lab.domain.job import JobKind, VolumeStage
from educloud_lab.ports.cloud import InstanceSeen, InstanceState, VolumeState
from educloud_lab.ports.shell import Connection

_UP = (InstanceState.PENDING, InstanceState.RUNNING)
_DEAD = (InstanceState.STOPPED, InstanceState.TERMINATED)
_MESSAGE = "educloud: this machine is going down now. Files in {place} are saved; the rest goes with it."
_MESSAGE_KEPT = "educloud: this machine is going to sleep now. Everything on it is kept."


async def close_sessions(run: Run) -> None:
    """Take the person's line from the front end, which cuts their connections; the broker's stays until the end."""
    frontend = run.parts.frontend
    if frontend is None or run.lease.address is None:
        return
    lines = grants.lines(run.parts, run.lease, person=False)
    await run.outside("put-broker-line", lambda: frontend.put_lines(grants.lines_name(run.lease), lines))


async def _instance(run: Run) -> InstanceSeen | None:
    """Return the lease's instance as the cloud shows it, None when there certainly is none."""
    parts, config = run.parts, run.parts.config
    while True:
        lease = run.lease
        if lease.instance_id is None and not lease.token_sent:
            return None
        seen = find_instance(await run.look(), parts.deployment, lease)
        thing = lease.instance_id or lease.client_token
        if seen is not None:
            parts.sight.seen(thing)
            await note(run, seen)
            return seen
        await run.say("The cloud does not show the machine; looking again")
        if parts.sight.confirmed_absent(thing, looks=config.absences, over_s=config.absence_s):
            return None


async def unmount(run: Run) -> None:
    """Unmount the data volume and verify it, or find that the machine is down, or leave it to its power button."""
    if not run.volume.may_be_mounted:
        return
    seen = await _instance(run)
    if seen is None or seen.state in _DEAD:
        await run.put_volume("unmounted by a dead machine", may_be_mounted=False, mount_count=None)
        return
    if seen.state not in _UP:
        run.notes["power"] = True
        return
    limit_s = run.parts.config.stop_contact_limit_s
    try:
        connection = await dial(run, limit_s=limit_s)
    except CloudStateError:
        run.notes["power"] = True  # it went down meanwhile: a look will say when it is dead
        return
    except (MachineUnreachableError, LoginRefusedError, HostKeyError) as error:
        _may_press_power_button(run, seen, error)
        run.notes["power"] = True
        await run.say("The machine does not answer: it is told to shut down, which saves the files")
        return
    run.on_end(connection.close)
    await _release(run, connection)


def _may_press_power_button(
    run: Run, seen: InstanceSeen, error: MachineUnreachableError | LoginRefusedError | HostKeyError
) -> None:
    """Allow an end without our own unmount: a clean shutdown saves the files; an instance-store machine has none."""
    asked = run.job.kind is JobKind.DELETE or run.lease.reason == "time-limit"
    if seen.root_device_type == "instance-store" and not asked:
        raise type(error)(
            "The machine does not answer, so its files cannot be saved before it ends.",
            kept="It was left running and the data volume attached.",
            next_step="Press Stop to try again. Delete machine ends it all the same; files not yet written are lost.",
        ) from error


async def _release(run: Run, connection: Connection) -> None:
    volume = run.volume
    assert volume.cloud_id is not None
    text = _MESSAGE.format(place=volume.mount_point) if _ends_instance(run, None) else _MESSAGE_KEPT
    serial = naming.disk_serial(volume.cloud_id, volume.device)
    completed = await run.outside(
        "release",
        lambda: connection.run(scripts.RELEASE, arguments=[serial, volume.mount_point, text], timeout_s=120.0),
    )
    answer = read_answer("release", completed, scripts.RELEASE_FORMS, required=("state",))
    if answer["state"] == "busy":
        raise VolumeBusyError(
            f"The data volume cannot be unmounted: it is used by {holders(answer)}.",
            kept="Nothing was detached and the machine still runs; your files are safe.",
            next_step="End these programs (Start opens the machine again), then press Stop again.",
        )
    written, mounts = answer.get("written", "-"), answer.get("mounts", "-")
    known = written != "-" and mounts != "-"
    await run.put_volume(
        "unmounted",
        may_be_mounted=False,
        stage=VolumeStage.ATTACHED,
        # The file system's own word: the next mount compares it, which proves that nobody wrote to it in between.
        last_written_at=datetime.fromtimestamp(int(written), UTC) if known else volume.last_written_at,
        mount_count=int(mounts) if known else None,
    )


def holders(answer: dict[str, str]) -> str:
    """Return what keeps the volume busy, for people: "`vim notes.txt` of student on pts/1"."""
    found = []
    for key, text in sorted(answer.items()):
        if key.startswith("holder"):
            _, owner, seat, command = text.split(" ", 3)
            found.append(f"`{command}` of {owner}" + (f" on {seat}" if seat != "-" else ""))
    if not found:
        return "something that the machine does not name"
    return found[0] if len(found) == 1 else f"{', '.join(found[:-1])} and {found[-1]}"


def _ends_instance(run: Run, seen: InstanceSeen | None) -> bool:
    """Say whether this job terminates the instance rather than stopping it."""
    root = (seen.root_device_type if seen is not None else "") or run.lease.root_device_type
    return run.job.kind is JobKind.DELETE or root == "instance-store"


async def detach(run: Run) -> None:
    """Detach the volume and wait until the cloud calls it available. Never while it may be mounted (I4)."""
    if run.notes.get("power"):
        await power_down(run)
        await run.put_volume("unmounted by shutdown", may_be_mounted=False, mount_count=None)
    volume = run.volume
    if volume.cloud_id is None:
        return
    if volume.may_be_mounted:
        raise VolumeBusyError(
            "The data volume may still be mounted.", kept="It was not detached.", next_step="Press Stop again."
        )
    if not await _let_go(run, volume.cloud_id):
        # A disk that nobody has mounted is let go of by a machine that is down, whatever ailed the one that ran.
        await power_down(run)
        if not await _let_go(run, volume.cloud_id):
            raise CloudStateError(
                "The cloud does not let go of the data volume.",
                kept="It is unmounted and unharmed; the machine is down.",
                next_step="It is tried again; if this repeats, ask whoever runs the cloud.",
            )


async def _let_go(run: Run, volume_id: str) -> bool:
    """Have the cloud detach the volume, asking again when it drops the wish; False when it does not in time."""
    parts, config = run.parts, run.parts.config
    began_s = parts.clock.monotonic_s()
    asked_s, looks = float("-inf"), config.silent_attach_looks
    while True:
        seen = (await run.look()).volumes.get(volume_id)
        now_s = parts.clock.monotonic_s()
        if seen is None:
            if parts.sight.confirmed_absent(volume_id, looks=config.absences, over_s=config.absence_s):
                if run.job.kind is JobKind.DELETE:
                    # Asked for by name: the next Start begins with an empty volume. A Stop changes nothing of it.
                    await data_volume.set_aside(run)
                return True  # somebody deleted it in the cloud; the next Start says so
        elif not seen.attachments and seen.state is not VolumeState.IN_USE:
            parts.sight.seen(volume_id)
            await run.put_volume("volume detached", stage=VolumeStage.AVAILABLE)
            return True
        else:
            mine = [a for a in seen.attachments if a.instance_id == run.lease.instance_id]
            # While it says "detaching" the wish is known; otherwise looks may lag, so several must agree.
            looks += bool(mine) and mine[0].state != "detaching"
            if mine and looks >= config.silent_attach_looks and now_s - asked_s > config.silent_attach_s:
                asked_s, looks = now_s, 0
                await run.put_volume("detach intent", stage=VolumeStage.DETACHING)
                await run.outside("detach-volume", lambda: parts.cloud.detach_volume(volume_id, run_instance(run)))
        if now_s - began_s > config.attach_limit_s:
            return False
        await run.say("The cloud is detaching the volume")


def run_instance(run: Run) -> str:
    """Return the id of the lease's instance, which exists here."""
    assert run.lease.instance_id is not None
    return run.lease.instance_id


async def power_down(run: Run) -> None:
    """Stop or terminate the instance and wait until the cloud confirms it."""
    parts, config = run.parts, run.parts.config
    began_s = parts.clock.monotonic_s()
    asked_s: float | None = None
    while True:
        seen = await _instance(run)
        if seen is None or seen.state is InstanceState.TERMINATED:
            run.notes["gone"] = True
            return
        ends = _ends_instance(run, seen)
        if seen.state is InstanceState.STOPPED and not ends:
            return
        now_s = parts.clock.monotonic_s()
        going = seen.state is InstanceState.SHUTTING_DOWN or (seen.state is InstanceState.STOPPING and not ends)
        if not going and (asked_s is None or now_s - asked_s > config.silent_attach_s):
            asked_s = now_s
            if ends:
                await run.outside("terminate-instance", lambda: parts.cloud.terminate_instance(run_instance(run)))
            else:
                await run.outside("stop-instance", lambda: parts.cloud.stop_instance(run_instance(run)))
        elif now_s - began_s > config.stop_limit_s:
            raise CloudStateError(
                "The cloud does not confirm that the machine went down.",
                kept="Your data volume is safe.",
                next_step="It is tried again; if this repeats, ask whoever runs the cloud.",
            )
        await run.say("The machine is shutting down")


async def go_down(run: Run) -> None:
    """Bring the instance down, and let the front end forget it."""
    await power_down(run)
    frontend = run.parts.frontend
    if frontend is not None:
        await run.outside("drop-lines", lambda: frontend.drop_lines(grants.lines_name(run.lease)))
