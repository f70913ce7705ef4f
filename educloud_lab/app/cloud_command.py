"""What the subcommands of ``educloud cloud`` share: the home, and errors as one paragraph."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from traitlets import Unicode

from educloud_lab.app.command import NOT_UNDERSTOOD, StrictCommand, complain, out
from educloud_lab.localcloud.errors import LocalCloudError
from educloud_lab.localcloud.settings import default_home

__all__ = ["CloudCommand", "complain", "out"]


class CloudCommand(StrictCommand):
    """A subcommand. Exits with 1 when it could not do what was asked, with 2 when that was not understood."""

    home = Unicode(help="Folder that holds images and the local cloud's state (default: EDUCLOUD_HOME).").tag(
        config=True
    )

    aliases = {  # noqa: RUF012 - traitlets' own name and kind of attribute
        "home": "CloudCommand.home",
        "log-level": "Application.log_level",
    }

    takes: tuple[str, ...] = ()
    """Names of the arguments that it needs, all of them."""

    def place(self) -> Path:
        """Return the home that this command is about."""
        return Path(self.home).expanduser().absolute() if self.home else default_home()

    def start(self) -> None:
        """Act; exits with one paragraph when it cannot."""
        name = self.name.replace("-", " ")
        if len(self.extra_args) != len(self.takes):
            takes = "takes " + " and ".join(self.takes) if self.takes else "takes no arguments"
            given = f"{' '.join(self.extra_args)!r}" if self.extra_args else "none"
            complain(f"{name}: it {takes}, and was given {given}. Nothing was done. See --help.")
            self.exit(NOT_UNDERSTOOD)
        try:
            self._act()
        except LocalCloudError as exc:
            complain(f"{name}: {exc}")
            self.exit(1)
        except BrokenPipeError:  # whoever read the output (`| head`) has seen enough
            sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115 - so that the interpreter's end is silent too

    def _act(self) -> None:
        raise NotImplementedError
