"""``educloud image``: build the local cloud's images and list what is there."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from traitlets import Bool, Unicode
from traitlets.config import Application

from educloud_lab.localcloud.images import IMAGE_NAMES, ImageError, build, load_manifest


def default_home() -> str:
    """EDUCLOUD_HOME, or the place that the desktop convention gives (XDG_DATA_HOME)."""
    data = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local/share")
    return os.environ.get("EDUCLOUD_HOME") or f"{data}/educloud-lab"


class _ImageCommand(Application):
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

    name = "educloud-image-build"
    description = """Build the local cloud's images from Debian's packages, without root.

    What is up to date is left alone, in a fraction of a second and without the network. An image that is in use may
    be rebuilt: running machines keep the files that they were started from."""
    examples = """educloud image build all
    educloud image build tiny --force"""

    force = Bool(False, help="Build even when nothing has changed.").tag(config=True)

    flags = {"force": ({"ImageBuildApp": {"force": True}}, "Build even when nothing has changed.")}  # noqa: RUF012

    def start(self) -> None:
        """Build; exits with 1 and one paragraph when it cannot."""
        asked = list(self.extra_args) or ["all"]
        names = list(IMAGE_NAMES) if "all" in asked else list(dict.fromkeys(asked))
        progress = ProgressLines()
        try:
            manifests = build(self.images_home(), names, progress=progress, force=self.force)
        except ImageError as exc:
            self.fail(exc)
        else:
            for path in manifests:
                print(f"{load_manifest(path).version}  {path.parent}")  # noqa: T201 - the command's output


class ImageListApp(_ImageCommand):
    """List the images that are there."""

    name = "educloud-image-list"
    description = "List the images that are there, and check with --verify that none is damaged."

    verify = Bool(False, help="Read every file and compare its checksum.").tag(config=True)

    flags = {"verify": ({"ImageListApp": {"verify": True}}, "Read every file and compare its checksum.")}  # noqa: RUF012

    def start(self) -> None:
        """Print a line an image; exits with 1 when one is not sound (after listing the others)."""
        images = self.images_home() / "images"
        bad = False
        paths = sorted(images.glob("[!.]*/manifest.json"))
        for path in paths:
            try:
                image = load_manifest(path, verify=self.verify)
            except ImageError as exc:
                bad = True
                print(f"{path.parent.name}: {exc}", file=sys.stderr)  # noqa: T201 - the command's own message
                continue
            size = sum((path.parent / name).stat().st_size for name in image.files.values())
            print(  # noqa: T201 - the command's output
                f"{image.name:<12} {image.version:<20} {image.root_device_type:<15} {size / 1e6:6.0f} MB  {image.title}"
            )
        if not paths:
            self.fail(f"no images in {images}. Build them: educloud image build all")
        if bad:
            self.exit(1)


class ImageApp(Application):
    """Build and list images."""

    name = "educloud image"
    description = "The local cloud's images: build them, list them."

    subcommands = {  # noqa: RUF012 - traitlets' own name and kind of attribute
        "build": (ImageBuildApp, "Build images from Debian's packages."),
        "list": (ImageListApp, "List the images that are there."),
    }

    def start(self) -> None:
        """Run the subcommand, or say which there are."""
        if self.subapp is not None:
            self.subapp.start()
            return
        if self.extra_args:
            known = ", ".join(self.subcommands)
            print(  # noqa: T201 - the command's own message
                f"educloud image: there is no command {self.extra_args[0]!r}. There are: {known}.", file=sys.stderr
            )
        else:
            self.print_help()
        self.exit(2)


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
