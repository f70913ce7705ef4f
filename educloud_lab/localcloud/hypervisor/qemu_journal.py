"""Why a machine ended: read from QEMU's own event log, which is written even while the cloud's process is down.

A second monitor is put into command mode once, right after the start, and left without a client; QEMU then keeps
writing its events to that character device's log file. SIGKILL leaves no event, which is how it is told apart.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from educloud_lab.localcloud.hypervisor.base import HypervisorError

_PRIME_LIMIT_S = 5.0
_OWN_KILL = "EDUCLOUD_KILL"

_REASONS = {
    "guest-shutdown": "guest-shutdown",
    "guest-reset": "guest-reset",
    "guest-panic": "guest-reset",
    "host-qmp-quit": "host-stop",
    # SIGTERM came from outside (an administrator, the host going down): the cloud itself never sends it.
    "host-signal": "killed",
}
"""QEMU's ShutdownCause (qapi/run-state.json) -> the port's reasons."""


async def prime(socket: Path) -> None:
    """Put the journal's monitor into command mode, so that its events are logged from now on.

    Raises
    ------
    HypervisorError
        The monitor did not answer; the machine runs, but its end will be reported as ``killed``.
    """
    try:
        async with asyncio.timeout(_PRIME_LIMIT_S):
            reader, writer = await asyncio.open_unix_connection(str(socket))
            try:
                await reader.readline()  # the greeting
                writer.write(b'{"execute": "qmp_capabilities"}\n')
                await reader.readline()
            finally:
                writer.close()
    except (OSError, TimeoutError) as error:
        raise HypervisorError(f"The journal monitor {socket} did not answer.") from error


def is_primed(journal: Path) -> bool:
    """Whether the journal was put into command mode in this life of the machine."""
    return any("return" in entry for entry in _entries(journal))


def note_kill(journal: Path) -> None:
    """Record that the cloud itself is about to cut the power by a signal."""
    with journal.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps({"event": _OWN_KILL}) + "\n")


def end_reason(journal: Path) -> str:
    """Why the machine ended: the port's word; ``unknown`` when the journal is missing."""
    if not journal.exists():
        return "unknown"
    reason = "killed"
    for entry in _entries(journal):
        event = entry.get("event")
        if event == _OWN_KILL:
            reason = "host-stop"
        elif event == "SHUTDOWN":
            reason = _REASONS.get(entry.get("data", {}).get("reason", ""), "unknown")
        elif event in {"RESET", "RESUME"}:
            reason = "killed"  # it went on after that shutdown (a clean reboot)
    return reason


def _entries(journal: Path) -> Iterator[dict[str, Any]]:
    try:
        text = journal.read_text("utf-8", "replace")
    except FileNotFoundError:
        return
    for line in text.splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue  # cut off in the middle of a line by SIGKILL
        if isinstance(entry, dict):
            yield entry
