"""The one table of requests: what is sent for each, and what comes back. Both clients send from it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal
from urllib.parse import quote

from educloud_lab.client.plans import Ask
from educloud_lab.wire import models as wire

ActivityKind = Literal["terminal", "cell", "desktop", "page", "connected"]


def hello() -> Ask[wire.Hello]:
    """Ask for the versions of both halves."""
    return Ask("GET", "hello", wire.Hello)


def snapshot() -> Ask[wire.Snapshot]:
    """Ask for everything that the person may see."""
    return Ask("GET", "snapshot", wire.Snapshot)


def needs(kernel_id: str) -> Ask[wire.LabNeeds]:
    """Ask what the notebook of a kernel says that its lab needs."""
    return Ask("GET", f"kernels/{quote(kernel_id, safe='')}/needs", wire.LabNeeds)


def ensure(lab: str, machine_profile: str, slot: str, *, start: bool = False) -> Ask[wire.Lease]:
    """Ask for the lease of a lab."""
    body = wire.LeaseRequest(lab=lab, machine_profile=machine_profile, slot=slot, start=start)
    return Ask("POST", "leases", wire.Lease, body)


def start(lease_id: str) -> Ask[wire.Lease]:
    """Want it running."""
    return Ask("POST", f"leases/{lease_id}/start", wire.Lease)


def stop(lease_id: str) -> Ask[wire.Lease]:
    """Want it stopped."""
    return Ask("POST", f"leases/{lease_id}/stop", wire.Lease)


def delete(lease_id: str, confirm: str) -> Ask[wire.Lease]:
    """Want its machine gone."""
    return Ask("POST", f"leases/{lease_id}/delete", wire.Lease, wire.DeleteRequest(confirm=confirm))


def extend(lease_id: str) -> Ask[wire.Lease]:
    """Keep it."""
    return Ask("POST", f"leases/{lease_id}/extend", wire.Lease)


def activity(lease_id: str, kind: ActivityKind) -> Ask[None]:
    """Tell that the person did something on it."""
    return Ask("POST", f"leases/{lease_id}/activity", type(None), wire.ActivityRequest(kind=kind))


def busy(lease_id: str, until: datetime | None) -> Ask[wire.Lease]:
    """Declare it busy, or no longer."""
    return Ask("POST", f"leases/{lease_id}/busy", wire.Lease, wire.BusyRequest(until=until))


def exempt(lease_id: str, reason: str, until: datetime) -> Ask[wire.Lease]:
    """Turn its limits off."""
    return Ask("POST", f"leases/{lease_id}/exempt", wire.Lease, wire.ExemptRequest(reason=reason, until=until))


def end_exemption(lease_id: str) -> Ask[wire.Lease]:
    """Turn its limits on again."""
    return Ask("POST", f"leases/{lease_id}/end-exemption", wire.Lease)


def take_snapshot(lease_id: str, name: str) -> Ask[wire.Lease]:
    """Want a snapshot of its data volume."""
    return Ask("POST", f"leases/{lease_id}/snapshots", wire.Lease, wire.SnapshotRequest(name=name))


def delete_snapshot(lease_id: str, snapshot_id: str) -> Ask[wire.Lease]:
    """Want a snapshot deleted."""
    return Ask("POST", f"leases/{lease_id}/snapshots/{snapshot_id}/delete", wire.Lease)


def restore(lease_id: str, snapshot_id: str) -> Ask[wire.Lease]:
    """Want a new data volume from a snapshot."""
    return Ask("POST", f"leases/{lease_id}/snapshots/{snapshot_id}/restore", wire.Lease)


def publish(lease_id: str, snapshot_id: str, published: bool) -> Ask[wire.Lease]:
    """Make new data volumes of the lab from a snapshot, or no longer."""
    body = wire.PublishRequest(published=published)
    return Ask("POST", f"leases/{lease_id}/snapshots/{snapshot_id}/publish", wire.Lease, body)


def grow(lease_id: str, size_gib: int) -> Ask[wire.Lease]:
    """Want a larger data volume."""
    return Ask("POST", f"leases/{lease_id}/volume/grow", wire.Lease, wire.GrowRequest(size_gib=size_gib))


def discard(lease_id: str, confirm: str) -> Ask[wire.Lease]:
    """Want its data volume in the bin."""
    return Ask("POST", f"leases/{lease_id}/volume/discard", wire.Lease, wire.DeleteRequest(confirm=confirm))


def return_from_bin(lease_id: str, item_id: str) -> Ask[wire.Lease]:
    """Want a volume out of the bin."""
    return Ask("POST", f"leases/{lease_id}/bin/{item_id}/return", wire.Lease)


def console(lease_id: str) -> Ask[wire.Console]:
    """Ask for the console output of its instance."""
    return Ask("GET", f"leases/{lease_id}/console", wire.Console)


def audit(lease_id: str | None, before: int | None, limit: int) -> Ask[wire.AuditPage]:
    """Ask for the audit log of a lease or of the course."""
    path = "audit" if lease_id is None else f"leases/{lease_id}/audit"
    return Ask("GET", f"{path}?limit={limit}" + (f"&before={before}" if before else ""), wire.AuditPage)


def orphans() -> Ask[wire.OrphanReport]:
    """Ask what is in the cloud and belongs to nobody."""
    return Ask("GET", "orphans", wire.OrphanReport)


def reap(dry_run: bool, only: list[str] | None) -> Ask[wire.OrphanReport]:
    """Look now, and say what would be done, or do it."""
    return Ask("POST", "orphans/reap", wire.OrphanReport, wire.ReapRequest(dry_run=dry_run, only=only))


def shelf() -> Ask[wire.Shelf]:
    """Ask for bin and quarantine."""
    return Ask("GET", "shelf", wire.Shelf)


def why(lease_id: str) -> Ask[wire.Why]:
    """Ask why it hangs."""
    return Ask("GET", f"leases/{lease_id}/why", wire.Why)


def check(lease_id: str, checks: Sequence[str]) -> Ask[wire.CheckReport]:
    """Ask whether assertions about it hold."""
    return Ask("POST", f"leases/{lease_id}/checks", wire.CheckReport, wire.ChecksRequest(checks=list(checks)))


def lab_machines(lab: str) -> Ask[wire.LabMachines]:
    """Ask for everybody's machines of a lab."""
    return Ask("GET", f"lab-machines?lab={quote(lab, safe='')}", wire.LabMachines)


def calls(lease_id: str, limit: int) -> Ask[wire.Accounts]:
    """Ask which calls its latest actions made."""
    return Ask("GET", f"leases/{lease_id}/calls?limit={limit}", wire.Accounts)
