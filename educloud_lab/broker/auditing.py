"""One line of the audit log, written in the transaction that does what it tells of.

A line costs one insert and no read, so that it may stand in every transaction; it is there exactly when what it tells
of was committed. What is put into it is for the eyes of those who oversee the course: never a secret, never what
somebody typed on their machine.
"""

from __future__ import annotations

from typing import Final

from educloud_lab.ports.records import AuditRecord, LeaseRecord
from educloud_lab.ports.store import Transaction

BROKER: Final = "broker"
"""Who did it when no person asked."""

DETAIL_LENGTH: Final = 500


def audit(
    tx: Transaction,
    *,
    who: str,
    what: str,
    lease: LeaseRecord | None = None,
    course: str = "",
    subject: str = "",
    result: str = "ok",
    detail: str = "",
) -> None:
    """Append to the audit log, in the caller's own transaction.

    Parameters
    ----------
    tx
        The transaction that does it. Never one of its own: then the log could tell of what did not happen.
    who
        The person who asked; :data:`BROKER` when nobody did ('' counts as that).
    what
        Noun and verb: ``lease.start``, ``volume.snapshot``, ``job.start.done``, ``orphan.reaped``.
    lease
        Whose it is and which course it belongs to come from here.
    course
        Where there is no lease.
    subject
        The id in the cloud, where there is one.
    result
        ``ok`` or an error's code.
    detail
        For people, cut to 500 characters. Never a secret.
    """
    tx.add_audit(
        AuditRecord(
            at=tx.now(),
            who=_cut(who or BROKER, 255),
            what=_cut(what, 64),
            course=_cut(lease.course if lease is not None else course, 64),
            lease_id=lease.id if lease is not None else None,
            whose=_cut(lease.person if lease is not None else "", 255),
            subject=_cut(subject, 64),
            result=_cut(result, 64),
            detail=_cut(detail, DETAIL_LENGTH),
        )
    )


def _cut(text: str, most: int) -> str:
    """Return a text on one line: what a guest or a cloud says must not forge a second line of a log."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())[:most]
