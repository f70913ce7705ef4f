"""The hypervisor port: what the local cloud asks of whatever runs its machines.

Two adapters keep this contract: ``qemu`` (real machines) and ``simulated`` (a state machine, never SSH).
Every method may be repeated: asking for what is already so is success. Nothing here knows EC2's words for
errors; the cloud's operations translate.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol


class HypervisorError(Exception):
    """Something the hypervisor could not do; the message is for an administrator."""


class NotEnoughRoomError(HypervisorError):
    """Too little memory or disk to start or grow: nothing was started."""


class BootRefusedError(HypervisorError):
    """The image cannot run here (missing file, wrong architecture, damaged disk); nothing was started."""


class NoSlotError(HypervisorError):
    """No free slot to plug another disk into."""


class DiskRefusedError(HypervisorError):
    """The machine did not take a layer for its disk, and surely still writes where it did."""


class MachineState(StrEnum):
    """What the hypervisor sees of one machine."""

    ABSENT = "absent"  # no process and no trace of one
    RUNNING = "running"
    PAUSED = "paused"  # e.g. after the host's disk filled up (werror=enospc)
    ENDED = "ended"  # the guest powered off, crashed, or its process was killed


@dataclass(frozen=True, slots=True)
class DiskSpec:
    """One qcow2 disk of a machine.

    Parameters
    ----------
    disk_id : the volume's id (``vol-...``) or ``root``.
    path : the qcow2 file.
    serial : full serial; virtio shows its first 20 characters to the guest.
    """

    disk_id: str
    path: Path
    serial: str


@dataclass(frozen=True, slots=True)
class MachineSpec:
    """Everything needed to start one machine."""

    instance_id: str
    architecture: str
    cpus: int
    memory_bytes: int
    root: DiskSpec
    kernel: Path | None
    ramdisk: Path | None
    kernel_args: str
    mac: str
    address: str  # the private IPv4 address that the guest gets by DHCP
    metadata_socket: Path  # unix socket of the metadata service that knows this instance
    console_path: Path  # console log, appended
    disks: tuple[DiskSpec, ...] = ()  # volumes attached while it was stopped


@dataclass(frozen=True, slots=True)
class MachineReport:
    """The state of one machine as seen now.

    ``reason`` is one of ``guest-shutdown``, ``guest-reset``, ``host-stop``, ``killed``, ``lost`` (it could not be
    reached any more and was ended in order: its disks are whole), ``unknown`` for ended machines and '' otherwise.
    ``disk_ids`` are the plugged volumes (without root). ``template`` names the saved
    memory that it went on from; '' for a machine that booted.
    """

    instance_id: str
    state: MachineState
    reason: str = ""
    disk_ids: tuple[str, ...] = ()
    template: str = ""


class Hypervisor(Protocol):
    """A host that can run machines. Safe to use from one asyncio loop; a new process may take over at any time."""

    reachable: bool
    """Whether its machines can be reached at all: whether :meth:`endpoint` ever has an answer."""

    async def open(self) -> None:
        """Find again the machines that an earlier process left running. Repeatable."""

    async def close(self) -> None:
        """Let go of every machine without stopping it."""

    async def start(self, spec: MachineSpec) -> None:
        """Start the machine; returns once its process runs (not once it has booted).

        Raises
        ------
        NotEnoughRoomError, BootRefusedError, HypervisorError
            Nothing was started.
        """

    async def shut_down(self, instance_id: str, *, grace_s: float) -> None:
        """Press the power button, wait up to ``grace_s``, then cut the power. Absent or ended is success."""

    async def kill(self, instance_id: str) -> None:
        """Cut the power now and wait until the process is gone. Absent is success."""

    async def reboot(self, instance_id: str, *, between: Callable[[], Awaitable[None]] | None = None) -> None:
        """Ask the guest to restart; the process, its disks and its address stay.

        ``between`` is awaited while the guest is off; whether it succeeds or not, the guest comes back. Returns once
        the guest is on again. Raises HypervisorError.
        """

    async def attach(self, instance_id: str, disk: DiskSpec) -> None:
        """Plug a disk into a running machine; plugged already is success. Raises NoSlotError, HypervisorError."""

    async def detach(self, instance_id: str, disk_id: str) -> None:
        """Unplug a disk and wait until the guest let go; not plugged is success. Raises HypervisorError."""

    def resident_bytes(self) -> int:
        """Memory of the host that all machines' processes hold now, not counting what could be read again."""

    async def switch_disk(self, instance_id: str, disk_id: str, overlay: Path, tag: str) -> bool:
        """Let the guest write to ``overlay`` from one moment on (a snapshot); done already is success.

        ``overlay`` is an empty layer, ``<volume>.next-<tag>.qcow2`` beside the volume's file, whose backing file is
        another name of that file. Returns False when the machine does not run or has no such disk: then nobody
        writes. Raises DiskRefusedError: it still writes where it did; HypervisorError: that is not known. Asking again
        is safe.
        """

    async def take_up_layers(self, instance_id: str, disk_id: str, layers: Sequence[Path], base: Path | None) -> bool:
        """Copy into the top layer of a disk in use what lies between it and ``base`` (None: everything).

        ``layers`` are all layers under the top one. Returns False when the machine does not run or has no such disk.
        Cancelled or failed, the disk is as it was. Raises HypervisorError.
        """

    async def resize_disk(self, instance_id: str, disk_id: str, size_bytes: int) -> bool:
        """Grow a disk in use; False when the machine does not run or has no such disk. Raises HypervisorError."""

    async def report(self, instance_id: str) -> MachineReport:
        """What is seen of one machine now; ABSENT when nothing is known of it."""

    async def report_all(self) -> Mapping[str, MachineReport]:
        """What is seen of every known machine."""

    def changed(self) -> frozenset[str] | None:
        """Machines that may have ended or vanished since the last call; None where all have to be looked at."""

    async def forget(self, instance_id: str) -> None:
        """Remove run files of an ended machine. Repeatable."""

    async def endpoint(self, instance_id: str, port: int) -> tuple[str, int] | None:
        """Host address and port by which the gateway reaches ``port`` of the machine, None when there is none."""
