"""Drives the cloud with apache-libcloud's Eucalyptus driver (which signs in version 2); see test_clients.py."""

import os
import time
from urllib.parse import urlsplit

from libcloud.compute.base import NodeSize
from libcloud.compute.drivers.ec2 import EC2NodeLocation, ExEC2AvailabilityZone
from libcloud.compute.providers import get_driver
from libcloud.compute.types import NodeState, Provider, StorageVolumeState

where = urlsplit(os.environ["ENDPOINT"])
cloud = get_driver(Provider.EUCALYPTUS)(
    os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"], secure=False, host=where.hostname,
    port=where.port, path=where.path,
)  # fmt: skip


def ok(step):
    print("ok", step, flush=True)


def until(what):
    end = time.monotonic() + 60
    while not (found := what()):
        if time.monotonic() > end:
            raise SystemExit("it never came about")
        time.sleep(0.1)
    return found


def node_of(node_id):
    return next(node for node in cloud.list_nodes() if node.id == node_id)


def volume_of(volume_id):
    return next(volume for volume in cloud.list_volumes() if volume.id == volume_id)


key = cloud.create_key_pair("libcloud")
assert "PRIVATE KEY" in key.private_key
assert "libcloud" in [pair.name for pair in cloud.list_key_pairs()]
ok("key pair")
group = cloud.ex_create_security_group("libcloud", "by libcloud")
assert cloud.ex_authorize_security_group("libcloud", 22, 22, "0.0.0.0/0")
ok("group")

image = next(image for image in cloud.list_images() if image.id == os.environ["IMAGE"])
kind = os.environ["TYPE"]  # the driver reads instance types in the namespace of Eucalyptus 3.3 only
size = NodeSize(id=kind, name=kind, ram=256, disk=5, bandwidth=None, price=None, driver=cloud)
# The driver believes to be in us-east-1 and compares with that; nothing of it is sent.
zone = ExEC2AvailabilityZone(name=os.environ["ZONE"], zone_state="available", region_name=cloud.region_name)
place = EC2NodeLocation("0", zone.name, "", cloud, zone)
node = cloud.create_node(
    name="libcloud's", image=image, size=size, ex_keyname="libcloud", ex_security_groups=["libcloud"], location=place
)
ok("run")
until(lambda: node_of(node.id).state == NodeState.RUNNING)
ok("wait")
assert cloud.ex_create_tags(node, {"course": "101"})
assert cloud.ex_describe_tags(node)["course"] == "101"
ok("tag")
assert "booted" in cloud.ex_get_console_output(node)["output"]
ok("console")
volume = cloud.create_volume(1, "libcloud's", location=place)
until(lambda: volume_of(volume.id).state == StorageVolumeState.AVAILABLE)
ok("volume")
assert cloud.attach_volume(node, volume, "/dev/sdf")
until(lambda: volume_of(volume.id).state == StorageVolumeState.INUSE)
ok("attach")
snapshot = cloud.create_volume_snapshot(volume, name="libcloud's")
until(lambda: next(s for s in cloud.list_snapshots() if s.id == snapshot.id).extra["state"] == "completed")
ok("snapshot")
second = cloud.create_volume(1, "again", location=place, snapshot=snapshot)
until(lambda: volume_of(second.id).state == StorageVolumeState.AVAILABLE)
ok("volume from snapshot")
assert cloud.detach_volume(volume)
until(lambda: volume_of(volume.id).state == StorageVolumeState.AVAILABLE)
ok("detach")
assert cloud.stop_node(node)
until(lambda: node_of(node.id).extra["status"] == "stopped")  # its NodeState does not know the word
ok("stop")
assert cloud.start_node(node)
until(lambda: node_of(node.id).state == NodeState.RUNNING)
ok("start")
assert cloud.destroy_node(node)
until(lambda: node_of(node.id).state == NodeState.TERMINATED)
ok("terminate")
assert cloud.destroy_volume(volume)
assert cloud.destroy_volume(second)
assert cloud.destroy_volume_snapshot(snapshot)
assert cloud.ex_delete_security_group("libcloud")
assert cloud.delete_key_pair(key)
ok("clean up")
