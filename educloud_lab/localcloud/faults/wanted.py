"""A fault as the administrator asks for it, and whether there is such a one."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from educloud_lab.localcloud.errors import invalid
from educloud_lab.localcloud.faults.active import Active
from educloud_lab.localcloud.faults.catalogue import KINDS
from educloud_lab.localcloud.faults.kinds import Scope, Value
from educloud_lab.localcloud.ids import new_id


@dataclass(frozen=True, slots=True)
class Wanted:
    """A fault as the administrator asks for it.

    Parameters
    ----------
    account_id, operation, resource, zone : how it is narrowed; '' is everything. A resource is an id, or
        ``tag:KEY=VALUE`` for whatever carries that tag.
    count : how often it strikes; None until it is cleared.
    for_s : after so many seconds it ends by itself.
    parameters : those of the kind, as text.
    """

    kind: str
    account_id: str = ""
    operation: str = ""
    resource: str = ""
    zone: str = ""
    count: int | None = None
    for_s: float | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)


def checked(wanted: Wanted, operations: Container[str], now: datetime) -> Active:
    """Return the fault that is asked for; raises ``ApiError`` (``InvalidParameterValue``) for what makes no sense."""
    kind = KINDS.get(wanted.kind)
    if kind is None:
        raise invalid(f"There is no fault {wanted.kind[:60]!r}; the kinds are: {', '.join(sorted(KINDS))}")
    narrowed = {
        Scope.ACCOUNT: wanted.account_id, Scope.OPERATION: wanted.operation, Scope.RESOURCE: wanted.resource,
        Scope.ZONE: wanted.zone,
    }  # fmt: skip
    for scope, value in narrowed.items():
        if value and scope not in kind.scopes:
            raise invalid(f"A fault {kind.name} cannot be narrowed by {scope.value}")
    if wanted.operation and wanted.operation not in operations:
        raise invalid(f"There is no operation {wanted.operation[:60]!r}")
    if wanted.resource.startswith("tag:") and not wanted.resource.find("=") - len("tag:") > 0:
        raise invalid("A resource by its tag is written tag:KEY=VALUE")
    if len(wanted.resource) > 390 or len(wanted.zone) > 64:
        raise invalid("The name of the resource or zone is too long")
    if wanted.count is not None and not (kind.counted and 1 <= wanted.count <= 1_000_000):
        raise invalid(f"Count is 1 to 1000000{'' if kind.counted else f', but {kind.name} cannot be counted'}")
    if wanted.for_s is not None and not 0 < wanted.for_s <= 30 * 86400:
        raise invalid("A fault lasts for more than 0 seconds and at most 30 days")
    try:
        parameters: dict[str, Value] = kind.read(wanted.parameters)
    except ValueError as error:
        raise invalid(str(error)) from error
    return Active(
        new_id("flt"), kind, wanted.account_id, wanted.operation, wanted.resource, wanted.zone, parameters,
        wanted.count, 0, {}, now, None if wanted.for_s is None else now + timedelta(seconds=wanted.for_s),
    )  # fmt: skip
