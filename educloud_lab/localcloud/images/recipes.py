"""What can be built: systems (packages, own files, the last steps) and the images that are made of them."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from educloud_lab.localcloud.images import bootfiles, debian_system, system, tree

GUEST = Path(__file__).parent / "guest"
GUEST_DEBIAN = Path(__file__).parent / "guest_debian"

_MIB = 1024**2
# The last three save about 0.3 s of 4.2 in software emulation: patching lock prefixes, kprobe events and slab's pages
# in /sys are slow there, and a lab machine uses none of them.
_QUICK_KERNEL = (
    "console=ttyS0 root=/dev/vda rw quiet loglevel=3 mitigations=off cryptomgr.notests panic=1 random.trust_cpu=on "
    "noreplace-smp initcall_blacklist=init_kprobe_trace,slab_sysfs_init"
)
# educloud.warm=1 tells the local cloud that this image knows how to be a template
# (guest/root/usr/lib/educloud/personality).
KERNEL_ARGS = f"{_QUICK_KERNEL} educloud.warm=1"


@dataclass(frozen=True, slots=True)
class Unpacked:
    """Packages in a folder, before the last steps.

    Parameters
    ----------
    root : the folder.
    ownership : (uid, gid) by path for what is not root's.
    contents : the paths that each package ships, by package file.
    asked_for : names of the packages that were asked for.
    kernel_name : the kernel's package.
    kernel_files : its kernel and modules, by path.
    """

    root: Path
    ownership: dict[str, tuple[int, int]]
    contents: Mapping[Path, list[str]]
    asked_for: Collection[str]
    kernel_name: str
    kernel_files: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Recipe:
    """How one system is made.

    Parameters
    ----------
    name : of the recipe.
    guest : folder with ``packages.txt``, ``root/`` and ``ramdisk/init``.
    left_out : tells which files of packages are not wanted.
    outside : packages that serve the image but are not installed in it (the kernel never is).
    finish : the last steps in the unpacked folder.
    root_size_bytes : virtual size of the root disk.
    min_memory_bytes : least memory that it boots with.
    kernel_args : the kernel's command line.
    free_bytes_needed : room that a build takes while it works, downloads included.
    typical_build_s : how long a build takes on an ordinary computer, downloads excluded.
    """

    name: str
    guest: Path
    left_out: Callable[[str], bool]
    outside: frozenset[str]
    finish: Callable[[Unpacked], None]
    root_size_bytes: int
    min_memory_bytes: int
    kernel_args: str
    free_bytes_needed: int
    typical_build_s: float


@dataclass(frozen=True, slots=True)
class Definition:
    """One image: a system under a name, in one of the two ways that a cloud keeps root disks."""

    name: str
    recipe: Recipe
    root_device_type: str
    title: str
    description: str


def path_filter(text: str) -> Callable[[str], bool]:
    """Read dpkg's ``path-exclude`` and ``path-include`` lines: the last that matches a path decides.

    Returns
    -------
    callable
        Tells of a path without leading slash whether it is left out.
    """
    rules: list[tuple[re.Pattern[str], bool]] = []
    for line in text.splitlines():
        kind, _, pattern = line.strip().partition("=")
        if kind in ("path-exclude", "path-include"):
            rules.append((re.compile(fnmatch.translate(pattern)), kind == "path-exclude"))

    def left_out(path: str) -> bool:
        decided = False
        for pattern, excluded in rules:
            if pattern.match(f"/{path}"):
                decided = excluded
        return decided

    return left_out


def _finish_tiny(unpacked: Unpacked) -> None:
    modules = unpacked.root / "usr/lib/modules" / unpacked.kernel_name.removeprefix("linux-image-")
    modules.mkdir(parents=True)
    for name, data in bootfiles.pick_modules(unpacked.kernel_files, bootfiles.ROOT_MODULES).items():
        (modules / f"{name}.ko").write_bytes(data)
    system.finish(unpacked.root, GUEST / "root", unpacked.ownership)


def _finish_debian(unpacked: Unpacked) -> None:
    bootfiles.all_modules(unpacked.kernel_files, unpacked.root)
    debian_system.finish(
        unpacked.root, GUEST_DEBIAN / "root", unpacked.ownership, unpacked.contents, unpacked.asked_for
    )
    # First start and power button use it from this place, so that apt may do with Debian's own package as it likes.
    busybox = unpacked.root / "usr/lib/educloud/busybox"
    busybox.chmod(0o755)
    sectors = DEBIAN.root_size_bytes // 512
    (unpacked.root / "var/lib/educloud/root-sectors").write_text(f"{sectors}\n")


def _debian_left_out() -> Callable[[str], bool]:
    return path_filter((GUEST_DEBIAN / "root/etc/dpkg/dpkg.cfg.d/educloud").read_text(encoding="utf-8"))


TINY = Recipe(
    name="tiny",
    guest=GUEST,
    left_out=tree.unused_by_tiny,
    outside=frozenset(),
    finish=_finish_tiny,
    root_size_bytes=1024 * _MIB,
    min_memory_bytes=128 * _MIB,
    kernel_args=KERNEL_ARGS,
    free_bytes_needed=700 * _MIB,
    typical_build_s=35,
)
DEBIAN = Recipe(
    name="debian",
    guest=GUEST_DEBIAN,
    left_out=_debian_left_out(),
    outside=frozenset({"busybox-static", "linux-image-cloud-amd64"}),
    finish=_finish_debian,
    root_size_bytes=4096 * _MIB,
    min_memory_bytes=384 * _MIB,
    # eth0 keeps its name; SELinux, AppArmor and audit have nothing to do here and take time.
    kernel_args=f"{_QUICK_KERNEL} net.ifnames=0 selinux=0 apparmor=0 audit=0",
    free_bytes_needed=1600 * _MIB,
    typical_build_s=60,
)

DEFINITIONS: Mapping[str, Definition] = {
    definition.name: definition
    for definition in (
        Definition(
            "tiny",
            TINY,
            "ebs",
            "Debian 12, small",
            "Boots in seconds: SSH, Python, nano, curl, tmux. Its system disk stays when it is stopped.",
        ),
        Definition(
            "tiny-store",
            TINY,
            "instance-store",
            "Debian 12, small, instance store",
            "The same system as kernel, ramdisk and root file system. Its system disk is gone when it is stopped.",
        ),
        Definition(
            "debian",
            DEBIAN,
            "ebs",
            "Debian 12",
            "systemd, apt, Python, git, SSH. Its system disk stays when it is stopped.",
        ),
    )
}
IMAGE_NAMES = ("tiny", "tiny-store")
"""What is built when nothing is named: enough for every lab that comes with the package, and quick."""
ALL_IMAGE_NAMES = tuple(DEFINITIONS)
