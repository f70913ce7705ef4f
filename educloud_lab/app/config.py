"""Configuration: one traitlets class, the same for the Jupyter extension and the command line.

``c.Educloud.…`` in ``jupyter_server_config.py`` or ``jupyter_educloud_config.py``, or ``--Educloud.…=`` on a command
line. Values are checked one by one here; combinations that would be unsafe are refused by :meth:`Educloud.check`,
whose error the sidebar shows.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from traitlets import Bool, Enum, Int, TraitError, Unicode, default, validate
from traitlets.config import Configurable

from educloud_lab.app.person import is_hub_spawned
from educloud_lab.domain.errors import BadInputError
from educloud_lab.localcloud.settings import default_home

_STORES = ("sqlite", "postgresql+psycopg")


class ConfigurationError(BadInputError):
    """The configuration is wrong or unsafe; the broker does not start."""

    code = "bad-configuration"


class Educloud(Configurable):
    """How the embedded broker runs. Without any setting it uses the local cloud of this computer."""

    home = Unicode(help="Folder for images, the local cloud, the store and keys (EDUCLOUD_HOME).").tag(config=True)
    profiles_path = Unicode(help="Folder with machine profiles (*.toml); default: 'profiles' in home.").tag(config=True)
    store_url = Unicode(
        help="SQLAlchemy URL of the broker's store: sqlite or postgresql+psycopg; default: store.sqlite in home."
    ).tag(config=True)
    secret_key_file = Unicode(
        help="File with the keys that encrypt private keys inside the store; default: secret.key in home."
    ).tag(config=True)

    cloud_endpoint = Unicode("", help="Compute endpoint of a remote EC2-compatible cloud; empty: the local cloud.").tag(
        config=True
    )
    cloud_region = Unicode("eucalyptus", help="Region name used in signatures.").tag(config=True)
    cloud_ca_file = Unicode("", help="Certificate authority of an https endpoint (self-signed ones).").tag(config=True)
    credentials_file = Unicode(
        "", help="File in the form of AWS's 'credentials' with the access key for a remote cloud; mode 0600."
    ).tag(config=True)
    credentials_profile = Unicode("default", help="Section of the credentials file.").tag(config=True)
    credentials_owner = Enum(
        ("personal", "institution"),
        "personal",
        help="Whose credentials these are. An embedded broker refuses an institution's: a person reads their server.",
    ).tag(config=True)
    allow_credentials_under_hub = Bool(
        False, help="Allow personal credentials for a remote cloud in a server that JupyterHub started."
    ).tag(config=True)
    autostart_cloud = Bool(True, help="Start the local cloud when it is needed and does not run.").tag(config=True)

    gateway_host = Unicode("", help="SSH front end of a remote cloud's private network; empty: none.").tag(config=True)
    gateway_port = Int(22, min=1, max=65535, help="Its port.").tag(config=True)
    gateway_host_key = Unicode("", help="The public host key that it must show (one line).").tag(config=True)

    time_limit_s = Int(
        12 * 3600, min=60, max=30 * 86400, help="Longest session that a machine profile may give, in seconds."
    ).tag(config=True)

    record_calls = Bool(
        True, help='Keep what each action called in the cloud, without secrets, for "What just happened".'
    ).tag(config=True)
    keep_calls = Int(20, min=1, max=1000, help="Of so many of each machine's latest actions.").tag(config=True)

    @default("home")
    def _default_home(self) -> str:
        return str(default_home())

    @default("profiles_path")
    def _default_profiles_path(self) -> str:
        return str(Path(self.home) / "profiles")

    @default("store_url")
    def _default_store_url(self) -> str:
        return f"sqlite:///{Path(self.home) / 'store.sqlite'}"

    @default("secret_key_file")
    def _default_secret_key_file(self) -> str:
        return str(Path(self.home) / "secret.key")

    @validate("home", "profiles_path", "secret_key_file", "cloud_ca_file", "credentials_file")
    def _absolute(self, proposal: dict[str, str]) -> str:
        value = proposal["value"]
        return str(Path(value).expanduser().absolute()) if value else ""

    @validate("cloud_endpoint")
    def _endpoint(self, proposal: dict[str, str]) -> str:
        value = proposal["value"].strip()
        if not value:
            return ""
        parts = urlsplit(value)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise TraitError("Educloud.cloud_endpoint must look like https://host:port/services/compute/")
        if parts.username or parts.password or parts.query:
            raise TraitError("Educloud.cloud_endpoint must not hold credentials; use Educloud.credentials_file")
        return value

    @validate("store_url")
    def _store(self, proposal: dict[str, str]) -> str:
        value = proposal["value"]
        if value.partition(":")[0] not in _STORES:
            raise TraitError(f"Educloud.store_url must begin with one of {', '.join(_STORES)}")
        return value

    @property
    def is_local(self) -> bool:
        """Whether the cloud is the bundled one."""
        return not self.cloud_endpoint

    def check(self, environ: Mapping[str, str] | None = None) -> None:
        """Refuse combinations that would put somebody's credentials where another person can read them.

        Raises
        ------
        ConfigurationError
            Says which settings, and what to do.
        """
        if self.is_local:  # its account is the person's own, made on this computer; always allowed (Binder)
            return
        if self.credentials_owner == "institution":
            raise ConfigurationError(
                "An institution's cloud credentials were configured for a broker inside a Jupyter server, whose owner"
                " can read them.",
                kept="They were not read.",
                next_step="Run the broker as a JupyterHub service, or use personal credentials.",
            )
        if is_hub_spawned(environ) and not self.allow_credentials_under_hub:
            raise ConfigurationError(
                "Personal cloud credentials were configured in a server that JupyterHub started.",
                kept="They were not read.",
                next_step="Set Educloud.allow_credentials_under_hub = True if this Hub's operators may see them.",
            )
        if self.cloud_endpoint.startswith("http:") and urlsplit(self.cloud_endpoint).hostname not in {
            "127.0.0.1",
            "localhost",
            "::1",
        }:
            # Signed requests carry no secret key, but user data (a bootstrap host key) would be readable on the way.
            raise ConfigurationError(
                "Educloud.cloud_endpoint uses http to another computer; keys in user data could be read on the way.",
                kept="Nothing was sent.",
                next_step="Use the cloud's https endpoint (Educloud.cloud_ca_file for its own authority).",
            )
        if self.gateway_host and not self.gateway_host_key:
            raise ConfigurationError(
                "Educloud.gateway_host is set without Educloud.gateway_host_key.",
                kept="No connection was made.",
                next_step="Ask the front end's operator for its public host key; without it anybody could pose as it.",
            )
        if not self.credentials_file:
            raise ConfigurationError(
                "Educloud.cloud_endpoint is set without Educloud.credentials_file.",
                next_step="Write your access key into a file in AWS's form and name it in Educloud.credentials_file.",
            )
        path = Path(self.credentials_file)
        try:
            found = path.stat()
        except OSError as error:
            raise ConfigurationError(
                f"The credentials file {path} cannot be read: {error.strerror}.",
                next_step="Check Educloud.credentials_file.",
            ) from error
        if stat.S_IMODE(found.st_mode) & 0o077 or found.st_uid != os.getuid():
            raise ConfigurationError(
                f"The credentials file {path} is not yours alone.",
                kept="It was not read.",
                next_step=f"Run: chmod 600 '{path}'",
            )
