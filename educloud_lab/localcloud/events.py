"""What happened in the cloud, one row an event, in the transaction that made it happen."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import Connection, delete, func, select
from sqlalchemy.orm import Session

from educloud_lab.localcloud.state.tables import Event

KEPT = 2000
"""Events that are kept; older ones go."""

_SLACK = 200  # dropped together, so that most events cost one insert


def record(
    session: Session, at: datetime, kind: str, resource_id: str, text: str, *, owner: str = "", request_id: str = ""
) -> None:
    """Add an event to the running transaction.

    Parameters
    ----------
    kind : ``instance``, ``volume``, ``snapshot``, ``image``, ``fault`` or ``cloud``.
    text : one plain line for people; no secrets, no user data.
    """
    event = Event(at=at, kind=kind, resource_id=resource_id, owner=owner, text=text[:500], request_id=request_id)
    session.add(event)  # written with what made it happen


def drop_old(connection: Connection, written: Iterable[Event]) -> None:
    """Remove what is too old, now and then; called when events were written."""
    due = [event.id for event in written if event.id % _SLACK == 0]
    if due:
        connection.execute(delete(Event).where(Event.id <= max(due) - KEPT))


def latest(session: Session, count: int, after: int = 0) -> list[Event]:
    """Return the newest events with an id greater than ``after``, oldest first; at most ``count``."""
    query = select(Event).where(Event.id > after).order_by(Event.id.desc()).limit(count)
    return list(reversed(list(session.scalars(query))))


def total(session: Session) -> int:
    """Return how many events were ever recorded."""
    return session.scalar(select(func.max(Event.id))) or 0
