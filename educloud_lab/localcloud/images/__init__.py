"""The local cloud's own images: how they are built from Debian's packages, and how they are read."""

from educloud_lab.localcloud.images.builder import build
from educloud_lab.localcloud.images.errors import (
    ImageBuildError,
    ImageError,
    ImageFilesError,
    ImageManifestError,
    ImageUnsuitableError,
)
from educloud_lab.localcloud.images.manifest import ImageManifest, load_all, load_manifest
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
