"""The local cloud as the broker finds it: started when needed, its endpoint read from what it announces."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from educloud_lab.adapters.ec2.cloud import Ec2Cloud
from educloud_lab.adapters.ec2.session import Endpoint
from educloud_lab.domain.errors import CloudUnreachableError, MachineUnreachableError
from educloud_lab.localcloud import process
from educloud_lab.localcloud.accounts import load_accounts
from educloud_lab.localcloud.errors import LocalCloudError
from educloud_lab.localcloud.settings import Folders
from educloud_lab.ports.shell import GatewayAddress

if TYPE_CHECKING:
    from mypy_boto3_ec2.client import EC2Client

T = TypeVar("T")

_NOT_RUNNING = "The local cloud is not running."
_START = "Run `educloud cloud start`; if that fails, `educloud doctor` says why."
_KEPT = "Your volumes are files on this computer and stay as they are."


async def ensure_running(home: Path, *, autostart: bool) -> None:
    """Start the local cloud when it does not run and may be started.

    Raises
    ------
    CloudUnreachableError
        It does not run; says why and what to do.
    """
    found = await asyncio.to_thread(process.status, home)
    if found.api_running and found.gateway_running and found.announcement is not None:
        return
    if not autostart:
        raise CloudUnreachableError(_NOT_RUNNING, kept=_KEPT, next_step=_START)
    try:
        await asyncio.to_thread(process.start, home)
    except (LocalCloudError, OSError) as error:
        raise CloudUnreachableError(
            f"The local cloud could not be started. {error}", kept=_KEPT, next_step="`educloud doctor` checks the rest."
        ) from error


def _announced(home: Path) -> dict[str, Any]:
    try:
        loaded: dict[str, Any] = json.loads(Folders(home).announcement.read_text())
    except (OSError, ValueError):
        return {}
    return loaded


def local_endpoint(home: Path) -> Endpoint:
    """Return where the local cloud answers, with the course's account (never the administrator's).

    Raises
    ------
    CloudUnreachableError
        It does not run.
    """
    announced = _announced(home)
    if not announced:
        raise CloudUnreachableError(_NOT_RUNNING, kept=_KEPT, next_step=_START)
    account, secret = load_accounts(Folders(home).credentials).named("educloud")
    return Endpoint(
        url=announced["endpoint_url"],
        access_key=account.access_key,
        secret_key=secret,
        region=announced["region"],
        front_end=announced.get("gateway", {}).get("network", ""),
    )


class LocalEc2Cloud(Ec2Cloud):
    """The local cloud through the same adapter as any other, found again when it was started anew elsewhere.

    A reset gives it new keys, a taken port another address: both are read before each call (two small files).
    While it is not running the error says how to start it.
    """

    def __init__(self, home: Path) -> None:
        super().__init__(local_endpoint(home))
        self._home = home

    async def _call(self, function: Callable[[EC2Client], T]) -> T:
        self._endpoint = await asyncio.to_thread(local_endpoint, self._home)
        return await super()._call(function)


def gateway_address(home: Path) -> GatewayAddress:
    """Return where the gateway listens now: it may have been started again elsewhere.

    Raises
    ------
    MachineUnreachableError
        It does not run.
    """
    gateway = _announced(home).get("gateway")
    if not gateway:
        raise MachineUnreachableError(_NOT_RUNNING, kept=_KEPT, next_step=_START)
    return GatewayAddress(host=gateway["host"], port=gateway["port"], host_key=gateway["host_key"])
