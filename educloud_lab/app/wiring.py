"""Puts the broker together: store, cloud, SSH, front end, profiles. Loaded at the first request, not before."""

from __future__ import annotations

import asyncio
import configparser
import logging
from pathlib import Path
from typing import Any, Literal

from traitlets import TraitError
from traitlets.config import Config

from educloud_lab.adapters.ec2.cloud import Ec2Cloud
from educloud_lab.adapters.ec2.session import Endpoint
from educloud_lab.adapters.sqlstore import SqlStore, load_or_make_keys
from educloud_lab.adapters.ssh import AsyncsshAuthority, AsyncsshShell, GatewayControl
from educloud_lab.app.config import ConfigurationError, Educloud
from educloud_lab.app.control import ControlAuthority, GatewayAddresses
from educloud_lab.app.keeper import Keeper
from educloud_lab.app.local_cloud import LocalEc2Cloud, ensure_running
from educloud_lab.app.machine_profiles import load_profiles
from educloud_lab.broker.broker import Broker
from educloud_lab.broker.clock import SystemClock
from educloud_lab.broker.config import BrokerConfig
from educloud_lab.ports.shell import GatewayAddress

log = logging.getLogger(__name__)


def read_settings(config: Config) -> Educloud:
    """Return the settings, checked.

    Raises
    ------
    ConfigurationError
        A value is wrong, or their combination is unsafe.
    """
    try:
        settings = Educloud(config=config)
        for name in settings.class_own_traits(config=True):
            getattr(settings, name)  # defaults are made lazily, and may be wrong as well
    except TraitError as error:
        raise ConfigurationError(
            f"A setting is wrong: {error}", next_step="Correct it in jupyter_server_config.py and restart the server."
        ) from error
    settings.check()
    return settings


async def build_broker(config: Config) -> Broker:
    """Build and open the broker as configured. Repeatable after a failure.

    Raises
    ------
    EducloudError
        Says what to do.
    """
    settings = read_settings(config)
    home = Path(settings.home)
    await asyncio.to_thread(home.mkdir, mode=0o700, parents=True, exist_ok=True)
    if settings.is_local:
        await ensure_running(home, autostart=settings.autostart_cloud)
        cloud: Ec2Cloud = await asyncio.to_thread(LocalEc2Cloud, home)
    else:
        cloud = Ec2Cloud(await asyncio.to_thread(remote_endpoint, settings))
    found = await asyncio.to_thread(load_profiles, Path(settings.profiles_path), longest_s=settings.time_limit_s)
    for problem in found.problems:
        log.warning("%s", problem)
    keys = await asyncio.to_thread(load_or_make_keys, Path(settings.secret_key_file))
    store = SqlStore(settings.store_url, secret_keys=keys)
    authority = AsyncsshAuthority()
    control = ControlAuthority(store, authority, home if settings.is_local else None)
    kind: Literal["local", "remote"] = "local" if settings.is_local else "remote"
    keeper = Keeper(home) if settings.is_local and settings.autostart_cloud else None
    frontend = _frontend(settings, control)
    broker = WiredBroker(
        keeper,
        store=store,
        cloud=cloud,
        shell=AsyncsshShell(),
        authority=authority,
        frontend=frontend,
        clock=SystemClock(),
        profiles=found.profiles,
        profile_problems=found.problems,
        config=BrokerConfig(
            cloud_kind=kind,
            cloud_name="local cloud" if settings.is_local else settings.cloud_endpoint,
            record_calls=settings.record_calls,
            keep_calls=settings.keep_calls,
        ),
    )
    # The first key pair of a process imports asyncssh: in a thread, so that the loop goes on.
    await asyncio.to_thread(authority.new_key_pair)
    try:
        await store.open()
        await control.prepare()
        await broker.open()
    except BaseException:
        await store.close()  # the next attempt makes its own
        raise
    if keeper is not None:
        keeper.start()
    return broker


class WiredBroker(Broker):
    """A broker that lets go of what was wired to it when it closes.

    Parameters
    ----------
    keeper : looks after the local cloud for as long as the broker is open.
    cloud, frontend, parts : see :class:`Broker`.
    """

    def __init__(
        self, keeper: Keeper | None, *, cloud: Ec2Cloud, frontend: GatewayControl | None, **parts: Any
    ) -> None:
        super().__init__(cloud=cloud, frontend=frontend, **parts)
        self._keeper = keeper
        self._cloud = cloud
        self._control = frontend

    async def close(self) -> None:
        """Stop looking after the cloud, close the broker, then its connections."""
        if self._keeper is not None:
            await self._keeper.close()
        await super().close()
        if self._control is not None:
            await self._control.close()
        self._cloud.close()


def _frontend(settings: Educloud, control: ControlAuthority) -> GatewayControl | None:
    if settings.is_local:
        return GatewayControl(GatewayAddresses(Path(settings.home)), control.credentials)
    if not settings.gateway_host:
        return None
    address = GatewayAddress(settings.gateway_host, settings.gateway_port, settings.gateway_host_key)
    return GatewayControl(address, control.credentials)


def remote_endpoint(settings: Educloud) -> Endpoint:
    """Read the access key of a remote cloud from its file.

    Raises
    ------
    ConfigurationError
        The file does not hold one.
    """
    parser = configparser.ConfigParser(interpolation=None)
    path = Path(settings.credentials_file)
    try:
        parser.read_string(path.read_text())
        section = parser[settings.credentials_profile]
        access_key, secret_key = section["aws_access_key_id"], section["aws_secret_access_key"]
    except (OSError, UnicodeDecodeError, configparser.Error, KeyError) as error:
        # Not the error's own text: it may quote the line with the secret.
        raise ConfigurationError(
            f"The credentials file {path} holds no access key in the section '{settings.credentials_profile}'.",
            next_step="It needs aws_access_key_id and aws_secret_access_key, as AWS's own 'credentials' file.",
        ) from error
    return Endpoint(
        url=settings.cloud_endpoint,
        access_key=access_key,
        secret_key=secret_key,
        region=settings.cloud_region,
        ca_file=Path(settings.cloud_ca_file) if settings.cloud_ca_file else None,
    )
