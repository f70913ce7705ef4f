"""One line of the audit log, written in the transaction that does what it tells of.

A line costs one insert and no read, so that it may stand in every transaction; it is there exactly when what it tells
of was committed. What is put into it is for the eyes of those who oversee the course: never a secret, never what
somebody typed on their machine.
"""

from __future__ import annotations

from typing import Final

from educloud_lab.domain.job import VOLUME_KINDS, Outcome
from educloud_lab.ports.records import AuditRecord, JobRecord, LeaseRecord
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


class Seldom:
    """Says which of many repetitions is worth a line.

    Parameters
    ----------
    period_s : the same thing is new again after so long.
    """

    def __init__(self, period_s: float) -> None:
        self._period_s = period_s
        self._last: dict[tuple[str, ...], float] = {}

    def is_new(self, thing: tuple[str, ...], now_s: float) -> bool:
        """Say whether it was not told of lately, and remember that it was now."""
        self._last = {key: at for key, at in self._last.items() if now_s - at < self._period_s}
        new = thing not in self._last
        self._last.setdefault(thing, now_s)
        return new


def job_ended(tx: Transaction, job: JobRecord, lease: LeaseRecord, outcome: Outcome, *, code: str = "ok") -> None:
    """Append how a job ended: with which result, and in how many attempts."""
    volume = tx.volume_of(lease.id) if job.kind in VOLUME_KINDS else None
    subject = (volume.cloud_id if volume is not None else lease.instance_id) or ""
    detail = f"attempts: {job.attempts}"
    what = f"job.{job.kind}.{outcome}"
    audit(tx, who=job.asked_by, what=what, lease=lease, subject=subject, result=code, detail=detail)


def _cut(text: str, most: int) -> str:
    """Return a text on one line: what a guest or a cloud says must not forge a second line of a log."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())[:most]
