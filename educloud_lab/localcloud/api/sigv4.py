"""Checking AWS signature version 4, in the header and in the query form; version 2 is handed to :mod:`.sigv2`.

As Eucalyptus does, region and service of the scope are not compared with anything, and a signature over an
empty path is accepted as well. Messages are Eucalyptus's own.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import MAXYEAR, UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from urllib.parse import quote

from educloud_lab.localcloud.accounts import Account, Accounts
from educloud_lab.localcloud.api import sigv2
from educloud_lab.localcloud.errors import AuthError

ALGORITHM = "AWS4-HMAC-SHA256"
LIFETIME_S = 900
SKEW_S = 20
_HEADER = re.compile(r"(Credential|SignedHeaders|Signature)=([^,\s]+)")
_CREDENTIAL = re.compile(r"([A-Za-z0-9_-]{1,128})/([0-9]{8})/([^/]*)/([^/]*)/aws4_request")

BAD_KEY = "Invalid access key or token"
BAD_SIGNATURE = "Signature validation failed"


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """What a signature covers.

    Parameters
    ----------
    path : as sent, still encoded.
    query : names and values of the query string, decoded, in order.
    headers : lower-case name to the values as received.
    """

    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    headers: Mapping[str, tuple[str, ...]]
    body: bytes


@dataclass(frozen=True, slots=True)
class _Claim:
    access_key: str
    scope: str
    scope_date: str
    signed_headers: tuple[str, ...]
    signature: str
    moment: datetime
    lifetime_s: int
    query: tuple[tuple[str, str], ...]


def verify(request: SignedRequest, accounts: Accounts, now: datetime, skew_s: int = SKEW_S) -> Account:
    """Return the account that signed the request, which may lie ``skew_s`` in the future.

    Raises
    ------
    AuthError
        No or an unreadable signature, an unknown key, another secret, too old or from the future.
    """
    if "authorization" not in request.headers and "X-Amz-Signature" not in dict(request.query):
        pairs = sigv2.parameters(request.query, request.body)
        if sigv2.is_signed(pairs):
            return _verify_version_2(request, pairs, accounts, now, skew_s)
    claim = _header_claim(request) if "authorization" in request.headers else _query_claim(request)
    found = accounts.find(claim.access_key)
    if found is None:
        raise AuthError(BAD_KEY, "key")
    account, secret = found
    _check_time(claim, now, skew_s)
    if "host" not in claim.signed_headers:
        raise AuthError(BAD_SIGNATURE)
    stamp = claim.moment.strftime("%Y%m%dT%H%M%SZ")
    key = signing_key(secret, claim.scope)
    paths = {quote(request.path or "/", safe="/~"), request.path or "/", "/"}
    for path in sorted(paths):
        canonical = canonical_request(request, claim.query, claim.signed_headers, path)
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        text = f"{ALGORITHM}\n{stamp}\n{claim.scope}\n{digest}"
        expected = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
        if hmac.compare_digest(expected.encode(), claim.signature.encode(errors="replace")):
            return account
    raise AuthError(BAD_SIGNATURE)


def _verify_version_2(
    request: SignedRequest, pairs: sigv2.Pairs, accounts: Accounts, now: datetime, skew_s: int
) -> Account:
    found = accounts.find(dict(pairs).get("AWSAccessKeyId", ""))
    if found is None:
        raise AuthError(BAD_KEY, "key")
    account, secret = found
    try:
        signed, expires = sigv2.moments(pairs)
    except ValueError as error:
        raise AuthError(BAD_SIGNATURE) from error
    if signed is None and expires is None:
        raise AuthError(BAD_SIGNATURE)
    _check_period(signed, expires or (signed or now) + timedelta(seconds=sigv2.LIFETIME_S), now, skew_s)
    host = "".join(request.headers.get("host", ()))
    if not sigv2.matches(request.method, host, request.path, pairs, secret):
        raise AuthError(BAD_SIGNATURE)
    return account


def signing_key(secret: str, scope: str) -> bytes:
    """Derive the signing key for ``date/region/service/aws4_request``."""
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key


def canonical_request(
    request: SignedRequest, query: Iterable[tuple[str, str]], signed_headers: Iterable[str], path: str
) -> str:
    """Return the canonical text that is signed."""
    pairs = sorted((quote(name, safe="-_.~"), quote(value, safe="-_.~")) for name, value in query)
    names = list(signed_headers)
    headers = "".join(
        f"{name}:{','.join(' '.join(value.split()) for value in request.headers.get(name, ()))}\n" for name in names
    )
    return "\n".join(
        (
            request.method,
            path,
            "&".join(f"{name}={value}" for name, value in pairs),
            headers,
            ";".join(names),
            hashlib.sha256(request.body).hexdigest(),
        )
    )


def _header_claim(request: SignedRequest) -> _Claim:
    header = request.headers["authorization"][0]
    if not header.startswith(ALGORITHM):
        raise AuthError(BAD_SIGNATURE)
    fields = dict(_HEADER.findall(header))
    stamp = next(iter(request.headers.get("x-amz-date", ()))) if "x-amz-date" in request.headers else None
    date = request.headers["date"][0] if stamp is None and "date" in request.headers else None
    return _claim(fields, _moment(stamp, date), LIFETIME_S, request.query)


def _query_claim(request: SignedRequest) -> _Claim:
    query = dict(request.query)
    if not query.get("X-Amz-Signature"):
        raise AuthError(BAD_KEY, "key")
    if query.get("X-Amz-Algorithm") != ALGORITHM:
        raise AuthError(BAD_SIGNATURE)
    expires = query.get("X-Amz-Expires", str(LIFETIME_S))
    if not re.fullmatch(r"[0-9]{1,6}", expires, re.ASCII):
        raise AuthError(BAD_SIGNATURE)
    fields = {
        "Credential": query.get("X-Amz-Credential", ""),
        "SignedHeaders": query.get("X-Amz-SignedHeaders", ""),
        "Signature": query["X-Amz-Signature"],
    }
    rest = tuple((name, value) for name, value in request.query if name != "X-Amz-Signature")
    return _claim(fields, _moment(query.get("X-Amz-Date"), None), min(int(expires), LIFETIME_S), rest)


def _claim(fields: Mapping[str, str], moment: datetime, lifetime_s: int, query: tuple[tuple[str, str], ...]) -> _Claim:
    credential = _CREDENTIAL.fullmatch(fields.get("Credential", ""))
    if credential is None:
        raise AuthError(BAD_KEY, "key")
    access_key, date, region, service = credential.groups()
    return _Claim(
        access_key=access_key,
        scope=f"{date}/{region}/{service}/aws4_request",
        scope_date=date,
        signed_headers=tuple(fields.get("SignedHeaders", "").lower().split(";")),
        signature=fields.get("Signature", ""),
        moment=moment,
        lifetime_s=lifetime_s,
        query=query,
    )


def _moment(stamp: str | None, date: str | None) -> datetime:
    try:
        if stamp is not None:
            return _countable(datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC))
        if date is not None:
            parsed = parsedate_to_datetime(date)
            return _countable(parsed.astimezone(UTC) if parsed.tzinfo else parsed.replace(tzinfo=UTC))
    except (ValueError, OverflowError) as error:
        raise AuthError(BAD_SIGNATURE) from error
    raise AuthError(BAD_SIGNATURE)


def _countable(moment: datetime) -> datetime:
    """Return a time that can be added to; raises ``OverflowError`` for the ends of the calendar."""
    if not 1 < moment.year < MAXYEAR:
        raise OverflowError(moment.year)
    return moment


def _check_time(claim: _Claim, now: datetime, skew_s: int) -> None:
    _check_period(claim.moment, claim.moment + timedelta(seconds=claim.lifetime_s), now, skew_s)
    if claim.moment.strftime("%Y%m%d") != claim.scope_date:
        raise AuthError(BAD_SIGNATURE)


def _check_period(signed: datetime | None, expires: datetime, now: datetime, skew_s: int) -> None:
    signed = signed or min(expires, now)
    if now > expires + timedelta(seconds=skew_s):
        raise AuthError(
            f"Message has expired (times in UTC): Timestamp={_text(signed)} Expires={_text(expires)}"
            f" Deadline={_text(expires + timedelta(seconds=skew_s))}",
            "time",
        )
    if signed > now + timedelta(seconds=skew_s):
        raise AuthError(
            f"Message was generated in the future (times in UTC): Timestamp={_text(signed)} Current time={_text(now)}",
            "time",
        )


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
