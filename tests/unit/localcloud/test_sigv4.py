"""Signatures: the published example of AWS, botocore as an independent signer, and everything that must fail."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, urlsplit

import pytest
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from educloud_lab.localcloud.accounts import Account, Accounts
from educloud_lab.localcloud.api.sigv4 import SignedRequest, canonical_request, signing_key, verify
from educloud_lab.localcloud.errors import AuthError

SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
ACCOUNT = Account("educloud", "000100000001", "AIDAX", "AKIDEXAMPLE")
ACCOUNTS = Accounts({"AKIDEXAMPLE": (ACCOUNT, SECRET)})


def signed(url="http://127.0.0.1:8773/services/compute", body=b"Action=DescribeInstances&Version=2016-11-15",
           auth=SigV4Auth, secret=SECRET, method="POST", region="eucalyptus", headers=None):  # fmt: skip
    """Let botocore sign a request and give it as our server sees it, with the time of signing."""
    request = AWSRequest(method, url, data=body, headers={"Host": urlsplit(url).netloc, **(headers or {})})
    auth(Credentials("AKIDEXAMPLE", secret), "ec2", region).add_auth(request)
    prepared = request.prepare()
    parts = urlsplit(prepared.url)
    return SignedRequest(
        method,
        parts.path,
        tuple(parse_qsl(parts.query, keep_blank_values=True)),
        {
            name.lower(): (value if isinstance(value, str) else value.decode(),)
            for name, value in prepared.headers.items()
        },
        body,
    )


def now():
    return datetime.now(UTC)


def test_the_published_example_of_a_canonical_request_and_key():
    # https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html (IAM ListUsers)
    request = SignedRequest(
        "GET",
        "/",
        (),
        {
            "content-type": ("application/x-www-form-urlencoded; charset=utf-8",),
            "host": ("iam.amazonaws.com",),
            "x-amz-date": ("20150830T123600Z",),
        },
        b"",
    )
    text = canonical_request(
        request,
        (("Action", "ListUsers"), ("Version", "2010-05-08")),
        ("content-type", "host", "x-amz-date"),
        "/",
    )
    assert text == (
        "GET\n/\nAction=ListUsers&Version=2010-05-08\n"
        "content-type:application/x-www-form-urlencoded; charset=utf-8\nhost:iam.amazonaws.com\n"
        "x-amz-date:20150830T123600Z\n\ncontent-type;host;x-amz-date\n"
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    )
    key = signing_key("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "20150830/us-east-1/iam/aws4_request")
    assert key.hex() == "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9"


@pytest.mark.parametrize("url", [
    "http://127.0.0.1:8773/", "http://127.0.0.1:8773/services/compute", "http://127.0.0.1:8773/services/compute/",
    "http://localhost:8773/services/compute?b=2&a=1&a=0&empty=&space=a%20b%2Fc&uml=%C3%A4",
])  # fmt: skip
@pytest.mark.parametrize("region", ["eucalyptus", "us-east-1"])
def test_what_botocore_signs_is_accepted_whatever_the_region(url, region):
    assert verify(signed(url, region=region), ACCOUNTS, now()) is ACCOUNT


def test_the_query_form_is_accepted():
    request = signed(
        "http://127.0.0.1:8773/services/compute?Action=DescribeInstances", b"", SigV4QueryAuth, method="GET"
    )
    assert verify(request, ACCOUNTS, now()) is ACCOUNT


def changed(request, **changes):
    values = {name: getattr(request, name) for name in ("method", "path", "query", "headers", "body")}
    return SignedRequest(**{**values, **changes})


def test_any_change_after_signing_is_refused():
    good = signed("http://127.0.0.1:8773/services/compute?a=1")
    for bad in (
        changed(good, body=good.body + b"&x=1"),
        changed(good, method="GET"),
        changed(good, query=(("a", "2"),)),
        changed(good, query=()),
        changed(good, headers={**good.headers, "host": ("other:1",)}),
        signed(secret="another"),
    ):
        with pytest.raises(AuthError, match=r"^Signature validation failed$"):
            verify(bad, ACCOUNTS, now())


def test_an_unknown_key_and_a_missing_signature_are_the_same_to_the_caller():
    good = signed()
    nobody = changed(good, headers={n: v for n, v in good.headers.items() if n != "authorization"})
    other = good.headers["authorization"][0].replace("AKIDEXAMPLE", "AKIDUNKNOWN")
    for bad in (nobody, changed(good, headers={**good.headers, "authorization": (other,)})):
        with pytest.raises(AuthError, match=r"^Invalid access key or token$"):
            verify(bad, ACCOUNTS, now())


@pytest.mark.parametrize("header", [
    "", "AWS4-HMAC-SHA256", "Basic abc", "AWS4-HMAC-SHA256 Credential=a/b/c", "AWS4-HMAC-SHA256 Credential=,Signature=",
    "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261122/r/s/aws4_request, SignedHeaders=, Signature=\udcff",
    "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261122/r/s/aws4_request",
])  # fmt: skip
def test_a_header_that_makes_no_sense_is_refused(header):
    good = signed()
    with pytest.raises(AuthError):
        verify(changed(good, headers={**good.headers, "authorization": (header,)}), ACCOUNTS, now())


def test_host_must_be_signed():
    good = signed()
    text = good.headers["authorization"][0].replace("host;", "")
    with pytest.raises(AuthError):
        verify(changed(good, headers={**good.headers, "authorization": (text,)}), ACCOUNTS, now())


@pytest.mark.parametrize(("offset_s", "said"), [
    (915, None), (925, r"^Message has expired \(times in UTC\)"), (-15, None),
    (-25, r"^Message was generated in the future"),
])  # fmt: skip
def test_a_request_lives_for_900_seconds_and_20_more_and_may_be_20_ahead(offset_s, said):
    request = signed()
    moment = datetime.strptime(request.headers["x-amz-date"][0], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    when = moment + timedelta(seconds=offset_s)
    if said is None:
        assert verify(request, ACCOUNTS, when) is ACCOUNT
    else:
        with pytest.raises(AuthError, match=said):
            verify(request, ACCOUNTS, when)


@pytest.mark.parametrize("date", ["", "yesterday", "20269999T999999Z", "Sun, 99 Nov 2026 12:00:00 GMT"])
def test_an_unreadable_date_is_refused(date):
    good = signed()
    for name in ("x-amz-date", "date"):
        headers = {n: v for n, v in good.headers.items() if n != "x-amz-date"}
        with pytest.raises(AuthError):
            verify(changed(good, headers={**headers, name: (date,)}), ACCOUNTS, now())
