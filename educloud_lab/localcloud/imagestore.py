"""Registering built images: each version's files are kept, so that building anew never changes a machine's disk."""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from educloud_lab.localcloud import events
from educloud_lab.localcloud.accounts import ADMINISTRATOR, Accounts
from educloud_lab.localcloud.cloud import Cloud
from educloud_lab.localcloud.images import ImageError, ImageManifest, load_manifest
from educloud_lab.localcloud.images.manifest import MANIFEST_NAME
from educloud_lab.localcloud.settings import Folders
from educloud_lab.localcloud.state.tables import Image, Snapshot

log = logging.getLogger("educloud.cloud.images")


DEREGISTERED = "deregistered by its owner"
"""Message of an image that lies in ``images/`` and is not to be listed all the same."""


@dataclass(slots=True)
class _Found:
    """One folder of ``images/``: a sound manifest, or why there is none."""

    folder: Path
    manifest: ImageManifest | None
    message: str = ""
    name: str = ""
    facts: dict[str, str] = field(default_factory=dict)


def scan(folders: Folders, known: frozenset[str]) -> list[_Found]:
    """Read every built image and keep new ones' files; meant for a worker thread (it reads whole files).

    Parameters
    ----------
    known : ``name:version`` of images whose files were verified and kept before.
    """
    found = []
    for path in sorted(folders.images.glob(f"[!.]*/{MANIFEST_NAME}")):
        try:
            manifest = load_manifest(path)
            if f"{manifest.name}:{manifest.version}" not in known or not _kept(folders, manifest):
                manifest.verify()
                _keep(folders, manifest)
            found.append(_Found(path.parent, manifest, name=manifest.name))
        except (ImageError, OSError) as error:
            log.warning("An image was not registered: %s", error)
            found.append(_Found(path.parent, None, str(error), path.parent.name, _facts(path)))
    return found


def fingerprint(folders: Folders) -> frozenset[tuple[str, int]]:
    """Return what changes when an image is built, replaced or removed."""
    found = set()
    for path in folders.images.glob(f"[!.]*/{MANIFEST_NAME}"):
        with contextlib.suppress(OSError):
            found.add((path.parent.name, path.stat().st_mtime_ns))
    return frozenset(found)


def stored(manifest: ImageManifest) -> str:
    """Return where an image's files are kept, relative to the cloud's folder."""
    return f"images/{manifest.name}/{manifest.version}"


async def register(cloud: Cloud, accounts: Accounts, found: list[_Found]) -> None:
    """Bring the image rows in line with what was found; ids stay."""
    owner = accounts.named(ADMINISTRATOR)[0].account_id

    def work(session: Session) -> None:
        seen: set[str] = set()
        for item in found:
            if item.manifest is None:
                seen.add(_register_failed(session, cloud, owner, item))
            else:
                # A version that was kept lies in NAME@VERSION and is offered by that name.
                name = item.folder.name if "@" in item.folder.name else item.manifest.name
                seen.update(_register(session, cloud, owner, item.manifest, name))
        for image in session.scalars(select(Image).where(Image.registered.is_(False))):
            if image.key not in seen and image.state != "deregistered":
                image.state = "deregistered"
                _tell(session, cloud, image, "deregistered: its files are not there any more")

    await cloud.database.run(work)


def verified(session: Session) -> frozenset[str]:
    """Return ``name:version`` of the images that were registered whole."""
    kept = Image.state != "failed", Image.kind == "machine", Image.registered.is_(False)
    rows = session.scalars(select(Image).where(*kept))
    return frozenset(row.key.rpartition(":")[0] for row in rows)


def kept_folders(folders: Folders, bases: Iterable[Path]) -> Iterator[str]:
    """Return the folders of kept images in which these files lie, relative to the cloud's."""
    cloud = Path(os.path.realpath(folders.cloud))
    for base in bases:
        path = Path(os.path.realpath(base))
        if path.is_relative_to(cloud):
            yield str(path.parent.relative_to(cloud))


def remove_unused(folders: Folders, used: frozenset[str]) -> None:
    """Delete kept files that neither a registered image nor a disk needs."""
    for folder in folders.store.glob("*/*"):
        if str(folder.relative_to(folders.cloud)) not in used:
            shutil.rmtree(folder, ignore_errors=True)


def _kept(folders: Folders, manifest: ImageManifest) -> bool:
    return all((folders.cloud / stored(manifest) / name).exists() for name in manifest.files.values())


def _keep(folders: Folders, manifest: ImageManifest) -> None:
    target = folders.cloud / stored(manifest)
    target.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name in set(manifest.files.values()):
        temporary = target / f".{name}.new"
        temporary.unlink(missing_ok=True)
        try:
            os.link(manifest.folder / name, temporary)
        except OSError:  # another file system, or one without hard links
            with contextlib.suppress(FileNotFoundError):
                temporary.unlink()
            shutil.copyfile(manifest.folder / name, temporary)
        temporary.replace(target / name)


def _facts(path: Path) -> dict[str, str]:
    """Read what can be told about an image that is not usable."""
    try:
        data = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    if not isinstance(data, dict):
        return {}
    return {k: str(v)[:100] for k, v in data.items() if isinstance(v, str)}


def _register_failed(session: Session, cloud: Cloud, owner: str, item: _Found) -> str:
    key = f"{item.folder.name}:failed:machine"
    row = session.scalar(select(Image).where(Image.key == key))
    if row is None:
        row = _new(session, cloud, owner, key, "machine")
    row.name, row.version = item.folder.name[:120], item.facts.get("version", "?")[:60]
    row.description = item.facts.get("title", "")
    row.state, row.message = "failed", item.message
    row.architecture = item.facts.get("architecture", "x86_64")[:16]
    row.virtualization_type = item.facts.get("virtualization_type", "hvm")[:16]
    row.root_device_type = item.facts.get("root_device_type", "ebs")[:16]
    return key


def _register(session: Session, cloud: Cloud, owner: str, manifest: ImageManifest, name: str) -> set[str]:
    ids: dict[str, str] = {}
    keys: set[str] = set()
    kinds = ("machine",) if manifest.root_device_type == "ebs" else ("kernel", "ramdisk", "machine")
    for kind in kinds:
        key = f"{manifest.name}:{manifest.version}:{kind}"
        row = session.scalar(select(Image).where(Image.key == key))
        if row is None:
            row = _new(session, cloud, owner, key, kind)
            row.name = name
            _tell(session, cloud, row, f"registered: {manifest.name} {manifest.version}, {kind}")
        ids[kind] = row.id
        keys.add(key)
        if row.state == "deregistered" and row.message == DEREGISTERED:
            continue
        row.name, row.version, row.state, row.message = name, manifest.version, "available", ""
        row.description = manifest.title
        row.architecture, row.virtualization_type = manifest.architecture, manifest.virtualization_type
        row.root_device_type = manifest.root_device_type
        row.folder = stored(manifest)
        if kind == "machine":
            row.files = dict(manifest.files)
            row.root_size_bytes, row.min_memory_bytes = manifest.root_size_bytes, manifest.min_memory_bytes
            row.kernel_args = manifest.kernel_args
            row.kernel_id, row.ramdisk_id = ids.get("kernel", ""), ids.get("ramdisk", "")
            if manifest.root_device_type == "ebs" and not row.snapshot_id:
                row.snapshot_id = _snapshot(session, cloud, owner, manifest)
            snapshot = session.get(Snapshot, row.snapshot_id) if row.snapshot_id else None
            if snapshot is not None:
                snapshot.boots_like, snapshot.public = row.id, True
    return keys


def _tell(session: Session, cloud: Cloud, row: Image, text: str) -> None:
    events.record(session, cloud.now(), "image", row.id, text, owner=row.owner)


def _new(session: Session, cloud: Cloud, owner: str, key: str, kind: str) -> Image:
    row = Image(
        id=cloud.new_id(cloud.model.id_prefixes[kind]), key=key, kind=kind, owner=owner, created_at=cloud.now(),
        name="", version="", state="available", architecture="", virtualization_type="", root_device_type="", files={},
    )  # fmt: skip
    session.add(row)
    session.flush()
    return row


def _snapshot(session: Session, cloud: Cloud, owner: str, manifest: ImageManifest) -> str:
    row = Snapshot(
        id=cloud.new_id("snap"), owner=owner, size_gib=max(1, math.ceil(manifest.root_size_bytes / 2**30)),
        state="completed", description=f"{manifest.name} {manifest.version}",
        file=f"{stored(manifest)}/{manifest.files['root']}", created_at=cloud.now(),
    )  # fmt: skip
    session.add(row)
    session.flush()
    return row.id
