"""What commands that change the local cloud's processes share: one at a time, and telling what runs."""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import json
import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from educloud_lab.localcloud.processes import end_surely, is_alive
from educloud_lab.localcloud.settings import Folders


def read_json(path: Path) -> dict[str, Any]:
    """Read one of the cloud's small files; empty when it is missing or damaged."""
    try:
        data = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}


def package_version() -> str:
    """Return the version of this package, '' for a source tree that was never installed."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("educloud-lab")
    except PackageNotFoundError:
        return ""


@contextlib.contextmanager
def serialised(folders: Folders) -> Iterator[None]:
    """Let only one command at a time change the processes; a second one waits."""
    descriptor = os.open(folders.home / ".cloud-command.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def api_answers(api: dict[str, Any]) -> bool:
    """Whether the recorded process runs and it is the one that answers at its port."""
    if not is_alive(api.get("pid"), api.get("start_ticks")):
        return False
    request = urllib.request.Request(f"http://{api['host']}:{api['port']}/services/ping")
    # No proxy: one that is set in the environment knows nothing of this computer's loopback.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=5) as answer:
            return bool(json.load(answer).get("boot_id") == api["boot_id"])
    except (OSError, ValueError, http.client.HTTPException):
        return False


def stop_gateway(folders: Folders) -> bool:
    """End the gateway's process; False when it does not run."""
    gateway = read_json(folders.gateway / "gateway.state.json")
    if not is_alive(gateway.get("pid"), gateway.get("start_ticks")):
        return False
    end_surely(gateway["pid"], gateway["start_ticks"], 10.0)
    return True


async def kill_machines(folders: Folders, kind: str) -> int:
    """End every machine that the hypervisor has a record of, whatever the rows say; returns how many."""
    from educloud_lab.localcloud.parts import make_hypervisor  # heavy: only the command that needs it pays
    from educloud_lab.localcloud.settings import Settings

    hypervisor = make_hypervisor(Settings(folders, hypervisor=kind))
    await hypervisor.open()
    try:
        found = list(await hypervisor.report_all())
        for instance_id in found:
            await hypervisor.kill(instance_id)
            await hypervisor.forget(instance_id)
    finally:
        await hypervisor.close()
    return len(found)
