"""DescribeInstances without ids and filters, as every broker asks it every few seconds: fast, and never stale.

What an instance looks like is kept under all that it is made of: its whole row, its attachments, its tags and its
image's architecture, as they lie in the state now. So a kept view cannot be older than the rows: when one of them
changes, it is not found any more. That spares building and writing what did not change: nearly all of the work.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import select
from sqlalchemy.orm import Session

from educloud_lab.localcloud.model.compiled import Kept
from educloud_lab.localcloud.operations.instance_views import Views, instance_view
from educloud_lab.localcloud.state.tables import Instance

MOST = 3000
"""Views that are kept; where there are more instances than this, none are."""

_INSTANCES = (
    "SELECT i.id, i.reservation_id, i.owner, i.groups, i.*, m.architecture"
    " FROM instance i LEFT JOIN image m ON m.id = i.image_id WHERE i.owner = ?"
    " ORDER BY i.launched_at, i.reservation_id, i.launch_index"
)
_ATTACHMENTS = (
    "SELECT a.instance_id, a.* FROM attachment a JOIN instance i ON i.id = a.instance_id WHERE i.owner = ?"
    " ORDER BY a.device"
)
_TAGS = "SELECT resource_id, key, value FROM tag WHERE owner = ? AND resource_type = 'instance' ORDER BY key"
_FEW = 500  # looked up by id, rather than all


class InstanceAnswers:
    """Views by what they are made of. One for each cloud, since profiles write them differently."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[Any, ...], Kept] = OrderedDict()
        self._turn = threading.Lock()  # a state that only a fault shows may be read by several threads

    def reservations(self, session: Session, owner: str) -> list[dict[str, Any]]:
        """Return all of an account's instances, in the reservations that they were started in."""
        with self._turn:
            return self._reservations(session, owner)

    def _reservations(self, session: Session, owner: str) -> list[dict[str, Any]]:
        state = session.connection()
        attachments = _grouped(state.exec_driver_sql(_ATTACHMENTS, (owner,)).all())
        tags = _grouped(state.exec_driver_sql(_TAGS, (owner,)).all())
        rows = state.exec_driver_sql(_INSTANCES, (owner,)).all()
        keys = [(tuple(row), attachments.get(row[0], ()), tags.get(row[0], ())) for row in rows]
        made = self._make(session, [key for key in keys if key not in self._kept], tags)
        found: dict[str, dict[str, Any]] = {}
        for key in keys:
            instance_id, reservation_id, owner_id, groups = key[0][:4]
            entry = found.get(reservation_id)
            if entry is None:
                shown = [{"GroupId": group[0], "GroupName": group[1]} for group in json.loads(groups)]
                entry = found[reservation_id] = {
                    "ReservationId": reservation_id, "OwnerId": owner_id, "Groups": shown, "Instances": [],
                }  # fmt: skip
            view = made.get(instance_id)
            if view is None:
                view = self._kept[key]
                self._kept.move_to_end(key)
            elif len(keys) <= MOST:
                self._kept[key] = view
            entry["Instances"].append(view)
        while len(self._kept) > MOST:
            self._kept.popitem(last=False)
        return list(found.values())

    def _make(
        self, session: Session, keys: Sequence[tuple[Any, ...]], tags: Mapping[str, tuple[Any, ...]]
    ) -> dict[str, Kept]:
        """Build the views that are not kept."""
        if not keys:
            return {}
        ids = [key[0][0] for key in keys]
        only = ids if len(ids) <= _FEW else None
        query = select(Instance).where(Instance.id.in_(ids) if only is not None else Instance.owner == keys[0][0][2])
        views = Views(session, {}, only)
        wanted = set(ids)
        return {
            row.id: Kept(
                instance_view(
                    row,
                    views.attachments.get(row.id, ()),
                    {name: value for _, name, value in tags.get(row.id, ())},
                    views.architectures.get(row.image_id, "x86_64"),
                )
            )
            for row in session.scalars(query)
            if row.id in wanted
        }


_OF: WeakKeyDictionary[object, InstanceAnswers] = WeakKeyDictionary()


def answers_of(database: object) -> InstanceAnswers:
    """Return what is kept for one state."""
    return _OF.setdefault(database, InstanceAnswers())


def _grouped(rows: Sequence[Any]) -> dict[str, tuple[Any, ...]]:
    """Return rows by their first column."""
    found: dict[str, tuple[Any, ...]] = {}
    for row in rows:
        found[row[0]] = (*found.get(row[0], ()), tuple(row))
    return found
