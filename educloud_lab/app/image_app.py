"""``educloud cloud image`` (and ``educloud image``): build, list, verify and remove the local cloud's images."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from traitlets import Bool, Unicode

from educloud_lab.app.command import CommandGroup, StrictCommand
from educloud_lab.localcloud.images import (
    ALL_IMAGE_NAMES,
    IMAGE_NAMES,
    ImageError,
    build,
    load_manifest,
    records,
)


def default_home() -> str:
    """EDUCLOUD_HOME, or the place that the desktop convention gives (XDG_DATA_HOME)."""
    data = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local/share")
    return os.environ.get("EDUCLOUD_HOME") or f"{data}/educloud-lab"


class _ImageCommand(StrictCommand):
    """What the subcommands share: where images live, and errors as one plain paragraph."""

    home = Unicode(help="Folder that holds images and the local cloud's state (default: EDUCLOUD_HOME).").tag(
        config=True
    )

    aliases = {  # noqa: RUF012 - traitlets' own name and kind of attribute
        "home": "_ImageCommand.home",
        "log-level": "Application.log_level",
    }

    def images_home(self) -> Path:
        return Path(self.home or default_home()).expanduser()

    def fail(self, message: object) -> None:
        print(f"{self.name.replace('-', ' ')}: {message}", file=sys.stderr)  # noqa: T201 - the command's own message
        self.exit(1)


class ImageBuildApp(_ImageCommand):
    """Build images from Debian's packages."""

    name = "educloud-cloud-image-build"
    description = f"""Build the local cloud's images from Debian's packages, without root.

    Without a name it builds {" and ".join(IMAGE_NAMES)}; `all` is {", ".join(ALL_IMAGE_NAMES)}. What is up to date is
    left alone, in a fraction of a second and without the network. An image that is in use may be rebuilt: machines
    keep the files that they were started from."""
    examples = (
        "educloud cloud image build\n"
        "educloud cloud image build debian\n"
        "educloud cloud image build tiny --force --keep\n"
        "educloud cloud image build tiny --from-manifest=manifest.json"
    )

    force = Bool(False, help="Build even when nothing has changed.").tag(config=True)
    keep = Bool(False, help="Leave the earlier version beside the new one, as NAME@VERSION.").tag(config=True)
    from_manifest = Unicode(
        help="Build with exactly the package versions of this manifest (a file, or the folder of an image)."
    ).tag(config=True)
    locked = Bool(
        False, help="Build with exactly the package versions of the image that is there: --from-manifest of itself."
    ).tag(config=True)

    aliases = {  # noqa: RUF012
        **_ImageCommand.aliases,
        "from-manifest": "ImageBuildApp.from_manifest",
    }
    flags = {  # noqa: RUF012
        "force": ({"ImageBuildApp": {"force": True}}, "Build even when nothing has changed."),
        "keep": ({"ImageBuildApp": {"keep": True}}, "Leave the earlier version beside the new one, as NAME@VERSION."),
        "locked": (
            {"ImageBuildApp": {"locked": True}},
            "Build again from the package versions of the image that is there.",
        ),
    }

    def start(self) -> None:
        """Build; exits with 1 and one paragraph when it cannot."""
        home = self.images_home()
        asked = list(self.extra_args)
        names = list(ALL_IMAGE_NAMES) if "all" in asked else list(dict.fromkeys(asked)) or list(IMAGE_NAMES)
        progress = ProgressLines()
        try:
            manifests = []
            for group, lock in self._groups(home, names):
                manifests += build(home, group, progress=progress, force=self.force, keep=self.keep, from_manifest=lock)
        except ImageError as exc:
            self.fail(exc)
        else:
            for path in manifests:
                print(f"{load_manifest(path).version}  {path.parent}")  # noqa: T201 - the command's output

    def _groups(self, home: Path, names: list[str]) -> list[tuple[list[str], Path | None]]:
        """Give what is built together, and from which manifest."""
        if self.from_manifest:
            return [(names, Path(self.from_manifest).expanduser())]
        if self.locked:
            return [([name], home / "images" / name) for name in names]
        return [(names, None)]


class ImageListApp(_ImageCommand):
    """List the images that are there."""

    name = "educloud-cloud-image-list"
    description = "List the images that are there, and check with --verify that none is damaged."

    verify = Bool(False, help="Read every file and compare its checksum.").tag(config=True)

    flags = {"verify": ({"ImageListApp": {"verify": True}}, "Read every file and compare its checksum.")}  # noqa: RUF012

    def start(self) -> None:
        """Print a line an image; exits with 1 when one is not sound (after listing the others)."""
        images = self.images_home() / "images"
        there = records.folders(images)
        if not there:
            self.fail(f"no images in {images}. Build them: educloud cloud image build")
        bad = False
        for folder in there:
            try:
                image = load_manifest(folder, verify=self.verify)
            except ImageError as exc:
                bad = True
                print(f"{folder.name}: {exc}", file=sys.stderr)  # noqa: T201 - the command's own message
                continue
            size = sum((folder / name).stat().st_size for name in image.files.values())
            kept = "kept: " if folder.name != image.name else ""
            print(  # noqa: T201 - the command's output
                f"{image.name:<12} {image.version:<20} {image.root_device_type:<15} {size / 1e6:6.0f} MB  "
                f"{kept}{image.title}"
            )
        for name in ALL_IMAGE_NAMES:
            if not any(folder.name == name for folder in there):
                print(f"{name:<12} not built; build it with: educloud cloud image build {name}")  # noqa: T201
        if bad:
            self.exit(1)


class ImageVerifyApp(_ImageCommand):
    """Compare images with their checksums."""

    name = "educloud-cloud-image-verify"
    description = "Read every file of the images (or of those named) and compare it with the manifest's checksum."

    def start(self) -> None:
        """Print a line an image; exits with 1 when one is not what was built."""
        images = self.images_home() / "images"
        asked = list(self.extra_args) or [folder.name for folder in records.folders(images)]
        if not asked:
            self.fail(f"no images in {images}. Build them: educloud cloud image build")
        bad = False
        for name in asked:
            try:
                image = load_manifest(images / Path(name).name, verify=True)
            except ImageError as exc:
                bad = True
                print(f"{name}: {exc}", file=sys.stderr)  # noqa: T201 - the command's own message
            else:
                print(f"{name}: {image.version} is the image that was built")  # noqa: T201 - the command's output
        if bad:
            self.exit(1)


class ImageRemoveApp(_ImageCommand):
    """Remove images."""

    name = "educloud-cloud-image-remove"
    description = """Remove images, or versions that were kept (NAME@VERSION).

    Machines and volumes that were made of them keep what they need."""
    examples = "educloud cloud image remove debian\neducloud cloud image remove tiny@2026.11.22-1f0c9a3b"

    def start(self) -> None:
        """Remove; exits with 1 when there is no such image, with 2 when none is named."""
        images = self.images_home() / "images"
        if not self.extra_args:
            there = ", ".join(folder.name for folder in records.folders(images)) or "none"
            print(f"educloud cloud image remove: name an image (there are: {there}).", file=sys.stderr)  # noqa: T201
            self.exit(2)
        for name in self.extra_args:
            try:
                records.remove(images, name, ProgressLines())
            except ImageError as exc:
                self.fail(exc)
            else:
                print(f"{name} removed.")  # noqa: T201 - the command's output


class ImageApp(CommandGroup):
    """Build, list, verify and remove images."""

    name = "educloud cloud image"
    description = "The local cloud's images: build, list, verify and remove them."

    subcommands = {  # noqa: RUF012 - traitlets' own name and kind of attribute
        "build": (ImageBuildApp, "Build images from Debian's packages."),
        "list": (ImageListApp, "List the images that are there."),
        "verify": (ImageVerifyApp, "Compare images with their checksums."),
        "remove": (ImageRemoveApp, "Remove images or kept versions."),
    }


class ProgressLines:
    """Steps of a build as lines on standard error: what is done, and about how long it will still take."""

    def __init__(self) -> None:
        self._started_s = time.monotonic()

    def __call__(self, what: str, left_s: float | None) -> None:
        """Print one step."""
        estimate = f" (about {left_s:.0f} s left)" if left_s else ""
        elapsed_s = time.monotonic() - self._started_s
        print(f"[{elapsed_s:4.0f} s] {what}{estimate}", file=sys.stderr, flush=True)  # noqa: T201 - the person watches


def main(argv: list[str] | None = None) -> None:
    """Run the command line."""
    ImageApp.launch_instance(argv)


if __name__ == "__main__":
    main()
