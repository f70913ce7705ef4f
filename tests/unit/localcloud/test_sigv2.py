"""Signature version 2, against Amazon's published example and against altered requests."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

import pytest

from educloud_lab.localcloud.accounts import Account, Accounts
from educloud_lab.localcloud.api import sigv2
from educloud_lab.localcloud.api.sigv4 import SignedRequest, verify
from educloud_lab.localcloud.errors import AuthError

# "Signature Version 2 Signing Process", AWS General Reference: a DescribeJobFlows request and its signature.
KEY, SECRET = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
HOST = "elasticmapreduce.amazonaws.com"
PAIRS = (
    ("Action", "DescribeJobFlows"),
    ("Version", "2009-03-31"),
    ("AWSAccessKeyId", KEY),
    ("SignatureVersion", "2"),
    ("SignatureMethod", "HmacSHA256"),
    ("Timestamp", "2011-10-03T15:19:30"),
    ("Signature", "i91nKc4PWAt0JJIdXwz9HxZCJDdiy6cf/Mj6vPxyYIs="),
)
NOW = datetime(2011, 10, 3, 15, 20, tzinfo=UTC)
ACCOUNTS = Accounts({KEY: (Account("educloud", "000100000001", "AIDA", KEY), SECRET)})


def check(pairs=PAIRS, now=NOW, host=HOST, method="GET"):
    request = SignedRequest(method, "/", pairs if method == "GET" else (), {"host": (host,)}, b"")
    if method == "POST":
        request = SignedRequest(method, "/", (), {"host": (host,)}, urlencode(pairs).encode())
    return verify(request, ACCOUNTS, now)


def change(**values):
    return tuple((name, values.pop(name, value)) for name, value in PAIRS) + tuple(values.items())


def test_the_published_example():
    assert sigv2.text_to_sign("GET", HOST, "/", PAIRS).splitlines()[-1].startswith(f"AWSAccessKeyId={KEY}&Action=")
    assert check().access_key == KEY


def test_the_port_may_be_left_out_of_what_is_signed():
    assert check(host=f"{HOST}:8773").access_key == KEY


@pytest.mark.parametrize(
    "changed",
    [
        {"Action": "TerminateJobFlows"},
        {"Extra": "1"},
        {"Signature": "i91nKc4PWAt0JJIdXwz9HxZCJDdiy6cf/Mj6vPxyYIt="},
        {"Signature": ""},
        {"Signature": "é"},
        {"SignatureMethod": "HmacMD5"},
        {"Timestamp": "yesterday"},
        {"Timestamp": "2011-13-03T15:19:30"},
    ],
)
def test_what_is_altered_is_refused(changed):
    with pytest.raises(AuthError, match="Signature validation failed"):
        check(change(**changed))


def test_another_host_or_method_is_refused():
    with pytest.raises(AuthError, match="Signature validation failed"):
        check(host="ec2.amazonaws.com")
    with pytest.raises(AuthError, match="Signature validation failed"):
        check(method="POST")


def test_a_body_that_was_put_to_a_signed_address_is_refused():
    """Parameters of the body are answered whatever the method is: so they have to be signed whatever it is."""
    request = SignedRequest("GET", "/", PAIRS, {"host": (HOST,)}, b"Action=TerminateInstances&InstanceId.1=i-1")
    with pytest.raises(AuthError, match="Signature validation failed"):
        verify(request, ACCOUNTS, NOW)


def test_an_unknown_key_is_refused():
    with pytest.raises(AuthError, match="Invalid access key"):
        check(change(AWSAccessKeyId="AKIAI44QH8DHBEXAMPLE"))


def test_without_any_time_it_is_refused():
    with pytest.raises(AuthError, match="Signature validation failed"):
        check(tuple(pair for pair in PAIRS if pair[0] != "Timestamp"))


def test_old_and_future_ones_are_refused():
    with pytest.raises(AuthError, match="Message has expired"):
        check(now=NOW + timedelta(minutes=17))
    with pytest.raises(AuthError, match="generated in the future"):
        check(now=NOW - timedelta(minutes=2))
