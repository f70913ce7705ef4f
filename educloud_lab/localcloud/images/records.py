"""What lies in the images' folder: what each image was built from, several versions beside each other, one builder.

``images/<name>`` is the version that is used by that name. Versions that were kept lie beside it as
``images/<name>@<version>``, which is also the name by which the local cloud offers them.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from educloud_lab.localcloud.images.errors import ImageBuildError, ImageError
from educloud_lab.localcloud.images.manifest import MANIFEST_NAME, load_manifest
from educloud_lab.localcloud.images.packages import Package, file_stem
from educloud_lab.localcloud.images.tools import Progress, build_error

_RECORD_NAME = "build.json"
_FOLDER = re.compile(r"[a-z0-9][a-z0-9-]{0,62}(?:@[A-Za-z0-9][A-Za-z0-9.-]{0,59})?")


def read(folder: Path) -> dict[str, Any]:
    """Read what an image was built from; empty where that is not known."""
    try:
        data = json.loads((folder / _RECORD_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}


def write(folder: Path, guest: str, stamp: str, inputs: str, packages: tuple[Package, ...]) -> None:
    """Note what an image was built from."""
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


def sound(folder: Path) -> bool:
    """Tell whether an image is whole, as far as sizes show."""
    try:
        manifest = load_manifest(folder)
        sizes = read(folder).get("sizes")
        return bool(sizes == {name: (folder / name).stat().st_size for name in manifest.files.values()})
    except (ImageError, OSError):
        return False


def sha256(path: Path) -> str:
    """Hash one file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def put_in_place(work: Path, made: Path, target: Path, manifest: Mapping[str, Any], *, keep: bool) -> None:
    """Make ``target`` the image whose files lie in ``made``; at every moment it is the old one or the new one.

    Parameters
    ----------
    keep : leave the earlier version beside it, as ``<name>@<version>``.

    Raises
    ------
    ImageError
        The new image is not sound.
    """
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
    same = target.parent / f"{target.name}@{manifest['version']}"
    if same.exists():  # a version is there once
        same.rename(work / same.name)
    aside = work / f"old-{target.name}"
    if target.exists():
        kept = _kept_folder(target, str(manifest["version"])) if keep else None
        target.rename(kept or aside)
    ready.rename(target)


def _kept_folder(target: Path, new_version: str) -> Path | None:
    try:
        version = load_manifest(target).version
    except ImageError:  # what is damaged is not worth keeping
        return None
    folder = target.parent / f"{target.name}@{version}"
    return None if version == new_version or folder.exists() else folder


def folders(images: Path) -> list[Path]:
    """Every folder that holds an image, the current one of a name before its other versions."""
    return sorted((path.parent for path in images.glob(f"[!.]*/{MANIFEST_NAME}")), key=lambda path: path.name)


def remove(images: Path, name: str, progress: Progress) -> None:
    """Delete one image (``tiny``) or one kept version (``tiny@2026.11.22-1f0c9a3b``).

    Machines and volumes made of it keep their files: the local cloud has its own.

    Raises
    ------
    ImageBuildError
        There is none of this name, or no permission.
    """
    folder = images / name
    if not _FOLDER.fullmatch(name) or not folder.is_dir():
        there = ", ".join(path.name for path in folders(images)) or "none"
        raise ImageBuildError(f"There is no image {name!r} (there are: {there}). Nothing was changed.")
    try:
        with lock(images, progress):
            aside = images / f".build-removed-{name}"
            folder.rename(aside)
            shutil.rmtree(aside)
    except OSError as exc:
        raise build_error(f"removing {name}", exc) from exc


def wanted_files(images: Path) -> set[str]:
    """Beginnings of the names of package files that the images here were built from."""
    return {file_stem(str(package)) for folder in folders(images) for package in read(folder).get("packages", [])}


@contextmanager
def lock(images: Path, progress: Progress) -> Iterator[None]:
    """Keep other builders out, and clear what a killed one left."""
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
