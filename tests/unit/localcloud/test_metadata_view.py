"""What the cloud tells a machine about itself, and what it must not."""

from __future__ import annotations

import base64

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat


async def view(bench, machine):
    return await bench.service._metadata_view(machine)


async def test_a_machine_finds_itself_its_user_data_and_its_key(bench):
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key()
    line = key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    await bench.call("ImportKeyPair", KeyName="k", PublicKeyMaterial=base64.b64encode(line).decode())
    data = b"#!/bin/sh\necho \xc3\xa4\n"
    machine = await bench.run(KeyName="k", UserData=base64.b64encode(data).decode())
    shown = await bench.instance(machine)
    found = await view(bench, machine)
    assert found.instance_id == machine
    assert found.address == shown["PrivateIpAddress"]
    assert found.user_data == data
    assert found.public_keys == [("k", line.decode())]
    assert found.availability_zone == "one"
    assert found.block_devices == {"ami": "sda", "root": "/dev/sda"}


async def test_attached_volumes_are_named(bench):
    machine, volume = await bench.run(), await bench.make_volume()
    await bench.call("AttachVolume", VolumeId=volume, InstanceId=machine, Device="/dev/vdb")
    await bench.settle()
    assert (await view(bench, machine)).block_devices["ebs1"] == "/dev/vdb"


async def test_without_user_data_and_key_there_are_none(bench):
    found = await view(bench, await bench.run("tiny-store"))
    assert (found.user_data, found.public_keys) == (None, [])
    assert found.kernel_id.startswith("aki-")


async def test_an_unknown_machine_has_no_view(bench):
    assert await view(bench, "i-00000000") is None
