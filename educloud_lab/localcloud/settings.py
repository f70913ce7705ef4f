"""Where the local cloud keeps things and how it behaves."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from educloud_lab.localcloud.errors import LocalCloudError
from educloud_lab.localcloud.runtime import runtime_folder

DEFAULT_PORT = 8773
NETWORK = "172.16.64.0/18"
"""The machines' network; its first address is the router's, and the gateway's towards machines."""


def default_home() -> Path:
    """Return ``EDUCLOUD_HOME``, else the folder for a person's data."""
    if chosen := os.environ.get("EDUCLOUD_HOME"):
        return Path(chosen).expanduser().absolute()
    base = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(base) / "educloud-lab"


def default_warm() -> str:
    """Return ``EDUCLOUD_WARM``: ``auto`` (first starts go on from a saved memory where there is one) or ``off``.

    Without it ``auto``, but ``off`` on Binder, where everything is new each time: the memory is saved after the first
    start, at the cost of a second one, and hardly anybody makes a second machine there.
    """
    chosen = os.environ.get("EDUCLOUD_WARM", "")
    if chosen in {"auto", "off"}:
        return chosen
    return "off" if os.environ.get("BINDER_LAUNCH_HOST") or os.environ.get("BINDER_SERVICE_HOST") else "auto"


@dataclass(frozen=True, slots=True)
class Folders:
    """The local cloud's files under one home. Nothing is made until :meth:`make` is called."""

    home: Path
    cloud: Path = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "home", self.home.absolute())
        object.__setattr__(self, "cloud", self.home / "cloud")

    @property
    def images(self) -> Path:
        """Built images with their manifests."""
        return self.home / "images"

    @property
    def store(self) -> Path:
        """The cloud's own copies (hard links) of registered images."""
        return self.cloud / "images"

    @property
    def volumes(self) -> Path:
        """qcow2 files of volumes."""
        return self.cloud / "volumes"

    @property
    def snapshots(self) -> Path:
        """qcow2 files of snapshots: layers under volumes and other snapshots."""
        return self.cloud / "snapshots"

    @property
    def roots(self) -> Path:
        """Root disks of instance-store instances."""
        return self.cloud / "roots"

    @property
    def templates(self) -> Path:
        """Saved memories of booted machines, from which first starts go on."""
        return self.cloud / "templates"

    @property
    def consoles(self) -> Path:
        """Console logs, one an instance."""
        return self.cloud / "consoles"

    @property
    def log(self) -> Path:
        """Log files."""
        return self.cloud / "log"

    @property
    def gateway(self) -> Path:
        """The gateway's configuration, lines and routes."""
        return self.cloud / "gateway"

    @property
    def state(self) -> Path:
        """The SQLite file."""
        return self.cloud / "cloud.sqlite"

    @property
    def announcement(self) -> Path:
        """``cloud.json``: where the running cloud is found."""
        return self.cloud / "cloud.json"

    @property
    def credentials(self) -> Path:
        """Access keys of the local cloud's accounts."""
        return self.cloud / "credentials.json"

    def make(self, *, only_home: bool = False) -> None:
        """Make the folders, for their owner only.

        Parameters
        ----------
        only_home : make none for a cloud: whether there is one is still to be seen.

        Raises
        ------
        LocalCloudError
            The home cannot be made or written, or belongs to somebody else.
        """
        try:
            self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
            found = self.home.stat()
            if found.st_uid != os.getuid():
                raise LocalCloudError(
                    f"The folder {self.home} belongs to another user. Nothing was started. Set EDUCLOUD_HOME to a"
                    " folder of your own."
                )
            if stat.S_IMODE(found.st_mode) & 0o022:  # whoever may write here may put other folders in these ones' place
                self.home.chmod(0o700)
            if only_home:
                return
            for folder in (
                self.cloud, self.store, self.volumes, self.snapshots, self.roots, self.consoles, self.log, self.gateway,
                self.gateway / "lines.d",
            ):  # fmt: skip
                folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise LocalCloudError(
                f"The folder {self.home} cannot be used ({error.strerror}). Nothing was started. Set EDUCLOUD_HOME to a"
                " folder that you can write."
            ) from error

    def runtime(self) -> Path:
        """Return the 0700 folder for unix sockets, whose paths have to be short; made where missing.

        Raises
        ------
        LocalCloudError
            What lies there belongs to somebody else or is open to others.
        """
        return runtime_folder(self.home, self.cloud)


@dataclass(frozen=True, slots=True)
class Settings:
    """How one local cloud behaves. Durations in seconds."""

    folders: Folders
    profile: str | None = None  # None: as the state was made, else eucalyptus-6
    # Eucalyptus's bootstrap.webservices.unknown_parameter_handling: error or ignore; None: as the last time, else error
    unknown_parameters: str | None = None
    region: str = "eucalyptus"
    zone: str = "one"
    node: str = "node-1"
    hypervisor: str = "qemu"  # qemu, simulated
    simulated_pace: float = 0.0  # simulated machines take this many times as long as a real tiny one; 0: no time
    accel: str = "auto"
    warm: str = field(default_factory=default_warm)
    network: str = NETWORK
    network_driver: str | None = None  # auto, netns, slirp; None: as remembered, else auto
    outbound: bool | None = None  # whether machines reach the outside; None: as remembered, else not
    keep_alive_min: float | None = None  # how long instances live that are made now; None: for ever
    stop_grace_s: float = 30.0
    terminated_listed_s: float = 3600.0
    deleted_listed_s: float = 600.0
    watch_period_s: float = 1.0
    images_period_s: float = 3.0
    memory_margin_bytes: int = 256 << 20  # left to the rest of the computer
    machine_overhead_bytes: int = 114 << 20  # translation cache (64 MiB) and the process itself
    memory_limit_bytes: int | None = None  # what all machines together may take, where it is less than there is
    disk_overcommit: float = 4.0  # disks may promise this many times what is free: nobody fills all of them
    starts_at_once: int = field(default_factory=lambda: max(1, os.cpu_count() or 1))
