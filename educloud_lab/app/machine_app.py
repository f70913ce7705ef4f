"""``educloud start`` and ``educloud stop``: a lab's machine, from a terminal."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from traitlets import Bool, Float, Unicode

from educloud_lab.app.asking import AskingCommand, find_lease
from educloud_lab.app.command import INTERRUPTED, NOT_UNDERSTOOD, complain, out, plain

if TYPE_CHECKING:
    from educloud_lab.client.client import Client
    from educloud_lab.wire import models as wire

LAB = "LAB is a lab's name, or the id of one of your machines that `educloud status --json` shows."


class Told:
    """Says on standard error how a wait goes on: each headline once, with the share that is done."""

    def __init__(self) -> None:
        self._said = ""

    def __call__(self, lease: wire.Lease) -> None:
        """Say it, when it is new."""
        job = lease.job
        share = f", {job.progress:.0%}" if job is not None and job.in_flight else ""
        step = next((step.title for step in job.steps if step.state == "doing"), "") if job is not None else ""
        said = step or lease.headline
        if said != self._said:
            self._said = said
            sys.stderr.write(plain(f"{said}{share}") + "\n")
            sys.stderr.flush()


class PhaseCommand(AskingCommand):
    """What both share: they want something, and wait for it unless told otherwise."""

    starts_broker = True
    waits = Bool(True, help="Wait until it is done.").tag(config=True)
    timeout_s = Float(600.0, min=1, max=86400, help="Seconds to wait at most.").tag(config=True)

    def want(self, client: Client, lab: str) -> wire.Lease:
        """Ask for it."""
        raise NotImplementedError

    def wait(self, client: Client, lease: wire.Lease) -> str:
        """Wait for it; return what is so now."""
        raise NotImplementedError

    def start(self) -> None:
        """Do it; exits with 1 when it could not be done."""
        if len(self.extra_args) != 1:
            complain(f"{self.typed}: name one lab. {LAB} Nothing was done. See --help.")
            self.exit(NOT_UNDERSTOOD)
        super().start()

    def ask(self, client: Client) -> None:
        """Ask, and wait."""
        lease = self.want(client, self.extra_args[0])
        if not self.waits:
            out(f"{lease.lab}: {lease.headline}")
            return
        try:
            out(f"{lease.lab}: {self.wait(client, lease)}")
        except KeyboardInterrupt:
            complain(f"{self.typed}: not waited for any longer; it goes on by itself. `educloud status` shows it.")
            self.exit(INTERRUPTED)


class StartApp(PhaseCommand):
    """Start a lab's machine."""

    name = "educloud-start"
    description = f"""Start a lab's machine, and wait until it is ready.

    {LAB} A lab that has no machine yet needs --profile."""
    examples = "educloud start 01-your-first-machine --profile=tiny\neducloud start 01-your-first-machine --no-wait"
    profile = Unicode("", help="The machine profile that a new machine is made from.").tag(config=True)
    slot = Unicode("main", help="Which of your machines in this lab.").tag(config=True)
    aliases = {  # noqa: RUF012 - traitlets' own name and kind of attribute
        "profile": "StartApp.profile",
        "slot": "StartApp.slot",
        "timeout": "PhaseCommand.timeout_s",
    }
    flags = {"no-wait": ({"PhaseCommand": {"waits": False}}, "Do not wait.")}  # noqa: RUF012 - likewise

    def want(self, client: Client, lab: str) -> wire.Lease:
        """Start it, recorded when it is new."""
        from educloud_lab.domain.errors import NotFoundError

        named = self.profile or os.environ.get("EDUCLOUD_MACHINE_PROFILE", "")
        try:
            known = find_lease(client.settled(), lab) if self.slot == "main" else None
        except NotFoundError:
            if any(lease.lab == lab for lease in client.settled().leases):
                raise  # several: it says which
            known = None
        if known is None:
            return client.start(client.machine(lab, named or None, self.slot).id)
        if self.profile:  # by its own lab and slot: what was typed may be its id
            client.machine(known.lab, named, known.slot)
        return client.start(known.id)

    def wait(self, client: Client, lease: wire.Lease) -> str:
        """Return where it is."""
        found = client.wait(lease.id, timeout_s=self.timeout_s, progress=Told())
        return f"ready, {found.login}" if found.login else "ready"


class StopApp(PhaseCommand):
    """Stop a lab's machine."""

    name = "educloud-stop"
    description = f"""Stop a lab's machine, and wait until it sleeps. Its data volume is saved first.

    {LAB}"""
    examples = "educloud stop 01-your-first-machine"
    aliases = {"timeout": "PhaseCommand.timeout_s"}  # noqa: RUF012 - traitlets' own name and kind of attribute
    flags = {"no-wait": ({"PhaseCommand": {"waits": False}}, "Do not wait.")}  # noqa: RUF012 - likewise

    def want(self, client: Client, lab: str) -> wire.Lease:
        """Stop it."""
        return client.stop(find_lease(client.settled(), lab).id)

    def wait(self, client: Client, lease: wire.Lease) -> str:
        """Return how it is; one that never ran is off, not asleep."""
        if lease.phase == "off":
            return lease.headline
        return client.wait(lease.id, phase="asleep", timeout_s=self.timeout_s, progress=Told()).headline
