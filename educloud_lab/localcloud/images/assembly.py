"""One system made: packages into a folder, the last steps, kernel, ramdisk and root disk out of it."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from educloud_lab.localcloud.images import bootfiles, disk, tree
from educloud_lab.localcloud.images.errors import ImageBuildError
from educloud_lab.localcloud.images.packages import Package, parse_wanted
from educloud_lab.localcloud.images.recipes import Recipe, Unpacked
from educloud_lab.localcloud.images.tools import Progress

_BUSYBOX = re.compile(r"(?:usr/)?bin/busybox")
_KERNEL_PACKAGE = re.compile(r"linux-image-\d.*")


def make(
    work: Path, recipe: Recipe, packages: tuple[Package, ...], debs: Sequence[Path], progress: Progress
) -> tuple[Path, int]:
    """Make kernel, ramdisk and root disk.

    Parameters
    ----------
    work : an empty folder.
    packages, debs : what was resolved, and the package files in the same order.

    Returns
    -------
    tuple of Path and int
        The folder that holds the three files and nothing else, and the one time that all files have (seconds since
        1970): SOURCE_DATE_EPOCH where set, else the newest package's own.

    Raises
    ------
    ImageBuildError
        A package is damaged, a program failed, the disk is full.
    """
    made, root = work / "files", work / "tree"
    made.mkdir()
    root.mkdir(mode=0o755)
    by_name = dict(zip((package.name for package in packages), debs, strict=True))
    kernel_name = next((name for name in by_name if _KERNEL_PACKAGE.fullmatch(name)), None)
    if kernel_name is None:
        raise ImageBuildError("There is no kernel among the packages; the image was not built.")
    # By name, so that the order in which they came does not matter.
    inside = [by_name[name] for name in sorted(by_name) if name != kernel_name and name not in recipe.outside]
    total_s = recipe.typical_build_s
    progress("unpacking the packages", total_s)
    ownership, contents = dict[str, tuple[int, int]](), dict[Path, list[str]]()
    epoch_s = tree.unpack(inside, root, ownership, left_out=recipe.left_out, contents=contents)
    progress("unpacking the kernel", total_s * 0.7)
    kernel_files = tree.package_files(by_name[kernel_name], bootfiles.KERNEL_FILES)
    epoch_s = max([epoch_s, *(tree.newest_time_s(by_name[name]) for name in by_name if by_name[name] not in contents)])
    vmlinuz = next(data for path, data in kernel_files.items() if path.startswith("boot/"))
    bootfiles.uncompressed_kernel(vmlinuz, made)
    busybox = next(iter(tree.package_files(by_name["busybox-static"], _BUSYBOX).values()))
    if "busybox-static" in recipe.outside:
        own = root / "usr/lib/educloud/busybox"
        own.parent.mkdir(parents=True, exist_ok=True)
        own.write_bytes(busybox)
    early = bootfiles.pick_modules(kernel_files, bootfiles.RAMDISK_MODULES)
    init = (recipe.guest / "ramdisk/init").read_bytes()
    (made / "ramdisk.img").write_bytes(bootfiles.ramdisk(init, busybox, early))
    progress("finishing the system", total_s * 0.6)
    asked_for, _ = parse_wanted((recipe.guest / "packages.txt").read_text(encoding="utf-8"))
    recipe.finish(Unpacked(root, ownership, contents, asked_for, kernel_name, kernel_files))
    progress("making the root disk", total_s * 0.35)
    given = os.environ.get("SOURCE_DATE_EPOCH", "")
    epoch_s = int(given) if given.isdigit() else epoch_s
    disk.make_disk(root, ownership, recipe.root_size_bytes, epoch_s, made)
    return made, epoch_s
