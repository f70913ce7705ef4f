"""``educloud cloud fault``: make the local cloud fail as clouds fail, and end it again."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

from traitlets import Bool, Float, Integer, List, Unicode

from educloud_lab.app.cloud_command import CloudCommand, out
from educloud_lab.app.command import NOT_UNDERSTOOD, CommandGroup, complain
from educloud_lab.localcloud.errors import LocalCloudError

if TYPE_CHECKING:
    from educloud_lab.localcloud.faults.client import FaultClient, SetFault


class _FaultCommand(CloudCommand):
    """What the subcommands share."""

    def client(self) -> FaultClient:
        """Return the administrator's client."""
        from educloud_lab.localcloud.faults.client import FaultClient

        return FaultClient.of_home(self.place())


class _WithNames(_FaultCommand):
    """A command that takes any number of names."""

    def start(self) -> None:
        """Act; exits with one paragraph when it cannot."""
        self.takes = tuple("NAME" for _ in self.extra_args)
        super().start()


class FaultListApp(_FaultCommand):
    """List the faults that are set."""

    name = "educloud-cloud-fault-list"
    description = "List the faults that are set, how often each struck, and what it keeps in its grip."

    def _act(self) -> None:
        found = self.client().faults()
        for fault in found:
            for line in lines_of(fault):
                out(line)
        if not found:
            out("No faults are set.")


class FaultKindsApp(_WithNames):
    """Describe the kinds of faults."""

    name = "educloud-cloud-fault-kinds"
    description = "Describe the kinds of faults, or those that are named. Needs no running cloud."

    def _act(self) -> None:
        from educloud_lab.localcloud.faults.catalogue import KINDS

        unknown = [name for name in self.extra_args if name not in KINDS]
        if unknown:
            raise LocalCloudError(f"There is no fault {unknown[0]!r}. There are: {', '.join(KINDS)}.")
        for kind in KINDS.values():
            if not self.extra_args:
                out(f"{kind.name:<20} {kind.title}")
            elif kind.name in self.extra_args:
                out(f"{kind.name}: {kind.title}")
                texts = {
                    "Where": kind.component, "Cause": kind.cause, "Eucalyptus": kind.shown, "You see": kind.seen,
                    "Ends": kind.ends,
                }  # fmt: skip
                for title, text in texts.items():
                    out(textwrap.fill(text, 110, initial_indent=f"  {title:<11}", subsequent_indent=" " * 13))
                scopes = ", ".join(f"--{scope.value}" for scope in kind.scopes)
                out(f"  {'Narrow by':<11}{scopes or 'nothing: it strikes everybody'}")
                for parameter in kind.parameters:
                    out(f"  --set {parameter.name}={parameter.default}  ({parameter.limits}) {parameter.text}")
        if not self.extra_args:
            out("\nMore about one: educloud cloud fault kinds NAME")


class FaultAddApp(_FaultCommand):
    """Set a fault."""

    name = "educloud-cloud-fault-add"
    description = "Set a fault: educloud cloud fault add KIND [options]. It acts until it is cleared."
    examples = (
        "educloud cloud fault add capacity --for 120\n"
        "educloud cloud fault add lost-reply --operation RunInstances --count 1\n"
        "educloud cloud fault add slow-answers --set delay_s=3\n"
        "educloud cloud fault add attach-drops --resource vol-0123456789abcdef0"
    )

    takes = ("KIND",)
    account = Unicode(help="Only for this account (name or id).").tag(config=True)
    operation = Unicode(help="Only for this operation, e.g. RunInstances.").tag(config=True)
    resource = Unicode(help="Only for this id, or tag:KEY=VALUE for whatever carries that tag.").tag(config=True)
    zone = Unicode(help="Only in this availability zone.").tag(config=True)
    count = Integer(None, allow_none=True, help="Strike so many times; default until it is cleared.").tag(config=True)
    for_s = Float(None, allow_none=True, help="End by itself after so many seconds.").tag(config=True)
    values = List(Unicode(), help="A parameter of the kind: NAME=VALUE; may be given several times.").tag(config=True)

    aliases = {  # noqa: RUF012
        **CloudCommand.aliases,
        "account": "FaultAddApp.account",
        "operation": "FaultAddApp.operation",
        "resource": "FaultAddApp.resource",
        "zone": "FaultAddApp.zone",
        "count": "FaultAddApp.count",
        "for": "FaultAddApp.for_s",
        "set": "FaultAddApp.values",
    }

    def _act(self) -> None:
        parameters: dict[str, str] = {}
        for text in self.values:
            name, equals, value = text.partition("=")
            if not equals or not name.isidentifier():
                raise LocalCloudError(f"--set takes NAME=VALUE, not {text!r}. Nothing was set.")
            parameters[name] = value
        from educloud_lab.localcloud.faults.client import FaultError

        try:
            made = self.client().add(
                self.extra_args[0], account=self.account, operation=self.operation, resource=self.resource,
                zone=self.zone, count=self.count, for_s=self.for_s, **parameters,
            )  # fmt: skip
        except FaultError as refused:
            raise LocalCloudError(
                f"{str(refused).rstrip('.')}. Nothing was set. See: educloud cloud fault kinds"
            ) from refused
        out(f"Set {made.id}: {made.title}. End it with: educloud cloud fault clear {made.id}")


class FaultClearApp(_WithNames):
    """End faults."""

    name = "educloud-cloud-fault-clear"
    description = "End the faults whose ids are named, or all: educloud cloud fault clear ID... | --all"

    everything = Bool(False, help="End every fault.").tag(config=True)

    flags = {"all": ({"FaultClearApp": {"everything": True}}, "End every fault.")}  # noqa: RUF012

    def _act(self) -> None:
        if bool(self.extra_args) is self.everything:
            complain("educloud cloud fault clear: name the faults to end, or --all. Nothing was changed. See --help.")
            self.exit(NOT_UNDERSTOOD)
        ended = self.client().clear(*self.extra_args)
        missing = [key for key in self.extra_args if key not in ended]
        out(f"Ended: {', '.join(ended)}" if ended else "No faults were set." if self.everything else "Nothing ended.")
        if missing:
            raise LocalCloudError(f"Not set (any more): {', '.join(missing)}. See: educloud cloud fault list")


class FaultApp(CommandGroup):
    """Faults on demand."""

    name = "educloud cloud fault"
    description = "Make the local cloud fail as clouds fail: for lessons and tests. `kinds` says what there is."

    subcommands: Any = {  # noqa: RUF012 - traitlets' own name and kind of attribute
        "list": (FaultListApp, "List the faults that are set."),
        "kinds": (FaultKindsApp, "Describe the kinds of faults."),
        "add": (FaultAddApp, "Set a fault."),
        "clear": (FaultClearApp, "End faults."),
    }


def lines_of(fault: SetFault) -> list[str]:
    """Return a fault as lines of text."""
    left = "until cleared" if fault.remaining is None else f"{fault.remaining} left"
    lines = [f"{fault.id}  {fault.kind:<20} {fault.state}, struck {fault.struck}, {left}"]
    scope = {"account": fault.account, "operation": fault.operation, "resource": fault.resource, "zone": fault.zone}
    parts = [f"{name} {value}" for name, value in scope.items() if value]
    parts += [f"{name}={value}" for name, value in fault.parameters.items()]
    if fault.until:
        parts.append(f"until {fault.until}")
    if parts:
        lines.append(f"    {', '.join(parts)}")
    if fault.held:
        lines.append(f"    keeps {', '.join(fault.held)}")
    return lines
