"""Building the tiny images: what goes in, whether anything changed, and putting the result in place whole.

A build works in a temporary folder beside the result and renames at the end, so an image is always either the
old one or the new one. Two builders at once are kept apart by a lock; the second finds the work done. Running
machines keep the files of the image that they were started from, because a rename does not take open files away.
"""

from __future__ import annotations

import datetime as dt
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from educloud_lab.localcloud.images import bootfiles, disk, system, tree
from educloud_lab.localcloud.images.errors import ImageBuildError, ImageError
from educloud_lab.localcloud.images.manifest import (
    ARCHITECTURE,
    MANIFEST_NAME,
    SCHEMA,
    VIRTUALIZATION_TYPE,
    load_manifest,
)
from educloud_lab.localcloud.images.packages import Apt, Package, parse_wanted
from educloud_lab.localcloud.images.tools import Progress, build_error, check_tools

IMAGE_NAMES = ("tiny", "tiny-store")

GUEST = Path(__file__).parent / "guest"
ROOT_SIZE_BYTES = 1024**3
MIN_MEMORY_BYTES = 128 * 1024**2
# The last three save about 0.3 s of 4.2 in software emulation: patching lock prefixes, kprobe events and slab's pages
# in /sys are slow there, and a lab machine uses none of them.
KERNEL_ARGS = (
    "console=ttyS0 root=/dev/vda rw quiet loglevel=3 mitigations=off cryptomgr.notests panic=1 random.trust_cpu=on "
    "noreplace-smp initcall_blacklist=init_kprobe_trace,slab_sysfs_init"
)
LOGIN_USER = "student"
_RECORD_NAME = "build.json"
_FREE_BYTES_NEEDED = 700 * 1024**2
_TYPICAL_BUILD_S = 60.0

_TITLES: Mapping[str, tuple[str, str, str]] = {
    "tiny": (
        "ebs",
        "Debian 12, small",
        "Boots in seconds: SSH, Python, nano, curl, tmux. Its system disk stays when it is stopped.",
    ),
    "tiny-store": (
        "instance-store",
        "Debian 12, small, instance store",
        "The same system as kernel, ramdisk and root file system. Its system disk is gone when it is stopped.",
    ),
}


def build(home: Path, names: Sequence[str] = IMAGE_NAMES, *, progress: Progress, force: bool = False) -> list[Path]:
    """Build images into ``<home>/images``; what is up to date is left alone (a fraction of a second, no network).

    Parameters
    ----------
    home : EDUCLOUD_HOME.
    names : which of `IMAGE_NAMES`.
    progress : called with each step and, where known, an estimate of the seconds left.
    force : build even when nothing changed.

    Returns
    -------
    list of Path
        The manifests, in the order of ``names``.

    Raises
    ------
    ImageBuildError
        Unknown name, missing programs, no packages, disk full, no permission. Earlier images are untouched.
    """
    unknown = [name for name in names if name not in IMAGE_NAMES]
    if unknown:
        raise ImageBuildError(
            f"There is no image called {', '.join(unknown)}. There are: {', '.join(IMAGE_NAMES)}. Nothing was changed."
        )
    images = home / "images"
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)  # volumes and keys will be in it too
        images.mkdir(exist_ok=True)
        with _lock(images, progress):
            return _build_locked(images, tuple(names), progress, force)
    except OSError as exc:
        raise build_error("building images", exc) from exc


def guest_fingerprint(guest: Path = GUEST) -> str:
    """Hash of everything in this package that shapes an image: guest files and the builder's own source."""
    digest = hashlib.sha256()
    sources = [path for path in sorted(guest.rglob("*")) if path.is_file()]
    sources += sorted(Path(__file__).parent.glob("*.py"))
    for path in sources:
        digest.update(path.relative_to(Path(__file__).parent if path.suffix == ".py" else guest).as_posix().encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _build_locked(images: Path, names: tuple[str, ...], progress: Progress, force: bool) -> list[Path]:
    apt = Apt(images / ".cache")
    guest = guest_fingerprint()
    stale = [name for name in names if force or not _current(images / name, guest, apt.stamp())]
    if not stale:
        progress("images are up to date", 0)
        return [images / name / MANIFEST_NAME for name in names]
    check_tools()
    wanted, left_out = parse_wanted((GUEST / "packages.txt").read_text(encoding="utf-8"))
    progress("finding the Debian packages", _TYPICAL_BUILD_S)
    packages = apt.resolve(wanted, left_out, progress)
    inputs = hashlib.sha256("\n".join([guest, *map(str, packages)]).encode()).hexdigest()
    if not force:
        for name in list(stale):
            # Newer package lists that name the same packages: only remember that they were looked at.
            if _record(images / name).get("inputs") == inputs and _sound(images / name):
                _write_record(images / name, guest, apt.stamp(), inputs, packages)
                stale.remove(name)
    if stale:
        _require_space(images)
        try:
            debs = apt.fetch(packages, progress)
        except ImageBuildError:
            # The host's lists may name versions that the mirror no longer has: look once with fresh lists.
            apt.update(progress)
            packages = apt.resolve(wanted, left_out, progress)
            inputs = hashlib.sha256("\n".join([guest, *map(str, packages)]).encode()).hexdigest()
            debs = apt.fetch(packages, progress)
        with tempfile.TemporaryDirectory(prefix=".build-", dir=images) as folder:
            _make(Path(folder), images, stale, packages, debs, inputs, progress)
        for name in stale:
            _write_record(images / name, guest, apt.stamp(), inputs, packages)
    return [images / name / MANIFEST_NAME for name in names]


def _make(
    work: Path,
    images: Path,
    names: Sequence[str],
    packages: tuple[Package, ...],
    debs: Sequence[Path],
    inputs: str,
    progress: Progress,
) -> None:
    made = work / "files"
    made.mkdir()
    root, ownership = work / "tree", dict[str, tuple[int, int]]()
    root.mkdir(mode=0o755)
    by_name = dict(zip((package.name for package in packages), debs, strict=True))
    kernel_name = next(
        name for name in by_name if name.startswith("linux-image-") and name != "linux-image-cloud-amd64"
    )
    progress("unpacking the packages", 35)
    tree.unpack((deb for name, deb in by_name.items() if name != kernel_name), root, ownership)
    progress("unpacking the kernel", 28)
    kernel_files = tree.package_files(by_name[kernel_name], bootfiles.KERNEL_FILES)
    vmlinuz = next(data for path, data in kernel_files.items() if path.startswith("boot/"))
    bootfiles.uncompressed_kernel(vmlinuz, made)
    busybox = (root / "usr/bin/busybox").read_bytes()
    early = bootfiles.pick_modules(kernel_files, bootfiles.RAMDISK_MODULES)
    (made / "ramdisk.img").write_bytes(bootfiles.ramdisk((GUEST / "ramdisk/init").read_bytes(), busybox, early))
    modules = root / "usr/lib/modules" / kernel_name.removeprefix("linux-image-")
    modules.mkdir(parents=True)
    for name, data in bootfiles.pick_modules(kernel_files, bootfiles.ROOT_MODULES).items():
        (modules / f"{name}.ko").write_bytes(data)
    progress("finishing the system", 24)
    system.finish(root, GUEST / "root", ownership)
    progress("making the root disk", 12)
    epoch_s = _epoch_s(debs)
    disk.make_disk(root, ownership, ROOT_SIZE_BYTES, epoch_s, made)
    progress("checking and putting in place", 2)
    digests = {path.name: _sha256(path) for path in sorted(made.iterdir())}
    date = dt.datetime.fromtimestamp(epoch_s, dt.UTC).strftime("%Y.%m.%d")
    content = hashlib.sha256(json.dumps([digests, KERNEL_ARGS], sort_keys=True).encode()).hexdigest()[:8]
    for name in names:
        _put_in_place(work, made, images / name, _manifest(name, f"{date}-{content}", digests))


def _manifest(name: str, version: str, digests: Mapping[str, str]) -> dict[str, Any]:
    root_device_type, title, description = _TITLES[name]
    return {
        "schema": SCHEMA,
        "name": name,
        "version": version,
        "title": title,
        "description": description,
        "architecture": ARCHITECTURE,
        "virtualization_type": VIRTUALIZATION_TYPE,
        "root_device_type": root_device_type,
        "files": {"kernel": "vmlinux", "ramdisk": "ramdisk.img", "root": "root.qcow2"},
        "sha256": dict(digests),
        "root_size_bytes": ROOT_SIZE_BYTES,
        "min_memory_bytes": MIN_MEMORY_BYTES,
        "kernel_args": KERNEL_ARGS,
        "login_user": LOGIN_USER,
    }


def _put_in_place(work: Path, made: Path, target: Path, manifest: Mapping[str, Any]) -> None:
    ready = work / f"ready-{target.name}"
    ready.mkdir(mode=0o755)
    for path in made.iterdir():
        path.chmod(0o444)
        (ready / path.name).hardlink_to(path)
    (ready / MANIFEST_NAME).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    load_manifest(ready, verify=True)
    for path in ready.iterdir():
        with path.open("rb") as stream:
            os.fsync(stream.fileno())
    if target.exists():
        target.rename(work / f"old-{target.name}")
    ready.rename(target)


def _current(folder: Path, guest: str, stamp: str) -> bool:
    record = _record(folder)
    return record.get("guest") == guest and record.get("lists") == stamp and _sound(folder)


def _sound(folder: Path) -> bool:
    try:
        manifest = load_manifest(folder)
        sizes = _record(folder).get("sizes")
        return sizes == {name: (folder / name).stat().st_size for name in manifest.files.values()}
    except (ImageError, OSError):
        return False


def _record(folder: Path) -> dict[str, Any]:
    try:
        data = json.loads((folder / _RECORD_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}


def _write_record(folder: Path, guest: str, stamp: str, inputs: str, packages: tuple[Package, ...]) -> None:
    manifest = load_manifest(folder)
    record = {
        "guest": guest,
        "lists": stamp,
        "inputs": inputs,
        "sizes": {name: (folder / name).stat().st_size for name in manifest.files.values()},
        "packages": [str(package) for package in packages],
    }
    new = folder / f"{_RECORD_NAME}.new"
    new.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    new.replace(folder / _RECORD_NAME)


def _epoch_s(debs: Sequence[Path]) -> int:
    """Tell the one time of all files: SOURCE_DATE_EPOCH where set, else the newest package's own time."""
    given = os.environ.get("SOURCE_DATE_EPOCH", "")
    if given.isdigit():
        return int(given)
    return max(tree.newest_time_s(deb) for deb in debs)


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _require_space(images: Path) -> None:
    free = shutil.disk_usage(images).free
    if free < _FREE_BYTES_NEEDED:
        raise ImageBuildError(
            f"Too little room in {images}: {free / 1e6:.0f} MB free, a build needs about "
            f"{_FREE_BYTES_NEEDED / 1e6:.0f} MB. Nothing was changed. "
            "Free some space, or choose another place with --home."
        )


@contextmanager
def _lock(images: Path, progress: Progress) -> Iterator[None]:
    with (images / ".lock").open("a") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress("another builder is at work, waiting for it", None)
            started = time.monotonic()
            fcntl.flock(stream, fcntl.LOCK_EX)
            progress(f"the other builder ended after {time.monotonic() - started:.0f} s", None)
        # Under the lock nobody else is building: whatever lies here was left by a build that was killed.
        for leftover in images.glob(".build-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        yield
