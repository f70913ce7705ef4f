"""The administrator's signed call: ``/services/Faults``, in query form, answered in XML like everything else."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from educloud_lab.localcloud.errors import ApiError, BindError, invalid, missing
from educloud_lab.localcloud.faults.active import Active
from educloud_lab.localcloud.faults.catalogue import KINDS
from educloud_lab.localcloud.faults.kinds import Kind
from educloud_lab.localcloud.faults.wanted import Wanted
from educloud_lab.localcloud.model.compiled import COMMON
from educloud_lab.localcloud.model.scalars import escape, format_time

if TYPE_CHECKING:
    from educloud_lab.localcloud.accounts import Accounts
    from educloud_lab.localcloud.cloud import Caller
    from educloud_lab.localcloud.faults.faults import Faults

PATH = "/services/Faults"
NAMESPACE = "urn:educloud-lab:faults:1"
ACTIONS: Mapping[str, frozenset[str]] = {
    "CreateFault": frozenset({"Kind", "Account", "Operation", "Resource", "Zone", "Count", "ForSeconds"}),
    "DescribeFaults": frozenset(),
    "DescribeFaultKinds": frozenset(),
    "DeleteFaults": frozenset({"All"}),
}
_LISTED = {
    "CreateFault": re.compile(r"Parameter\.([1-9]\d{0,2})\.(Name|Value)", re.ASCII),
    "DescribeFaults": re.compile(r"FaultId\.([1-9]\d{0,2})", re.ASCII),
    "DeleteFaults": re.compile(r"FaultId\.([1-9]\d{0,2})", re.ASCII),
}


async def answer(faults: Faults, accounts: Accounts, caller: Caller, parameters: Mapping[str, str]) -> str:
    """Carry out one call and return its XML.

    Raises
    ------
    ApiError, BindError
        Refused. Whoever is not the administrator learns nothing, not even whether faults are set.
    """
    if not caller.account.is_administrator:
        raise ApiError("UnauthorizedOperation", "You are not authorized to perform this operation.", 403)
    action = parameters.get("Action", "")
    if action not in ACTIONS:
        raise BindError([("Action", action)])
    own = {name: value for name, value in parameters.items() if name not in COMMON}
    listed = _LISTED.get(action)
    unknown = [
        (name, value)
        for name, value in own.items()
        if name not in ACTIONS[action] and not (listed is not None and listed.fullmatch(name))
    ]
    if unknown:
        raise BindError(unknown)
    if action == "CreateFault":
        made = await faults.create(_wanted(own, accounts))
        inner = f"<fault>{_fault(made, accounts)}</fault>"
    elif action == "DescribeFaultKinds":
        inner = _items("kindSet", [_kind(kind) for kind in KINDS.values()])
    elif action == "DescribeFaults":
        ids = set(_ids(own))
        shown = [fault for fault in faults.all() if not ids or fault.id in ids]
        inner = _items("faultSet", [_fault(fault, accounts) for fault in shown])
    else:
        everything = own.get("All", "").lower() == "true"
        ids_given = _ids(own)
        if not everything and not ids_given:
            raise missing("FaultId or All")
        ended = await faults.delete(None if everything else ids_given)
        inner = _items("faultSet", [f"<faultId>{escape(key)}</faultId>" for key in ended])
    return (
        f'<{action}Response xmlns="{NAMESPACE}"><requestId>{escape(caller.request_id)}</requestId>'
        f"{inner}</{action}Response>"
    )


def _wanted(own: Mapping[str, str], accounts: Accounts) -> Wanted:
    if not own.get("Kind"):
        raise missing("Kind")
    pairs: dict[str, dict[str, str]] = {}
    for name, value in own.items():
        if found := _LISTED["CreateFault"].fullmatch(name):
            pairs.setdefault(found[1], {})[found[2]] = value
    return Wanted(
        kind=own["Kind"],
        account_id=_account(own.get("Account", ""), accounts),
        operation=own.get("Operation", ""),
        resource=own.get("Resource", ""),
        zone=own.get("Zone", ""),
        count=_whole(own.get("Count", "")),
        for_s=_seconds(own.get("ForSeconds", "")),
        parameters={pair.get("Name", ""): pair.get("Value", "") for pair in pairs.values()},
    )


def _account(text: str, accounts: Accounts) -> str:
    if not text:
        return ""
    for account in accounts.all():
        if text in (account.name, account.account_id):
            return account.account_id
    raise invalid(f"There is no account {text[:60]!r}")


def _whole(text: str) -> int | None:
    if not text:
        return None
    if not re.fullmatch(r"[0-9]{1,9}", text, re.ASCII):
        raise invalid(f"Value ({text[:60]}) for parameter Count is invalid.")
    return int(text)


def _seconds(text: str) -> float | None:
    if not text:
        return None
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,6})?", text, re.ASCII):
        raise invalid(f"Value ({text[:60]}) for parameter ForSeconds is invalid.")
    return float(text)


def _ids(own: Mapping[str, str]) -> list[str]:
    return list(dict.fromkeys(value for name, value in own.items() if name.startswith("FaultId.")))


def _fault(fault: Active, accounts: Accounts) -> str:
    names = {account.account_id: account.name for account in accounts.all()}
    fields: dict[str, str] = {
        "faultId": fault.id,
        "kind": fault.kind.name,
        "title": fault.kind.title,
        "state": "spent" if fault.spent else "active",
        "account": names.get(fault.account_id, fault.account_id),
        "operation": fault.operation,
        "resource": fault.resource,
        "zone": fault.zone,
        "remaining": "" if fault.remaining is None else str(fault.remaining),
        "struck": str(fault.struck),
        "createTime": _time(fault.created_at),
        "until": _time(fault.until),
    }
    values = [
        f"<name>{escape(name)}</name><value>{escape(_text(value))}</value>" for name, value in fault.parameters.items()
    ]
    held = [f"<resourceId>{escape(key)}</resourceId>" for key in fault.held]
    return _elements(fields) + _items("parameterSet", values) + _items("heldSet", held)


def _kind(kind: Kind) -> str:
    fields = {
        "name": kind.name, "title": kind.title, "component": kind.component, "cause": kind.cause,
        "shown": kind.shown, "source": kind.source, "seen": kind.seen, "ends": kind.ends,
        "counted": _text(kind.counted),
    }  # fmt: skip
    parameters = [
        _elements({"name": p.name, "default": _text(p.default), "limits": p.limits, "text": p.text})
        for p in kind.parameters
    ]
    scopes = [escape(scope.value) for scope in kind.scopes]
    return _elements(fields) + _items("scopeSet", scopes) + _items("parameterSet", parameters)


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)


def _time(moment: datetime | None) -> str:
    return "" if moment is None else format_time(moment)


def _elements(fields: Mapping[str, str]) -> str:
    return "".join(f"<{name}>{escape(value)}</{name}>" for name, value in fields.items() if value)


def _items(name: str, items: list[str]) -> str:
    return f"<{name}>{''.join(f'<item>{item}</item>' for item in items)}</{name}>"
