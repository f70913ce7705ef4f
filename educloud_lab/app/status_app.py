"""``educloud status``: the cards of the sidebar, as text."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from traitlets import Bool

from educloud_lab.app.asking import AskingCommand
from educloud_lab.app.command import out

if TYPE_CHECKING:
    from educloud_lab.client.client import Client
    from educloud_lab.wire import models as wire

_MARKS = {"todo": " ", "doing": ">", "done": "x", "failed": "!"}
_GIB = 1024**3


class StatusApp(AskingCommand):
    """Show your machines."""

    name = "educloud-status"
    description = """Show your machines, as the Jupyter server sees them that this terminal belongs to.

    Elsewhere the only running Jupyter server of yours is asked, or the one that EDUCLOUD_URL names."""
    as_json = Bool(False, help="Print the snapshot as JSON.").tag(config=True)
    flags = {"json": ({"StatusApp": {"as_json": True}}, "Print the snapshot as JSON.")}  # noqa: RUF012 - traitlets' own

    def ask(self, client: Client) -> None:
        """Print."""
        snapshot = client.snapshot()
        text = snapshot.model_dump_json(indent=2) if self.as_json else "\n".join(lines_of(snapshot))
        out(text)


def lines_of(snapshot: wire.Snapshot) -> list[str]:
    """Return a snapshot as lines of text."""
    cloud = snapshot.cloud
    lines = [f"{cloud.name}: {'reachable' if cloud.reachable else 'not reachable'}; {snapshot.person}"]
    for problem in (cloud.problem, *snapshot.profile_problems):
        if problem is not None:
            lines += _problem(problem, "")
    if not snapshot.leases:
        lines.append("No machines yet. Open a lab's notebook and press Start.")
    for lease in snapshot.leases:
        lines += ["", *card(lease, snapshot.server_time)]
    return lines


def card(lease: wire.Lease, now: datetime) -> list[str]:
    """Return one lease as lines of text.

    Parameters
    ----------
    now : the server's time, which the time left is counted from.
    """
    slot = "" if lease.slot == "main" else f" ({lease.slot})"
    lines = [f"{lease.lab}{slot}  [{lease.phase}]  {lease.headline}", f"  made from  {lease.machine_profile.title}"]
    if lease.instance is not None:
        where = f" at {lease.instance.address}" if lease.instance.address else ""
        lines.append(f"  instance   {lease.instance.id}, {lease.instance.state}{where}, {lease.instance.instance_type}")
    if lease.login is not None:
        lines.append(f"  login      {lease.login}")
    lines += [
        f"  volume     {volume.id or 'not made yet'}, {volume.size_bytes / _GIB:g} GiB at {volume.mount_point},"
        f" {volume.stage}"
        for volume in lease.volumes
    ]
    if lease.expires_at is not None:
        minutes = max(0, round((lease.expires_at - now).total_seconds() / 60))
        lines.append(f"  time left  {minutes // 60} h {minutes % 60:02d} min")
    if lease.job is not None and lease.job.in_flight:
        lines.append(f"  {lease.job.kind}, {lease.job.progress:.0%}")
        for step in lease.job.steps:
            waiting = f": {step.waiting_for}" if step.waiting_for and step.state == "doing" else ""
            lines.append(f"    [{_MARKS[step.state]}] {step.title}{waiting}")
    if lease.problem is not None:
        lines += _problem(lease.problem, "  ")
    return lines


def _problem(problem: wire.Problem, indent: str) -> list[str]:
    return [f"{indent}! {text}" for text in (problem.what, problem.kept, problem.next_step) if text]
