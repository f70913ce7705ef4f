"""What can go wrong with images. Every message says what happened, what was kept, and what to do next.

ImageError
├── ImageManifestError     the manifest cannot be read or breaks its schema
├── ImageFilesError        a file that the manifest names is missing or is not the one that was built
├── ImageUnsuitableError   the image is sound but cannot run here (architecture, virtualisation, schema)
└── ImageBuildError        the builder could not finish; an earlier image is left as it was
"""

from __future__ import annotations


class ImageError(Exception):
    """Something about an image; the message is meant for a person."""


class ImageManifestError(ImageError):
    """The manifest is absent, is not JSON, or misses or misstates something."""


class ImageFilesError(ImageError):
    """A file of the image is missing, empty or differs from its recorded SHA-256."""


class ImageUnsuitableError(ImageError):
    """The image is well-formed but made for another kind of machine."""


class ImageBuildError(ImageError):
    """An image could not be built; whatever was there before is untouched."""
