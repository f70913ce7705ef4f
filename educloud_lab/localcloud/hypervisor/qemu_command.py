"""The QEMU command line of one machine: a pure function from its specification.

Choices and the measurements behind them: q35 with root ports made at the start (plugging takes half the time of
``pc``, starting as long), PVH kernel and uncompressed ramdisk, ``-cpu max`` (the guest's sshd wants AES and SHA
instructions), images locked by QEMU, ``werror=enospc`` on every disk (a full host pauses the machine instead of
breaking its file systems).
"""

from __future__ import annotations

import json
from typing import Any

from educloud_lab.localcloud.hypervisor.base import DiskSpec, MachineSpec
from educloud_lab.localcloud.hypervisor.qemu_record import MachineFiles
from educloud_lab.localcloud.network.base import NetworkDriver, NetworkLeg
from educloud_lab.localcloud.network.slirp import escape_option

PORT_COUNT = 10
"""Root ports, that is volumes that can be plugged at one time; each costs the guest about 0.05 CPU seconds at boot."""

TCG_CACHE_MIB = 64
"""Cache of translated code. It, not the guest's memory, decides a small machine's footprint under emulation."""

_MIB = 1024 * 1024


def device_id(disk_id: str) -> str:
    """Name of the device that shows a disk to the guest."""
    return f"disk-{disk_id}"


def port_id(index: int) -> str:
    """Name of a root port."""
    return f"rp{index}"


def block_node(disk: DiskSpec) -> dict[str, Any]:
    """Give the block node of one disk, named by the disk, for ``-blockdev`` and ``blockdev-add``."""
    return {
        "driver": "qcow2",
        "node-name": disk.disk_id,
        "discard": "unmap",
        "file": {
            "driver": "file",
            "node-name": f"{disk.disk_id}.file",
            "filename": str(disk.path.absolute()),
            "locking": "on",
            "discard": "unmap",
        },
    }


def disk_device(disk: DiskSpec, bus: str) -> dict[str, Any]:
    """Give the device of one disk on ``bus``, for ``-device`` and ``device_add``."""
    return {
        "driver": "virtio-blk-pci",
        "id": device_id(disk.disk_id),
        "drive": disk.disk_id,
        "serial": disk.serial,
        "bus": bus,
        "werror": "enospc",
        "rerror": "report",
    }


def leg_of(spec: MachineSpec) -> NetworkLeg:
    """Give the part of a specification that concerns the network."""
    return NetworkLeg(mac=spec.mac, address=spec.address, metadata_socket=spec.metadata_socket.absolute())


def command_line(
    spec: MachineSpec, files: MachineFiles, *, binary: str, accel: str, network: NetworkDriver
) -> list[str]:
    """Build the argument list that starts ``spec``.

    Raises
    ------
    NetworkError
        The network driver cannot serve the machine's address.
    """
    memory_mib = max(1, spec.memory_bytes // _MIB)
    arguments = [
        *network.prefix(leg_of(spec)),
        binary,
        *("-name", f"guest={escape_option(spec.instance_id)},process=educloud-vm"),
        *("-no-user-config", "-nodefaults"),
        *("-display", "none"),
        *("-machine", "q35,usb=off,sata=off,smbus=off,vmport=off"),
        *acceleration_arguments(accel),
        *("-smp", str(spec.cpus)),
        *("-m", f"{memory_mib}M"),
        *("-rtc", "base=utc,clock=host"),
    ]
    if spec.kernel is not None:
        arguments += ["-kernel", str(spec.kernel.absolute()), "-append", spec.kernel_args]
        if spec.ramdisk is not None:
            arguments += ["-initrd", str(spec.ramdisk.absolute())]
    for index in range(PORT_COUNT):
        arguments += ["-device", f"pcie-root-port,id={port_id(index)},chassis={index + 1},port={index},bus=pcie.0"]
    for disk, bus in [(spec.root, "pcie.0"), *zip(spec.disks, map(port_id, range(PORT_COUNT)), strict=False)]:
        arguments += ["-blockdev", json.dumps(block_node(disk)), "-device", json.dumps(disk_device(disk, bus))]
    arguments += network.arguments(leg_of(spec))
    console = escape_option(str(spec.console_path.absolute()))
    control = escape_option(str(files.control))
    journal_socket = escape_option(str(files.journal_socket))
    journal = escape_option(str(files.journal))
    return [
        *arguments,
        *("-chardev", f"file,id=console,path={console},append=on", "-serial", "chardev:console"),
        *("-chardev", f"socket,id=control,path={control},server=on,wait=off", "-mon", "chardev=control,mode=control"),
        # Nobody stays connected to this second monitor: what it says goes to its log file regardless.
        "-chardev",
        f"socket,id=journal,path={journal_socket},server=on,wait=off,logfile={journal},logappend=on",
        *("-mon", "chardev=journal,mode=control"),
        *("-pidfile", str(files.pidfile), "-daemonize"),
    ]


def acceleration_arguments(accel: str) -> list[str]:
    """Give the arguments for ``tcg`` or ``kvm``."""
    if accel == "kvm":
        return ["-accel", "kvm", "-cpu", "host"]
    return ["-accel", f"tcg,tb-size={TCG_CACHE_MIB}", "-cpu", "max"]
