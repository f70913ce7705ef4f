"""The local cloud's own process: opens the port, then the cloud, and ends in order on a signal.

SIGTERM and SIGINT end the process and leave the machines running; SIGUSR2 shuts the machines down first.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import gc
import json
import logging
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from aiohttp import web

from educloud_lab.localcloud.accounts import write_private
from educloud_lab.localcloud.api.runner import runner_of
from educloud_lab.localcloud.command import package_version, read_json
from educloud_lab.localcloud.errors import AlreadyRunningError
from educloud_lab.localcloud.listening import HOST, bind
from educloud_lab.localcloud.processes import start_ticks
from educloud_lab.localcloud.service import LocalCloud
from educloud_lab.localcloud.settings import Folders, Settings

log = logging.getLogger("educloud.cloud")


async def serve(settings: Settings, port: int | None) -> None:
    """Serve until a signal comes.

    Parameters
    ----------
    port : the port that was asked for; None takes the last one, the usual one, or any free one, in that order.

    Raises
    ------
    AlreadyRunningError, PortTakenError, SchemaTooNewError
        Nothing was started or changed.
    """
    folders = settings.folders
    folders.make()
    with only_one(folders):
        bound = bind(port, _last_port(folders))
        settings = replace(settings, unknown_parameters=settings.unknown_parameters or _last_handling(folders))
        cloud = LocalCloud(settings)
        runner = runner_of(cloud.api.application(), shutdown_timeout=2.0)
        asked = asyncio.get_running_loop().create_future()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR2):
            asyncio.get_running_loop().add_signal_handler(number, _ask, asked, number)
        try:
            await cloud.open()
            await runner.setup()
            await web.SockSite(runner, bound).start()
            _tell(folders, settings, cloud.cloud.model.profile, bound.getsockname()[1], cloud.api.boot_id)
            gc.freeze()  # what was loaded stays for as long as the process: it is never looked through again
            gc.enable()
            log.info("The local cloud answers at http://%s:%d/services/compute", *bound.getsockname())
            number = await asked
            log.info("Ending on %s", signal.Signals(number).name)
            await runner.cleanup()
            if number == signal.SIGUSR2:
                count = await cloud.halt()
                log.info("%d machines were shut down", count)
        finally:
            await runner.cleanup()
            await cloud.close()
            bound.close()


async def halt(settings: Settings) -> int:
    """Shut down the machines of a cloud whose process does not run; returns how many."""
    settings.folders.make()
    with only_one(settings.folders):
        cloud = LocalCloud(settings)
        try:
            await cloud.open(supervise=False)
            return await cloud.halt()
        finally:
            await cloud.close()


@contextlib.contextmanager
def only_one(folders: Folders) -> Iterator[None]:
    """Hold the lock of this home's cloud; a killed process leaves nothing to clean up."""
    descriptor = os.open(folders.cloud / "api.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise AlreadyRunningError(
                f"Another process already serves the local cloud in {folders.cloud}; it was left alone."
            ) from error
        yield
    finally:
        os.close(descriptor)


def state_file(folders: Folders) -> Path:
    """Return where the process tells where it listens."""
    return folders.cloud / "api.state.json"


def _last_port(folders: Folders) -> int | None:
    port = read_json(state_file(folders)).get("port")
    return port if isinstance(port, int) and 0 < port < 65536 else None


def _last_handling(folders: Folders) -> str:
    """Return what was done with unknown parameters the last time."""
    return "ignore" if read_json(state_file(folders)).get("unknown_parameters") == "ignore" else "error"


def _tell(folders: Folders, settings: Settings, profile: str, port: int, boot_id: str) -> None:
    state = {
        "pid": os.getpid(),
        "start_ticks": start_ticks(os.getpid()),
        "host": HOST,
        "port": port,
        "boot_id": boot_id,
        "version": package_version(),
        "profile": profile,
        "region": settings.region,
        "hypervisor": settings.hypervisor,
        "unknown_parameters": settings.unknown_parameters,
    }
    write_private(state_file(folders), json.dumps(state, indent=1) + "\n")


def _ask(asked: asyncio.Future[int], number: int) -> None:
    if not asked.done():
        asked.set_result(number)
