"""Building images: whether anything changed, what is built of what, and putting the result in place whole.

A build works in a temporary folder beside the result and renames at the end, so an image is always either the
old one or the new one. Two builders at once are kept apart by a lock; the second finds the work done. Running
machines keep the files of the image that they were started from, because a rename does not take open files away.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from educloud_lab.localcloud.images import assembly, records
from educloud_lab.localcloud.images.errors import ImageBuildError
from educloud_lab.localcloud.images.manifest import (
    ARCHITECTURE,
    MANIFEST_NAME,
    SCHEMA,
    VIRTUALIZATION_TYPE,
    read_lock,
)
from educloud_lab.localcloud.images.packages import Apt, Package, parse_wanted
from educloud_lab.localcloud.images.recipes import ALL_IMAGE_NAMES, DEFINITIONS, GUEST, IMAGE_NAMES, Recipe
from educloud_lab.localcloud.images.tools import Progress, build_error, check_tools

LOGIN_USER = "student"
_DOWNLOAD_S = 25.0


@dataclass(frozen=True, slots=True)
class _Order:
    """How a build was asked for."""

    force: bool
    keep: bool
    locked: tuple[str, ...] | None
    progress: Progress


def build(
    home: Path,
    names: Sequence[str] = IMAGE_NAMES,
    *,
    progress: Progress,
    force: bool = False,
    keep: bool = False,
    from_manifest: Path | None = None,
) -> list[Path]:
    """Build images into ``<home>/images``; what is up to date is left alone (a fraction of a second, no network).

    Parameters
    ----------
    home : EDUCLOUD_HOME.
    names : which of `ALL_IMAGE_NAMES`.
    progress : called with each step and, where known, an estimate of the seconds left.
    force : build even when nothing changed.
    keep : leave the earlier version of each image that is replaced beside it, as ``<name>@<version>``.
    from_manifest : build with exactly the package versions of this manifest.

    Returns
    -------
    list of Path
        The manifests, in the order of ``names``.

    Raises
    ------
    ImageBuildError
        Unknown name, missing programs, no packages, disk full, no permission. Earlier images are untouched.
    ImageManifestError
        ``from_manifest`` cannot be read or names no packages.
    """
    unknown = [name for name in names if name not in DEFINITIONS]
    if unknown:
        known = ", ".join(ALL_IMAGE_NAMES)
        raise ImageBuildError(
            f"There is no image called {', '.join(unknown)}. There are: {known}. Nothing was changed."
        )
    locked = _locked(from_manifest, names) if from_manifest is not None else None
    order = _Order(force or locked is not None, keep, locked, progress)
    images = home / "images"
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)  # volumes and keys will be in it too
        images.mkdir(exist_ok=True)
        with records.lock(images, progress):
            return _build_locked(images, tuple(names), order)
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


def _locked(path: Path, names: Sequence[str]) -> tuple[str, ...]:
    of, packages = read_lock(path)
    strangers = [name for name in names if DEFINITIONS[name].recipe is not DEFINITIONS[of].recipe]
    if strangers:
        raise ImageBuildError(
            f"{path} holds the package versions of {of}, which {', '.join(strangers)} is not made of. "
            f"Nothing was changed. Name only images of the same system."
        )
    return packages


def _build_locked(images: Path, names: tuple[str, ...], order: _Order) -> list[Path]:
    apt = Apt(images / ".cache")
    recipes = dict.fromkeys(DEFINITIONS[name].recipe for name in names)
    built = False
    for recipe in recipes:
        mine = [name for name in names if DEFINITIONS[name].recipe is recipe]
        built = _build_recipe(images, recipe, mine, apt, order) or built
    if not built:
        order.progress("images are up to date", 0)
    return [images / name / MANIFEST_NAME for name in names]


def _build_recipe(images: Path, recipe: Recipe, names: Sequence[str], apt: Apt, order: _Order) -> bool:
    guest = guest_fingerprint(recipe.guest)
    stale = [name for name in names if order.force or not _current(images / name, guest, apt.stamp())]
    if not stale:
        return False
    check_tools()
    order.progress(f"finding the Debian packages of {recipe.name}", recipe.typical_build_s + _DOWNLOAD_S)
    packages = _resolve(apt, recipe, order)
    inputs = _inputs(guest, packages)
    if not order.force:
        for name in list(stale):
            # Newer package lists that name the same packages: only remember that they were looked at.
            if records.read(images / name).get("inputs") == inputs and records.sound(images / name):
                records.write(images / name, guest, apt.stamp(), inputs, packages)
                stale.remove(name)
    if not stale:
        return False
    _require_space(images, recipe)
    keep = records.wanted_files(images)
    try:
        debs = apt.fetch(packages, order.progress, keep)
    except ImageBuildError:
        if order.locked is not None:
            raise
        # The host's lists may name versions that the mirror no longer has: look once with fresh lists.
        apt.update(order.progress)
        packages = _resolve(apt, recipe, order)
        inputs = _inputs(guest, packages)
        debs = apt.fetch(packages, order.progress, keep)
    with tempfile.TemporaryDirectory(prefix=".build-", dir=images) as folder:
        work = Path(folder)
        made, epoch_s = assembly.make(work, recipe, packages, debs, order.progress)
        order.progress("checking and putting in place", 2)
        digests = {path.name: records.sha256(path) for path in sorted(made.iterdir())}
        for name in stale:
            manifest = manifest_of(name, digests, epoch_s, packages)
            records.put_in_place(work, made, images / name, manifest, keep=order.keep)
    for name in stale:
        records.write(images / name, guest, apt.stamp(), inputs, packages)
    return True


def _resolve(apt: Apt, recipe: Recipe, order: _Order) -> tuple[Package, ...]:
    if order.locked is not None:
        return apt.locked(order.locked, order.progress)
    wanted, left_out = parse_wanted((recipe.guest / "packages.txt").read_text(encoding="utf-8"))
    return apt.resolve(wanted, left_out, order.progress)


def _inputs(guest: str, packages: tuple[Package, ...]) -> str:
    return hashlib.sha256("\n".join([guest, *map(str, packages)]).encode()).hexdigest()


def _current(folder: Path, guest: str, stamp: str) -> bool:
    record = records.read(folder)
    return record.get("guest") == guest and record.get("lists") == stamp and records.sound(folder)


def manifest_of(name: str, digests: Mapping[str, str], epoch_s: int, packages: tuple[Package, ...]) -> dict[str, Any]:
    """Describe an image; its version is the date of its newest package and a hash of its content."""
    definition = DEFINITIONS[name]
    recipe = definition.recipe
    date = dt.datetime.fromtimestamp(epoch_s, dt.UTC).strftime("%Y.%m.%d")
    content = hashlib.sha256(json.dumps([digests, recipe.kernel_args], sort_keys=True).encode()).hexdigest()[:8]
    return {
        "schema": SCHEMA,
        "name": name,
        "version": f"{date}-{content}",
        "title": definition.title,
        "description": definition.description,
        "architecture": ARCHITECTURE,
        "virtualization_type": VIRTUALIZATION_TYPE,
        "root_device_type": definition.root_device_type,
        "files": {"kernel": "vmlinux", "ramdisk": "ramdisk.img", "root": "root.qcow2"},
        "sha256": dict(digests),
        "root_size_bytes": recipe.root_size_bytes,
        "min_memory_bytes": recipe.min_memory_bytes,
        "kernel_args": recipe.kernel_args,
        "login_user": LOGIN_USER,
        "packages": [str(package) for package in packages],
    }


def _require_space(images: Path, recipe: Recipe) -> None:
    free = shutil.disk_usage(images).free
    if free < recipe.free_bytes_needed:
        raise ImageBuildError(
            f"Too little room in {images}: {free / 1e6:.0f} MB free, building {recipe.name} needs about "
            f"{recipe.free_bytes_needed / 1e6:.0f} MB. Nothing was changed. "
            "Free some space, or choose another place with --home."
        )
