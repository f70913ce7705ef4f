"""What is kept on disk about one machine, so that a new process of the cloud finds it again.

One folder a machine, inside the 0700 run folder: ``machine.json`` (this record), ``pid``, ``qmp.sock`` (control),
``journal.sock`` and ``journal`` (QEMU's events, written by QEMU itself even while nobody is connected).
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from educloud_lab.localcloud.hypervisor.base import DiskSpec, HypervisorError, MachineSpec

_SCHEMA = 1
_SOCKET_PATH_LIMIT = 107  # sun_path holds 108 bytes with the final zero (unix(7))


@dataclass(frozen=True, slots=True)
class MachineFiles:
    """The paths of one machine."""

    folder: Path
    log: Path

    @property
    def record(self) -> Path:
        """Where the record is kept."""
        return self.folder / "machine.json"

    @property
    def pidfile(self) -> Path:
        """QEMU's own pid file (locked by it: a double start is refused)."""
        return self.folder / "pid"

    @property
    def control(self) -> Path:
        """Socket of the control monitor."""
        return self.folder / "qmp.sock"

    @property
    def channel(self) -> Path:
        """Socket of the second serial port, over which a machine that goes on from a template becomes itself."""
        return self.folder / "who.sock"

    @property
    def journal_socket(self) -> Path:
        """Socket of the monitor whose events are logged."""
        return self.folder / "journal.sock"

    @property
    def journal(self) -> Path:
        """Log of QEMU's events in this life of the machine."""
        return self.folder / "journal"

    def prepare(self) -> None:
        """Make the folder (0700) and remove what an earlier life left. Raises HypervisorError."""
        for path in (self.control, self.journal_socket):
            if len(os.fsencode(path)) > _SOCKET_PATH_LIMIT:
                raise HypervisorError(f"The run folder's path is too long for unix sockets: {path}. Set a shorter one.")
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in (self.control, self.journal_socket, self.channel, self.journal):
            path.unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove the folder. Repeatable."""
        shutil.rmtree(self.folder, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class MachineRecord:
    """One machine as it was started.

    Parameters
    ----------
    pid, start_ticks : the process, None until it runs.
    accel : ``tcg`` or ``kvm``.
    rebooting : a clean reboot was asked for and not yet finished.
    template : the saved memory that it goes on from, '' when it boots.
    network : the driver that connects it, for its life.
    personal : False until a machine that goes on from a template has become itself; it must not be kept before.
    """

    spec: MachineSpec
    accel: str
    pid: int | None = None
    start_ticks: int | None = None
    rebooting: bool = False
    template: str = ""
    personal: bool = True
    network: str = "slirp"


def save(files: MachineFiles, record: MachineRecord) -> None:
    """Write the record whole or not at all."""
    document = {"schema": _SCHEMA, **dataclasses.asdict(record)}
    temporary = files.record.with_suffix(".tmp")
    with temporary.open("w", encoding="utf-8") as stream:
        json.dump(document, stream, default=str, indent=1)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(files.record)


def load(files: MachineFiles) -> MachineRecord | None:
    """Read the record; None when there is none. Raises HypervisorError when it cannot be understood."""
    try:
        document = json.loads(files.record.read_text("utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise HypervisorError(f"The record {files.record} is damaged: {error}. Its machine was left alone.") from error
    if document.get("schema") != _SCHEMA:
        raise HypervisorError(f"The record {files.record} was written by another version; its machine was left alone.")
    return MachineRecord(
        spec=_spec(document["spec"]),
        accel=document["accel"],
        pid=document["pid"],
        start_ticks=document["start_ticks"],
        rebooting=document["rebooting"],
        # Absent in records of machines that an earlier version started.
        template=document.get("template", ""),
        personal=document.get("personal", True),
        network=document.get("network", "slirp"),
    )


def _disk(document: dict[str, Any]) -> DiskSpec:
    return DiskSpec(disk_id=document["disk_id"], path=Path(document["path"]), serial=document["serial"])


def _spec(document: dict[str, Any]) -> MachineSpec:
    return MachineSpec(
        instance_id=document["instance_id"],
        architecture=document["architecture"],
        cpus=document["cpus"],
        memory_bytes=document["memory_bytes"],
        root=_disk(document["root"]),
        kernel=None if document["kernel"] is None else Path(document["kernel"]),
        ramdisk=None if document["ramdisk"] is None else Path(document["ramdisk"]),
        kernel_args=document["kernel_args"],
        mac=document["mac"],
        address=document["address"],
        metadata_socket=Path(document["metadata_socket"]),
        console_path=Path(document["console_path"]),
        disks=tuple(_disk(disk) for disk in document["disks"]),
    )
