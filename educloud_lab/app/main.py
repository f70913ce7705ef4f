"""``educloud`` (and ``jupyter educloud``): one command line for everything."""

from __future__ import annotations

from typing import Any

from educloud_lab import __version__
from educloud_lab.app.command import CommandGroup


class EducloudApp(CommandGroup):
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
        "start": ("educloud_lab.app.machine_app.StartApp", "Start a lab's machine."),
        "stop": ("educloud_lab.app.machine_app.StopApp", "Stop a lab's machine; its data volume is saved first."),
        "run": ("educloud_lab.app.work_app.RunApp", "Run a command on a lab's machine."),
        "put": ("educloud_lab.app.copy_app.PutApp", "Copy a file to a lab's machine."),
        "get": ("educloud_lab.app.copy_app.GetApp", "Copy a file from a lab's machine."),
        "volume": (
            "educloud_lab.app.volume_app.VolumeApp",
            "Snapshots of data volumes, restoring, enlarging, the bin, sharing.",
        ),
        "why": ("educloud_lab.app.why_app.WhyApp", "Say why a machine hangs, and what helps."),
        "calls": ("educloud_lab.app.calls_app.CallsApp", "What its latest actions called, also as command lines."),
        "check": ("educloud_lab.app.check_app.CheckApp", "Run a notebook's checks against people's machines."),
        "audit": ("educloud_lab.app.oversight_app.AuditApp", "Who did what, on whose, with which result."),
        "orphans": ("educloud_lab.app.oversight_app.OrphansApp", "What is in the cloud and belongs to nobody."),
        "shelf": ("educloud_lab.app.oversight_app.ShelfApp", "Volumes in bin and quarantine."),
        "keep": ("educloud_lab.app.limits_app.KeepApp", "Give machines their full time again."),
        "busy": ("educloud_lab.app.limits_app.BusyApp", "Declare machines busy: the idle limit waits."),
        "exempt": ("educloud_lab.app.limits_app.ExemptApp", "Turn the limits of machines off, with a reason."),
        "limits": ("educloud_lab.app.policy_app.LimitsApp", "The cloud's own limit on instances, as a backstop."),
        "cloud": ("educloud_lab.app.cloud_app.CloudApp", "The local cloud: start, look at, back up, stop."),
        "broker": ("educloud_lab.app.broker_app.BrokerApp", "Run the broker for scripts; they start it by themselves."),
        "gateway": ("educloud_lab.app.gateway_app.GatewayApp", "Run the SSH front end."),
        "image": ("educloud_lab.app.image_app.ImageApp", "The same as educloud cloud image."),
        "doctor": ("educloud_lab.app.doctor_app.DoctorApp", "Check everything and say what to do."),
    }


def main(argv: list[str] | None = None) -> None:
    """Run the command line."""
    EducloudApp.launch_instance(argv)
