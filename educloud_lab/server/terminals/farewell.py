"""Why a connection to a machine has ended, as far as the broker knows: what a terminal says then."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # pydantic is loaded at first use, not with the extension
    from educloud_lab.wire import models as wire

_ENDED = "The connection to the machine has ended"
UNKNOWN = f"{_ENDED}: it was stopped or restarted, or the network failed."


def why_ended(lease: wire.Lease | None, now: datetime) -> str:
    """Return what a terminal says when its connection has gone.

    Parameters
    ----------
    lease : where the lease stands now; None when it is not known.
    now : the broker's time, to compare with the lease's end.
    """
    if lease is None:
        return UNKNOWN
    return " ".join(part for part in (_cause(lease, now), _files(lease)) if part)


def _cause(lease: wire.Lease, now: datetime) -> str:
    if lease.problem is not None:  # a machine that stopped by itself, or a job that failed
        return f"{_ENDED}. {lease.problem.what}"
    if lease.target == "deleted":
        return f"{_ENDED}: the machine was deleted." if lease.status == "new" else f"{_ENDED}: it is being deleted."
    if lease.target == "stopped":
        if lease.status in ("stopped", "new"):
            why = lease.headline.partition(": ")[2]  # "Asleep: its time limit was reached"
            return f"{_ENDED}: the machine was put to sleep{f' ({why})' if why else ''}."
        if lease.expires_at is not None and lease.expires_at <= now:
            return f"{_ENDED}: its time limit was reached, and it is being put to sleep."
        return f"{_ENDED}: it is being put to sleep."
    if lease.status == "running":
        return f"{_ENDED}, but it should be running: the machine restarted by itself, or the network failed."
    return f"{_ENDED}: it is being started again."


def _files(lease: wire.Lease) -> str:
    places = [volume.mount_point for volume in lease.volumes if volume.formatted_at is not None]
    return f"Your files in {' and '.join(places)} are kept." if places else ""
