"""Starting one QEMU process: what is checked before, and what its refusal means."""

from __future__ import annotations

import asyncio
import shutil
import struct
from pathlib import Path

from educloud_lab.localcloud.hypervisor.base import (
    BootRefusedError,
    HypervisorError,
    MachineSpec,
    NoSlotError,
    NotEnoughRoomError,
)
from educloud_lab.localcloud.hypervisor.qemu_command import PORT_COUNT
from educloud_lab.localcloud.hypervisor.qemu_process import ProcessStat, find_by_pidfile
from educloud_lab.localcloud.hypervisor.qemu_record import MachineFiles

DEFAULT_BINARY = "qemu-system-x86_64"
_LAUNCH_LIMIT_S = 30.0
_ELF_X86_64 = 62


def find_binary(binary: str | None) -> str:
    """Give the absolute path of QEMU. Raises BootRefusedError that says what to install."""
    name = binary or DEFAULT_BINARY
    found = shutil.which(name)
    if found is None:
        raise BootRefusedError(
            f"{name} was not found. Nothing was started. Install QEMU (on Debian and Ubuntu: "
            "`sudo apt-get install qemu-system-x86 qemu-utils`), then start again."
        )
    return found


def check_spec(spec: MachineSpec) -> None:
    """Refuse what could never boot here. Raises BootRefusedError, NoSlotError."""
    if spec.architecture != "x86_64":
        raise BootRefusedError(
            f"The image is for {spec.architecture}; this cloud runs x86_64 machines. Choose an x86_64 image."
        )
    if len(spec.disks) > PORT_COUNT:
        raise NoSlotError(f"{len(spec.disks)} volumes are attached; a machine has {PORT_COUNT} slots.")
    needed = {"kernel": spec.kernel, "ramdisk": spec.ramdisk, "root disk": spec.root.path}
    needed.update({f"volume {disk.disk_id}": disk.path for disk in spec.disks})
    for what, path in needed.items():
        if path is not None and not path.is_file():
            raise BootRefusedError(
                f"The {what} of {spec.instance_id} is missing: {path}. Nothing was started. "
                "If it belongs to an image, build the images again (`educloud image build`)."
            )
    if spec.kernel is not None:
        _check_kernel(spec.kernel)


def _check_kernel(kernel: Path) -> None:
    """Tell an x86-64 ELF kernel or a bzImage from anything else (ELF header; boot.rst of the Linux kernel)."""
    with kernel.open("rb") as stream:
        head = stream.read(0x206)
    if head[:4] == b"\x7fELF" and len(head) >= 20:
        (machine,) = struct.unpack_from("<H", head, 18)
        if machine == _ELF_X86_64:
            return
        raise BootRefusedError(f"The kernel {kernel} is for another architecture (ELF machine {machine}).")
    if head[0x202:0x206] != b"HdrS":
        raise BootRefusedError(
            f"The kernel {kernel} is damaged or not a Linux kernel. Nothing was started; build the images again."
        )


async def launch(arguments: list[str], files: MachineFiles) -> ProcessStat:
    """Run QEMU until it has made itself a daemon, and find its process.

    QEMU's own words are appended to the machine's log and quoted in the error.

    Raises
    ------
    NotEnoughRoomError, BootRefusedError, HypervisorError
        No process was left behind.
    """
    with files.log.open("ab") as log:
        begin = log.tell()
        process = await asyncio.create_subprocess_exec(
            *arguments, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log
        )
        try:
            async with asyncio.timeout(_LAUNCH_LIMIT_S):
                code = await process.wait()
        except TimeoutError as error:
            process.kill()
            await process.wait()
            raise HypervisorError(f"QEMU did not start within {_LAUNCH_LIMIT_S:.0f} s; see {files.log}.") from error
    if code != 0:
        raise _refusal(_read_from(files.log, begin), files.log)
    stat = find_by_pidfile(files.pidfile)
    if stat is None:
        raise HypervisorError(f"QEMU ended right after its start; see {files.log}.")
    return stat


def _read_from(log: Path, offset: int) -> str:
    with log.open("rb") as stream:
        stream.seek(offset)
        return stream.read(16_384).decode("utf-8", "replace").strip()


def _refusal(text: str, log: Path) -> HypervisorError:
    """Choose the error for QEMU's words; fragments as QEMU 7.2 prints them."""
    where = f"QEMU said: {text or 'nothing'} (log: {log})"
    if "Cannot allocate memory" in text or "cannot set up guest memory" in text:
        return NotEnoughRoomError(f"The host has too little memory. Nothing was started. {where}")
    if "No space left on device" in text:
        return NotEnoughRoomError(f"The host's disk is full. Nothing was started. {where}")
    if 'Failed to get "' in text or "Cannot lock pid file" in text or "cannot create PID file" in text:
        return HypervisorError(f"A disk of this machine, or the machine itself, is still in use elsewhere. {where}")
    return BootRefusedError(f"The machine cannot start here. Nothing was started. {where}")
