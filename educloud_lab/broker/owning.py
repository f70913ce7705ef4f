"""Whose lease it is, and what somebody may do to it: the one place that decides.

Until courses have rosters, everybody who reaches the broker of course ``local`` is its instructor: on a laptop the
person who owns the computer.
"""

from __future__ import annotations

from enum import StrEnum

from educloud_lab.broker.parts import Parts
from educloud_lab.domain.errors import NotFoundError
from educloud_lab.ports.records import LeaseRecord
from educloud_lab.ports.store import Transaction


class Role(StrEnum):
    """What a person is in a course (DESIGN.md section 2)."""

    STUDENT = "student"
    ASSISTANT = "assistant"
    INSTRUCTOR = "instructor"


def role_of(tx: Transaction, parts: Parts, person: str) -> Role | None:
    """Return the person's role in the broker's course; None when they have none."""
    del tx, person
    return Role.INSTRUCTOR if parts.course == "local" else None


def own_lease(tx: Transaction, parts: Parts, person: str, lease_id: str) -> LeaseRecord:
    """Return a lease that is the person's own.

    Raises
    ------
    NotFoundError
        There is none, or it is somebody else's: the two look the same (I6).
    """
    lease = tx.lease(lease_id)
    if lease is None or lease.person != person or lease.course != parts.course:
        raise NotFoundError("There is no such machine, or it is not yours.")
    return lease


def overseen_lease(tx: Transaction, parts: Parts, person: str, lease_id: str) -> LeaseRecord:
    """Return a lease of the broker's course to somebody who oversees the course: an assistant or instructor.

    Raises
    ------
    NotFoundError
        There is none, or the person does not oversee the course.
    """
    lease = tx.lease(lease_id)
    if lease is not None and lease.course == parts.course and oversees(tx, parts, person):
        return lease
    raise NotFoundError("There is no such machine, or you may not see it.")


def oversees(tx: Transaction, parts: Parts, person: str) -> bool:
    """Say whether a person oversees the broker's course."""
    return role_of(tx, parts, person) in (Role.ASSISTANT, Role.INSTRUCTOR)
