"""The local cloud's own images: how they are built from Debian's packages, and how they are read."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from educloud_lab.localcloud.images.errors import (
    ImageBuildError,
    ImageError,
    ImageFilesError,
    ImageManifestError,
    ImageUnsuitableError,
)
from educloud_lab.localcloud.images.manifest import ImageManifest, load_all, load_manifest

if TYPE_CHECKING:
    from educloud_lab.localcloud.images.builder import build
    from educloud_lab.localcloud.images.recipes import ALL_IMAGE_NAMES, IMAGE_NAMES

__all__ = [
    "ALL_IMAGE_NAMES",
    "IMAGE_NAMES",
    "ImageBuildError",
    "ImageError",
    "ImageFilesError",
    "ImageManifest",
    "ImageManifestError",
    "ImageUnsuitableError",
    "build",
    "load_all",
    "load_manifest",
]

# Loaded when they are asked for: a cloud that starts reads images, and builds none.
_LATE = {"build": "builder", "ALL_IMAGE_NAMES": "recipes", "IMAGE_NAMES": "recipes"}


def __getattr__(name: str) -> Any:
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_LATE[name]}"), name)
