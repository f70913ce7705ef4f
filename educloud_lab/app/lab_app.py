"""``educloud lab``: from nothing to JupyterLab on a course notebook, in one command; and for those who write one."""

from __future__ import annotations

import importlib.util
import os
import re
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

from traitlets import Bool, Unicode
from traitlets.config import Application

from educloud_lab.localcloud.settings import default_home

_SETTING = re.compile(r"--[A-Z]\w*\.")


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - the command's output


class OpenLabApp(Application):
    """Open JupyterLab on a notebook."""

    name = "educloud-lab"
    description = """Build the images that are missing, start the local cloud, and open JupyterLab on a notebook.

    What follows `--` is given to JupyterLab. JupyterLab prints the address to open. A notebook whose file is called
    check or link is written ./check."""
    examples = "educloud lab notebooks/01-your-first-machine.ipynb\neducloud lab --no-browser -- --ServerApp.port=9999"

    home = Unicode(help="Folder for images, the local cloud, the store and keys (default: EDUCLOUD_HOME).").tag(
        config=True
    )
    browser = Bool(True, help="Open a browser window.").tag(config=True)

    aliases = {  # noqa: RUF012 - traitlets' own name and kind of attribute
        "home": "OpenLabApp.home",
        "log-level": "Application.log_level",
    }
    subcommands: Any = {  # noqa: RUF012 - likewise
        "check": (
            "educloud_lab.app.lab_author_app.LabCheckApp",
            "Look through notebooks before they are handed out.",
        ),
        "link": ("educloud_lab.app.lab_author_app.LabLinkApp", "Make a link that opens a lab."),
    }
    forwarded: list[str] = []  # noqa: RUF012 - replaced, never changed
    flags = {"no-browser": ({"OpenLabApp": {"browser": False}}, "Do not open a browser window.")}  # noqa: RUF012 - likewise

    def parse_command_line(self, argv: list[str] | None = None) -> None:
        """Keep settings of other programs' classes (``--ServerApp.port=9999``) for JupyterLab."""
        given = list(sys.argv[1:] if argv is None else argv)
        if given[:1] and given[0] in self.subcommands:
            super().parse_command_line(given)
            return
        own, forwarded = split_arguments(given)
        self.forwarded = forwarded
        super().parse_command_line(own)

    def start(self) -> None:
        """Prepare, then become JupyterLab; exits with 1 and one paragraph when it cannot."""
        if self.subapp is not None:
            self.subapp.start()
            return
        from educloud_lab.localcloud.errors import LocalCloudError
        from educloud_lab.localcloud.images import ImageError

        home = Path(self.home).expanduser().absolute() if self.home else default_home()
        try:
            command = lab_command([*self.extra_args, *self.forwarded], browser=self.browser)
            prepare(home)
        except (LocalCloudError, ImageError, FileNotFoundError) as error:
            print(f"educloud lab: {error}", file=sys.stderr)  # noqa: T201 - the command's own message
            self.exit(1)
        os.environ["EDUCLOUD_HOME"] = str(home)
        os.execv(command[0], command)  # noqa: S606 - JupyterLab takes this process's place, as `exec` in a shell


def split_arguments(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Return our own arguments and those for JupyterLab: what follows ``--``, and settings of its classes."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    foreign = [a for a in arguments[:end] if _SETTING.match(a) and not a.startswith("--OpenLabApp.")]
    own = [a for a in arguments[:end] if a not in foreign]
    return own, foreign + arguments[end + 1 :]


def prepare(home: Path) -> None:
    """Build the images that are missing and start the local cloud.

    Raises
    ------
    ImageError, LocalCloudError
        The message says what to do.
    """
    from educloud_lab.app.image_app import ProgressLines
    from educloud_lab.localcloud import process
    from educloud_lab.localcloud.images import IMAGE_NAMES, build

    missing = [name for name in IMAGE_NAMES if not (home / "images" / name / "manifest.json").is_file()]
    if missing:
        _say(f"Building the images {' and '.join(missing)}; this is done once and takes some minutes.")
        build(home, missing, progress=ProgressLines())
    process.start(home, say=_say)


def lab_command(arguments: list[str], *, browser: bool) -> list[str]:
    """Return the command line of JupyterLab.

    Parameters
    ----------
    arguments : perhaps a notebook, then what JupyterLab is to be given.

    Raises
    ------
    FileNotFoundError
        There is no such notebook, or no JupyterLab.
    """
    if importlib.util.find_spec("jupyterlab") is None:
        raise FileNotFoundError(
            "JupyterLab is not installed in this environment. Nothing was started. Run: pip install 'educloud-lab[lab]'"
        )
    command = [sys.executable, "-m", "jupyterlab"]
    if arguments and not arguments[0].startswith("-"):
        notebook = Path(arguments.pop(0)).expanduser().absolute()
        if not notebook.exists():
            raise FileNotFoundError(f"There is no notebook {notebook}. Nothing was started.")
        folder = notebook if notebook.is_dir() else notebook.parent
        command.append(f"--ServerApp.root_dir={folder}")
        if notebook.is_file():
            # So that the address which JupyterLab prints opens the notebook, also without a browser here.
            command.append(f"--LabApp.default_url=/lab/tree/{quote(notebook.name)}")
    if not browser:
        command.append("--no-browser")
    if os.geteuid() == 0:
        command.append("--allow-root")
    return command + arguments
