"""What a local cloud is made of, as its settings say; what is not needed is not loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from educloud_lab.localcloud.clock import Clock
from educloud_lab.localcloud.hypervisor.base import Hypervisor
from educloud_lab.localcloud.hypervisor.simulated import Pace, SimulatedHypervisor
from educloud_lab.localcloud.network.base import NetworkDriver
from educloud_lab.localcloud.settings import Settings

if TYPE_CHECKING:
    from educloud_lab.localcloud.network.choice import Networks


def make_network(settings: Settings) -> Networks:
    """Return what connects the machines, as the settings or the last start have it."""
    # Imported here, as QEMU's below, because simulated machines need neither: a tenth of the time to start.
    from educloud_lab.localcloud.network.choice import Networks

    folders = settings.folders
    return Networks.make(
        folder=folders.runtime(),
        log_file=folders.log / "network.log",
        network=settings.network,
        memory=folders.cloud / "network.json",
        setting=settings.network_driver,
        outbound=settings.outbound,
    )


def make_hypervisor(settings: Settings, clock: Clock | None = None, network: NetworkDriver | None = None) -> Hypervisor:
    """Return the hypervisor that the settings name."""
    if settings.hypervisor == "simulated":
        keep = settings.folders.cloud / "simulated.jsonl"
        return SimulatedHypervisor(keep=keep, clock=clock, pace=Pace.like_tiny(settings.simulated_pace))
    from educloud_lab.localcloud.hypervisor.qemu import QemuHypervisor

    return QemuHypervisor(
        run_dir=settings.folders.runtime() / "m",
        log_dir=settings.folders.log / "machines",
        disk_folder=settings.folders.cloud,
        accel=settings.accel,
        verdict_file=settings.folders.home / "acceleration.json",
        templates_dir=None if settings.warm == "off" else settings.folders.templates,
        width=settings.starts_at_once,
        network=network or make_network(settings),
    )
