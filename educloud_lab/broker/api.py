"""What the server, the command line and the tests ask of a broker.

Every method takes the person who asks and never shows or changes what is somebody else's: a lease of another
person is a :class:`~educloud_lab.domain.errors.NotFoundError`, as one that does not exist (I6).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Protocol

from educloud_lab.ports.shell import Grant
from educloud_lab.wire import models as wire


class LimitsApi(Protocol):
    """Limits on time: activity, Keep, busy, exemption. See :mod:`educloud_lab.broker.limits`."""

    async def keep(self, person: str, lease_id: str) -> wire.Lease:
        """Keep: give a running lease its profile's full time again from now.

        Raises
        ------
        ConflictError
            It is not running.
        """

    async def activity(self, person: str, lease_id: str, kind: str) -> None:
        """Note that the person did something on their machine (see ``wire.ActivityRequest``). Cheap."""

    async def busy(self, person: str, lease_id: str, until: datetime | None) -> wire.Lease:
        """Declare the own machine busy until then (at most until the hard limit), or no longer."""

    async def exempt(self, person: str, lease_id: str, request: wire.ExemptRequest) -> wire.Lease:
        """Turn the limits off for one machine of the course, with a reason and an end. For those who oversee it."""

    async def end_exemption(self, person: str, lease_id: str) -> wire.Lease:
        """Turn the limits on again: the full time from now."""


class VolumesApi(Protocol):
    """What a person does with their data volume besides using it. See :mod:`educloud_lab.broker.volumes`."""

    async def snapshot(self, person: str, lease_id: str, request: wire.SnapshotRequest) -> wire.Lease:
        """Want a snapshot of the data volume, running or not."""

    async def delete_snapshot(self, person: str, lease_id: str, snapshot_id: str) -> wire.Lease:
        """Want a snapshot deleted."""

    async def publish_snapshot(self, person: str, lease_id: str, snapshot_id: str, *, published: bool) -> wire.Lease:
        """Make new data volumes of this lab from a snapshot of the own volume, or no longer. For instructors."""

    async def restore(self, person: str, lease_id: str, snapshot_id: str) -> wire.Lease:
        """Want a new data volume from a snapshot; the present one goes to the bin. Only while nothing runs."""

    async def grow(self, person: str, lease_id: str, size_gib: int) -> wire.Lease:
        """Want a larger data volume."""

    async def discard(self, person: str, lease_id: str, *, confirm: str) -> wire.Lease:
        """Want the data volume in the bin (typed confirmation: the lab's name). Only while nothing runs."""

    async def return_from_bin(self, person: str, lease_id: str, shelf_id: str) -> wire.Lease:
        """Want a volume back from the bin; the present one goes there in its place. Only while nothing runs."""


class OversightApi(Protocol):
    """What those who answer for a course see and do. See :mod:`educloud_lab.broker.oversight`."""

    async def audit(
        self, person: str, *, lease_id: str | None = None, before_id: int | None = None, limit: int = 100
    ) -> wire.AuditPage:
        """Return the audit log of the own lease, or (for those who oversee it) of any lease or the whole course."""

    async def orphans(self, person: str) -> wire.OrphanReport:
        """Return what was found without owner, and what will be done when."""

    async def reap(self, person: str, *, dry_run: bool, only: frozenset[str] | None = None) -> wire.OrphanReport:
        """Look now, and act on what is due; or only say what would be done. For instructors.

        ``only`` names what the person saw and wants gone: the cap on how many go at once does not hold these back.
        Without it a mass of orphans is halted, and the report says so.
        """

    async def shelf(self, person: str) -> wire.Shelf:
        """Return bin and quarantine of the course, with owner, age and size. For those who oversee it."""


class DoctorApi(Protocol):
    """Says why a machine hangs. See :mod:`educloud_lab.broker.doctor`."""

    async def why(self, person: str, lease_id: str) -> wire.Why:
        """Look at everything about the own lease (or one of an overseen course) now, and say what is found."""


class AccountsApi(Protocol):
    """What just happened: what a lease's latest actions called. See :mod:`educloud_lab.broker.accounts`."""

    async def latest(self, person: str, lease_id: str, *, limit: int = 5) -> wire.Accounts:
        """Return the accounts of the own lease's (or an overseen one's) latest actions, newest first; at most 20."""


class ChecksApi(Protocol):
    """Judges assertions about machines and their cloud. See :mod:`educloud_lab.broker.checks`."""

    async def check(self, person: str, lease_id: str, checks: list[str]) -> wire.CheckReport:
        """Judge assertions, one a line, about the own machine (or one of an overseen course), now.

        What cannot be seen is unknown, never failed; a line that is not understood says what it is most like.
        """

    async def machines(self, person: str, lab: str) -> wire.LabMachines:
        """List everybody's machines of a lab. For those who oversee the course."""


class BrokerApi(Protocol):
    """The broker's use cases."""

    @property
    def limits(self) -> LimitsApi:
        """Limits on time."""

    @property
    def volumes(self) -> VolumesApi:
        """The data volume: snapshots, restore, grow, bin."""

    @property
    def oversight(self) -> OversightApi:
        """Audit, orphans, bin and quarantine."""

    @property
    def doctor(self) -> DoctorApi:
        """Why a machine hangs."""

    @property
    def checks(self) -> ChecksApi:
        """Assertions about machines."""

    @property
    def accounts(self) -> AccountsApi:
        """What just happened."""

    async def open(self) -> None:
        """Open the store (upgrading it), make the authority, start reconciling."""

    async def close(self) -> None:
        """Stop reconciling; jobs in flight stay recorded and are taken up by the next broker."""

    async def snapshot(self, person: str) -> wire.Snapshot:
        """Return everything that the person may see."""

    def watch(self, person: str) -> AsyncIterator[wire.Snapshot]:
        """Yield the snapshot now and whenever it changed, whoever changed it (another server too, within a second)."""

    async def ensure_lease(self, person: str, request: wire.LeaseRequest) -> wire.Lease:
        """Return the lease of (course, lab, person, slot), made when it does not exist; starts it when asked to.

        Raises
        ------
        ProfileError, NotFoundError
            No such machine profile, or its file is wrong.
        ConflictError
            The lease exists with another machine profile and its machine still exists.
        """

    async def start(self, person: str, lease_id: str) -> wire.Lease:
        """Want it running. A second Start is the same Start; while stopping it follows the stop."""

    async def stop(self, person: str, lease_id: str) -> wire.Lease:
        """Want it stopped: the volume is unmounted and detached first."""

    async def delete(self, person: str, lease_id: str, *, confirm: str) -> wire.Lease:
        """Want its machine gone; the data volume stays.

        Raises
        ------
        ConfirmationError
            ``confirm`` is not the lab's name.
        """

    async def extend(self, person: str, lease_id: str) -> wire.Lease:
        """Keep: give a running lease its profile's full time again from now."""

    async def console(self, person: str, lease_id: str) -> wire.Console:
        """Return the console output of the present instance."""

    async def grant(self, person: str, lease_id: str) -> Grant:
        """Give a ten-minute permission to connect to the person's own running machine.

        Raises
        ------
        ConflictError
            It is not running.
        """
