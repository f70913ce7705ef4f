"""The local cloud's own images: how they are built from Debian's packages, and how they are read."""

from educloud_lab.localcloud.images.builder import IMAGE_NAMES, build
from educloud_lab.localcloud.images.errors import (
    ImageBuildError,
    ImageError,
    ImageFilesError,
    ImageManifestError,
    ImageUnsuitableError,
)
from educloud_lab.localcloud.images.manifest import ImageManifest, load_all, load_manifest

__all__ = [
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
