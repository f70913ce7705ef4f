"""Checks of the person's own machine, its volume and its snapshots, judged by our records and the cloud together."""

from __future__ import annotations

from educloud_lab.broker.checks.outcome import Outcome, judges, shown
from educloud_lab.broker.checks.scene import Scene
from educloud_lab.broker.sessions import is_running
from educloud_lab.domain.checks import Assertion
from educloud_lab.domain.job import SnapshotState
from educloud_lab.domain.lease import PHASES, Phase
from educloud_lab.ports.cloud import InstanceState

_GIB = 1024**3
_UNITS = {"mib": 1024**2, "gib": _GIB, "tib": 1024**4}
_UNSEEN = "The cloud does not show it just now, which does not mean that it is gone."
_AGAIN = "Check again in a moment."


def size_bytes(text: str) -> int:
    """Return the bytes of a size such as ``2 GiB``."""
    number = "".join(sign for sign in text if sign.isdigit())
    return int(number) * _UNITS[text[-3:].lower()]


def size_text(size: int) -> str:
    """Return a size for people."""
    return f"{size / _GIB:g} GiB" if size >= _GIB else f"{size / 1024**2:g} MiB"


@judges("machine-ready")
async def machine_ready(scene: Scene, _said: Assertion) -> Outcome:
    """Our record and the cloud must agree."""
    if not is_running(scene.lease):
        return Outcome(False, f"It is {scene.phase}.", "Press Start and wait until it is ready.")
    seen = await scene.instance()
    if seen is None:
        return Outcome(None, _UNSEEN, _AGAIN)
    if seen.state is not InstanceState.RUNNING:
        return Outcome(False, f"The cloud shows its instance {seen.instance_id} as {seen.state}.", _AGAIN)
    return Outcome(True, f"It is ready; the cloud shows its instance {seen.instance_id} running.", undo="Press Stop.")


@judges("machine-asleep")
async def machine_asleep(scene: Scene, _said: Assertion) -> Outcome:
    """Stopped and startable; a running instance beside such a record is not asleep."""
    if scene.phase is not Phase.ASLEEP:
        return Outcome(False, f"It is {scene.phase}.", "Press Stop and wait until it is asleep.")
    seen = await scene.instance()
    if seen is None and scene.lease.root_device_type == "ebs":  # others end, and the cloud forgets them
        return Outcome(None, _UNSEEN, _AGAIN)
    if seen is not None and seen.state not in (InstanceState.STOPPED, InstanceState.TERMINATED):
        return Outcome(False, f"The cloud shows its instance {seen.instance_id} as {seen.state}.", _AGAIN)
    return Outcome(True, "It is asleep; its volume is kept.")


@judges("other-machine-ready")
async def other_machine_ready(scene: Scene, said: Assertion) -> Outcome:
    """The same person's machine of the same lab in another slot."""
    slot = said.values["slot"]
    mine = [lease for lease in scene.records.others if lease.lab == scene.lease.lab]
    found = next((lease for lease in mine if lease.slot == slot), None)
    if found is None:
        slots = ", ".join(sorted(shown(lease.slot) for lease in mine))
        return Outcome(False, f"There is no such machine in this lab (slots: {slots}).", f"Start the machine '{slot}'.")
    if not is_running(found):
        return Outcome(False, f"It is {PHASES[found.target, found.status]}.", "Start it and wait until it is ready.")
    seen = await scene.instance(found)
    if seen is None:
        return Outcome(None, _UNSEEN, _AGAIN)
    running = seen.state is InstanceState.RUNNING
    return Outcome(running, f"The cloud shows its instance {seen.instance_id} as {seen.state}.", _AGAIN)


@judges("volume-size")
async def volume_size(scene: Scene, said: Assertion) -> Outcome:
    """The data volume's size as the cloud shows it."""
    volume, wanted = scene.records.volume, size_bytes(said.values["size"])
    if volume is None or volume.cloud_id is None:
        return Outcome(False, "There is no data volume.", "Start the machine once: that makes it.")
    seen = (await scene.view()).volumes.get(volume.cloud_id)
    if seen is None:
        return Outcome(None, f"{volume.cloud_id}: {_UNSEEN}", _AGAIN)
    return Outcome(
        seen.size_bytes >= wanted,
        f"{volume.cloud_id} has {size_text(seen.size_bytes)}.",
        "Put the machine to sleep and enlarge the volume.",
        "A volume never shrinks: put it into the bin for a new one.",
    )


@judges("snapshot-exists")
async def snapshot_exists(scene: Scene, said: Assertion) -> Outcome:
    """A snapshot of the data volume by its name: in our records, and complete in the cloud."""
    name = said.values["text"]
    living = [row for row in scene.records.snapshots if row.state not in (SnapshotState.DELETED, SnapshotState.FAILED)]
    found = [row for row in living if row.name == name]
    if not found:
        names = ", ".join(f"'{shown(row.name, 40)}'" for row in living[-8:]) or "none"
        return Outcome(False, f"There is none of that name; there is: {names}.", f"Take a snapshot named '{name}'.")
    row = found[-1]
    seen = (await scene.snapshots()).get(row.cloud_id or "")
    if seen is None:
        return Outcome(None, f"It is recorded ({row.state}), and the cloud does not show it just now.", _AGAIN)
    if seen.state != "completed":
        return Outcome(False, f"{seen.snapshot_id} is {shown(seen.state)}, {seen.progress_percent} %.", _AGAIN)
    return Outcome(True, f"{seen.snapshot_id}, {size_text(seen.size_bytes)}, complete.", undo="Delete the snapshot.")
