"""``educloud`` (and ``jupyter educloud``): one command line for everything."""

from __future__ import annotations

from typing import Any

from traitlets.config import Application


class EducloudApp(Application):
    """The command line."""

    name = "educloud"
    description = "Virtual machines beside the notebook, and the small cloud that runs them on a laptop."

    # Named as text: each command is imported only when it is used.
    subcommands: Any = {  # noqa: RUF012 - traitlets' own name and kind of attribute
        "cloud": ("educloud_lab.app.cloud_app.CloudApp", "Start, look at, stop and reset the local cloud."),
        "gateway": ("educloud_lab.app.gateway_app.GatewayApp", "Run the SSH front end."),
        "image": ("educloud_lab.app.image_app.ImageApp", "Build and list images."),
        "doctor": ("educloud_lab.app.doctor_app.DoctorApp", "Check everything and say what to do."),
    }

    def start(self) -> None:
        """Run the subcommand, or show the help."""
        if self.subapp is None:
            self.print_help()
            self.exit(1)
        else:
            self.subapp.start()


def main(argv: list[str] | None = None) -> None:
    """Run the command line."""
    EducloudApp.launch_instance(argv)
