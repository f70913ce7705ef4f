"""Which kind of cloud a state was made as: read without the cloud's process, and before its model is compiled.

A state keeps its profile: ids, security groups and images were made as that cloud makes them, and callers have come to
know them. Another profile needs another home, or a reset.
"""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from educloud_lab.localcloud.errors import LocalCloudError
from educloud_lab.localcloud.model import PROFILES

DEFAULT_PROFILE = PROFILES[0]
KEY = "profile"


class ProfileChangedError(LocalCloudError):
    """The state was made as another kind of cloud; it was left alone."""


def remembered_profile(state: Path) -> str | None:
    """Return the profile of an existing state, None where there is none yet.

    States of version 1 do not name it: they are all Eucalyptus 6.
    """
    if not state.exists():
        return None
    with contextlib.closing(sqlite3.connect(f"file:{state}?mode=ro", uri=True, timeout=5)) as connection:
        try:
            row = connection.execute("SELECT value FROM meta WHERE key = ?", (KEY,)).fetchone()
            if row is not None:
                return str(row[0])
            made = connection.execute("SELECT 1 FROM node LIMIT 1").fetchone()
        except sqlite3.DatabaseError:  # damaged or of a schema that is not ours: whoever opens it says so
            return None
    return DEFAULT_PROFILE if made is not None else None


def choose_profile(state: Path, wanted: str | None) -> str:
    """Return the profile to run with: the one asked for, else the state's own, else Eucalyptus 6.

    Raises
    ------
    ProfileChangedError
        The state was made as another one.
    LocalCloudError
        There is no such profile.
    """
    if wanted is not None and wanted not in PROFILES:
        known = ", ".join(PROFILES)
        raise LocalCloudError(f"There is no profile '{wanted[:60]}'. Nothing was started. Take one of {known}.")
    kept = remembered_profile(state)
    if wanted is not None and kept is not None and kept != wanted:
        raise ProfileChangedError(
            f"This cloud was made with the profile {kept}, and {wanted} was asked for. Nothing was started or changed."
            f" Leave --profile out to go on with it; for a cloud of the profile {wanted} use another --home, or delete"
            " this one with: educloud cloud reset"
        )
    return wanted or kept or DEFAULT_PROFILE
