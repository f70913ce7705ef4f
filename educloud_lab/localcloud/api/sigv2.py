"""Checking AWS signature version 2, which Eucalyptus still takes and old clients (apache-libcloud) still send.

The text that is signed is the method, the host, the path and all parameters but the signature, sorted by their bytes
(Amazon's "Signature Version 2 Signing Process"). Eucalyptus's ``Hmacv2LoginModule`` takes SHA-256 and SHA-1, in the
query string or in a form, with the port in the host's name or without.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Callable, Sequence
from datetime import MAXYEAR, UTC, datetime
from urllib.parse import parse_qsl, quote

VERSION = "2"
LIFETIME_S = 900
_METHODS: dict[str, Callable[[], object]] = {"HmacSHA256": hashlib.sha256, "HmacSHA1": hashlib.sha1}
_MOMENT = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d{1,6})?(Z|\+00:00)?", re.ASCII)

Pairs = Sequence[tuple[str, str]]


def parameters(query: Pairs, body: bytes) -> list[tuple[str, str]]:
    """Return every parameter that a request is answered by, those of a form as well, whatever the method.

    Raises
    ------
    ValueError
        The body is not a form.
    """
    return [*query, *parse_qsl(body.decode("utf-8"), keep_blank_values=True, max_num_fields=2000)]


def is_signed(pairs: Pairs) -> bool:
    """Whether a request claims to be signed in this version."""
    return any(name == "SignatureVersion" and value == VERSION for name, value in pairs)


def text_to_sign(method: str, host: str, path: str, pairs: Pairs) -> str:
    """Return what is signed."""
    encoded = sorted(
        (quote(name, safe="-_.~").encode(), quote(value, safe="-_.~")) for name, value in pairs if name != "Signature"
    )
    query = "&".join(f"{name.decode()}={value}" for name, value in encoded)
    return "\n".join((method, host.lower(), path or "/", query))


def matches(method: str, host: str, path: str, pairs: Pairs, secret: str) -> bool:
    """Whether the signature is that of this secret over this request."""
    values = dict(pairs)
    digest = _METHODS.get(values.get("SignatureMethod", ""))
    if digest is None:
        return False
    given = values.get("Signature", "").encode(errors="replace")
    hosts = {host, host.rpartition(":")[0] if re.search(r":\d+$", host) else host}
    for name in sorted(hosts):
        text = text_to_sign(method, name, path, pairs)
        expected = base64.b64encode(hmac.digest(secret.encode(), text.encode(), digest))  # type: ignore[arg-type]  # typeshed wants a name or a module
        if hmac.compare_digest(expected, given):
            return True
    return False


def moments(pairs: Pairs) -> tuple[datetime | None, datetime | None]:
    """Return when the request was signed and when it expires, whichever of the two it tells.

    Raises
    ------
    ValueError
        A time that cannot be read.
    """
    values = dict(pairs)
    return _moment(values.get("Timestamp")), _moment(values.get("Expires"))


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    found = _MOMENT.fullmatch(text)
    if found is None:
        raise ValueError("not a time")
    moment = datetime.fromisoformat(found[1]).replace(tzinfo=UTC)
    if not 1 < moment.year < MAXYEAR:
        raise ValueError("a time that nothing can be added to")
    return moment
