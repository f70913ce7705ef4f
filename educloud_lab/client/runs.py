"""Commands that go on by themselves on a machine: begun, listed, read, ended. They outlive the kernel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import quote

from educloud_lab.client import work
from educloud_lab.client.plans import Ask
from educloud_lab.wire import models as wire

if TYPE_CHECKING:
    from educloud_lab.client.machine import Machine


def begin(
    machine: Machine,
    command: str,
    *,
    folder: str | None = None,
    environment: Mapping[str, str] | None = None,
    keep: str | None = None,
) -> str:
    """Begin a command and return its name; the parameters are those of :meth:`Machine.run`.

    Raises
    ------
    ConflictError
        The machine is not ready.
    ShellError
        It cannot be reached, or would not begin it.
    """
    from educloud_lab.client.running import begin_background

    request = work.request(command, None, folder, environment, keep)
    return begin_background(machine.client._alive(), machine.id, request)


def listed(machine: Machine) -> wire.BackgroundRuns:
    """Return what runs and ran, newest first."""
    return machine.client._ask(Ask("GET", f"leases/{machine.id}/runs", wire.BackgroundRuns))


def output(machine: Machine, run_id: str, *, most_bytes: int = 65536) -> wire.BackgroundOutput:
    """Return one and the end of what it has printed.

    Raises
    ------
    NotFoundError
        There is no such run on the machine.
    """
    path = f"leases/{machine.id}/runs/{quote(run_id, safe='')}?bytes={most_bytes}"
    return machine.client._ask(Ask("GET", path, wire.BackgroundOutput))


def stop(machine: Machine, run_id: str) -> wire.BackgroundRun:
    """End one, with all that it started; repeatable. Raises as :func:`output`."""
    path = f"leases/{machine.id}/runs/{quote(run_id, safe='')}/stop"
    return machine.client._ask(Ask("POST", path, wire.BackgroundRun))
