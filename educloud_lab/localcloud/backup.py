"""Backups of the local cloud: everything that cannot be made again, in one file, taken at one moment of its state.

While a backup is made the cloud's own process is away and nobody changes rows or files; machines go on. Each machine
stands still for the time in which its own disks are copied, so that what the backup holds of them is what a power cut
at that moment would have left: everything that the guest had synced. ``cloud start`` lets machines go on that a killed
backup left standing.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import shutil
import signal
import sqlite3
import tarfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from educloud_lab.localcloud import backup_file, process
from educloud_lab.localcloud.backup_file import BackupError, allocated_bytes
from educloud_lab.localcloud.command import api_answers, read_json, serialised
from educloud_lab.localcloud.disklayers import chain
from educloud_lab.localcloud.disks import DiskError
from educloud_lab.localcloud.hypervisor.base import HypervisorError
from educloud_lab.localcloud.processes import end, is_alive
from educloud_lab.localcloud.settings import Folders
from educloud_lab.localcloud.state.upgrade import copy_database

LEFT_OUT = frozenset(
    {
        "run", "log", "consoles", "templates", "api.lock", "api.state.json", "cloud.json", "network.json",
        "simulated.jsonl", "cloud.sqlite", "cloud.sqlite-wal", "cloud.sqlite-shm", "gateway/gateway.state.json",
        "gateway/gateway.state.json.lock", "gateway/routes.json",
    }
)  # fmt: skip
"""What belongs to processes that run, can be made again, or is only of use on this computer."""

_STOP_LIMIT_S = 30.0
_PERIOD_S = 3.0

Say = Callable[[str], None]


class Progress:
    """Tells now and then how much is done and how long it may still take."""

    def __init__(self, total_bytes: int, say: Say) -> None:
        self._total_bytes = max(1, total_bytes)
        self._done_bytes = 0
        self._say = say
        self._begun_s = self._told_s = time.monotonic()

    def __call__(self, count_bytes: int) -> None:
        """Take in some more bytes."""
        self._done_bytes += count_bytes
        now_s = time.monotonic()
        if now_s - self._told_s >= _PERIOD_S:
            self._told_s = now_s
            share = min(1.0, self._done_bytes / self._total_bytes)
            left_s = (now_s - self._begun_s) * (1 - share) / max(share, 0.001)
            self._say(f"{share:.0%} done, about {left_s:.0f} s left")


def backup(home: Path, target: Path, *, say: Say | None = None) -> Path:
    """Write a backup and return its file.

    Parameters
    ----------
    target : a file that does not exist yet, or a folder, in which a file named by the time is made.

    Raises
    ------
    BackupError, LocalCloudError
        There is no whole backup; the cloud is as it was.
    """
    tell = say or (lambda _text: None)
    folders = Folders(home)
    if not folders.state.exists():
        raise BackupError(f"There is no local cloud in {folders.cloud}. Nothing was written.")
    if target.is_dir():
        target = target / f"educloud-cloud-{datetime.now(UTC):%Y%m%d-%H%M%S}.tar"
    if target.exists():
        raise BackupError(f"{target} exists already and was left as it is. Choose another name.")
    if not target.parent.is_dir():
        raise BackupError(f"The folder {target.parent} does not exist. Nothing was written.")
    with serialised(folders):
        api = read_json(folders.cloud / "api.state.json")
        runs = api_answers(api)
        if is_alive(api.get("pid"), api.get("start_ticks")):
            tell("The local cloud answers nobody while it is copied; machines go on.")
            if not end(api["pid"], api["start_ticks"], signal.SIGTERM, _STOP_LIMIT_S):
                raise BackupError("The local cloud's process does not end. Nothing was written. Try again.")
        partial = target.with_name(f".{target.name}.partial")
        try:
            asyncio.run(_write(folders, partial, tell))
            partial.rename(target)
        except OSError as error:
            raise BackupError(
                f"{target} cannot be written: {error.strerror}. Nothing was kept of it; the cloud is as it was."
            ) from error
        finally:
            partial.unlink(missing_ok=True)
    if runs:
        process.start(home, hypervisor=str(api.get("hypervisor", "qemu")), say=tell)
    tell(f"{target} holds the whole local cloud ({target.stat().st_size / 2**20:.0f} MiB). Keep it as you keep a key.")
    return target


async def _write(folders: Folders, partial: Path, say: Say) -> None:
    from educloud_lab.localcloud.serve import only_one  # heavy: only the command that needs it pays

    with only_one(folders):
        state = folders.cloud / f".backup-{secrets.token_hex(4)}.sqlite"
        try:
            state.touch(mode=0o600)
            await asyncio.to_thread(copy_database, folders.state, state)
            paths = sorted(_files(folders.cloud))
            machines = _machines(state, folders)
            moving = {path for used in machines.values() for path in used}
            total_bytes = sum(allocated_bytes(path) for path in (state, *paths))
            if shutil.disk_usage(partial.parent).free < total_bytes + (64 << 20):
                need = f"{total_bytes / 2**20:.0f} MiB are needed"
                raise BackupError(f"{partial.parent} has too little room: {need}. Nothing was written.")
            say(f"Copying {total_bytes / 2**20:.0f} MiB, {len(paths) + 1} files.")
            told = Progress(total_bytes, say)
            entries: dict[str, Any] = {}
            descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as stream, tarfile.open(fileobj=stream, mode="w") as archive:

                def add(name: str, path: Path) -> None:
                    entries[name] = backup_file.add_file(archive, name, path, told)

                add("cloud.sqlite", state)
                for path in paths:
                    if path not in moving:
                        await asyncio.to_thread(add, str(path.relative_to(folders.cloud)), path)
                for instance_id, used in machines.items():
                    async with _standing(folders, instance_id):
                        for path in used & set(paths):
                            await asyncio.to_thread(add, str(path.relative_to(folders.cloud)), path)
                document = {"format": backup_file.FORMAT, "made_at": datetime.now(UTC).isoformat(timespec="seconds")}
                backup_file.add_list(archive, document | {"cloud": str(folders.cloud), "files": entries})
            with partial.open("rb") as written:
                os.fsync(written.fileno())
        finally:
            state.unlink(missing_ok=True)


def _files(cloud: Path) -> Iterator[Path]:
    """Yield the files that a backup holds, and the layers that their disks lie on."""
    bases: set[Path] = set()
    for path in cloud.rglob("*"):
        name = path.relative_to(cloud)
        if path.is_symlink() or not path.is_file() or any(part.startswith(".") for part in name.parts):
            continue
        if name.parts[0] in LEFT_OUT or str(name) in LEFT_OUT or name.match("cloud.schema-*"):
            continue
        if path.suffix == ".qcow2":
            with contextlib.suppress(DiskError):  # simulated ones are no disks
                bases |= set(chain(path))
        yield path
    yield from (
        base for base in bases if base.is_relative_to(cloud) and base.relative_to(cloud).parts[0] == "templates"
    )


def _machines(state: Path, folders: Folders) -> dict[str, set[Path]]:
    """Return the disks of instances that may be written to now."""
    found: dict[str, set[Path]] = {}
    with contextlib.closing(sqlite3.connect(state)) as connection:
        query = "SELECT id FROM instance WHERE state IN ('pending', 'running', 'stopping', 'shutting-down')"
        for (instance_id,) in connection.execute(query).fetchall():
            volumes = connection.execute("SELECT volume_id FROM attachment WHERE instance_id = ?", (instance_id,))
            used = {folders.volumes / f"{row[0]}.qcow2" for row in volumes}
            found[instance_id] = used | {folders.roots / f"{instance_id}.qcow2"}
    return found


@contextlib.asynccontextmanager
async def _standing(folders: Folders, instance_id: str) -> Any:
    """Let a machine stand still, its writes on its disks; one that does not run stands already."""
    from educloud_lab.localcloud.hypervisor import qemu_layers
    from educloud_lab.localcloud.hypervisor.qemu_machine import Machine
    from educloud_lab.localcloud.hypervisor.qemu_record import MachineFiles

    files = MachineFiles(
        folder=folders.runtime() / "m" / instance_id, log=folders.log / "machines" / f"{instance_id}.log"
    )
    machine = Machine.find(files)
    if machine is None or not machine.power().alive():
        yield
        return
    try:
        try:
            status = str((await machine.monitor.execute("query-status"))["status"])
            for disk_id in ("root", *(await _plugged(machine))):
                await qemu_layers.stop_jobs(machine.monitor, disk_id)
            await machine.monitor.execute("stop")
        except HypervisorError as error:
            raise BackupError(f"{instance_id} cannot be made to stand still: {error} Nothing was written.") from error
        try:
            yield
        finally:
            if status == "running":
                with contextlib.suppress(HypervisorError):  # it has just ended: the cloud will see that
                    await machine.monitor.execute("cont")
    finally:
        await machine.monitor.close()


async def _plugged(machine: Any) -> list[str]:
    from educloud_lab.localcloud.hypervisor import qemu_disks

    return list(await qemu_disks.plugged(machine.monitor))


def describe(path: Path) -> dict[str, Any]:
    """Return what a file says of itself as JSON; used where disks are simulated."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
