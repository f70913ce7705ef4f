"""What there is in the cloud, read from its state without its process and without changing anything."""

from __future__ import annotations

import contextlib
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from educloud_lab.localcloud.errors import LocalCloudError


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
                "SELECT id, CASE WHEN resume THEN 'starts with the cloud' ELSE state END, address, instance_type"
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
