"""``educloud audit``, ``educloud orphans`` and ``educloud shelf``: what those who answer for a course look at."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from traitlets import Bool, Integer

from educloud_lab.app.asking import AskingCommand
from educloud_lab.app.command import NOT_UNDERSTOOD, complain, out, plain

if TYPE_CHECKING:
    from educloud_lab.client.client import Client
    from educloud_lab.wire import models as wire

_GIB = 1024**3
_JSON = "Print what the server answered as JSON."


class _Asks(AskingCommand):
    """What the commands share: their answer is printed as a table, or as the server gave it."""

    as_json = Bool(False, help=_JSON).tag(config=True)


class AuditApp(_Asks):
    """Show who did what."""

    name = "educloud-audit"
    description = """Show the audit log, newest first: who did what, on whose machine, with which result.

    With the id of a machine (see educloud status --json) only what happened to that one."""
    limit = Integer(50, min=1, max=500, help="So many lines.").tag(config=True)
    before = Integer(0, min=0, help="Only lines older than the one with this number; 0: from the newest.").tag(
        config=True
    )
    aliases = {"limit": "AuditApp.limit", "before": "AuditApp.before"}  # noqa: RUF012 - traitlets' own
    flags = {"json": ({"AuditApp": {"as_json": True}}, _JSON)}  # noqa: RUF012 - likewise

    def ask(self, client: Client) -> None:
        """Print the log."""
        if len(self.extra_args) > 1:
            complain("educloud audit takes one machine or none. Nothing was done. See --help.")
            self.exit(NOT_UNDERSTOOD)
        lease_id = self.extra_args[0] if self.extra_args else None
        page = client.audit(lease_id, before=self.before or None, limit=self.limit)
        out(page.model_dump_json(indent=2) if self.as_json else "\n".join(audit_lines(page)))


class OrphansApp(_Asks):
    """Show what nobody owns."""

    name = "educloud-orphans"
    description = """Show what is in the cloud, carries our marks, and belongs to nobody.

    Machines among it are ended by themselves after a grace time, a few at once; volumes go into quarantine and are
    never deleted. When there are more than can be right, nothing happens until a person looks."""
    reap = Bool(False, help="Look now, show what would go, and do it after a typed confirmation.").tag(config=True)
    dry_run = Bool(False, help="Look now and only show what would go.").tag(config=True)
    flags = {  # noqa: RUF012 - traitlets' own
        "json": ({"OrphansApp": {"as_json": True}}, _JSON),
        "reap": ({"OrphansApp": {"reap": True}}, "Look now, show what would go, and do it once it is confirmed."),
        "dry-run": ({"OrphansApp": {"dry_run": True}}, "Look now and only show what would go."),
    }

    def ask(self, client: Client) -> None:
        """Print the list; with ``--reap`` ask, and do it."""
        if not (self.reap or self.dry_run):
            self._show(client.orphans())
            return
        report = client.reap(dry_run=True)
        self._show(report, would="would go now")
        if self.dry_run or not report.acted:
            return
        wanted = f"reap {len(report.acted)}"
        if input(f"Type '{wanted}' to end these machines and put these volumes into quarantine: ").strip() != wanted:
            complain("That was something else. Nothing was done.")
            self.exit(1)
        done = client.reap(dry_run=False, only=report.acted)
        self._show(done, would="being ended or in quarantine now")

    def _show(self, report: wire.OrphanReport, *, would: str = "") -> None:
        out(report.model_dump_json(indent=2) if self.as_json else "\n".join(orphan_lines(report, would)))


class ShelfApp(_Asks):
    """Show bin and quarantine."""

    name = "educloud-shelf"
    description = """Show the volumes that are kept and that no machine uses: bin and quarantine, with owner and size.

    What is in the bin is deleted after its time; what is in quarantine stays until a person decides."""
    flags = {"json": ({"ShelfApp": {"as_json": True}}, _JSON)}  # noqa: RUF012 - traitlets' own

    def ask(self, client: Client) -> None:
        """Print the list."""
        shelf = client.shelf()
        out(shelf.model_dump_json(indent=2) if self.as_json else "\n".join(shelf_lines(shelf, datetime.now(UTC))))


def audit_lines(page: wire.AuditPage) -> list[str]:
    """Return a page of the audit log as lines of text."""
    rows: list[Sequence[str]] = [("no.", "when", "who", "what", "whose", "in the cloud", "result", "")]
    rows += [
        (str(e.id), _when(e.at), e.who, e.what, e.whose, e.subject, e.result, e.detail or (e.lease_id or ""))
        for e in page.entries
    ]
    lines = table(rows) if page.entries else ["Nothing is recorded."]
    return [*lines, f"Older ones: --before={page.older}"] if page.older is not None else lines


def orphan_lines(report: wire.OrphanReport, would: str = "") -> list[str]:
    """Return a report as lines of text."""
    lines = []
    if report.orphans:
        rows: list[Sequence[str]] = [("kind", "id", "state", "owner", "size", "seen since", "goes", "why")]
        rows += [
            (o.kind, o.cloud_id, o.state, o.owner, _size(o.size_bytes), _when(o.first_seen_at), _goes(o), o.reason)
            for o in report.orphans
        ]
        lines = table(rows)
    else:
        lines.append("Everything in the cloud that is ours has an owner.")
    if report.halted:
        lines.append(f"! {report.halted}")
    if would:
        lines.append(f"{would}: {', '.join(report.acted) or 'nothing'}")
    return lines


def _goes(orphan: wire.Orphan) -> str:
    return _when(orphan.acts_at) if orphan.acts_at is not None else "-"


def shelf_lines(shelf: wire.Shelf, now: datetime) -> list[str]:
    """Return bin and quarantine as lines of text."""
    if not shelf.items:
        return ["Bin and quarantine are empty."]
    rows: list[Sequence[str]] = [("where", "volume", "owner", "lab", "size", "age", "deleted", "why")]
    rows += [
        (
            "quarantine" if item.quarantined else "bin",
            item.cloud_id,
            item.owner,
            item.lab,
            _size(item.size_bytes),
            _age(now, item.created_at or item.shelved_at),
            _when(item.delete_after) if item.delete_after is not None else "never",
            item.reason,
        )
        for item in shelf.items
    ]
    return table(rows)


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows as lines with columns that stand below each other; a cell never makes a second line."""
    rows = [[" ".join(plain(cell).split()) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _when(moment: datetime) -> str:
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _size(size_bytes: int) -> str:
    return f"{size_bytes / _GIB:g} GiB" if size_bytes else ""


def _age(now: datetime, since: datetime) -> str:
    hours = max(0.0, (now - since).total_seconds() / 3600)
    return f"{hours / 24:.0f} d" if hours >= 48 else f"{hours:.0f} h"
