"""``educloud`` (and ``jupyter educloud``): one command line for everything."""

from __future__ import annotations

import sys
from typing import Any

from traitlets.config import Application

from educloud_lab import __version__


class EducloudApp(Application):
    """The command line."""

    name = "educloud"
    version = __version__
    description = "Virtual machines beside the notebook, and the small cloud that runs them on a laptop."
    examples = "educloud lab notebooks/01-your-first-machine.ipynb\neducloud status\neducloud doctor"

    # Named as text: each command is imported only when it is used.
    subcommands: Any = {  # noqa: RUF012 - traitlets' own name and kind of attribute
        "lab": (
            "educloud_lab.app.lab_app.OpenLabApp",
            "Open JupyterLab on a notebook, with images and local cloud made ready.",
        ),
        "status": (
            "educloud_lab.app.status_app.StatusApp",
            "Show your machines, as a running Jupyter server sees them.",
        ),
        "cloud": ("educloud_lab.app.cloud_app.CloudApp", "Start, look at, stop and reset the local cloud."),
        "gateway": ("educloud_lab.app.gateway_app.GatewayApp", "Run the SSH front end."),
        "image": ("educloud_lab.app.image_app.ImageApp", "Build and list images."),
        "doctor": ("educloud_lab.app.doctor_app.DoctorApp", "Check everything and say what to do."),
    }

    def start(self) -> None:
        """Run the subcommand, or show the help."""
        if self.subapp is None:
            if self.extra_args:
                known = ", ".join(self.subcommands)
                print(  # noqa: T201 - the command's own message
                    f"educloud: there is no command {self.extra_args[0]!r}. There are: {known}.", file=sys.stderr
                )
            else:
                self.print_help()
            self.exit(2)
        else:
            self.subapp.start()


def main(argv: list[str] | None = None) -> None:
    """Run the command line."""
    EducloudApp.launch_instance(argv)
