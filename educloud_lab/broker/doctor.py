"""Why a machine hangs."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from educloud_lab.broker.diagnosis import report
from educloud_lab.broker.diagnosis.gather import Gatherer, look, read_rows
from educloud_lab.broker.diagnosis.rules import diagnose, hangs
from educloud_lab.broker.finding_view import wire_finding
from educloud_lab.broker.owning import overseen_lease, oversees, own_lease
from educloud_lab.broker.parts import Parts
from educloud_lab.ports.records import LeaseRecord
from educloud_lab.ports.store import Transaction
from educloud_lab.wire import models as wire


class Doctor:
    """See :class:`educloud_lab.broker.api.DoctorApi`.

    Parameters
    ----------
    parts : the broker's ports.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def why(self, person: str, lease_id: str) -> wire.Why:
        """Look at everything about a lease now, and say what is found.

        Raises
        ------
        NotFoundError
            There is no such lease, or the person neither owns nor oversees it.
        """
        parts = self._parts
        await parts.store.transact(lambda tx: self._may_see(tx, person, lease_id))
        view, problem = await look(parts)
        # Read after the look: our records are never older than what they are compared with.
        rows = await parts.store.transact(lambda tx: read_rows(tx, self._may_see(tx, person, lease_id)))
        facts = await Gatherer(parts, rows, view, problem).active()
        findings = diagnose(facts)
        return wire.Why(
            lease_id=lease_id,
            healthy=not hangs(findings),
            findings=[shown for one in findings if (shown := wire_finding(one)) is not None],
            text=report.text_of(facts, findings, version=_version()),
            console_tail=report.tail(facts.console),
        )

    def _may_see(self, tx: Transaction, person: str, lease_id: str) -> LeaseRecord:
        lease = tx.lease(lease_id)
        if lease is not None and lease.person != person and oversees(tx, self._parts, person):
            return overseen_lease(tx, self._parts, person, lease_id)
        return own_lease(tx, self._parts, person, lease_id)


def _version() -> str:
    """Return this program's version; the room may not ask the package's front, which knows every room."""
    try:
        return version("educloud-lab")
    except PackageNotFoundError:  # run from its sources
        return "of unknown version"
