"""Whom snapshots and images are shared with, as callers say it: in the old form and in the new one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from educloud_lab.localcloud.errors import invalid

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


def change(public: bool, add: Shares, remove: Shares) -> bool:
    """Return whether everybody may use it afterwards."""
    return (public or add.everybody) and not remove.everybody


def others(shares: Shares, owner: str) -> set[str]:
    """Return the accounts without the owner, who may anyway."""
    return set(shares.accounts - {owner})


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
