"""Lives of the local cloud's process for the SIGKILL tests: imports once, forks a life for each line that it is told.

A line is a JSON object: ``home``, ``hypervisor``, ``pace``, and ``kill_at``, the number of the step at which that life
ends by SIGKILL (0: it is ended from outside). Steps are counted before and after every commit, every disk that is made
or removed, every call of the hypervisor, and between the effect of a request and its answer. The life's pid is
answered; the step that killed it is left in ``home/killed-at``.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import json
import os
import signal
import sys
import traceback
from pathlib import Path

from educloud_lab.localcloud import service
from educloud_lab.localcloud.api.http import Api
from educloud_lab.localcloud.hypervisor.qemu import QemuHypervisor
from educloud_lab.localcloud.hypervisor.simulated import SimulatedHypervisor
from educloud_lab.localcloud.serve import serve
from educloud_lab.localcloud.settings import Folders, Settings
from educloud_lab.localcloud.state.database import Database
from educloud_lab.localcloud.work import diskroom

QUIET = {"report", "report_all", "endpoint", "open", "close", "check_room", "check_unused", "tidy"}
"""Methods that change nothing."""


class Steps:
    """Counts steps and dies at the one that was chosen."""

    def __init__(self, kill_at: int, note: Path):
        self.left = kill_at
        self.note = note

    def step(self, name: str) -> None:
        self.left -= 1
        if self.left == 0:
            self.note.write_text(name)
            os.kill(os.getpid(), signal.SIGKILL)

    def around(self, owner: type, name: str) -> None:
        """Count a step before and after a method."""
        real = getattr(owner, name)
        label = f"{owner.__name__}.{name}"
        if inspect.iscoroutinefunction(real):

            @functools.wraps(real)
            async def wrapped(*args, **options):
                self.step(f"before {label}")
                result = await real(*args, **options)
                self.step(f"after {label}")
                return result

        else:

            @functools.wraps(real)
            def wrapped(*args, **options):
                self.step(f"before {label}")
                result = real(*args, **options)
                self.step(f"after {label}")
                return result

        setattr(owner, name, wrapped)

    def around_all(self, owner: type) -> None:
        """Count steps around every method that may change something."""
        for name, method in inspect.getmembers(owner, inspect.iscoroutinefunction):
            if not name.startswith("_") and name not in QUIET and method is not None:
                self.around(owner, name)


def live(order: dict) -> None:
    """Be the cloud's process until killed."""
    home = Path(order["home"])
    folders = Folders(home)
    folders.make()
    sink = os.open(folders.log / "api.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(sink, 1)
    os.dup2(sink, 2)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.setsid()
    (home / "killed-at").unlink(missing_ok=True)
    steps = Steps(order["kill_at"], home / "killed-at")
    steps.around(Database, "_commit")
    steps.around(Api, "_perform")
    for owner in (SimulatedHypervisor, QemuHypervisor, diskroom.SimulatedDisks, diskroom.QemuDisks):
        steps.around_all(owner)
    options = {"simulated_pace": order["pace"]} if order["hypervisor"] == "simulated" else {"accel": "tcg"}
    options |= order.get("settings", {})
    settings = Settings(folders, hypervisor=order["hypervisor"], watch_period_s=0.1, **options)
    asyncio.run(serve(settings, order["port"] or None))


def main() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for a life: the kernel clears it away
    assert service.LocalCloud
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            try:
                live(json.loads(line))
            except BaseException:  # noqa: BLE001 (whatever it was, it belongs into the log of that life)
                traceback.print_exc()
            finally:
                os._exit(1)
        print(pid, flush=True)


if __name__ == "__main__":
    main()
