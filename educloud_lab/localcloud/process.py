"""Starting, stopping and looking after the local cloud's two processes: the API and the gateway."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import http.client
import json
import os
import shutil
import signal
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from educloud_lab.gateway.config import GatewayConfig
from educloud_lab.localcloud.accounts import load_accounts, write_private
from educloud_lab.localcloud.errors import LocalCloudError, StartFailedError
from educloud_lab.localcloud.listening import bind
from educloud_lab.localcloud.overview import Status, read_rows
from educloud_lab.localcloud.processes import end, end_surely, is_alive, launch
from educloud_lab.localcloud.runtime import remove_runtime_folder
from educloud_lab.localcloud.settings import Folders

READY_LIMIT_S = 60.0
STOP_LIMIT_S = 90.0


def start(
    home: Path, *, port: int | None = None, hypervisor: str | None = None, say: Callable[[str], None] | None = None
) -> dict[str, Any]:
    """Start what does not run and return the announcement; quick when everything runs.

    Parameters
    ----------
    port : of the API; default the last one used, 8773, or any free one.
    hypervisor : ``qemu`` (default) or ``simulated``.
    say : told about each step, for people.

    Raises
    ------
    PortTakenError, StartFailedError, LocalCloudError
        The message says what to do.
    """
    tell = say or (lambda _text: None)
    folders = Folders(home)
    folders.make()
    folders.runtime()
    with _serialised(folders):
        api = _read(folders.cloud / "api.state.json")
        if _api_answers(api):
            if port is not None and api["port"] != port:
                raise LocalCloudError(
                    f"The local cloud already runs, on port {api['port']}. It was left alone; run"
                    " `educloud cloud stop` first to move it."
                )
            tell(f"The local cloud already runs (process {api['pid']}).")
        else:
            if is_alive(api.get("pid"), api.get("start_ticks")):
                end_surely(api["pid"], api["start_ticks"], 5.0)  # it runs, but answers nothing any more
            if port is not None:
                bind(port, None).close()  # so that the refusal comes from here, in one sentence
            arguments = ["cloud", "serve"]
            arguments += [f"--port={port}"] if port is not None else []
            arguments += [f"--hypervisor={hypervisor}"] if hypervisor is not None else []
            launch(
                arguments, folders.log / "api.log", folders.home, lambda pid: _api_ready(folders, pid), READY_LIMIT_S
            )
            api = _read(folders.cloud / "api.state.json")
            tell(f"The local cloud answers at {_endpoint(api)}.")
        gateway = _read(folders.gateway / "gateway.state.json")
        if is_alive(gateway.get("pid"), gateway.get("start_ticks")):
            tell(f"The gateway already runs (process {gateway['pid']}).")
        else:
            gateway = _start_gateway(folders)
            tell(f"The gateway listens at {gateway['host']}:{gateway['port']}.")
        announcement = _announcement(api, gateway)
        text = json.dumps(announcement, indent=2) + "\n"
        if not folders.announcement.exists() or folders.announcement.read_text() != text:
            write_private(folders.announcement, text)
        return announcement


def status(home: Path) -> Status:
    """Look at the cloud without changing anything."""
    folders = Folders(home)
    api, gateway = _read(folders.cloud / "api.state.json"), _read(folders.gateway / "gateway.state.json")
    running = _api_answers(api)
    machines, images = read_rows(folders.state)
    return Status(
        api_running=running,
        gateway_running=is_alive(gateway.get("pid"), gateway.get("start_ticks")),
        announcement=_read(folders.announcement) or None if running else None,
        machines=machines,
        images=images,
    )


def stop(home: Path, *, leave_machines: bool = False, say: Callable[[str], None] | None = None) -> bool:
    """Stop the cloud; False when nothing ran. Machines are shut down in order unless they are to be left."""
    tell = say or (lambda _text: None)
    folders = Folders(home)
    if not folders.cloud.exists():
        return False
    with _serialised(folders):
        api, did = _read(folders.cloud / "api.state.json"), False
        if is_alive(api.get("pid"), api.get("start_ticks")):
            did = True
            tell("Stopping the local cloud." if leave_machines else "Shutting machines down; this takes some seconds.")
            number = signal.SIGTERM if leave_machines else signal.SIGUSR2
            if not end(api["pid"], api["start_ticks"], number, STOP_LIMIT_S):
                end_surely(api["pid"], api["start_ticks"], 5.0)
        elif not leave_machines and any(m.state in ("running", "pending") for m in read_rows(folders.state)[0]):
            did = True
            tell("The local cloud was not running; shutting down the machines that it left.")
            asyncio.run(_halt(folders, api))
        did = _stop_gateway(folders) or did
        folders.announcement.unlink(missing_ok=True)
        return did


def reset(home: Path, *, say: Callable[[str], None] | None = None) -> None:
    """Stop everything and delete the cloud's state, volumes and keys. Built images stay."""
    tell = say or (lambda _text: None)
    folders = Folders(home)
    if not folders.cloud.exists():
        tell("There is no local cloud.")
        return
    with _serialised(folders):
        api = _read(folders.cloud / "api.state.json")
        if is_alive(api.get("pid"), api.get("start_ticks")):
            end_surely(api["pid"], api["start_ticks"], 20.0)
        _stop_gateway(folders)
        # Machines are found by the hypervisor's own records, so that even a broken state can be reset.
        count = asyncio.run(_kill_machines(folders, str(api.get("hypervisor", "qemu"))))
        tell(f"{count} machines were ended." if count else "No machines were running.")
        remove_runtime_folder(folders.home, folders.cloud)
        shutil.rmtree(folders.cloud)
        tell(f"{folders.cloud} was deleted.")


def _start_gateway(folders: Folders) -> dict[str, Any]:
    path = folders.gateway / "gateway.json"
    last = _read(path).get("listen_port", 0)
    for port in dict.fromkeys((last if isinstance(last, int) else 0, 0)):
        GatewayConfig(listen_port=port).write(path)
        try:
            launch(
                ["gateway", f"--config={path}"],
                folders.log / "gateway.log",
                folders.home,
                lambda pid: _read(folders.gateway / "gateway.state.json").get("pid") == pid,
                READY_LIMIT_S,
            )
        except StartFailedError:
            if port == 0:
                raise
            continue  # the port that it had last time may be taken by now: any other will do
        break
    state = _read(folders.gateway / "gateway.state.json")
    # The same port the next time, so that what people wrote into their SSH configuration stays right.
    GatewayConfig(listen_port=state["port"]).write(path)
    return state


def _stop_gateway(folders: Folders) -> bool:
    gateway = _read(folders.gateway / "gateway.state.json")
    if not is_alive(gateway.get("pid"), gateway.get("start_ticks")):
        return False
    end_surely(gateway["pid"], gateway["start_ticks"], 10.0)
    return True


def _announcement(api: dict[str, Any], gateway: dict[str, Any]) -> dict[str, Any]:
    return {
        "version": 1,
        "endpoint_url": _endpoint(api),
        "region": api["region"],
        "profile": api["profile"],
        "hypervisor": api["hypervisor"],
        "gateway": {"host": gateway["host"], "port": gateway["port"], "host_key": gateway["host_key"]},
        "pids": {
            "api": {"pid": api["pid"], "start_ticks": api["start_ticks"]},
            "gateway": {"pid": gateway["pid"], "start_ticks": gateway["start_ticks"]},
        },
    }


def _endpoint(api: dict[str, Any]) -> str:
    return f"http://{api['host']}:{api['port']}/services/compute"


def _api_ready(folders: Folders, pid: int) -> bool:
    api = _read(folders.cloud / "api.state.json")
    return api.get("pid") == pid and _api_answers(api)


def _api_answers(api: dict[str, Any]) -> bool:
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


def _read(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}


@contextlib.contextmanager
def _serialised(folders: Folders) -> Iterator[None]:
    """Let only one command at a time change the processes; a second one waits."""
    descriptor = os.open(folders.home / ".cloud-command.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


async def _halt(folders: Folders, api: dict[str, Any]) -> None:
    from educloud_lab.localcloud.serve import halt  # heavy: only the command that needs it pays
    from educloud_lab.localcloud.settings import Settings

    await halt(Settings(folders, hypervisor=str(api.get("hypervisor", "qemu"))))


async def _kill_machines(folders: Folders, kind: str) -> int:
    from educloud_lab.localcloud.service import make_hypervisor  # heavy: only the command that needs it pays
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


def environment(home: Path) -> dict[str, str]:
    """Return what a person's own EC2 tools need to speak to the running cloud.

    Raises
    ------
    LocalCloudError
        The cloud does not run.
    """
    folders = Folders(home)
    announcement = _read(folders.announcement)
    if not announcement:
        raise LocalCloudError("The local cloud does not run. Start it with: educloud cloud start")
    account, secret = load_accounts(folders.credentials).named("educloud")
    return {
        "AWS_ACCESS_KEY_ID": account.access_key,
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_DEFAULT_REGION": announcement["region"],
        "AWS_ENDPOINT_URL_EC2": announcement["endpoint_url"],
        "EC2_URL": announcement["endpoint_url"],
    }
