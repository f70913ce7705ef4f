"""The gateway's configuration file, gateway.json: read once at start, checked whole, explained when wrong."""

from __future__ import annotations

import ipaddress
import json
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from educloud_lab.gateway import files
from educloud_lab.gateway.errors import GatewayConfigError

MAX_CONFIG_BYTES = 65536


class GatewayLimits(BaseModel):
    """How much the gateway takes on; times in seconds.

    Attributes
    ----------
    connections : int
        Logged-in connections at once; further logins are refused.
    connections_per_identity : int
        Of these, by one identity (one certificate's principals, or one key).
    handshakes : int
        Connections that have not logged in yet; when there are more, the oldest of them is closed.
    handshake_s : float
        A connection that has not logged in by then is closed.
    keepalive_s, keepalive_count : float, int
        A client is asked for a sign of life this often, and dropped when it misses so many.
    channels : int
        Forwards and control commands at once on one connection.
    refusals : int
        Refused requests after which a connection is closed.
    connect_s : float
        How long a machine may take to accept.
    names : int
        Names of lines at once.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    connections: Annotated[int, Field(ge=1, le=100_000)] = 1024
    connections_per_identity: Annotated[int, Field(ge=1, le=100_000)] = 64
    handshakes: Annotated[int, Field(ge=1, le=10_000)] = 64
    handshake_s: Annotated[float, Field(gt=0, le=600)] = 15.0
    keepalive_s: Annotated[float, Field(ge=1, le=3600)] = 30.0
    keepalive_count: Annotated[int, Field(ge=1, le=100)] = 3
    channels: Annotated[int, Field(ge=1, le=10_000)] = 64
    refusals: Annotated[int, Field(ge=1, le=100_000)] = 100
    connect_s: Annotated[float, Field(gt=0, le=120)] = 10.0
    names: Annotated[int, Field(ge=1, le=100_000)] = 8192


class GatewayConfig(BaseModel):
    """The configuration; `load` makes relative paths absolute, beside the configuration file.

    Attributes
    ----------
    listen_host, listen_port : str, int
        Where to listen; port 0 takes a free one, which the state file then tells.
    host_key : Path
        The gateway's private key. Made (ed25519, mode 0600) when absent, never overwritten.
    trusted_ca : Path
        Public keys, one a line, of the authorities that sign the broker's certificate for control commands. While
        the file is absent nobody can give control commands.
    lines : Path
        The folder of authorisation lines, ``NAME.keys``; made (mode 0700) when absent.
    routes : Path
        JSON object from destination to reachable address; may be absent.
    state_file : Path
        Written when the gateway listens, removed when it ends in order.
    direct : bool
        Whether a permitted destination without a route is dialled directly.
    direct_networks : tuple of str
        The only networks dialled directly, so that no line makes the gateway reach its own host.
    limits : GatewayLimits
        See there.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    listen_host: str = "127.0.0.1"
    listen_port: Annotated[int, Field(ge=0, le=65535)] = 2222
    host_key: Path = Path("ssh_host_ed25519_key")
    trusted_ca: Path = Path("trusted_ca.keys")
    lines: Path = Path("lines.d")
    routes: Path = Path("routes.json")
    state_file: Path = Path("gateway.state.json")
    direct: bool = False
    direct_networks: tuple[str, ...] = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10")
    limits: GatewayLimits = GatewayLimits()

    @field_validator("listen_host")
    @classmethod
    def _listen_host_is_an_address(cls, value: str) -> str:
        ipaddress.ip_address(value)
        return value

    @field_validator("direct_networks")
    @classmethod
    def _direct_networks_are_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for network in value:
            ipaddress.IPv4Network(network)
        return value

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read and check a configuration file.

        Raises
        ------
        GatewayConfigError
            Naming the file, and every wrong entry with the reason.
        """
        try:
            text = files.read_limited(path, MAX_CONFIG_BYTES)
            data = json.loads(text)
        except OSError as exc:
            raise GatewayConfigError(
                f"{path} cannot be read ({exc.strerror}). The gateway was not started. Name its configuration file with"
                " --config."
            ) from exc
        except ValueError as exc:
            raise GatewayConfigError(f"{path} is not a JSON text: {exc}. The gateway was not started.") from exc
        try:
            return cls.model_validate(data).beside(path.resolve().parent)
        except ValidationError as exc:
            wrong = "; ".join(
                f"{'.'.join(map(str, error['loc'])) or 'the whole'}: {error['msg']}" for error in exc.errors()
            )
            raise GatewayConfigError(
                f"{path} is not a valid configuration: {wrong}. The gateway was not started; correct these entries."
            ) from exc

    def beside(self, folder: Path) -> Self:
        """Return a copy whose relative paths are taken from `folder`."""
        names = ("host_key", "trusted_ca", "lines", "routes", "state_file")
        return self.model_copy(update={name: folder / getattr(self, name) for name in names})

    def write(self, path: Path) -> None:
        """Write the configuration to `path` (atomically, mode 0600), for whoever starts a gateway."""
        files.write_atomically(path, self.model_dump_json(indent=2) + "\n")

    def may_dial(self, address: str) -> bool:
        """Whether `address` (normalised IPv4) may be dialled without a route."""
        place = ipaddress.IPv4Address(address)
        return self.direct and any(place in ipaddress.IPv4Network(network) for network in self.direct_networks)
