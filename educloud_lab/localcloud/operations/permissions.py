"""Whom snapshots and images are shared with, as callers say it: in the old form and in the new one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from educloud_lab.localcloud.errors import invalid
from educloud_lab.localcloud.state.tables import Image, LaunchPermission, Snapshot, SnapshotPermission

ALL = "all"
_ACCOUNT = re.compile(r"[0-9]{12}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Shares:
    """Accounts, and whether everybody."""

    accounts: frozenset[str]
    everybody: bool


def groups_and_users(params: Mapping[str, Any], member: str, groups: str) -> tuple[Shares, Shares]:
    """Return what is to be added and removed.

    Parameters
    ----------
    member : of the new form (``CreateVolumePermission``: Add and Remove).
    groups : the member that names groups in the old form (``OperationType``, ``UserIds``).

    Raises
    ------
    ApiError
        ``InvalidParameterValue`` for what is neither an account nor ``all``.
    """
    new = params.get(member) or {}
    add, remove = list(new.get("Add", ())), list(new.get("Remove", ()))
    old = [
        *({"UserId": user} for user in params.get("UserIds", ())),
        *({"Group": group} for group in params.get(groups, ())),
    ]
    operation = params.get("OperationType", "add" if old else "")
    if operation not in ("", "add", "remove"):
        raise invalid(f"Value ({str(operation)[:60]}) for parameter operationType is invalid.")
    (remove if operation == "remove" else add).extend(old)
    return _shares(add), _shares(remove)


def users(session: Session, row: Image | Snapshot) -> set[str]:
    """Return the accounts that a snapshot or an image is shared with."""
    table, key = _table(row)
    return set(session.scalars(select(table.account_id).filter_by(**{key: row.id})))


def share(session: Session, row: Image | Snapshot, add: Shares, remove: Shares) -> None:
    """Share a snapshot or an image with more and with fewer; its owner may use it anyway."""
    table, key = _table(row)
    row.public = (row.public or add.everybody) and not remove.everybody
    before = users(session, row)
    for user in add.accounts - {row.owner} - before:
        session.add(table(account_id=user, **{key: row.id}))
    for user in (remove.accounts - {row.owner}) & before:
        session.delete(session.get_one(table, (row.id, user)))


def unshare(session: Session, row: Image | Snapshot) -> None:
    """Leave a snapshot or an image to its owner alone."""
    table, _ = _table(row)
    row.public = False
    for user in users(session, row):
        session.delete(session.get_one(table, (row.id, user)))


def _table(row: Image | Snapshot) -> tuple[type[LaunchPermission | SnapshotPermission], str]:
    return (LaunchPermission, "image_id") if isinstance(row, Image) else (SnapshotPermission, "snapshot_id")


def _shares(entries: Iterable[Mapping[str, str]]) -> Shares:
    accounts: set[str] = set()
    everybody = False
    for entry in entries:
        if group := entry.get("Group"):
            if group != ALL:
                raise invalid(f"Value ({group[:60]}) for parameter group is invalid.")
            everybody = True
        if user := entry.get("UserId"):
            if not _ACCOUNT.fullmatch(user):
                raise invalid(f"Not a valid userId : {user[:60]}")
            accounts.add(user)
    return Shares(frozenset(accounts), everybody)
