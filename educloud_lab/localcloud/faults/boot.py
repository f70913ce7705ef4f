"""Images that do not boot: the ramdisk is forgotten, or the kernel is for another architecture.

On real QEMU it is really so. A simulated machine says on its console what a real one would say.
"""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import TYPE_CHECKING

from educloud_lab.localcloud.faults.grip import about
from educloud_lab.localcloud.hypervisor.base import BootRefusedError, MachineSpec
from educloud_lab.localcloud.hypervisor.templates_command import WARM_WORD
from educloud_lab.localcloud.state.tables import Instance

if TYPE_CHECKING:
    from educloud_lab.localcloud.faults.faults import Faults

_AARCH64 = 183  # ELF's e_machine
# An ELF64 file header, little endian, of an executable for that machine, and nothing more.
_FOREIGN_KERNEL = b"\x7fELF\x02\x01\x01".ljust(16, b"\0") + struct.pack("<HHI", 2, _AARCH64, 1).ljust(48, b"\0")


def spoil(faults: Faults, row: Instance, spec: MachineSpec) -> MachineSpec:
    """Return what starts in place of ``spec``; raises ``BootRefusedError`` where a simulated node refuses."""
    for fault in faults.of("image-does-not-boot"):
        if not fault.strikes(about(row)):
            continue
        if fault.parameters["cause"] == "ramdisk-forgotten":
            # Told to restart at once after a panic (panic=1), the machine would end; so it stands there. And it
            # must boot: neither from a template's memory nor as the first of its kind that one is made of.
            words = [word for word in spec.kernel_args.split() if not word.startswith("panic=") and word != WARM_WORD]
            return replace(spec, ramdisk=None, kernel_args=" ".join([*words, "panic=0"]))
        folder = faults.cloud.settings.folders.cloud / "faults"
        kernel = folder / "vmlinux-aarch64"
        if faults.cloud.settings.hypervisor == "simulated":
            raise BootRefusedError(f"The kernel {kernel} is for another architecture (ELF machine {_AARCH64}).")
        folder.mkdir(mode=0o700, exist_ok=True)
        kernel.write_bytes(_FOREIGN_KERNEL)
        return replace(spec, kernel=kernel)
    return spec
