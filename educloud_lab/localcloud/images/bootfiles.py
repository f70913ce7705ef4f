"""Kernel, modules and ramdisk, in the form that boots fastest in software emulation.

Measured with QEMU 7.2: an uncompressed kernel (QEMU starts it by its PVH note) and an uncompressed ramdisk with
modules whose signatures are cut off save two of seven seconds against Debian's own forms.
"""

from __future__ import annotations

import re
import stat
import struct
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from educloud_lab.localcloud.images.errors import ImageBuildError
from educloud_lab.localcloud.images.shared import run_inside
from educloud_lab.localcloud.images.tools import run
from educloud_lab.localcloud.images.tree import tree_path

LZ4_LEGACY_MAGIC = b"\x02\x21\x4c\x18"
_SIGNATURE_MARK = b"~Module signature appended~\n"

# In the order in which they must be loaded; the wrong order fails without a word.
RAMDISK_MODULES = (
    "virtio_ring", "virtio", "virtio_pci_legacy_dev", "virtio_pci_modern_dev", "virtio_pci",
    "virtio_blk", "failover", "net_failover", "virtio_net",
)  # fmt: skip
# For after the start: the power button, memory and the file systems that a person may bring along.
ROOT_MODULES = ("evdev", "button", "virtio_balloon", "virtio-rng", "virtio_console", "virtio_scsi", "loop", "fuse")

KERNEL_FILES = re.compile(r"boot/vmlinuz-.+|(?:usr/)?lib/modules/[^/]+/(?:kernel/.+\.ko|modules\.(?:order|builtin.*))")


def uncompressed_kernel(vmlinuz: bytes, work: Path) -> Path:
    """Take the ELF kernel out of Debian's compressed one.

    Raises
    ------
    ImageBuildError
        The kernel is not compressed by LZ4, or what comes out is not a kernel.
    """
    start = vmlinuz.find(LZ4_LEGACY_MAGIC)
    if start < 0:
        raise ImageBuildError("This kernel is not compressed by LZ4 as Debian 12's are; the image was not built.")
    packed, plain = work / "vmlinux.lz4", work / "vmlinux"
    packed.write_bytes(vmlinuz[start:])
    # lz4 reports the bytes that follow the compressed part as an error after writing all of it: judge the result.
    try:
        run("unpacking the kernel", ["lz4", "-d", "-f", "-q", packed, plain])
    except ImageBuildError:
        if not plain.exists():
            raise
    packed.unlink()
    with plain.open("rb") as stream:
        if stream.read(4) != b"\x7fELF" or plain.stat().st_size < 10_000_000:
            raise ImageBuildError("The kernel could not be unpacked; the image was not built.")
    return plain


def without_signature(module: bytes) -> bytes:
    """Cut off a kernel module's appended signature: checking it is slow in emulation, and nothing here asks for it."""
    if not module.endswith(_SIGNATURE_MARK):
        return module
    # struct module_signature (12 bytes, the last 4 its big-endian length) stands before the mark.
    head = len(module) - len(_SIGNATURE_MARK) - 12
    (length,) = struct.unpack(">I", module[head + 8 : head + 12])
    return module[: head - length]


def pick_modules(files: Mapping[str, bytes], names: tuple[str, ...]) -> dict[str, bytes]:
    """Pick the named modules, unsigned, by name, in the order given.

    Raises
    ------
    ImageBuildError
        The kernel package has no such module.
    """
    by_name = {PurePosixPath(path).stem: data for path, data in files.items() if path.endswith(".ko")}
    missing = [name for name in names if name not in by_name]
    if missing:
        raise ImageBuildError(f"The kernel package lacks the modules {', '.join(missing)}; the image was not built.")
    return {name: without_signature(by_name[name]) for name in names}


def all_modules(files: Mapping[str, bytes], tree: Path) -> None:
    """Put every module of the kernel package into ``tree``, unsigned, with the tables that modprobe reads.

    Raises
    ------
    ImageBuildError
        The tables could not be made.
    """
    release = ""
    for path, data in sorted(files.items()):
        name = tree_path(path)
        if not name.startswith("usr/lib/modules/"):
            continue
        release = PurePosixPath(name).parts[3]
        place = tree / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(without_signature(data))
        place.chmod(0o644)
    run_inside("listing kernel modules", tree, tree / "usr/sbin/depmod", ["-b", tree, release])


def ramdisk(init: bytes, busybox: bytes, modules: Mapping[str, bytes]) -> bytes:
    """Make an initial ramdisk (cpio "newc", not compressed), the same bytes for the same input."""
    archive = _Cpio()
    for folder in ("bin", "dev", "modules", "proc", "root"):
        archive.add(folder, b"", stat.S_IFDIR | 0o755)
    archive.add("dev/console", b"", stat.S_IFCHR | 0o600, device=(5, 1))
    archive.add("bin/busybox", busybox, stat.S_IFREG | 0o755)
    archive.add("init", init, stat.S_IFREG | 0o755)
    archive.add("modules/order", "".join(f"{name}\n" for name in modules).encode(), stat.S_IFREG | 0o644)
    for name, data in modules.items():
        archive.add(f"modules/{name}.ko", data, stat.S_IFREG | 0o644)
    return archive.finish()


class _Cpio:
    """Writes cpio's "newc" form; device nodes need no privilege this way."""

    def __init__(self) -> None:
        self._out = bytearray()
        self._inode = 0

    def add(self, name: str, data: bytes, mode: int, device: tuple[int, int] = (0, 0)) -> None:
        self._inode += 1
        encoded = name.encode() + b"\0"
        links = 2 if stat.S_ISDIR(mode) else 1
        fields = (self._inode, mode, 0, 0, links, 0, len(data), 0, 0, *device, len(encoded), 0)
        self._out += b"070701" + b"".join(b"%08x" % field for field in fields) + encoded
        self._pad()
        self._out += data
        self._pad()

    def finish(self) -> bytes:
        self._inode = -1
        self.add("TRAILER!!!", b"", 0)
        return bytes(self._out) + b"\0" * (-len(self._out) % 512)

    def _pad(self) -> None:
        self._out += b"\0" * (-len(self._out) % 4)
