"""The little of IAM and STS that callers use to learn who they are."""

from __future__ import annotations

from collections.abc import Mapping

from educloud_lab.localcloud.cloud import Caller
from educloud_lab.localcloud.errors import BindError
from educloud_lab.localcloud.model.compiled import COMMON
from educloud_lab.localcloud.model.scalars import escape

ACTIONS = frozenset({"GetCallerIdentity", "GetUser"})
_USER = "admin"  # each account has one user, as Eucalyptus makes it with the account


def answer(action: str, caller: Caller, parameters: Mapping[str, str]) -> str:
    """Return the answer's XML; raises :class:`BindError` for an unknown action or parameter."""
    if action not in ACTIONS:
        raise BindError([("Action", action)])
    known = COMMON | {"UserName"} if action == "GetUser" else COMMON
    unknown = [(k, v) for k, v in parameters.items() if k not in known]
    if unknown:
        raise BindError(unknown)
    account = caller.account
    arn = f"arn:aws:iam::{account.account_id}:user/{_USER}"
    if action == "GetCallerIdentity":
        namespace = "https://sts.amazonaws.com/doc/2011-06-15/"
        fields = {"Arn": arn, "UserId": account.user_id, "Account": account.account_id}
        result = _elements(fields)
    else:
        namespace = "https://iam.amazonaws.com/doc/2010-05-08/"
        fields = {"Path": "/", "UserName": _USER, "UserId": account.user_id, "Arn": arn}
        fields["CreateDate"] = "2010-01-01T00:00:00.000Z"
        result = f"<User>{_elements(fields)}</User>"
    return (
        f'<{action}Response xmlns="{namespace}"><{action}Result>{result}</{action}Result>'
        f"<ResponseMetadata><RequestId>{escape(caller.request_id)}</RequestId></ResponseMetadata></{action}Response>"
    )


def _elements(fields: Mapping[str, str]) -> str:
    return "".join(f"<{name}>{escape(value)}</{name}>" for name, value in fields.items())
