"""A profile's data file: read, put on top of the one that it extends, and its switches as one typed object."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any, Literal

from educloud_lab.localcloud.errors import ApiError, AuthError, BindError

PROFILES = ("eucalyptus-6", "eucalyptus-4.4", "aws")
_LISTS = ("written_when_empty", "differences")


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How one kind of cloud behaves where parameters and members do not tell it. The data files say why.

    Parameters
    ----------
    id_digits : hexadecimal digits of a new id, 8 or 17.
    default_type : the instance type where RunInstances names none.
    types : instance types that may be used.
    type_shape : whether DescribeInstanceTypes answers in Eucalyptus's own shape or in AWS's.
    unknown_parameter : ``bind`` (400 in plain text, as Eucalyptus's transport) or ``service`` (``UnknownParameter``).
    auth_errors : ``transport`` (403 in plain text) or ``service`` (AuthFailure, SignatureDoesNotMatch, RequestExpired).
    skew_s : how far a request may lie in the future.
    dry_run : whether ``DryRun`` is known.
    codes : our code to this cloud's code and HTTP status, where they differ.
    pages : operation to the member that ``MaxResults`` cuts and the name of the id within; others ignore it.
    volume_tokens : whether CreateVolume honours ClientToken.
    checks_tokens : whether a ClientToken that comes again with other parameters is an error.
    shutdown_behaviour : whether a machine that powers itself off may be terminated rather than stopped.
    strict_start : whether starting what is not stopped is an error; otherwise it is passed over.
    console_always : whether the console may be read before and after an instance runs.
    key_types : kinds of public keys that can be imported.
    egress : whether groups tell that everything may go out.
    default_group_open : whether an account's ``default`` group lets its own machines in to each other.
    duplicate_rule_is_error : whether adding a rule again, or removing one that is not there, is an error.
    changes_groups : whether an instance's groups may be changed.
    """

    id_digits: int
    default_type: str
    types: tuple[str, ...]
    type_shape: Literal["eucalyptus", "aws"]
    unknown_parameter: Literal["bind", "service"]
    auth_errors: Literal["transport", "service"]
    skew_s: int
    dry_run: bool
    codes: Mapping[str, tuple[str, int]]
    pages: Mapping[str, tuple[str, str]]
    volume_tokens: bool
    checks_tokens: bool
    shutdown_behaviour: bool
    strict_start: bool
    console_always: bool
    key_types: tuple[str, ...]
    egress: bool
    default_group_open: bool
    duplicate_rule_is_error: bool
    changes_groups: bool

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Behaviour:
        """Read the switches; raises ``TypeError`` for one that is missing or not known."""
        values = dict(data)
        for name in ("types", "key_types"):
            values[name] = tuple(values[name])
        for name in ("codes", "pages"):
            values[name] = {key: tuple(value) for key, value in values[name].items()}
        return cls(**values)

    def spoken(self, error: ApiError) -> ApiError:
        """Return the error as this cloud codes it."""
        code, status = self.codes.get(error.code, (error.code, error.status))
        return error if (code, status) == (error.code, error.status) else ApiError(code, error.message, status)

    def refusal(self, error: AuthError) -> ApiError | None:
        """Return the service's error for a refused signature; None where the transport answers it."""
        if self.auth_errors == "transport":
            return None
        return {
            "key": ApiError("AuthFailure", "AWS was not able to validate the provided access credentials", 401),
            "time": ApiError("RequestExpired", "Request has expired.", 400),
        }.get(
            error.kind,
            ApiError(
                "SignatureDoesNotMatch",
                "The request signature we calculated does not match the signature you provided. Check your AWS Secret"
                " Access Key and signing method. Consult the service documentation for details.",
                403,
            ),
        )

    def unbound(self, fields: list[tuple[str, str]], *, known: bool = False) -> BindError | ApiError:
        """Return the error for parameters that are not known, or (``known``) whose values cannot be read."""
        if self.unknown_parameter == "bind":
            return BindError(fields)
        name, value = fields[0]
        if name == "Action":
            return ApiError("InvalidAction", f"The action {value[:60]} is not valid for this web service.")
        if known:
            return ApiError("InvalidParameterValue", f"Value ({value[:60]}) for parameter {name[:100]} is invalid.")
        return ApiError("UnknownParameter", f"The parameter {name[:100]} is not recognized")


def load_overlay(profile: str) -> dict[str, Any]:
    """Return a profile's data with those of the one that it extends; raises ``FileNotFoundError``."""
    folder = resources.files(__package__)
    data: dict[str, Any] = json.loads((folder / f"{profile}.json").read_text())
    base = data.pop("extends", None)
    return data if base is None else _on_top(load_overlay(base), data)


def _on_top(base: Mapping[str, Any], data: Mapping[str, Any]) -> dict[str, Any]:
    """Put one file on another: tables entry by entry (null removes), ``["+", ...]`` adds to a list."""
    dropped = frozenset(data.get("drop_parameters", ()))
    merged = {**base, **{key: value for key, value in data.items() if not isinstance(value, dict)}}
    merged.pop("drop_parameters", None)
    for key in _LISTS:
        merged[key] = _list(base.get(key, []), data[key]) if key in data else base.get(key, [])
    for key, value in data.items():
        if isinstance(value, dict):
            table = dict(base.get(key, {}))
            for name, entry in value.items():
                if entry is None:
                    table.pop(name, None)
                elif isinstance(entry, list):
                    table[name] = _list(table.get(name, []), entry)
                elif key in ("ignored", "errors", "wire", "aliases") and isinstance(entry, dict):
                    joined = {**table.get(name, {}), **entry}
                    table[name] = {inner: text for inner, text in joined.items() if text is not None}
                else:
                    table[name] = entry
            merged[key] = table
    merged["accepts"] = {
        name: [parameter for parameter in accepted if parameter not in dropped]
        for name, accepted in merged["accepts"].items()
    }
    merged["ignored"] = {
        name: {parameter: why for parameter, why in table.items() if parameter in merged["accepts"][name]}
        for name, table in merged["ignored"].items()
        if name in merged["accepts"]
    }
    return merged


def _list(base: list[Any], change: list[Any]) -> list[Any]:
    return [*base, *change[1:]] if change[:1] == ["+"] else list(change)
