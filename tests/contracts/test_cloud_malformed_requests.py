"""Malformed requests: refused in Eucalyptus's form, with nothing changed, no internals told, and in bounded time.

`EDUCLOUD_FUZZ_REQUESTS` says how many (default 1 000 over all profiles; `scripts/fuzz-requests` sends 10 000),
`EDUCLOUD_FUZZ_SEED` repeats a run, `EDUCLOUD_FUZZ_ONLY` one request of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import sqlite3
from xml.etree import ElementTree

import pytest
from aiohttp import web

from educloud_lab.localcloud.api.runner import runner_of
from educloud_lab.localcloud.model.profile import PROFILES
from educloud_lab.localcloud.service import LocalCloud
from educloud_lab.localcloud.settings import Folders, Settings
from tests.contracts.faulty_cloud import write_image
from tests.contracts.malformed_requests import Maker

REQUESTS = int(os.environ.get("EDUCLOUD_FUZZ_REQUESTS", "1000"))
SEED = os.environ.get("EDUCLOUD_FUZZ_SEED") or secrets.token_hex(4)
ONLY = os.environ.get("EDUCLOUD_FUZZ_ONLY")
LIMIT_S = 60.0  # a hang, not a measure
REFUSALS = {
    # What Eucalyptus itself answers with 5xx (and AWS instead), by the beginning of its message.
    (503, "ServiceUnavailable"): ("Not enough resources", "Insufficient addresses", "Quota exceeded"),
    (500, "InsufficientInstanceCapacity"): ("Not enough resources", "Insufficient addresses"),
    (500, "InternalFailure"): ("Instance i-",),
    (500, "InternalError"): ("Instance i-",),
}


class Server:
    """One cloud of a profile behind a unix socket; nothing but requests changes its state."""

    def __init__(self, home, profile):
        write_image(home, "tiny")
        write_image(home, "tiny-store", "instance-store")
        self.socket = str(home / "api.sock")
        self.service = LocalCloud(Settings(Folders(home), hypervisor="simulated", profile=profile))

    async def open(self):
        await self.service.open(supervise=False)
        self.runner = runner_of(self.service.api.application(), shutdown_timeout=0.1)
        await self.runner.setup()
        await web.UnixSite(self.runner, self.socket).start()
        # Sees by its version whether others committed a change.
        self.watch = sqlite3.connect(f"file:{self.service.cloud.database.path}?mode=ro", uri=True)

    async def close(self):
        self.watch.close()
        await self.runner.cleanup()
        await self.service.close()

    async def furnish(self):
        """Make a running machine with a volume, a key pair and a group, and return their ids."""
        from educloud_lab.localcloud.cloud import Caller
        from educloud_lab.localcloud.operations.perform import perform

        caller = Caller(self.service.accounts.named("educloud")[0], "r", "http://x")

        async def call(action, **query):
            names = {name.replace("__", "."): value for name, value in query.items()}
            return (await perform(self.service.cloud, caller, action, names))[1]

        images = (await call("DescribeImages"))["Images"]
        image = next(image["ImageId"] for image in images if image["Name"] == "tiny")
        machine = (await call("RunInstances", ImageId=image, MinCount="1"))["Instances"][0]["InstanceId"]
        volume = (await call("CreateVolume", AvailabilityZone="one", Size="1"))["VolumeId"]
        await call("CreateKeyPair", KeyName="mine")
        group = (await call("CreateSecurityGroup", GroupName="web", GroupDescription="x"))["GroupId"]
        await self.service.supervisor.settle()
        await call("AttachVolume", VolumeId=volume, InstanceId=machine, Device="/dev/sdf")
        await self.service.supervisor.settle()
        others = [image["ImageId"] for image in images]
        return [machine, volume, group, "mine", "web", "one", "t2.micro", "/dev/sdf", "eucalyptus", *others]

    def version(self):
        return self.watch.execute("PRAGMA data_version").fetchone()[0]

    def dump(self):
        names = [row[0] for row in self.watch.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: self.watch.execute(f'SELECT * FROM "{name}"').fetchall() for name in names if name != "event"}

    async def send(self, request):
        """Send one request; return what comes back until the connection ends."""
        reader, writer = await asyncio.open_unix_connection(self.socket, limit=1 << 24)
        try:
            # What is not HTTP may make the cloud wait for a rest that never comes: then we go.
            async with asyncio.timeout(1.0 if request.http else LIMIT_S):
                with contextlib.suppress(ConnectionError):  # it may have answered and closed before all was sent
                    writer.write(request.data)
                    await writer.drain()
                with contextlib.suppress(ConnectionError):
                    return await reader.read()
                return b""
        except TimeoutError:
            if not request.http:
                raise
            return b""
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


class Failures(logging.Handler):
    """Keeps what is logged with a traceback, or as an error."""

    def __init__(self):
        super().__init__()
        self.records = []

    def emit(self, record):
        if not record.name.startswith(("educloud.cloud", "aiohttp")):
            return  # what other tests left behind
        if record.exc_info or record.levelno >= logging.ERROR:
            self.records.append(self.format(record))


@pytest.fixture
def failures():
    handler = Failures()
    handler.setFormatter(logging.Formatter("%(name)s %(message)s"))
    logging.getLogger().addHandler(handler)
    yield handler.records
    logging.getLogger().removeHandler(handler)


def parsed(reply):
    """Return status, headers and body of an answer."""
    head, _, body = reply.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return int(first.split()[1]), headers, body


def complaint(request, reply, changed):
    """Return what is wrong with an answer, None when nothing is."""
    if not reply:
        return None if request.http else "the connection ended without an answer"
    status, headers, body = parsed(reply)
    if request.broken and status < 400:
        return f"it was accepted with {status}"
    if status >= 400 and changed:
        return f"it was refused with {status}, and something changed"
    if request.method == "HEAD":
        return None if status < 500 else f"status {status}"
    if request.http and status == 400 and headers.get("content-type", "").startswith("text/plain"):
        return None  # not HTTP: the server's own word
    if request.http and status == 417:
        return None  # likewise: an expectation that nobody knows
    if headers.get("content-type", "").startswith("application/json") or "# HELP" in body.decode("latin-1"):
        return None if status == 200 else "a refusal that is not XML"
    try:
        root = ElementTree.fromstring(body)
    except ElementTree.ParseError as error:
        return f"XML that cannot be read: {error}: {body[:300]!r}"
    if status < 400:
        return None if root.find("{*}requestId") is not None or root.find(".//{*}RequestId") is not None else "no id"
    code, message = root.findtext("Errors/Error/Code"), root.findtext("Errors/Error/Message")
    if root.tag != "Response" or not code or message is None or root.find("RequestID") is None:
        return f"a refusal in another form: {body[:300]!r}"
    if status >= 500 and not message.startswith(REFUSALS.get((status, code), ("\0",))):
        return f"{status} {code}: {message}"
    if "Traceback" in message or "educloud_lab" in message or "sqlalchemy" in message.lower():
        return f"internals are told: {message[:300]}"
    return None


@pytest.mark.parametrize("profile", PROFILES)
async def test_malformed_requests_are_refused_and_change_nothing(tmp_path, failures, profile, capsys):
    server = Server(tmp_path, profile)
    await server.open()
    try:
        ids = await server.furnish()
        accounts = server.service.accounts
        keys = {
            name: (accounts.named(name)[0].access_key, accounts.named(name)[1]) for name in ("educloud", "eucalyptus")
        }
        maker = Maker(server.service.cloud.model, keys, ids, f"{SEED}/{profile}")
        number_of = -(-REQUESTS // len(PROFILES))
        with capsys.disabled():
            print(f"\n{number_of} malformed requests to {profile}, EDUCLOUD_FUZZ_SEED={SEED}", end=" ", flush=True)
        accepted = 0
        version, before = server.version(), server.dump()
        for number in range(number_of) if ONLY is None else [int(ONLY)]:
            request = maker.make(number)
            reply = await server.send(request)
            now = server.version()
            after = server.dump() if now != version else before
            wrong = complaint(request, reply, after != before)
            if wrong or failures:
                told = "\n".join(failures)
                pytest.fail(
                    f"Request {number} of seed {SEED} ({', '.join(request.why)}): {wrong}\n{told}\n"
                    f"{request.data[:3000]!r}\nRepeat: EDUCLOUD_FUZZ_SEED={SEED} EDUCLOUD_FUZZ_ONLY={number}"
                )
            accepted += reply.startswith(b"HTTP/1.1 200")
            version, before = now, after
        if ONLY is None:
            assert accepted < number_of / 2  # odd ones may come through, most do not
            assert accepted or number_of < 3000
    finally:
        await server.close()


def test_every_operation_there_is_will_be_sent(tmp_path):
    for profile in PROFILES:
        model = LocalCloud(Settings(Folders(tmp_path / profile), hypervisor="simulated", profile=profile)).cloud.model
        maker = Maker(model, {"educloud": ("a", "b"), "eucalyptus": ("c", "d")}, ["i-1"], "all")
        sent = {maker.make(number).why[0] for number in range(3000)}
        assert sent == set(model.operations)
