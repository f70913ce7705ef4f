"""Malformed requests made from the model: each is a function of the seed and its number alone.

Two sorts. *Broken* ones are wrong for certain (a value of another type, a parameter that does not exist, a bad
signature) and must be refused. *Odd* ones are right in form with values that nobody means; an operation may accept
them, and what it refuses must have changed nothing.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, quote_from_bytes

from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from educloud_lab.localcloud.model.compiled import CompiledModel, InputNode

HOST = "127.0.0.1:8773"
COMPUTE = ("/services/compute", "/services/Eucalyptus", "/", "/services/compute/")
OTHER_PATHS = (
    "/services/Euare", "/services/Tokens", "/services/Faults", "/services/metrics", "/services/ping",
    "/services/nonsense", "//services/compute", "/services/compute/../Faults", "/services/%2e%2e/Faults",
    "/services/compute%00", "/" + "a" * 3000, "/services/objectstorage/bucket", "/%ff%fe", "/services/compute;x=1",
)  # fmt: skip
WRONG = {
    "integer": ("x", "", "1.5", "0x10", "1e9", "٣", "99999999999999999999", "--1", "NaN", " 1", "true", "1\n"),
    "boolean": ("yes", "2", "", "TRUE ", "null", "on", "0.0", "\x00"),
    "timestamp": ("yesterday", "", "2026-13-01T00:00:00Z", "2026-11-22T25:00:00Z", "-1", "99999-01-01"),
    "double": ("x", "", "1,5", "0x1p"),
}
WRONG["long"], WRONG["float"] = WRONG["integer"], WRONG["double"]
ODD_TEXT = (
    "", " ", "\x00", "\ufffe", "a" * 300, "ä" * 5000, "../../etc/passwd", "<a>&\"'", "]]>", "*", "?" * 200, "\\",
    "%s%n{}", "i-00000000", "vol-00000000", "snap-ffffffff", "emi-12345678", "sg-00000000", "I-ABCDEF01", "i-xyz",
    "verbose", "default", "one", "Zone", "=", "\r\nX: y", "\u202e\u0000", "=?utf-8?q?x?=", "AAAA", "-1", "tcp", "::/0",
    "0.0.0.0/0", "10.0.0.0/33", "300.1.1.1/8", "ssh-rsa AAAA", "/dev/sda1", "/dev/sdf", "standard", "x86_64", "io2",
    "userData", "kernel", "blockDeviceMapping", "'; DROP TABLE instance; --", "\U0001f4a9" * 60, "[", "(?P<",
)  # fmt: skip
ODD_NUMBERS = ("0", "-1", "1", "2147483647", "-2147483648", "999999999999999999", "-999999999999999999", "65536", "7")
STRANGE_NAMES = (
    "Nonsense", "", ".", "..", "Filter", "Filter.", "Filter..1", "Filter.0x1.Name", "Filter.-1.Name", "__class__",
    "InstanceId.1.1", "Tag.1", "Tag.x.Key", "Filter.999999.Name", ".".join(["Filter", "1"] * 300), "action", "ACTION",
    "DryRun.1", "Placement.AvailabilityZone.x", "\x00", "\ud800".encode("utf-8", "surrogatepass").decode("latin-1"),
    "Filter.١.Name", "A" * 5000,
)  # fmt: skip
V2_METHODS = ("HmacSHA256", "HmacSHA1", "", "md5", "__class__")
V2_TIMES = (
    "9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z", "2026-11-22T12:00:00Z", "2026-13-01T00:00:00Z", "x", "",
    "2026-11-22T12:00:00+99:99", "٢026-11-22T12:00:00Z", "2026-11-22T12:00:00.999999999999Z",
)  # fmt: skip
METHODS = ("PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "PROPFIND", "TRACE")


@dataclass
class Malformed:
    """One request, ready for the wire.

    Parameters
    ----------
    broken : it has to be refused, whatever it says.
    http : it is not HTTP as it should be: the connection may end without an answer.
    """

    data: bytes
    why: list[str] = field(default_factory=list)
    broken: bool = False
    http: bool = False
    method: str = "POST"


class Maker:
    """Makes malformed requests for one profile.

    Parameters
    ----------
    keys : account to access key and secret.
    ids : ids of things that exist, so that refusals come from deep inside too.
    """

    def __init__(self, model: CompiledModel, keys: dict[str, tuple[str, str]], ids: list[str], seed: str) -> None:
        self._model = model
        self._keys = keys
        self._ids = ids
        self._seed = seed
        self._actions = sorted(model.operations)
        self._leaves = {name: list(_leaves(operation.parameters, ())) for name, operation in model.operations.items()}

    def make(self, number: int) -> Malformed:
        """Return the request of this number: the same one every time."""
        return _One(self, random.Random(f"{self._seed}/{number}")).request()


class _One:
    def __init__(self, maker: Any, dice: random.Random) -> None:
        self.maker = maker
        self.dice = dice
        self.why: list[str] = []
        self.broken = False
        self.http = False
        self.fields: list[tuple[str, str]] = []

    def request(self) -> Malformed:
        dice = self.dice
        action = dice.choice(self.maker._actions)
        self.why.append(action)
        self.parameters(action)
        looks = action.startswith(("Describe", "Get"))
        if dice.random() < (0.6 if looks else 0.85):
            dice.choice([self.wrong_type, self.unknown, self.unknown, self.no_action])(action)
        body = self.encoded()
        if dice.random() < 0.06:
            body = self.bad_body(body)
        path, account = dice.choice(COMPUTE), "educloud"
        if dice.random() < 0.12:
            path = dice.choice(OTHER_PATHS)
            self.mark(f"path {path[:40]}")
            if path == "/services/Faults" and dice.random() < 0.7:
                account, body = "eucalyptus", self.fault_call()
        method = "GET" if dice.random() < 0.25 and len(body) < 7000 else "POST"
        if dice.random() < 0.04:
            method = dice.choice(METHODS)
            self.mark(f"method {method}")
        return self.signed(method, path, body, account)

    def mark(self, why: str, *, broken: bool = True) -> None:
        self.why.append(why)
        self.broken |= broken

    # What is asked for.

    def parameters(self, action: str) -> None:
        """Take some of the operation's own parameters, with values that may be right or odd."""
        leaves = self.maker._leaves[action]
        wanted = [leaf for leaf in leaves if len(leaf[0]) == 1 or self.dice.random() < 0.3]
        for path, kind in self.dice.sample(wanted, min(len(wanted), self.dice.randint(0, 5))):
            index = self.dice.choice(("1", "1", "2", "7", "99999", "0", "00001"))
            self.fields.append((".".join(index if part == "#" else part for part in path), self.value(kind)))

    def value(self, kind: str) -> str:
        dice = self.dice
        if kind in ("integer", "long", "double", "float"):
            return dice.choice(ODD_NUMBERS)
        if kind == "boolean":
            return dice.choice(("true", "false", "True", "1"))
        if kind == "timestamp":
            return dice.choice(("2026-11-22T12:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"))
        if dice.random() < 0.35:
            return dice.choice(self.maker._ids)
        return dice.choice(ODD_TEXT) if dice.random() < 0.97 else "x" * dice.randint(20_000, 120_000)

    def wrong_type(self, action: str) -> None:
        typed = [leaf for leaf in self.maker._leaves[action] if leaf[1] in WRONG]
        if not typed:
            self.unknown(action)
            return
        path, kind = self.dice.choice(typed)
        name = ".".join("1" if part == "#" else part for part in path)
        text = self.dice.choice(WRONG[kind])
        self.fields = [(n, v) for n, v in self.fields if n != name] + [(name, text)]
        self.mark(f"{name}={text!r} is no {kind}")

    def unknown(self, _action: str) -> None:
        name = self.dice.choice(STRANGE_NAMES)
        self.fields.insert(self.dice.randint(0, len(self.fields)), (name, self.dice.choice(ODD_TEXT)))
        # A name without a value, or nothing at all, may be passed over.
        self.mark(f"parameter {name[:40]!r}", broken=bool(name.strip()))

    def no_action(self, _action: str) -> None:
        wrong = self.dice.choice(("", "Nonsense", "describeInstances", "__init__", "\x00", "A" * 3000, "Describe*"))
        self.fields.append(("Action", wrong))
        self.mark(f"Action={wrong[:30]!r}")

    def fault_call(self) -> bytes:
        """Return an administrator's call that must not set or end anything."""
        bad = self.dice.choice(
            [
                {"Action": "CreateFault"},
                {"Action": "CreateFault", "Kind": self.dice.choice(ODD_TEXT)},
                {"Action": "CreateFault", "Kind": "capacity", "Count": self.dice.choice(("0", "-1", "x", "9" * 40))},
                {
                    "Action": "CreateFault",
                    "Kind": "capacity",
                    "ForSeconds": self.dice.choice(("0", "-1", "1e9", "inf")),
                },
                {"Action": "CreateFault", "Kind": "quota", "Parameter.1.Name": self.dice.choice(ODD_TEXT)},
                {"Action": "CreateFault", "Kind": "slow-answers", "Parameter.0.Name": "delay_s"},
                {"Action": "CreateFault", "Kind": "capacity", "Account": "nobody" + self.dice.choice(ODD_TEXT)},
                {"Action": "CreateFault", "Kind": "capacity", "Resource": "tag:" + "x" * 500},
                {"Action": "DeleteFaults"},
                {"Action": "DeleteFaults", "FaultId.1.2": "x"},
                {"Action": "DescribeFaults", "All": "true"},
                {"Action": "DescribeFaultKinds", self.dice.choice(STRANGE_NAMES) or "x": "1"},
            ]
        )
        self.fields = list(bad.items())
        self.mark("fault call")
        return self.encoded(add_action=False)

    # How it is written.

    def encoded(self, *, add_action: bool = True) -> bytes:
        dice = self.dice
        fields = list(self.fields)
        if add_action and not any(name == "Action" for name, _ in fields):
            fields.insert(0, ("Action", self.why[0]))
        if dice.random() < 0.7:
            fields.append(("Version", dice.choice(("2016-11-15", "2009-01-01", "x" * 100, '<v>&"', ""))))
        if fields and not self.broken and dice.random() < 0.15:  # twice, with another value
            name, _ = dice.choice(fields)
            if name != "Action":
                fields.append((name, dice.choice(ODD_TEXT)))
        return "&".join(f"{_quoted(name)}={_quoted(value)}" for name, value in fields).encode("ascii")

    def bad_body(self, body: bytes) -> bytes:
        tricks = {
            "not text": body + b"&Filter.1.Name=%ff%fe\xff\xfe",
            "half a percent": body + b"&Tag.1.Key=%&Tag.2.Key=%z",
            "many fields": body + b"&x=1" * 2500,
            "another coding": body.decode("ascii").encode("utf-16"),
            "json": b'{"Action": "DescribeInstances"}',
            "nothing": b"",
            "far too long": body + b"&x=" + b"y" * 600_000,
            "semicolons": body.replace(b"&", b";") + b";Nonsense=1",
        }
        name = self.dice.choice(sorted(tricks))
        self.mark(name, broken=name not in ("half a percent", "not text"))
        return tricks[name]

    # Who sends it.

    def signed(self, method: str, path: str, body: bytes, account: str) -> Malformed:
        dice = self.dice
        url = f"http://{HOST}{path}"
        if method == "GET":
            url, data = f"{url}?{body.decode('latin-1')}", b""
            self.http |= any(byte <= 32 or byte > 126 for byte in body)
        else:
            data = body
        access_key, secret = self.maker._keys[account]
        kind = dice.random()
        headers = {"Host": HOST, "Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
        if kind < 0.08:
            self.mark("not signed")
            return self.wire(method, url, data, headers)
        if kind < 0.12:
            secret = "wrong"
            self.mark("wrong secret")
        elif kind < 0.15:
            access_key = dice.choice(("AKIA0000000000000000", "", "<>&", "A" * 300))
            self.mark("unknown key")
        elif kind < 0.19:
            old = {
                "AWSAccessKeyId": access_key, "SignatureVersion": "2", "SignatureMethod": dice.choice(V2_METHODS),
                dice.choice(("Timestamp", "Expires")): dice.choice(V2_TIMES), "Signature": dice.choice(ODD_TEXT),
            }  # fmt: skip
            more = "&".join(f"{name}={_quoted(value)}" for name, value in old.items())
            self.mark("version 2, badly signed")
            if method == "GET":
                return self.wire(method, f"{url}&{more}", data, headers)
            return self.wire(method, url, data + b"&" + more.encode(), headers)
        request = AWSRequest(method, url.encode("ascii", "ignore").decode(), data=data, headers=headers)
        auth = SigV4QueryAuth if method == "GET" and dice.random() < 0.3 else SigV4Auth
        auth(Credentials(access_key, secret), "ec2", "eucalyptus").add_auth(request)
        signed = {name: str(value) for name, value in request.headers.items()}
        if dice.random() < 0.12:
            self.bad_signature(signed)
        return self.wire(method, request.url, data, signed)

    def bad_signature(self, headers: dict[str, str]) -> None:
        dice = self.dice
        long_ago, later = (datetime.now(UTC) + timedelta(days=days) for days in (-2, 2))
        name = "Authorization"
        if name not in headers:
            headers["X-Amz-Content-Sha256"] = "x"  # signed in the query: an additional header is no harm
            return
        was = headers[name]
        headers[name] = dice.choice(
            [
                "", "AWS4-HMAC-SHA256", "Basic eDp5", was[: len(was) // 2], was.replace("Signature=", "Signature=0"),
                was.replace("host;", ""), was.replace("aws4_request", "aws4"),
                was.replace("Credential=", "Credential=/"),
                "AWS4-HMAC-SHA256 " + "Credential=a/b/c/d/aws4_request, " * 50, was + ", Signature=" + "0" * 64,
                "AWS AKIA:abc", was.replace("SHA256", "SHA1"),
            ]
        )  # fmt: skip
        if headers[name] == was or dice.random() < 0.4:
            headers[name] = was
            headers["X-Amz-Date"] = dice.choice(
                [
                    long_ago.strftime("%Y%m%dT%H%M%SZ"), later.strftime("%Y%m%dT%H%M%SZ"), "x", "", "2026-11-22",
                    "99991231T235959Z", "00010101T000000Z", "20261122T000000", "20261301T000000Z", "2" * 4000,
                ]
            )  # fmt: skip
        self.mark("bad signature")

    def wire(self, method: str, url: str, data: bytes, headers: dict[str, str]) -> Malformed:
        target = url.split(HOST, 1)[1].encode("latin-1", "replace").replace(b" ", b"%20") or b"/"
        lines = [f"{name}: {value}".encode("latin-1", "replace") for name, value in headers.items()]
        lines.append(b"Content-Length: %d" % len(data))
        lines.append(b"Connection: close")
        if self.dice.random() < 0.05:
            self.header_trick(lines, len(data))
        head = method.encode() + b" " + target + b" HTTP/1.1\r\n" + b"\r\n".join(lines) + b"\r\n\r\n"
        self.http |= len(target) > 8000  # longer than any first line that is read
        broken = self.broken and b"/services/ping" not in target  # which answers anybody
        return Malformed(head + data, self.why, broken, self.http, method)

    def header_trick(self, lines: list[bytes], length: int) -> None:
        tricks = {
            "long header": [b"X-Long: " + b"a" * 9000],
            "many headers": [b"X-%d: 1" % number for number in range(300)],
            "second length": [b"Content-Length: %d" % (length + 7)],
            "odd length": [b"Content-Length: -1"],
            "chunked too": [b"Transfer-Encoding: chunked"],
            "odd coding": [b"Transfer-Encoding: nonsense"],
            "gzip": [b"Content-Encoding: gzip"],
            "deflate": [b"Content-Encoding: deflate"],
            "second host": [b"Host: evil.example"],
            "expect": [b"Expect: nonsense"],
            "control": [b"X-Control: a\x00b\x07"],
            "no colon": [b"Nonsense"],
            "folded": [b"X-Fold: a", b" b"],
            "upgrade": [b"Upgrade: h2c", b"HTTP2-Settings: AAAA"],
            "second authorization": [b"Authorization: AWS4-HMAC-SHA256 x"],
            "range": [b"Range: bytes=5-2"],
            "type": [b"Content-Type: multipart/form-data"],
        }
        name = self.dice.choice(sorted(tricks))
        lines[self.dice.randint(0, len(lines)) : 0] = tricks[name]
        self.http = True
        self.why.append(f"header: {name}")


def _leaves(node: InputNode, path: tuple[str, ...]) -> Any:
    """Go through the scalar parameters below a node; ``#`` stands for a list's index."""
    if len(path) > 9:
        return
    if node.kind == "list" and node.item is not None:
        yield from _leaves(node.item, (*path, "#"))
    elif node.kind == "structure":
        for name, (_, child) in node.children.items():
            yield from _leaves(child, (*path, name))
    else:
        yield path, node.kind


def _quoted(text: str) -> str:
    try:
        return quote(text, safe="-_.~")
    except UnicodeEncodeError:
        return quote_from_bytes(text.encode("utf-8", "surrogatepass"), safe="-_.~")
