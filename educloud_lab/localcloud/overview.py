"""What there is in the cloud, read from its state without its process and without changing anything."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from educloud_lab.localcloud.errors import LocalCloudError
from educloud_lab.localcloud.processes import is_alive
from educloud_lab.localcloud.settings import Folders


@dataclass(frozen=True, slots=True)
class Machine:
    """One instance, for people who look at the whole cloud."""

    instance_id: str
    state: str
    address: str
    instance_type: str


@dataclass(frozen=True, slots=True)
class RegisteredImage:
    """One image and what is wrong with it, if anything."""

    image_id: str
    name: str
    kind: str
    state: str
    message: str


@dataclass(frozen=True, slots=True)
class Status:
    """What there is of the local cloud. ``announcement`` is the content of ``cloud.json``, None when it is down."""

    api_running: bool
    gateway_running: bool
    announcement: dict[str, Any] | None
    machines: tuple[Machine, ...]
    images: tuple[RegisteredImage, ...]


def read_rows(state: Path) -> tuple[tuple[Machine, ...], tuple[RegisteredImage, ...]]:
    """Return machines and images; raises :class:`LocalCloudError` when the file is damaged."""
    if not state.exists():
        return (), ()
    with contextlib.closing(sqlite3.connect(f"file:{state}?mode=ro", uri=True, timeout=5)) as connection:
        try:
            machines = connection.execute(
                "SELECT id, CASE WHEN resume THEN 'starts with the cloud' ELSE state END,"
                " CASE WHEN address_shown THEN address ELSE '' END, instance_type"
                " FROM instance WHERE state != 'terminated' ORDER BY id"
            ).fetchall()
            images = connection.execute(
                "SELECT id, name, kind, state, message FROM image WHERE state != 'deregistered' ORDER BY key"
            ).fetchall()
        except sqlite3.DatabaseError as error:
            raise LocalCloudError(
                f"The local cloud's state ({state}) cannot be read: {error}. It was not changed. If `educloud cloud"
                " start` cannot repair it, keep a copy and run `educloud cloud reset`."
            ) from error
    return tuple(Machine(*row) for row in machines), tuple(RegisteredImage(*row) for row in images)


@dataclass(frozen=True, slots=True)
class Picture:
    """All that people who watch the cloud see, each row by its column's name.

    Where there are more machines, volumes, snapshots or images than were asked for, these are the newest; ``counts``
    counts all of them: kind to state to number.
    """

    api_running: bool
    endpoint_url: str
    hypervisor: str
    profile: str
    counts: dict[str, dict[str, int]]
    machines: list[dict[str, Any]]
    volumes: list[dict[str, Any]]
    snapshots: list[dict[str, Any]]
    images: list[dict[str, Any]]
    faults: list[dict[str, Any]]
    events: list[dict[str, Any]]


_QUERIES = {
    "machines": (
        "SELECT i.id, CASE WHEN i.resume THEN 'starts with the cloud' ELSE i.state END AS state,"
        " CASE WHEN i.address_shown THEN i.address ELSE '' END AS address, i.instance_type AS type,"
        " i.image_id AS image,"
        " COALESCE((SELECT value FROM tag WHERE resource_id = i.id AND key = 'Name' LIMIT 1), '') AS name,"
        " i.launched_at, i.reason, i.request_id FROM instance i"
        " ORDER BY i.state = 'terminated', i.launched_at DESC, i.id LIMIT ?"
    ),
    "volumes": (
        "SELECT v.id, v.state, v.size_gib, COALESCE(a.instance_id, '') AS machine, COALESCE(a.device, '') AS device,"
        " COALESCE(a.state, '') AS attachment,"
        " COALESCE((SELECT value FROM tag WHERE resource_id = v.id AND key = 'Name' LIMIT 1), '') AS name,"
        " v.created_at, v.request_id FROM volume v LEFT JOIN attachment a ON a.volume_id = v.id"
        " ORDER BY v.state = 'deleted', v.created_at DESC, v.id LIMIT ?"
    ),
    "snapshots": (
        "SELECT id, state, progress_percent, size_gib, volume_id AS volume, created_at FROM snapshot"
        " WHERE deleted_at IS NULL ORDER BY created_at DESC, id LIMIT ?"
    ),
    "images": (
        "SELECT id, name, kind, state, message FROM image WHERE state != 'deregistered' ORDER BY key LIMIT ?"
    ),
    "faults": "SELECT id, kind, operation, struck, remaining FROM fault ORDER BY created_at LIMIT ?",
    "events": (
        "SELECT * FROM (SELECT id, at, kind, resource_id AS resource, text, request_id FROM event"
        " ORDER BY id DESC LIMIT ?) ORDER BY id"
    ),
}  # fmt: skip
_COUNTED = {"machines": "instance", "volumes": "volume", "snapshots": "snapshot", "images": "image"}


def look(folders: Folders, *, rows: int = 200, events: int = 200) -> Picture:
    """Return what there is now, whether the cloud's process runs or not; nothing is changed.

    Parameters
    ----------
    rows : of each kind, at most.
    events : the newest so many.

    Raises
    ------
    LocalCloudError
        The state is damaged, or another version's.
    """
    api, told = _json(folders.cloud / "api.state.json"), _json(folders.announcement)
    running = is_alive(api.get("pid"), api.get("start_ticks"))
    counts: dict[str, dict[str, int]] = {kind: {} for kind in _COUNTED}
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in _QUERIES}
    if folders.state.exists():
        with contextlib.closing(sqlite3.connect(f"file:{folders.state}?mode=ro", uri=True, timeout=5)) as connection:
            connection.row_factory = sqlite3.Row
            try:
                connection.execute("BEGIN")  # one moment for all tables
                for kind, table in _COUNTED.items():
                    query = f"SELECT state, count(*) FROM {table} GROUP BY state"  # noqa: S608 (names of our own)
                    counts[kind] = {row[0]: row[1] for row in connection.execute(query)}
                for name, query in _QUERIES.items():
                    limit = events if name == "events" else rows
                    found[name] = [_plain(row) for row in connection.execute(query, (limit,))]
            except sqlite3.DatabaseError as error:
                raise LocalCloudError(
                    f"The local cloud's state ({folders.state}) cannot be read: {error}. It was not changed. If it was"
                    " written by an older version, run `educloud cloud start` first."
                ) from error
    endpoint = str(told.get("endpoint_url", "")) if running else ""
    hypervisor, profile = str(api.get("hypervisor", "")), str(api.get("profile", ""))
    return Picture(running, endpoint, hypervisor, profile, counts, **found)


def _plain(row: sqlite3.Row) -> dict[str, Any]:
    """Return a row with times as text, and nothing in it that could move a terminal's cursor."""
    plain: dict[str, Any] = {}
    for name in row.keys():  # noqa: SIM118 (a row of sqlite3 iterates over values)
        value = row[name]
        if isinstance(value, str):
            value = "".join(c if c.isprintable() else "?" for c in value)
            if name.endswith("_at") or name == "at":
                value = value[:19].replace(" ", "T") + "Z"
        plain[name] = value
    return plain


def _json(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}
