"""``educloud cloud serve``: the local cloud's own process."""

from __future__ import annotations

import asyncio
import gc
import logging

from traitlets import Bool, CaselessStrEnum, Float, Integer

from educloud_lab.app.cloud_command import CloudCommand
from educloud_lab.localcloud.model import PROFILES
from educloud_lab.localcloud.settings import Folders


class CloudServeApp(CloudCommand):
    """Serve the local cloud in the foreground."""

    name = "educloud-cloud-serve"
    description = """Serve the local cloud's API in this process (`educloud cloud start` runs this for you).

    SIGTERM and Ctrl-C end it and leave machines running; SIGUSR2 shuts them down first."""

    port = Integer(None, allow_none=True, min=0, max=65535, help="Port of the API.").tag(config=True)
    hypervisor = CaselessStrEnum(["qemu", "simulated"], default_value="qemu", help="What runs machines.").tag(
        config=True
    )
    accel = CaselessStrEnum(
        ["auto", "tcg", "kvm"], default_value="auto", help="How QEMU runs machines; auto takes KVM where it is proven."
    ).tag(config=True)

    profile = CaselessStrEnum(
        list(PROFILES), default_value=None, allow_none=True, help="Which kind of cloud it answers as."
    ).tag(config=True)
    pace = Float(1.0, help="Simulated machines take so many times as long as a real tiny one; 0: no time.").tag(
        config=True
    )

    network = CaselessStrEnum(
        ["auto", "netns", "slirp"], default_value=None, allow_none=True, help="How machines are connected."
    ).tag(config=True)
    keep_alive_min = Integer(
        None, allow_none=True, min=1, max=525600, help="How many minutes instances live that are made now."
    ).tag(config=True)
    outbound = Bool(None, allow_none=True, help="Whether machines reach the outside.").tag(config=True)
    unknown_parameters = CaselessStrEnum(
        ["error", "ignore"], default_value=None, allow_none=True, help="What is done with unknown parameters."
    ).tag(config=True)

    aliases = {  # noqa: RUF012
        **CloudCommand.aliases,
        "port": "CloudServeApp.port",
        "hypervisor": "CloudServeApp.hypervisor",
        "accel": "CloudServeApp.accel",
        "profile": "CloudServeApp.profile",
        "pace": "CloudServeApp.pace",
        "network": "CloudServeApp.network",
        "keep-alive-min": "CloudServeApp.keep_alive_min",
        "unknown-parameters": "CloudServeApp.unknown_parameters",
    }

    flags = {  # noqa: RUF012
        "outbound": ({"CloudServeApp": {"outbound": True}}, "Let machines reach the outside."),
        "no-outbound": ({"CloudServeApp": {"outbound": False}}, "Keep machines from the outside."),
    }

    def _act(self) -> None:
        # Nearly everything that is made while modules are loaded stays: looking through it for garbage, again and
        # again, is a tenth of the time to start. `serve` turns the collector on when it answers.
        gc.disable()
        from educloud_lab.localcloud import logs
        from educloud_lab.localcloud.serve import serve
        from educloud_lab.localcloud.settings import Settings

        logs.configure(min(int(str(self.log_level)), logging.INFO), Folders(self.place()).log / "api.log")
        settings = Settings(
            Folders(self.place()),
            profile=self.profile,
            hypervisor=self.hypervisor,
            accel=self.accel,
            simulated_pace=max(0.0, self.pace),
            network_driver=self.network,
            outbound=self.outbound,
            unknown_parameters=self.unknown_parameters,
            keep_alive_min=self.keep_alive_min,
        )
        asyncio.run(serve(settings, self.port))
