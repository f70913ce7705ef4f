"""``educloud volume``: snapshots, restore, growth, bin and sharing of a machine's data volume, from a terminal."""

from __future__ import annotations

import sys
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar

from traitlets import Bool, Unicode

from educloud_lab.app.asking import AskingCommand, find_lease
from educloud_lab.app.command import NOT_UNDERSTOOD, CommandGroup, complain, out

if TYPE_CHECKING:
    from educloud_lab.client.client import Client
    from educloud_lab.wire import models as wire

_GIB = 1024**3
_LEASE = "its lab, or the id that `educloud status --json` shows"


class VolumeCommand(AskingCommand):
    """What the commands share: a machine, perhaps one thing more, and the Jupyter server that is asked."""

    takes: ClassVar[str] = ""
    """What comes after the machine; '' when nothing does."""

    def do(self, client: Client, lease: wire.Lease, given: str) -> str:
        """Ask for it; return what is so now, for people."""
        raise NotImplementedError

    def start(self) -> None:
        """Ask the Jupyter server; exits with 1 when it could not be done."""
        if len(self.extra_args) != 1 + bool(self.takes):
            wanted = f"a machine ({_LEASE})" + (f" and {self.takes}" if self.takes else "")
            complain(f"{self.typed}: name {wanted}. Nothing was done. See --help.")
            self.exit(NOT_UNDERSTOOD)
        super().start()

    def ask(self, client: Client) -> None:
        """Do it."""
        machine, given = [*self.extra_args, ""][:2]
        lease = find_lease(client.settled(), machine)
        out(f"{lease.lab}: {self.do(client, lease, given)}")


def _snapshot(lease: wire.Lease, wanted: str) -> wire.VolumeSnapshot:
    """Return the snapshot of a name or an id.

    Raises
    ------
    NotFoundError
        There is none; says which there are.
    """
    from educloud_lab.domain.errors import NotFoundError

    for item in lease.snapshots:
        if wanted in (item.id, item.name):
            return item
    known = ", ".join(item.name for item in lease.snapshots) or "none"
    raise NotFoundError(f"There is no snapshot '{wanted}'.", kept="Nothing was done.", next_step=f"There is: {known}.")


class ListApp(AskingCommand):
    """Show data volumes with their snapshots and bins."""

    name = "educloud-volume-list"
    description = "Show data volumes with their snapshots, and what is in the bin."

    def ask(self, client: Client) -> None:
        """Print."""
        snapshot = client.settled()
        leases = [find_lease(snapshot, wanted) for wanted in self.extra_args] or snapshot.leases
        for lease in leases:
            for line in lines_of(lease):
                out(line)


def lines_of(lease: wire.Lease) -> list[str]:
    """Return a lease's data volume, snapshots and bin as lines of text."""
    lines = [f"{lease.lab} ({lease.id})"]
    for volume in lease.volumes:
        made = f", made from the snapshot '{volume.from_snapshot}'" if volume.from_snapshot else ""
        lines.append(f"  volume     {volume.id or 'not made yet'}, {_gib(volume.size_bytes)}, {volume.stage}{made}")
        if volume.proof:
            lines.append(f"             {volume.proof}")
    for item in lease.snapshots:
        state = item.state if item.state != "pending" else f"{item.progress_percent} % copied"
        shared = ", new volumes of this lab are made from it" if item.published else ""
        lines.append(f"  snapshot   {item.name}: {_when(item.created_at)}, {_gib(item.size_bytes)}, {state}{shared}")
        if item.consistency:
            lines.append(f"             {item.consistency}")
    for kept in lease.bin:
        where = "quarantine" if kept.quarantined else "bin       "
        until = f", until {_when(kept.delete_after)}" if kept.delete_after is not None else ""
        lines.append(f"  {where} {kept.id}: {kept.cloud_id}, {_gib(kept.size_bytes)}, {kept.reason}{until}")
    return lines


def _gib(size_bytes: int) -> str:
    return f"{size_bytes / _GIB:g} GiB"


def _when(moment: datetime) -> str:
    return f"{moment.astimezone():%Y-%m-%d %H:%M}"


class SnapshotApp(VolumeCommand):
    """Take a snapshot of a data volume, or delete one."""

    name = "educloud-volume-snapshot"
    description = "Take a snapshot of a data volume, whether or not its machine runs. With --delete: delete one."
    examples = "educloud volume snapshot 01-first 'before the exam'"
    takes = "a name for the snapshot"
    delete = Bool(False, help="Delete the snapshot of this name, for ever.").tag(config=True)
    flags = {"delete": ({"SnapshotApp": {"delete": True}}, "Delete the snapshot, for ever.")}  # noqa: RUF012 - traitlets' own

    def do(self, client: Client, lease: wire.Lease, given: str) -> str:
        """Take or delete it."""
        if self.delete:
            item = _snapshot(lease, given)
            client.delete_snapshot(lease.id, item.id)
            return f"the snapshot '{item.name}' is being deleted"
        client.take_snapshot(lease.id, given)
        return f"the snapshot '{given}' is being taken; `educloud volume list {lease.id}` shows how far it is"


class RestoreApp(VolumeCommand):
    """Make the data volume anew from a snapshot."""

    name = "educloud-volume-restore"
    description = """Make a machine's data volume anew from a snapshot, while the machine sleeps.

    The present volume goes to the bin and comes back with `educloud volume return`."""
    takes = "a snapshot's name"

    def do(self, client: Client, lease: wire.Lease, given: str) -> str:
        """Restore it."""
        item = _snapshot(lease, given)
        client.restore(lease.id, item.id)
        return f"the snapshot '{item.name}' is being restored; the present volume goes to the bin"


class GrowApp(VolumeCommand):
    """Enlarge a data volume."""

    name = "educloud-volume-grow"
    description = (
        "Enlarge a data volume while its machine sleeps; the next Start extends the file system. Never smaller."
    )
    takes = "a size in GiB"

    def do(self, client: Client, lease: wire.Lease, given: str) -> str:
        """Enlarge it."""
        from educloud_lab.domain.errors import BadInputError

        if not given.isdecimal() or not 1 <= int(given) <= 16384:
            raise BadInputError(f"'{given[:20]}' is no size in GiB, 1 to 16384.", kept="Nothing was done.")
        client.grow(lease.id, int(given))
        return f"the data volume is being enlarged to {int(given)} GiB"


class DiscardApp(VolumeCommand):
    """Put a data volume into the bin."""

    name = "educloud-volume-discard"
    description = """Put a data volume into the bin while its machine sleeps; the next Start makes a new one.

    It stays in the bin for seven days and comes back with `educloud volume return`. Asks for the lab's name."""
    confirm = Unicode(help="The lab's name, instead of being asked for it.").tag(config=True)
    aliases = {"confirm": "DiscardApp.confirm"}  # noqa: RUF012 - traitlets' own

    def do(self, client: Client, lease: wire.Lease, given: str) -> str:
        """Discard it."""
        del given
        typed = self.confirm
        if not typed and sys.stdin.isatty():
            typed = input(f"Type '{lease.lab}' to put its data volume into the bin: ")
        client.discard(lease.id, confirm=typed)
        return "the data volume goes to the bin"


class ReturnApp(VolumeCommand):
    """Take a data volume out of the bin."""

    name = "educloud-volume-return"
    description = "Take a data volume out of the bin while the machine sleeps; the present one goes there in its place."
    takes = "the id that `educloud volume list` shows beside it"

    def do(self, client: Client, lease: wire.Lease, given: str) -> str:
        """Take it out."""
        from educloud_lab.domain.errors import NotFoundError

        for item in lease.bin:
            if given in (item.id, item.cloud_id):
                client.return_from_bin(lease.id, item.id)
                return f"{item.cloud_id} comes back out of the bin"
        raise NotFoundError(f"There is no '{given[:80]}' in the bin.", kept="Nothing was done.")


class PublishApp(VolumeCommand):
    """Make new data volumes of a lab from a snapshot."""

    name = "educloud-volume-publish"
    description = """Make the data volumes of a lab's new machines from a snapshot of yours. For instructors.

    Machines that have a data volume keep it as it is."""
    takes = "a snapshot's name"
    withdraw = Bool(False, help="New data volumes are blank again.").tag(config=True)
    flags = {"withdraw": ({"PublishApp": {"withdraw": True}}, "New data volumes are blank again.")}  # noqa: RUF012 - traitlets' own

    def do(self, client: Client, lease: wire.Lease, given: str) -> str:
        """Publish it, or no longer."""
        item = _snapshot(lease, given)
        client.publish(lease.id, item.id, published=not self.withdraw)
        if self.withdraw:
            return f"'{item.name}' is no longer what new data volumes are made from"
        return f"new data volumes of this lab are made from '{item.name}'"


class VolumeApp(CommandGroup):
    """The data volumes of machines."""

    name = "educloud-volume"
    description = "Snapshots of data volumes, restoring, enlarging, the bin, and sharing with a course."
    examples = "educloud volume list\neducloud volume snapshot 01-first 'before the exam'"
    subcommands: Any = {  # noqa: RUF012 - traitlets' own name and kind of attribute
        "list": (ListApp, "Show data volumes with their snapshots, and what is in the bin."),
        "snapshot": (SnapshotApp, "Take a snapshot, or delete one."),
        "restore": (RestoreApp, "Make the data volume anew from a snapshot."),
        "grow": (GrowApp, "Enlarge it."),
        "discard": (DiscardApp, "Put it into the bin for seven days."),
        "return": (ReturnApp, "Take it out of the bin."),
        "publish": (PublishApp, "Make new data volumes of the lab from a snapshot."),
    }
