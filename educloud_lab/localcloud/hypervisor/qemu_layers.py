"""Layers of a running machine's disks: a fresh one on top (a snapshot), some taken up (compaction), a disk grown.

QEMU keeps the files it has open under the names by which it opened them. Ours change: a snapshot's fresh layer takes
over the volume's name. So QEMU never gets to open a file anew here but once: when the layer below becomes
read-only, which is why its name is put back for that moment (:func:`switch`).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from educloud_lab.localcloud.hypervisor.base import DiskRefusedError, HypervisorError
from educloud_lab.localcloud.hypervisor.qemu_command import device_id
from educloud_lab.localcloud.hypervisor.qemu_monitor import CommandRefusedError, Monitor

ROOT = "root"
_POLL_S = 0.2
_STOP_POLL_S = 0.02
_STREAM_BYTES_A_S = 256 * 1024 * 1024  # the guest's own reads and writes come first
_SWITCH_LIMIT_S = 60.0  # it waits for what the guest has under way


async def active_node(monitor: Monitor, disk_id: str) -> str | None:
    """Give the node that the guest writes to; None when the disk is not plugged. Raises MonitorLostError."""
    where = {"path": f"/machine/peripheral/{device_id(disk_id)}", "property": "drive"}
    try:
        return str(await monitor.execute("qom-get", where))
    except CommandRefusedError:
        return None


async def switch(monitor: Monitor, disk_id: str, overlay: Path, tag: str) -> bool:
    """Let the guest write to ``overlay`` from one moment on; done already is success.

    Parameters
    ----------
    overlay : an empty layer, ``<volume>.next-<tag>.qcow2`` beside the volume's own file.
    tag : names the layer; a letter or digit and up to 8 in all.

    Returns
    -------
    bool
        Whether the machine has the disk.

    Raises
    ------
    DiskRefusedError
        The guest still writes to the file that it wrote to.
    MonitorLostError
        Whether it switched is not known; ask again.
    """
    node = f"{disk_id}.{tag}"
    active = await active_node(monitor, disk_id)
    if active is None:
        if disk_id != ROOT:  # a plug left half done holds the file open, and never comes to anything
            await close_nodes(monitor, disk_id)
        return False
    if active == node:
        return True
    await stop_jobs(monitor, disk_id)
    with contextlib.suppress(CommandRefusedError):  # there from a try before; if not, what follows says so
        await monitor.execute("blockdev-add", _overlay_node(node, overlay))
    with _name_of(active, overlay):
        try:
            await monitor.execute("blockdev-snapshot", {"node": active, "overlay": node}, limit_s=_SWITCH_LIMIT_S)
        except CommandRefusedError as error:
            if await active_node(monitor, disk_id) == node:
                return True
            with contextlib.suppress(CommandRefusedError):
                await monitor.execute("blockdev-del", {"node-name": node})
            raise DiskRefusedError(f"{disk_id} goes on in the file that it has: {error.reason}") from error
    return True


async def nodes_of(monitor: Monitor, disk_id: str) -> list[str]:
    """Give our nodes of a disk, in no order; those that QEMU opened by itself are not among them."""
    graph = await monitor.execute("x-debug-query-block-graph")
    names = [str(node["name"]) for node in graph["nodes"]]
    return [
        name for name in names if name == disk_id or (name.startswith(f"{disk_id}.") and not name.endswith(".file"))
    ]


async def take_up(monitor: Monitor, disk_id: str, layers: Sequence[Path], base: Path | None) -> bool:
    """Copy what ``layers`` hold into the layer on top and let go of them, while the guest works.

    What was copied is on the host's disk before the header of the top layer leaves the others out.

    Parameters
    ----------
    layers : every layer under the top one down to the last, as the headers say: QEMU's own list has to agree.
    base : the layer of these that stays and becomes the next under the top; None when all are taken up.

    Returns
    -------
    bool
        Whether the machine has the disk.

    Raises
    ------
    HypervisorError
        The disk is as it was.
    """
    top = await active_node(monitor, disk_id)
    if top is None:
        return False
    await stop_jobs(monitor, disk_id)
    below = await _chain(monitor, top)
    if len(below) != len(layers):
        raise HypervisorError(f"QEMU has {len(below)} layers under {disk_id} and the files say {len(layers)}.")
    job = _job(disk_id)
    arguments: dict[str, Any] = {
        "job-id": job, "device": top, "auto-finalize": False, "auto-dismiss": False, "speed": _STREAM_BYTES_A_S,
    }  # fmt: skip
    if base is not None:
        arguments |= {"base-node": below[layers.index(base)], "backing-file": str(base)}
    await monitor.execute("block-stream", arguments)
    try:
        await _wait_for(monitor, job, "pending")
        await _flush(monitor, top)
        await monitor.execute("job-finalize", {"id": job})
        await _wait_for(monitor, job, "concluded")
        await _flush(monitor, top)
    finally:
        await asyncio.shield(stop_jobs(monitor, disk_id))
    gone = below if base is None else below[: layers.index(base)]
    for node in gone:
        with contextlib.suppress(CommandRefusedError):  # QEMU opened it by itself, and has closed it
            await monitor.execute("blockdev-del", {"node-name": node})
    return True


async def resize(monitor: Monitor, disk_id: str, size_bytes: int) -> bool:
    """Grow a disk under the guest; whether the machine has it. QEMU would shrink one too: the caller sees to that."""
    node = await active_node(monitor, disk_id)
    if node is not None:
        await stop_jobs(monitor, disk_id)
        await monitor.execute("block_resize", {"node-name": node, "size": size_bytes})
        await _flush(monitor, node)
    return node is not None


async def stop_jobs(monitor: Monitor, disk_id: str) -> None:
    """End what works on a disk, also what a process before this one began. The disk reads the same."""
    job = _job(disk_id)
    while (entry := await _entry(monitor, job)) is not None:
        command = "job-dismiss" if entry["status"] == "concluded" else "job-cancel"
        with contextlib.suppress(CommandRefusedError):  # it went on meanwhile: asked again
            await monitor.execute(command, {"id": job})
        await asyncio.sleep(_STOP_POLL_S)


async def close_nodes(monitor: Monitor, disk_id: str) -> None:
    """Close the files of a disk that is not plugged, from the top layer down; closed already is success.

    Raises
    ------
    CommandRefusedError
        One of them is still in use.
    """
    await stop_jobs(monitor, disk_id)  # of a process before this one: it would keep the files open
    try:
        left = await nodes_of(monitor, disk_id)
    except CommandRefusedError:
        left = [disk_id]
    refused: CommandRefusedError | None = None
    while left:
        before = len(left)
        for node in list(left):
            try:
                await monitor.execute("blockdev-del", {"node-name": node})
            except CommandRefusedError as error:
                if "Failed to find node" not in error.reason:
                    refused = error
                    continue
            left.remove(node)
        if len(left) == before and refused is not None:
            raise refused


def _job(disk_id: str) -> str:
    return f"take-up-{disk_id}"


async def _entry(monitor: Monitor, job: str) -> Mapping[str, Any] | None:
    found: Sequence[Mapping[str, Any]] = await monitor.execute("query-jobs")
    return next((entry for entry in found if entry["id"] == job), None)


async def _wait_for(monitor: Monitor, job: str, wanted: str) -> None:
    while (entry := await _entry(monitor, job)) is not None:
        if error := entry.get("error"):
            raise HypervisorError(f"Taking up layers stopped: {error}. The disk is as it was.")
        if entry["status"] == wanted:
            return
        await asyncio.sleep(_POLL_S)
    raise HypervisorError(f"{job} was ended. The disk is as it was.")


async def _flush(monitor: Monitor, node: str) -> None:
    said = await monitor.human(f"qemu-io {node} flush")
    if said.strip():
        raise HypervisorError(f"QEMU could not bring {node} to the disk: {said.strip()}")


async def _chain(monitor: Monitor, top: str) -> list[str]:
    graph = await monitor.execute("x-debug-query-block-graph")
    names = {node["id"]: str(node["name"]) for node in graph["nodes"]}
    under = {edge["parent"]: edge["child"] for edge in graph["edges"] if edge["name"] == "backing"}
    current = next((key for key, name in names.items() if name == top), None)
    found: list[str] = []
    while (current := under.get(current)) is not None:
        found.append(names[current])
    return found


def _overlay_node(node: str, overlay: Path) -> dict[str, Any]:
    file = {"driver": "file", "filename": str(overlay.absolute()), "locking": "on", "discard": "unmap"}
    return {"driver": "qcow2", "node-name": node, "discard": "unmap", "file": file, "backing": None}


@contextlib.contextmanager
def _name_of(active: str, overlay: Path) -> Iterator[None]:
    """Give the active layer the name back by which QEMU opened it, for as long as this lasts.

    On becoming a lower layer it is opened anew, to read only; where that fails QEMU keeps its right to write, and no
    other machine could read the snapshot.
    """
    tag = active.rpartition(".")[2] if "." in active else ""
    volume = overlay.name.partition(".next-")[0]
    name = overlay.with_name(f"{volume}.next-{tag}.qcow2")
    if not tag:
        yield
        return
    with contextlib.suppress(FileExistsError):
        os.link(overlay.with_name(f"{volume}.qcow2"), name)
    try:
        yield
    finally:
        name.unlink(missing_ok=True)
