"""Bringing a backup back: unpacked and verified beside the cloud, then put in its place at once."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import shutil
import sqlite3
import subprocess
from pathlib import Path

from educloud_lab.localcloud import backup_file, exchange
from educloud_lab.localcloud.backup import Progress, Say, describe
from educloud_lab.localcloud.backup_file import BackupError
from educloud_lab.localcloud.command import kill_machines, read_json, serialised, stop_gateway
from educloud_lab.localcloud.disklayers import read_header
from educloud_lab.localcloud.disks import DiskError
from educloud_lab.localcloud.errors import SchemaTooNewError
from educloud_lab.localcloud.processes import end_surely, is_alive
from educloud_lab.localcloud.runtime import remove_runtime_folder
from educloud_lab.localcloud.settings import Folders
from educloud_lab.localcloud.state.upgrade import known_schemas

_REASON = "NORMAL:  -- [restored from a backup]"


def restore(home: Path, source: Path, *, replace: bool = False, say: Say | None = None) -> None:
    """Put what a backup holds in the place of the local cloud; it is not started.

    Parameters
    ----------
    replace : whether a cloud that is there may be replaced: its machines are ended, and it is deleted once the
        backup's has taken its place.

    Raises
    ------
    BackupError, SchemaTooNewError, LocalCloudError
        What was there is there still.
    """
    tell = say or (lambda _text: None)
    folders = Folders(home)
    if not source.is_file():
        raise BackupError(f"There is no file {source}. Nothing was changed.")
    folders.make(only_home=True)
    token = secrets.token_hex(4)
    staging = exchange.staging_folder(folders, token)
    try:
        with serialised(folders):
            exchange.settle(folders, tell)
            if folders.state.exists() and not replace:
                raise BackupError(
                    f"There is a local cloud in {folders.cloud} already, and it was left as it is. With --replace the"
                    " backup takes its place: its machines are ended and its volumes deleted. Make a backup of it"
                    " first."
                )
            exchange.remove_leftovers(folders)
            if shutil.disk_usage(home).free < source.stat().st_size + (64 << 20):
                need = f"{source.stat().st_size / 2**20:.0f} MiB are needed"
                raise BackupError(f"{home} has too little room: {need}. Nothing was changed.")
            staging.mkdir(mode=0o700)
            tell(f"Unpacking and checking {source.stat().st_size / 2**20:.0f} MiB.")
            document = backup_file.unpack(source, staging, Progress(source.stat().st_size, tell))
            _check_schema(staging / "cloud.sqlite", source)
            _adjust_rows(staging / "cloud.sqlite")
            _adjust_layers(staging, Path(str(document.get("cloud", ""))), folders.cloud)
            _take_place(folders, token, tell)
        tell("Restored. Start it with: educloud cloud start")
    except OSError as error:
        raise BackupError(f"{source} was not restored: {error}. What was there is there still.") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _check_schema(state: Path, source: Path) -> None:
    try:
        with contextlib.closing(sqlite3.connect(state)) as connection:
            (version,) = connection.execute("SELECT version_num FROM alembic_version").fetchone()
            whole = connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    except (sqlite3.Error, TypeError) as error:
        raise BackupError(f"{source} is damaged: its state cannot be read ({error}). Nothing was changed.") from error
    if not whole:
        raise BackupError(f"{source} is damaged: its state is not whole. Nothing was changed. Use another backup.")
    if version not in known_schemas():
        raise SchemaTooNewError(
            f"{source} was made by a newer version (schema {version}). Nothing was changed. Install that version, then"
            " restore it."
        )


def _adjust_rows(state: Path) -> None:
    """No machine runs in what is restored: those with a root of their own volume are stopped, others start anew."""
    with contextlib.closing(sqlite3.connect(state)) as connection, connection:
        connection.execute(
            "UPDATE instance SET state = 'stopped', reason = ?, address = '', address_shown = 0, started_at = NULL,"
            " force_stop = 0, resume = 0 WHERE state IN ('running', 'stopping') AND root_device_type = 'ebs'",
            (_REASON,),
        )
        connection.execute("UPDATE instance SET resume = 1 WHERE state = 'running' AND root_device_type != 'ebs'")
    with contextlib.closing(sqlite3.connect(state)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("PRAGMA journal_mode=DELETE")


def _adjust_layers(staging: Path, old: Path, new: Path) -> None:
    """Let disks lie on the layers in their new place."""
    for path in staging.rglob("*.qcow2"):
        try:
            base = read_header(path).base
        except DiskError:
            said = describe(path)  # a simulated disk
            if said.get("base"):
                said["base"] = str(_moved(Path(said["base"]), old, new))
                path.write_text(json.dumps(said))
            continue
        if base is None or not base.is_relative_to(old) or old == new:
            continue
        command = ["qemu-img", "rebase", "-u", "-F", "qcow2", "-b", str(_moved(base, old, new)), str(path)]
        try:
            subprocess.run(command, check=True, capture_output=True, timeout=60)
        except (OSError, subprocess.SubprocessError) as error:
            raise BackupError(
                f"The layers of {path.name} cannot be put in their new place ({error}). Nothing was changed. Is"
                " qemu-utils installed?"
            ) from error


def _moved(path: Path, old: Path, new: Path) -> Path:
    return new / path.relative_to(old) if path.is_relative_to(old) else path


def _take_place(folders: Folders, token: str, say: Say) -> None:
    if folders.cloud.exists():
        api = read_json(folders.cloud / "api.state.json")
        if is_alive(api.get("pid"), api.get("start_ticks")):
            end_surely(api["pid"], api["start_ticks"], 20.0)
        stop_gateway(folders)
        if count := asyncio.run(kill_machines(folders, str(api.get("hypervisor", "qemu")))):
            say(f"{count} machines were ended.")
        remove_runtime_folder(folders.home, folders.cloud)
    exchange.take_place(folders, token)
