"""Reading an image: its manifest (``images/<name>/manifest.json``) and the files it names, checked.

A manifest is data that a person may have copied from elsewhere, so nothing in it is trusted: names of
files may not leave the image's folder, sizes and checksums must agree, and an image for another kind of
machine is refused with the reason before anything boots.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from educloud_lab.localcloud.images.errors import ImageFilesError, ImageManifestError, ImageUnsuitableError

SCHEMA = 1
MANIFEST_NAME = "manifest.json"
ARCHITECTURE = "x86_64"
VIRTUALIZATION_TYPE = "hvm"
ROOT_DEVICE_TYPES = ("ebs", "instance-store")
ROLES = ("kernel", "ramdisk", "root")

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_LOCKED = re.compile(r"[a-z0-9][a-z0-9+.-]*=[A-Za-z0-9.+:~-]+")
_LOGIN = re.compile(r"[a-z_][a-z0-9_-]{0,31}")


@dataclass(frozen=True, slots=True)
class ImageManifest:
    """One built image, as its manifest describes it.

    Parameters
    ----------
    folder : where the manifest was read from; the files lie beside it.
    name : short name, also the folder's name when the builder made it (``tiny``).
    version : date and content hash, for example ``2026.11.22-1f0c9a3b``.
    title, description : for people.
    architecture, virtualization_type : always ``x86_64`` and ``hvm`` once loaded.
    root_device_type : ``ebs`` or ``instance-store``.
    files : file name by role: ``kernel``, ``ramdisk``, ``root``.
    sha256 : lower-case hexadecimal digest by file name.
    root_size_bytes : virtual size of the root disk.
    min_memory_bytes : least memory that the image boots with.
    kernel_args : the kernel's command line.
    login_user : the account that students log in as.
    """

    folder: Path
    name: str
    version: str
    title: str
    description: str
    architecture: str
    virtualization_type: str
    root_device_type: str
    files: Mapping[str, str]
    sha256: Mapping[str, str]
    root_size_bytes: int
    min_memory_bytes: int
    kernel_args: str
    login_user: str

    @property
    def kernel(self) -> Path:
        """The uncompressed kernel (ELF, booted by its PVH note)."""
        return self.folder / self.files["kernel"]

    @property
    def ramdisk(self) -> Path:
        """The initial ramdisk."""
        return self.folder / self.files["ramdisk"]

    @property
    def root(self) -> Path:
        """The root disk, a qcow2 file that must only ever be a backing file."""
        return self.folder / self.files["root"]

    def verify(self) -> None:
        """Read every file and compare it with its recorded SHA-256 (about a second for the tiny image).

        Raises
        ------
        ImageFilesError
            A file is missing, unreadable or differs.
        """
        for name in self.files.values():
            path = self.folder / name
            try:
                with path.open("rb") as stream:
                    found = hashlib.file_digest(stream, "sha256").hexdigest()
            except OSError as exc:
                raise ImageFilesError(_missing(self.name, path, exc.strerror or str(exc))) from exc
            if found != self.sha256[name]:
                raise ImageFilesError(
                    f"Image {self.name!r}: {path} is not the file that was built (its SHA-256 is {found[:12]}…, "
                    f"the manifest says {self.sha256[name][:12]}…). It was damaged or changed; machines and volumes "
                    f"were not touched. Build it again: educloud cloud image build {self.name} --force"
                )


def load_manifest(path: Path, *, verify: bool = False) -> ImageManifest:
    """Read and check one image.

    Parameters
    ----------
    path : the manifest, or the folder that holds it.
    verify : also read the files and compare their checksums.

    Raises
    ------
    ImageManifestError
        Absent, unreadable, not JSON, or a field is missing or wrong.
    ImageUnsuitableError
        Made for another schema, architecture or kind of virtualisation.
    ImageFilesError
        A file is missing or empty, or (with ``verify``) differs.
    """
    if path.is_dir():
        path = path / MANIFEST_NAME
    data = _read(path)
    schema = data.get("schema")
    if schema != SCHEMA:
        raise ImageUnsuitableError(
            f"{path}: this image has manifest schema {schema!r}, this program reads schema {SCHEMA}. "
            f"Build the image again with this version (educloud cloud image build), or upgrade."
        )
    fields = _Fields(path, data)
    name = fields.text("name", _NAME)
    architecture = fields.text("architecture")
    virtualization = fields.text("virtualization_type")
    if architecture != ARCHITECTURE:
        raise ImageUnsuitableError(
            f"Image {name!r} is made for {architecture} machines; the local cloud runs {ARCHITECTURE}. "
            f"Nothing was registered or started. Use an {ARCHITECTURE} image."
        )
    if virtualization != VIRTUALIZATION_TYPE:
        raise ImageUnsuitableError(
            f"Image {name!r} uses virtualisation type {virtualization!r}; the local cloud runs "
            f"{VIRTUALIZATION_TYPE!r} only. Nothing was registered or started. Use an {VIRTUALIZATION_TYPE} image."
        )
    root_device_type = fields.text("root_device_type")
    if root_device_type not in ROOT_DEVICE_TYPES:
        raise ImageManifestError(
            f"{path}: root_device_type is {root_device_type!r}; it must be one of {', '.join(ROOT_DEVICE_TYPES)}."
        )
    files = fields.texts("files", ROLES, _FILE_NAME)
    manifest = ImageManifest(
        folder=path.parent,
        name=name,
        version=fields.text("version"),
        title=fields.text("title"),
        description=fields.text("description"),
        architecture=architecture,
        virtualization_type=virtualization,
        root_device_type=root_device_type,
        files=files,
        sha256=fields.texts("sha256", tuple(files.values()), _SHA256),
        root_size_bytes=fields.positive("root_size_bytes"),
        min_memory_bytes=fields.positive("min_memory_bytes"),
        kernel_args=fields.text("kernel_args"),
        login_user=fields.text("login_user", _LOGIN),
    )
    for file_name in files.values():
        _check_present(name, path.parent / file_name)
    if verify:
        manifest.verify()
    return manifest


def read_lock(path: Path) -> tuple[str, tuple[str, ...]]:
    """Read from a manifest what it was built from: the image's name and its packages as ``name=version``.

    Parameters
    ----------
    path : the manifest, or the folder that holds it. The image's files need not be there.

    Raises
    ------
    ImageManifestError
        Absent, unreadable, or it names no packages (older versions of the builder did not write them).
    """
    path = path / MANIFEST_NAME if path.is_dir() else path
    data = _read(path)
    name = _Fields(path, data).text("name", _NAME)
    packages = data.get("packages")
    if not isinstance(packages, list) or not packages or not all(_LOCKED.fullmatch(str(line)) for line in packages):
        raise ImageManifestError(
            f"{path} does not say which package versions the image was built from, so it cannot be built again from "
            f"them. Nothing was changed. Build with the versions of today (without --from-manifest)."
        )
    return name, tuple(map(str, packages))


def load_all(images: Path, *, verify: bool = False) -> tuple[ImageManifest, ...]:
    """Read every image under ``images`` (``<home>/images``), ordered by name; folders without a manifest do not count.

    Raises
    ------
    ImageError
        As `load_manifest`, for the first one that is not sound.
    """
    paths = sorted(images.glob(f"[!.]*/{MANIFEST_NAME}"))
    return tuple(load_manifest(path, verify=verify) for path in paths)


class _Fields:
    """Typed access to a manifest's fields; each failure names the file and the field."""

    def __init__(self, path: Path, data: Mapping[str, Any]) -> None:
        self._path = path
        self._data = data

    def text(self, key: str, pattern: re.Pattern[str] | None = None) -> str:
        return self._text(key, self._data.get(key), pattern)

    def texts(self, key: str, wanted: tuple[str, ...], pattern: re.Pattern[str]) -> dict[str, str]:
        table = self._data.get(key)
        if not isinstance(table, dict):
            raise self._error(key, "must be an object")
        return {name: self._text(f"{key}.{name}", table.get(name), pattern) for name in wanted}

    def positive(self, key: str) -> int:
        value = self._data.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
            raise self._error(key, f"must be a whole number above 0, not {value!r}")
        return value

    def _text(self, key: str, value: object, pattern: re.Pattern[str] | None) -> str:
        if not isinstance(value, str) or not value:
            raise self._error(key, "is missing" if value is None else f"must be text, not {value!r}")
        if pattern is not None and not pattern.fullmatch(value):
            raise self._error(key, f"has an unusable value: {value[:80]!r}")
        return value

    def _error(self, key: str, problem: str) -> ImageManifestError:
        return ImageManifestError(
            f"{self._path}: {key} {problem}. The image was not used; "
            "build it again (educloud cloud image build --force)."
        )


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as exc:
        raise ImageManifestError(
            f"There is no image at {path}. Build the images first: educloud cloud image build"
        ) from exc
    except (OSError, UnicodeDecodeError) as exc:
        raise ImageManifestError(f"The image manifest {path} cannot be read: {exc}") from exc
    try:
        data = json.loads(text)
    except json.JSONDecodeError as exc:
        raise ImageManifestError(
            f"The image manifest {path} is not JSON (line {exc.lineno}: {exc.msg}). "
            f"Build the image again: educloud cloud image build --force"
        ) from exc
    if not isinstance(data, dict):
        raise ImageManifestError(f"The image manifest {path} must hold one JSON object.")
    return data


def _check_present(image: str, path: Path) -> None:
    try:
        empty = path.stat().st_size == 0
    except OSError as exc:
        raise ImageFilesError(_missing(image, path, exc.strerror or str(exc))) from exc
    if empty:
        raise ImageFilesError(_missing(image, path, "the file is empty"))


def _missing(image: str, path: Path, reason: str) -> str:
    return (
        f"Image {image!r}: {path} cannot be used ({reason}). Machines and volumes were not touched. "
        f"Build the image again: educloud cloud image build {image} --force"
    )
