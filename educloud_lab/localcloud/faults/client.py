"""The administrator's calls from Python: for the command line, for tests, and for lessons about failing clouds.

Needs nothing but the standard library and the local cloud's own files::

    with FaultClient.of_home().fault("lost-reply", operation="RunInstances", count=1) as fault:
        ...
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit
from xml.etree import ElementTree

from educloud_lab.localcloud.accounts import ADMINISTRATOR
from educloud_lab.localcloud.api.sigv4 import ALGORITHM, SignedRequest, canonical_request, signing_key
from educloud_lab.localcloud.errors import LocalCloudError, NotRunningError
from educloud_lab.localcloud.faults.admin import PATH
from educloud_lab.localcloud.settings import Folders, default_home

_LIMIT_S = 30.0


class FaultError(LocalCloudError):
    """The cloud refused a call about faults; its own words say why."""


@dataclass(frozen=True, slots=True)
class SetFault:
    """A fault that is set. ``remaining`` is None until it is cleared; ``state`` is ``active`` or ``spent``."""

    id: str
    kind: str
    title: str
    state: str
    account: str
    operation: str
    resource: str
    zone: str
    remaining: int | None
    struck: int
    until: str
    parameters: Mapping[str, str]
    held: tuple[str, ...]


class FaultClient:
    """Speaks to one local cloud as its administrator.

    Parameters
    ----------
    endpoint : scheme, host and port; a path is ignored.
    """

    def __init__(self, endpoint: str, access_key: str, secret_key: str) -> None:
        parts = urlsplit(endpoint)
        self._base, self._host = f"{parts.scheme}://{parts.netloc}", parts.netloc
        self._access_key, self._secret_key = access_key, secret_key

    @classmethod
    def of_home(cls, home: Path | None = None) -> FaultClient:
        """Return a client for the cloud that runs in this home (default ``EDUCLOUD_HOME``).

        Raises
        ------
        NotRunningError
            No cloud runs there.
        """
        folders = Folders(home or default_home())
        try:
            endpoint = json.loads(folders.announcement.read_text())["endpoint_url"]
            keys = json.loads(folders.credentials.read_text())["accounts"][ADMINISTRATOR]
            return cls(endpoint, keys["access_key"], keys["secret_key"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise NotRunningError("The local cloud does not run. Start it with: educloud cloud start") from error

    def add(
        self,
        kind: str,
        *,
        account: str = "",
        operation: str = "",
        resource: str = "",
        zone: str = "",
        count: int | None = None,
        for_s: float | None = None,
        **parameters: object,
    ) -> SetFault:
        """Set a fault; it acts from now on.

        Parameters
        ----------
        account : name or id. operation : e.g. ``RunInstances``. resource : an id or ``tag:KEY=VALUE``.
        count : how often it strikes; without it until it is cleared.
        for_s : seconds after which it ends by itself.
        parameters : those of the kind, e.g. ``delay_s=60``.

        Raises
        ------
        FaultError, NotRunningError
        """
        query = {
            "Kind": kind, "Account": account, "Operation": operation, "Resource": resource, "Zone": zone,
            "Count": "" if count is None else str(count), "ForSeconds": "" if for_s is None else f"{for_s:f}",
        }  # fmt: skip
        for number, (name, value) in enumerate(parameters.items(), 1):
            query[f"Parameter.{number}.Name"] = name
            query[f"Parameter.{number}.Value"] = str(value)
        found = self._call("CreateFault", {k: v for k, v in query.items() if v}).find("{*}fault")
        assert found is not None  # every answer has it
        return _fault(found)

    def faults(self) -> list[SetFault]:
        """Return every fault that is set, oldest first."""
        return [_fault(item) for item in self._call("DescribeFaults", {}).findall("{*}faultSet/{*}item")]

    def kinds(self) -> list[dict[str, Any]]:
        """Return the kinds as dictionaries of texts; ``parameters`` is a list of such, ``scopes`` one of words."""
        return [
            {
                **_texts(item),
                "scopes": [scope.text or "" for scope in item.findall("{*}scopeSet/{*}item")],
                "parameters": [_texts(parameter) for parameter in item.findall("{*}parameterSet/{*}item")],
            }
            for item in self._call("DescribeFaultKinds", {}).findall("{*}kindSet/{*}item")
        ]

    def clear(self, *ids: str) -> list[str]:
        """End these faults, or all when none is named; return those that were there."""
        query = {f"FaultId.{number}": key for number, key in enumerate(ids, 1)} or {"All": "true"}
        found = self._call("DeleteFaults", query).findall("{*}faultSet/{*}item/{*}faultId")
        return [item.text or "" for item in found]

    @contextlib.contextmanager
    def fault(self, kind: str, **options: Any) -> Iterator[SetFault]:
        """Set a fault for the length of a ``with`` block."""
        made = self.add(kind, **options)
        try:
            yield made
        finally:
            self.clear(made.id)

    def _call(self, action: str, query: Mapping[str, str]) -> ElementTree.Element:
        body = urlencode({"Action": action, **query}).encode()
        request = urllib.request.Request(  # noqa: S310 (http to the loopback address that the cloud announced)
            self._base + PATH, data=body, headers=self._headers(body), method="POST"
        )
        # No proxy: one that is set in the environment knows nothing of this computer's loopback.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=_LIMIT_S) as reply:
                return ElementTree.fromstring(reply.read())  # noqa: S314 (our own cloud's answer)
        except urllib.error.HTTPError as error:
            with error:
                raise FaultError(_message(error.read())) from error
        except (OSError, http.client.HTTPException, ElementTree.ParseError) as error:
            raise NotRunningError(
                f"The local cloud at {self._base} does not answer ({error}). See: educloud cloud status"
            ) from error

    def _headers(self, body: bytes) -> dict[str, str]:
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        headers = {
            "Host": self._host,
            "X-Amz-Date": stamp,
            "Content-Type": "application/x-www-form-urlencoded; charset=utf-8",
        }
        names = tuple(sorted(name.lower() for name in headers))
        plain = {name.lower(): (value,) for name, value in headers.items()}
        scope = f"{stamp[:8]}/eucalyptus/faults/aws4_request"
        canonical = canonical_request(SignedRequest("POST", PATH, (), plain, body), (), names, PATH)
        text = f"{ALGORITHM}\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        signature = hmac.new(signing_key(self._secret_key, scope), text.encode(), hashlib.sha256).hexdigest()
        credential = f"Credential={self._access_key}/{scope}"
        headers["Authorization"] = f"{ALGORITHM} {credential}, SignedHeaders={';'.join(names)}, Signature={signature}"
        return headers


def _texts(item: ElementTree.Element) -> dict[str, str]:
    return {child.tag.rpartition("}")[2]: child.text or "" for child in item if not len(child)}


def _fault(item: ElementTree.Element) -> SetFault:
    texts = _texts(item)
    remaining = texts.get("remaining")
    return SetFault(
        id=texts["faultId"],
        kind=texts["kind"],
        title=texts["title"],
        state=texts["state"],
        account=texts.get("account", ""),
        operation=texts.get("operation", ""),
        resource=texts.get("resource", ""),
        zone=texts.get("zone", ""),
        remaining=None if remaining is None else int(remaining),
        struck=int(texts["struck"]),
        until=texts.get("until", ""),
        parameters={
            pair.findtext("{*}name", ""): pair.findtext("{*}value", "")
            for pair in item.findall("{*}parameterSet/{*}item")
        },
        held=tuple(held.text or "" for held in item.findall("{*}heldSet/{*}item/{*}resourceId")),
    )


def _message(body: bytes) -> str:
    try:
        return ElementTree.fromstring(body).findtext(".//Message") or "refused without a reason"  # noqa: S314 (our own)
    except ElementTree.ParseError:
        return "an answer that cannot be read"
