"""The metadata tree as EC2 shows it, and who is shown which, over real unix sockets."""

import asyncio
import contextlib
from dataclasses import replace

import aiohttp
import pytest

from educloud_lab.localcloud.metadata.service import MetadataService
from educloud_lab.localcloud.metadata.tree import lookup
from educloud_lab.localcloud.metadata.view import MetadataView

VIEW = MetadataView(
    instance_id="i-1",
    image_id="emi-1",
    instance_type="m1.small",
    address="172.16.77.5",
    hostname="ip-172-16-77-5.educloud.internal",
    availability_zone="one",
    mac="d0:0d:01:02:03:04",
    reservation_id="r-1",
    security_groups=("default", "web"),
    public_keys=(("my key", "ssh-ed25519 AAAA me"), ("other", "ssh-ed25519 BBBB\n")),
    block_devices={"ami": "/dev/vda", "root": "/dev/vda", "ebs1": "/dev/vdf"},
    user_data=b"#!/bin/sh\n\xff\x00",
)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("latest", b"meta-data/\nuser-data"),
        ("latest/meta-data/instance-id", b"i-1"),
        ("/latest/meta-data/instance-id/", b"i-1"),
        ("2009-04-04/meta-data/instance-type", b"m1.small"),
        ("latest/meta-data/ami-id", b"emi-1"),
        ("latest/meta-data/local-ipv4", b"172.16.77.5"),
        ("latest/meta-data/hostname", b"ip-172-16-77-5.educloud.internal"),
        ("latest/meta-data/placement", b"availability-zone"),
        ("latest/meta-data/placement/availability-zone", b"one"),
        ("latest/meta-data/security-groups", b"default\nweb"),
        ("latest/meta-data/reservation-id", b"r-1"),
        ("latest/meta-data/mac", b"d0:0d:01:02:03:04"),
        ("latest/meta-data/network/interfaces/macs", b"d0:0d:01:02:03:04/"),
        ("latest/meta-data/block-device-mapping/", b"ami\nroot\nebs1"),
        ("latest/meta-data/block-device-mapping/ebs1", b"/dev/vdf"),
        ("latest/meta-data/public-keys/", b"0=my key\n1=other"),
        ("latest/meta-data/public-keys/0", b"openssh-key"),
        ("latest/meta-data/public-keys/0/openssh-key", b"ssh-ed25519 AAAA me\n"),
        ("latest/meta-data/public-keys/1/openssh-key", b"ssh-ed25519 BBBB\n"),
        ("latest/user-data", b"#!/bin/sh\n\xff\x00"),
    ],
)
def test_what_is_there(path, body):
    assert lookup(VIEW, path) == body


@pytest.mark.parametrize(
    "path",
    [
        "earliest/meta-data/",
        "latest/meta-data/nothing",
        "latest/meta-data/instance-id/deeper",
        "latest/meta-data/public-keys/2",
        "latest/api/token",
        "latest/meta-data/kernel-id",
        "latest/../etc",
    ],
)
def test_what_is_not(path):
    assert lookup(VIEW, path) is None


def test_the_versions_are_listed_at_the_root():
    assert b"latest" in lookup(VIEW, "/").split(b"\n")


def test_folders_are_listed_with_a_slash():
    listed = lookup(VIEW, "latest/meta-data/").decode().split("\n")
    assert {"ami-id", "placement/", "public-keys/", "block-device-mapping/"} <= set(listed)


def test_every_listed_name_is_there():
    def walk(path):
        body = lookup(VIEW, path)
        assert body is not None, path
        if path.endswith("/"):
            for line in body.decode().split("\n"):
                name = line.split("=")[0] + "/" if "=" in line else line
                walk(path + name)

    walk("latest/meta-data/")


def test_without_keys_and_user_data_there_is_neither():
    bare = replace(VIEW, public_keys=(), user_data=None)
    assert lookup(bare, "latest/user-data") is None
    assert lookup(bare, "latest/meta-data/public-keys/") is None
    assert lookup(bare, "latest") == b"meta-data/"


def test_empty_user_data_is_not_no_user_data():
    assert lookup(replace(VIEW, user_data=b""), "latest/user-data") == b""


class Cloud:
    """State that the service reads at each request."""

    def __init__(self) -> None:
        self.views = {"i-1": VIEW, "i-2": replace(VIEW, instance_id="i-2", user_data=None)}

    async def view(self, instance_id):
        return self.views.get(instance_id)


async def get(socket, path, method="GET", headers=None):
    async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(socket))) as session:
        async with session.request(method, f"http://169.254.169.254{path}", headers=headers) as reply:
            return reply.status, await reply.read()


@pytest.fixture
async def cloud(tmp_path):
    made = Cloud()
    made.service = MetadataService(made.view)
    for instance_id in made.views:
        await made.service.serve(instance_id, tmp_path / f"{instance_id}.sock")
    yield made
    await made.service.close()


async def test_each_socket_shows_its_own_instance(cloud, tmp_path):
    for instance_id in ("i-1", "i-2"):
        socket = tmp_path / f"{instance_id}.sock"
        assert await get(socket, "/latest/meta-data/instance-id") == (200, instance_id.encode())


async def test_no_header_makes_it_another(cloud, tmp_path):
    headers = {"Host": "i-2", "X-Forwarded-For": "172.16.77.6"}
    assert (await get(tmp_path / "i-1.sock", "/latest/meta-data/instance-id", headers=headers))[1] == b"i-1"


async def test_what_is_missing_is_404_and_nothing_can_be_put(cloud, tmp_path):
    assert (await get(tmp_path / "i-2.sock", "/latest/user-data"))[0] == 404
    assert (await get(tmp_path / "i-1.sock", "/latest/api/token", "PUT"))[0] == 405


async def test_one_machine_cannot_take_all_connections(cloud, tmp_path):
    held = [await asyncio.open_unix_connection(tmp_path / "i-1.sock") for _ in range(17)]
    async with asyncio.timeout(20):
        with contextlib.suppress(ConnectionResetError):
            assert await held[-1][0].read() == b""  # one too many is closed at once
    assert (await get(tmp_path / "i-2.sock", "/latest/meta-data/instance-id"))[1] == b"i-2"
    for _, writer in held:
        writer.close()
    async with asyncio.timeout(20):
        while True:  # and when it let go of some, it is served again
            with contextlib.suppress(aiohttp.ClientError):
                assert (await get(tmp_path / "i-1.sock", "/latest/meta-data/instance-id"))[1] == b"i-1"
                break


async def test_the_state_is_read_at_each_request(cloud, tmp_path):
    cloud.views["i-2"] = replace(cloud.views["i-2"], user_data=b"now")
    assert await get(tmp_path / "i-2.sock", "/latest/user-data") == (200, b"now")
    del cloud.views["i-2"]
    assert (await get(tmp_path / "i-2.sock", "/latest/meta-data/"))[0] == 404


async def test_only_the_owner_may_connect(cloud, tmp_path):
    assert (tmp_path / "i-1.sock").stat().st_mode & 0o777 == 0o600


async def test_serving_is_repeatable_and_takes_over_a_stale_socket(cloud, tmp_path):
    socket = tmp_path / "i-1.sock"
    await cloud.service.serve("i-1", socket)
    other = MetadataService(cloud.view)
    await other.serve("i-1", socket)  # a new process over the socket of the old
    assert (await get(socket, "/latest/meta-data/instance-id"))[0] == 200
    await other.close()


async def test_withdrawn_is_gone(cloud, tmp_path):
    await cloud.service.withdraw("i-1")
    await cloud.service.withdraw("i-1")
    assert not (tmp_path / "i-1.sock").exists()
    assert (await get(tmp_path / "i-2.sock", "/latest/meta-data/instance-id"))[0] == 200


async def test_a_socket_that_cannot_be_made_is_not_claimed(cloud, tmp_path):
    with pytest.raises(OSError):
        await cloud.service.serve("i-3", tmp_path / "none" / "i-3.sock")
    await cloud.service.serve("i-3", tmp_path / "i-3.sock")
    assert (await get(tmp_path / "i-3.sock", "/latest/meta-data/"))[0] == 404
