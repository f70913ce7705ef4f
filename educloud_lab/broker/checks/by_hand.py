"""Checks of what was made by hand in the account, found by its tags or its name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from educloud_lab.broker.checks.outcome import Outcome, judges, named, shown
from educloud_lab.broker.checks.own import size_bytes, size_text
from educloud_lab.broker.checks.scene import Scene
from educloud_lab.broker.tags import GONE
from educloud_lab.domain.checks import Assertion
from educloud_lab.ports.cloud import CloudView, InstanceSeen, InstanceState, SnapshotSeen, VolumeSeen, VolumeState

_DEAD = (InstanceState.TERMINATED, InstanceState.SHUTTING_DOWN)
_COMPLETED = "completed"
T = TypeVar("T")


def _states(found: Sequence[InstanceSeen] | Sequence[VolumeSeen]) -> str:
    shown_ones = [
        f"{item.instance_id if isinstance(item, InstanceSeen) else item.volume_id} {item.state}" for item in found[:5]
    ]
    return ", ".join(shown_ones) + ("\u2026" if len(found) > 5 else "")


def _none(what: str, tag: str) -> str:
    return f"The cloud lists no {what} tagged {shown(tag, 80)}."


def _set_tag(what: str, tag: str) -> str:
    return f"Make the {what}, or set its tag {shown(tag, 80)}; then check again."


def _alive(found: Sequence[InstanceSeen]) -> list[InstanceSeen]:
    return [seen for seen in found if seen.state not in _DEAD]


async def _instances(scene: Scene, tag: str) -> list[InstanceSeen]:
    return scene.instances_tagged(await scene.view(), tag)


async def _volumes(scene: Scene, tag: str) -> list[VolumeSeen]:
    return [seen for seen in scene.volumes_tagged(await scene.view(), tag) if seen.state not in GONE]


@judges("instance-runs")
async def instance_runs(scene: Scene, said: Assertion) -> Outcome:
    """One of those with the tag is running."""
    return await _in_state(scene, said, InstanceState.RUNNING, "Start it, and wait until it is running.")


@judges("instance-stopped")
async def instance_stopped(scene: Scene, said: Assertion) -> Outcome:
    """One of those with the tag is stopped."""
    return await _in_state(scene, said, InstanceState.STOPPED, "Stop it, and wait until it is stopped.")


async def _in_state(scene: Scene, said: Assertion, state: InstanceState, next_step: str) -> Outcome:
    tag = said.values["tag"]
    found = await _instances(scene, tag)
    if not found and said.denied:  # an answer that lags shows none either (I5)
        found = scene.instances_tagged(await scene.second_view(), tag)
    if not found:
        return Outcome(False, _none("instance", tag), _set_tag("instance", tag))
    return Outcome(any(seen.state is state for seen in found), f"{_states(found)}.", next_step, "Stop or end it.")


async def _gone(
    scene: Scene, what: str, tag: str, find: Callable[[CloudView], Sequence[InstanceSeen] | Sequence[VolumeSeen]]
) -> Outcome:
    """Two looks must agree: an answer of the cloud that lags shows nothing either (I5)."""
    left = find(await scene.view())
    if not left:
        left = find(await scene.second_view())
    if left:
        return Outcome(False, f"{_states(left)}.", f"Delete the {what}, and wait until the cloud has done it.")
    return Outcome(True, f"Twice looked: {_none(what, tag)}")


@judges("instance-gone")
async def instance_gone(scene: Scene, said: Assertion) -> Outcome:
    """None with the tag is left."""
    tag = said.values["tag"]
    return await _gone(scene, "instance", tag, lambda view: _alive(scene.instances_tagged(view, tag)))


@judges("volume-gone")
async def volume_gone(scene: Scene, said: Assertion) -> Outcome:
    """None with the tag is left."""
    tag = said.values["tag"]

    def left(view: CloudView) -> list[VolumeSeen]:
        return [seen for seen in scene.volumes_tagged(view, tag) if seen.state is not VolumeState.DELETED]

    return await _gone(scene, "volume", tag, left)


@judges("instance-type")
async def instance_type(scene: Scene, said: Assertion) -> Outcome:
    """Its instance type."""
    tag, found = said.values["tag"], _alive(await _instances(scene, said.values["tag"]))
    if not found:
        return Outcome(False, _none("instance", tag), _set_tag("instance", tag))
    types = ", ".join(f"{seen.instance_id} {shown(seen.instance_type)}" for seen in found[:5])
    return Outcome(
        any(seen.instance_type == said.values["name"] for seen in found),
        f"{types}.",
        "Stop it, change its type, and start it; or run another one.",
    )


@judges("instance-in-group")
async def instance_in_group(scene: Scene, said: Assertion) -> Outcome:
    """The cloud lists the group there."""
    tag, found = said.values["tag"], _alive(await _instances(scene, said.values["tag"]))
    if not found:
        return Outcome(False, _none("instance", tag), _set_tag("instance", tag))
    names = "; ".join(f"{seen.instance_id}: {', '.join(named(name) for name in seen.groups)}" for seen in found[:5])
    return Outcome(
        any(said.values["name"] in seen.groups for seen in found), f"{names}.", "Choose the group when you run it."
    )


@judges("volume-attached", "volume-attached-to")
async def volume_attached(scene: Scene, said: Assertion) -> Outcome:
    """The cloud shows the attachment, to the person's machine or to an instance by its tag, as attached."""
    tag, other = said.values["tag"], said.values.get("other")
    if other is None:
        seen = await scene.instance()
        if seen is None:
            return Outcome(None, "The cloud shows no instance of your machine.", "Start the machine and check again.")
        there = [seen.instance_id]
    else:
        there = [seen.instance_id for seen in _alive(await _instances(scene, other))]
        if not there:
            return Outcome(False, _none("instance", other), _set_tag("instance", other))
    found = await _volumes(scene, tag)
    if not found:
        return Outcome(False, _none("volume", tag), _set_tag("volume", tag))
    all_of_them = [item for volume in found for item in volume.attachments]
    holds = any(item.state == "attached" and item.instance_id in there for item in all_of_them)
    places = ", ".join(f"{item.volume_id} {shown(item.state)} at {item.instance_id}" for item in all_of_them[:5])
    return Outcome(
        holds,
        f"{places or f'{_states(found)}, attached to nothing'}.",
        f"Attach it to {there[0]}, and wait until it is attached.",
        "Unmount it on the machine, then detach it.",
    )


@judges("volume-available")
async def volume_available(scene: Scene, said: Assertion) -> Outcome:
    """One with the tag is there and free."""
    tag, found = said.values["tag"], await _volumes(scene, said.values["tag"])
    if not found:
        return Outcome(False, _none("volume", tag), _set_tag("volume", tag))
    return Outcome(
        any(seen.state is VolumeState.AVAILABLE for seen in found),
        f"{_states(found)}.",
        "Unmount it on its machine, detach it, and wait until it is available.",
    )


@judges("tagged-volume-size")
async def tagged_volume_size(scene: Scene, said: Assertion) -> Outcome:
    """Its size as the cloud shows it."""
    tag, found = said.values["tag"], await _volumes(scene, said.values["tag"])
    if not found:
        return Outcome(False, _none("volume", tag), _set_tag("volume", tag))
    sizes = ", ".join(f"{seen.volume_id} has {size_text(seen.size_bytes)}" for seen in found[:5])
    wanted = size_bytes(said.values["size"])
    return Outcome(any(seen.size_bytes >= wanted for seen in found), f"{sizes}.", "Make a larger one.")


@judges("volume-from-snapshot")
async def volume_from_snapshot(scene: Scene, said: Assertion) -> Outcome:
    """The cloud names its snapshot."""
    tag, found = said.values["tag"], await _volumes(scene, said.values["tag"])
    if not found:
        return Outcome(False, _none("volume", tag), _set_tag("volume", tag))
    made = [seen for seen in found if seen.snapshot_id]
    origins = ", ".join(f"{seen.volume_id} from {shown(seen.snapshot_id or 'nothing')}" for seen in found[:5])
    return Outcome(bool(made), f"{origins}.", "Make the volume from a snapshot, and set its tag.")


@judges("snapshot-of-tagged")
async def snapshot_of_tagged(scene: Scene, said: Assertion) -> Outcome:
    """A complete snapshot of one of the volumes with the tag."""
    tag, volumes = said.values["tag"], await _volumes(scene, said.values["tag"])
    if not volumes:
        return Outcome(False, _none("volume", tag), _set_tag("volume", tag))
    ids = {seen.volume_id for seen in volumes}
    found = [item for item in (await scene.snapshots()).values() if item.volume_id in ids]
    return _complete(found, f"{', '.join(sorted(ids))}: no snapshot.", "Take a snapshot of the volume.")


@judges("tagged-snapshot")
async def tagged_snapshot(scene: Scene, said: Assertion) -> Outcome:
    """A complete snapshot with the tag."""
    tag = said.values["tag"]
    found = scene.snapshots_tagged(await scene.snapshots(), tag)
    return _complete(found, _none("snapshot", tag), _set_tag("snapshot", tag))


def _complete(found: Sequence[SnapshotSeen], none: str, next_step: str) -> Outcome:
    if not found:
        return Outcome(False, none, next_step)
    states = ", ".join(f"{item.snapshot_id} {shown(item.state)}, {item.progress_percent} %" for item in found[:5])
    done = any(item.state == _COMPLETED for item in found)
    return Outcome(done, f"{states}.", "Wait until it is completed.", "Delete it.")


@judges("image-exists")
async def image_exists(scene: Scene, said: Assertion) -> Outcome:
    """By name or id."""
    name = said.values["name"]
    found = [image for image in await scene.images() if name in (image.name, image.image_id)]
    if not found:
        return Outcome(False, "The account has no image of that name or id.", "Register it, then check again.")
    return _available([f"{image.image_id} {shown(image.state)}" for image in found], [i.state for i in found])


@judges("tagged-image")
async def tagged_image(scene: Scene, said: Assertion) -> Outcome:
    """By its tag."""
    tag = said.values["tag"]
    found = scene.images_tagged(await scene.images(), tag)
    if not found:
        return Outcome(False, _none("image", tag), _set_tag("image", tag))
    return _available([f"{image.image_id} {shown(image.state)}" for image in found], [i.state for i in found])


def _available(words: Sequence[str], states: Sequence[str]) -> Outcome:
    return Outcome(
        "available" in states, f"{', '.join(words[:5])}.", "Wait until the cloud calls it available.", "Deregister it."
    )


@judges("key-pair-exists")
async def key_pair_exists(scene: Scene, said: Assertion) -> Outcome:
    """By name."""
    names = await scene.key_pairs()
    listed = ", ".join(f"'{shown(name, 40)}'" for name in names[:8]) or "none"
    return Outcome(
        said.values["name"] in names, f"The account's key pairs: {listed}.", "Make or import it.", "Delete it."
    )
