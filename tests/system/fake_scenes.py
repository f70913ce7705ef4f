"""What the fake server half (fake_server.py) shows: leases in all states, in the shapes of the wire models."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from educloud_lab.wire import models as wire

LEASE_ID = "k7m2p9"
LAB = "Shell basics"
STEPS = (
    ("volume", "Make the volume", "The cloud is making the volume", 2.0),
    ("run", "Ask the cloud for an instance", "The cloud looks for a node with room", 1.0),
    ("boot", "Boot", "The machine is booting", 6.0),
    ("attach", "Attach the volume", "The cloud is attaching the volume", 1.5),
    ("mount", "Mount your files at /data", "", 1.0),
    ("login", "Open the way for terminals", "", 0.5),
)
PROFILE = wire.MachineProfile(
    name="tiny",
    revision=2,
    title="Small Linux machine",
    description="Debian with a shell, Python and an editor. Enough for the first labs.",
    image="tiny",
    instance_type="m1.small",
    volume_size_bytes=2**30,
    mount_point="/data",
    time_limit_s=7200,
)
STORE_PROFILE = wire.MachineProfile(
    name="tiny-store",
    revision=1,
    title="Small Linux machine, fresh every time",
    description="The same, from an instance-store image: the system disk goes when it stops.",
    image="tiny-store",
    instance_type="m1.small",
    volume_size_bytes=2**30,
    mount_point="/data",
    time_limit_s=7200,
)


def ref(profile: wire.MachineProfile) -> wire.ProfileRef:
    """Return the reference that a lease holds."""
    return wire.ProfileRef(name=profile.name, revision=profile.revision, title=profile.title)


def now() -> datetime:
    """Return the present time in UTC."""
    return datetime.now(UTC)


def actions(**enabled: bool | str) -> list[wire.ActionState]:
    """Return all actions; a string is the reason why one is not possible."""
    states = {action: enabled.get(action.value, False) for action in wire.Action}
    return [
        wire.ActionState(
            action=action,
            enabled=state is True,
            reason="" if state is True else str(state or "Start the machine first."),
        )
        for action, state in states.items()
    ]


def job(kind: str, doing: int, *, failed: bool = False, serial: int = 1) -> wire.Job:
    """Return a job of which `doing` steps are over; over altogether when `doing` is their number."""
    begin = now() - timedelta(seconds=sum(step[3] for step in STEPS[:doing]) + 0.8)
    steps = []
    for index, (name, title, waiting_for, takes_s) in enumerate(STEPS):
        state = wire.StepState.DONE if index < doing else wire.StepState.TODO
        if index == doing:
            state = wire.StepState.FAILED if failed else wire.StepState.DOING
        end = begin + timedelta(seconds=takes_s)
        steps.append(
            wire.Step(
                name=name,
                title=title,
                state=state,
                waiting_for=waiting_for,
                started_at=begin if index <= doing else None,
                ended_at=end if index < doing or (failed and index == doing) else None,
                estimate_s=takes_s,
            )
        )
        begin = end
    rest_s = sum(step[3] for step in STEPS[doing:])
    return wire.Job(
        id=f"job-{kind}-{serial}",
        kind=kind,
        created_at=now(),
        in_flight=doing < len(STEPS) and not failed,
        attempts=1,
        steps=steps,
        progress=round(1 - rest_s / sum(step[3] for step in STEPS), 2),
        estimate_s=rest_s or None,
    )


def lease(phase: wire.Phase, headline: str, **changes: Any) -> wire.Lease:
    """Return the lease with the given fields changed."""
    running = phase in {wire.Phase.READY}
    fields: dict[str, Any] = {
        "id": LEASE_ID,
        "course": "local",
        "lab": LAB,
        "slot": "main",
        "person": "ada",
        "machine_profile": ref(PROFILE),
        "generation": 1,
        "target": "running",
        "status": "running" if running else "starting",
        "phase": phase,
        "headline": headline,
        "volumes": [
            wire.Volume(
                id="vol-3f9a1c20",
                size_bytes=2**30,
                mount_point="/data",
                stage="mounted" if running else "available",
            )
        ],
        "system_disk": "kept",
        "actions": actions(start=True, delete=True, console="There is no instance yet."),
        "updated_at": now(),
    }
    if running:
        fields |= {
            "login": "student@172.16.77.5",
            "host_key_source": "pinned",
            "host_key_fingerprint": "SHA256:Zq3mYxw0m2Jr4k1Wc8v7n5T6b9Q2e0uLsd4fHgKjP1o",
            "started_at": now(),
            "expires_at": now() + timedelta(minutes=114, seconds=10),
            "instance": instance("running"),
            "actions": actions(
                stop=True, delete=True, extend=True, terminal=True, console=True, start="It is running already."
            ),
        }
    return wire.Lease(**(fields | changes))


def instance(state: str) -> wire.Instance:
    """Return the instance."""
    return wire.Instance(
        id="i-9b2e44d1",
        state=state,
        address="172.16.77.5",
        instance_type="m1.small",
        image_id="emi-1f0c2a77",
        zone="bench-1",
        launched_at=now() - timedelta(minutes=6),
    )


def limits(left_s: float, warning: str = "", **changes: Any) -> wire.Limits:
    """Return the limits of a machine that is idle; with a warning, "urgent" or another id."""
    idle_at, hard_at = now() + timedelta(seconds=left_s), now() + timedelta(minutes=114, seconds=10)
    fields: dict[str, Any] = {
        "limits": [
            wire.Limit(kind="idle", ends_at=idle_at, text="Nobody uses it for 30 minutes"),
            wire.Limit(kind="hard", ends_at=hard_at, text="Its time limit of 2 hours"),
        ],
        "active_at": now() - timedelta(minutes=26),
        "active_by": "typed in a terminal",
        "keep_until": now() + timedelta(hours=2),
        "guarded": True,
    }
    if warning:
        fields["warning"] = wire.LimitWarning(
            id=warning,
            kind="idle",
            text="Nobody has used the machine for a while: it is put to sleep soon.",
            loses="" if warning != "urgent" else "The system disk goes with it; /data stays.",
            ends_at=idle_at,
            urgent=warning == "urgent",
        )
    return wire.Limits(**(fields | changes))


def warned(warning: str, left_s: float, **changes: Any) -> wire.Lease:
    """Return the running lease with its limits."""
    lease_ = ready(limits=limits(left_s, warning), **changes)
    return with_actions(lease_, busy=True, exempt=True, why=True, **VOLUME_ACTIONS)


VOLUME_ACTIONS: dict[str, bool | str] = {
    "snapshot": True,
    "grow": True,
    "restore": "Possible while the machine sleeps: press Stop first.",
    "discard": "Possible while the machine sleeps: press Stop first.",
    "return": "Possible while the machine sleeps: press Stop first.",
}


def with_actions(lease_: wire.Lease, **enabled: bool | str) -> wire.Lease:
    """Return the lease with some actions changed."""
    known = {state.action.value: state.enabled or state.reason for state in lease_.actions}
    return lease_.model_copy(update={"actions": actions(**(known | enabled))})


def snap(number: int, name: str, state: str, **changes: Any) -> wire.VolumeSnapshot:
    """Return a snapshot of the data volume."""
    done = state == "completed"
    fields: dict[str, Any] = {
        "id": f"s{number}",
        "name": name,
        "cloud_id": f"snap-0000000{number}",
        "state": state,
        "progress_percent": 100 if done else 40,
        "size_bytes": 2**30,
        "created_at": now() - timedelta(days=number),
        "created_by": "ada",
        "consistency": "files as they were on the disk",
        "restorable": done,
    }
    return wire.VolumeSnapshot(**(fields | changes))


def binned(number: int) -> wire.BinItem:
    """Return a volume in the bin."""
    return wire.BinItem(
        id=f"b{number}",
        cloud_id=f"vol-deadbee{number}",
        quarantined=False,
        size_bytes=2**30,
        reason="You went back to a snapshot",
        owner="ada",
        lab=LAB,
        created_at=now() - timedelta(days=20),
        shelved_at=now() - timedelta(days=number),
        delete_after=now() + timedelta(days=7 - number, hours=1),
        last_mounted_at=now() - timedelta(days=number, hours=2),
        returnable=True,
    )


def files(lease_: wire.Lease) -> wire.Lease:
    """Return the lease with snapshots, a bin and a proof; what needs a machine at rest is possible when it is."""
    (volume,) = lease_.volumes
    proved = volume.model_copy(update={"proof": "Same disk as before, last written at 11:58."})
    rests = lease_.phase is wire.Phase.ASLEEP
    possible: dict[str, bool | str] = dict.fromkeys(VOLUME_ACTIONS, True) if rests else VOLUME_ACTIONS
    changed = lease_.model_copy(
        update={
            "volumes": [proved],
            "snapshots": [snap(1, "Before exercise 3", "completed"), snap(2, "This morning", "pending")],
            "bin": [binned(1)],
        }
    )
    return with_actions(changed, exempt=True, **possible)


FINDING = wire.Finding(
    code="pending-too-long",
    what="The instance has been pending for 6 minutes; 40 seconds are usual.",
    component="NC",
    component_name="the node controller (NC) that should run it",
    sure="likely",
    at=now(),
    evidence=[
        wire.Evidence(what="state", seen="pending for 371 s", means="no node has begun to run it"),
        wire.Evidence(what="console", seen="empty", means="it has not begun to boot"),
        wire.Evidence(what="zone", seen="bench-1 is UP", means="the cluster controller answers"),
    ],
    by_itself="It is ended and started once more at 12:06, without counting twice against your quota.",
    student_can="Wait for the second try. If that hangs too, tell your instructor.",
    instructor_can="Send the text below to the cloud's administrator.",
    hidden="Which node was chosen: the cloud does not show that to users.",
)


def stuck() -> wire.Lease:
    """Return the lease while its start hangs."""
    return with_actions(starting(2).model_copy(update={"finding": FINDING}), why=True)


def queued() -> wire.Lease:
    """Return the lease while it waits for room."""
    place = wire.QueuePlace(
        position=3,
        waiting=7,
        since=now() - timedelta(minutes=2),
        what="instances of type m1.small in bench-1",
        next_try_at=now() + timedelta(seconds=24),
    )
    lease_ = starting(1)
    assert lease_.job is not None
    return lease_.model_copy(update={"job": lease_.job.model_copy(update={"queue": place, "attempts": 4})})


def starting(doing: int, serial: int = 1) -> wire.Lease:
    """Return the lease in the middle of a start."""
    return lease(
        wire.Phase.STARTING,
        f"Starting: {STEPS[doing][1].lower()}",
        job=job("start", doing, serial=serial),
        instance=instance("pending") if doing > 1 else None,
        volumes=[
            wire.Volume(
                id="vol-3f9a1c20" if doing else None,
                size_bytes=2**30,
                mount_point="/data",
                stage="attaching" if doing > 2 else "available" if doing else "creating",
            )
        ],
        actions=actions(
            start="It is starting already.",
            terminal="It opens when the machine is ready.",
            stop=True,
            delete=True,
            console=doing > 1 or "There is no instance yet.",
        ),
    )


def ready(serial: int = 1, **changes: Any) -> wire.Lease:
    """Return the lease with its machine running."""
    return lease(wire.Phase.READY, "Ready to use", job=job("start", len(STEPS), serial=serial), **changes)


def asleep() -> wire.Lease:
    """Return the lease with its machine stopped."""
    return lease(
        wire.Phase.ASLEEP,
        "Asleep. Your files are kept.",
        target="stopped",
        status="stopped",
        instance=instance("stopped"),
        actions=actions(start=True, delete=True, console=True, stop="It is asleep already."),
    )


def trouble() -> wire.Lease:
    """Return the lease after a start that failed."""
    return lease(
        wire.Phase.TROUBLE,
        "The machine could not be started",
        status="failed",
        job=job("start", 1, failed=True),
        problem=wire.Problem(
            code="no-capacity",
            what="The cloud has no room for an instance of type m1.small just now.",
            kept="Your volume vol-3f9a1c20 and all files on it.",
            next_step="Press Try again in a few minutes, or ask your instructor for a smaller machine profile.",
            at=now(),
        ),
    )


def waiting() -> wire.Lease:
    """Return the lease while the cloud cannot be seen."""
    return lease(
        wire.Phase.WAITING,
        "Waiting for the cloud to answer",
        problem=wire.Problem(
            code="cloud-unreachable",
            what="The cloud did not answer for 40 s.",
            kept="Nothing was changed; the start goes on where it was.",
            next_step="Nothing: it is tried again by itself.",
        ),
        job=job("start", 2).model_copy(update={"attempts": 3, "next_attempt_at": now() + timedelta(seconds=22)}),
        actions=actions(stop=True, delete=True, start="It is starting already."),
    )


def exempted() -> wire.Lease:
    """Return the running lease with its limits off."""
    off = wire.Exemption(since=now(), until=now() + timedelta(days=2), reason="Exam next week", by="grace")
    lease_ = ready(limits=wire.Limits(exemption=off, guarded=True), expires_at=None)
    return with_actions(lease_, **{"end-exemption": True, "extend": "Limits are off.", "exempt": "Limits are off."})


def report(acted: list[str], *, dry_run: bool) -> wire.OrphanReport:
    """Return what has no owner; nothing when it was acted on."""
    fields: dict[str, Any] = {
        "state": "seen",
        "reason": "carries our marks, the store does not know it",
        "owner": "alan",
        "lab": "Networks",
        "first_seen_at": now() - timedelta(hours=3),
        "last_seen_at": now(),
    }
    orphans = [
        wire.Orphan(cloud_id="i-0bad0001", kind="instance", acts_at=now() - timedelta(hours=1), **fields),
        wire.Orphan(cloud_id="vol-0bad0002", kind="volume", size_bytes=5 * 2**30, **fields),
    ]
    return wire.OrphanReport(dry_run=dry_run, orphans=orphans, acted=acted)


SCENES: dict[str, Any] = {
    "off": list,
    "starting": lambda: [starting(2)],
    "ready": lambda: [ready()],
    "soon": lambda: [ready(expires_at=now() + timedelta(minutes=4, seconds=20))],
    "asleep": lambda: [asleep()],
    "trouble": lambda: [trouble()],
    "waiting": lambda: [waiting()],
    "warned": lambda: [warned("first", 890)],
    "urgent": lambda: [warned("urgent", 290)],
    "kept": lambda: [warned("", 7200)],
    "exempted": lambda: [exempted()],
    "files": lambda: [files(ready())],
    "files-asleep": lambda: [files(asleep())],
    "stuck": lambda: [stuck()],
    "queued": lambda: [queued()],
    "lost": lambda: [ready(system_disk="lost", machine_profile=ref(STORE_PROFILE))],
}
