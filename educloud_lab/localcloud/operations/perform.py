"""One request, from its parameters to its answer: what is the same for every operation of a profile."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from educloud_lab.localcloud.cloud import Caller, Cloud
from educloud_lab.localcloud.errors import ApiError, invalid
from educloud_lab.localcloud.model.compiled import Operation
from educloud_lab.localcloud.operations import OPERATIONS

_IDS = ("InstanceIds", "VolumeIds", "SnapshotIds")
LEAST_PAGE, LARGEST_PAGE = 5, 1000


async def perform(
    cloud: Cloud, caller: Caller, action: str, query: Mapping[str, str]
) -> tuple[Operation, dict[str, Any]]:
    """Carry out one operation.

    Parameters
    ----------
    query : every parameter of the request by its name on the wire, ``Action`` and the signature's among them.

    Raises
    ------
    ApiError, BindError
        Refused; nothing was changed.
    """
    behaviour = cloud.model.behaviour
    operation, handler = cloud.model.operations.get(action), OPERATIONS.get(action)
    if operation is None or handler is None:
        raise behaviour.unbound([("Action", action)])
    ignore = cloud.settings.unknown_parameters == "ignore"
    arguments = cloud.model.parse(operation, query, ignore_unknown=ignore)
    if behaviour.dry_run and query.get("DryRun", "").lower() in ("true", "1"):
        raise ApiError("DryRunOperation", "Request would have succeeded, but DryRun flag is set.", 412)
    try:
        answer = await handler(cloud, caller, arguments)
    except ApiError as error:
        if (spoken := behaviour.spoken(error)) is error:
            raise
        raise spoken from error
    if page := behaviour.pages.get(action):
        answer = _page(answer, arguments, *page)
    return operation, answer


def _page(answer: dict[str, Any], arguments: Mapping[str, Any], member: str, key: str) -> dict[str, Any]:
    """Cut an answer to ``MaxResults`` items from where ``NextToken`` says."""
    size, token = arguments.get("MaxResults"), arguments.get("NextToken")
    if size is None and not token and len(answer[member]) <= LARGEST_PAGE:
        return answer
    if (size is not None or token) and any(arguments.get(name) for name in _IDS):
        names = next(name for name in _IDS if arguments.get(name))
        message = f"The parameter {names} cannot be used with the parameter maxResults"
        raise ApiError("InvalidParameterCombination", message)
    size = LARGEST_PAGE if size is None else size
    if not LEAST_PAGE <= size <= LARGEST_PAGE:
        raise invalid(
            f"Value ( {size} ) for parameter maxResults is invalid. Expecting {LEAST_PAGE} to {LARGEST_PAGE}."
        )
    items = answer[member]
    start = _start(items, key, token) if token else 0
    page = {**answer, member: items[start : start + size]}
    if start + size < len(items):
        page["NextToken"] = base64.urlsafe_b64encode(f"{start + size} {items[start + size][key]}".encode()).decode()
    return page


def _start(items: list[dict[str, Any]], key: str, token: str) -> int:
    """Return where the next page starts: at the item that it was to start with, where that one still exists."""
    try:
        number, _, wanted = base64.urlsafe_b64decode(token.encode()).decode().partition(" ")
        start = int(number)
    except (binascii.Error, ValueError) as error:
        raise invalid("Unable to parse nextToken") from error
    if start < 0:
        raise invalid("Unable to parse nextToken")
    if start < len(items) and items[start][key] == wanted:
        return start
    return next((index for index, item in enumerate(items) if item[key] == wanted), start)
