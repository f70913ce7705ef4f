"""The local cloud's own images: how they are built from Debian's packages, and how they are read."""

from educloud_lab.localcloud.images.errors import (
    ImageBuildError,
    ImageError,
    ImageFilesError,
    ImageManifestError,
    ImageUnsuitableError,
)
from educloud_lab.localcloud.images.manifest import ImageManifest, load_all, load_manifest

__all__ = [
    "ImageBuildError",
    "ImageError",
    "ImageFilesError",
    "ImageManifest",
    "ImageManifestError",
    "ImageUnsuitableError",
    "load_all",
    "load_manifest",
]
