"""One contract for every cloud behind the port: the one in memory, and EC2 over HTTP against a real local cloud.

The local cloud listens on the loopback and runs simulated machines, so that every state is passed through as with
real ones, only sooner.
"""

import asyncio
import contextlib
import hashlib
import json
from abc import ABC, abstractmethod
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from aiohttp import web

from educloud_lab.adapters.ec2.cloud import Ec2Cloud
from educloud_lab.adapters.ec2.session import Endpoint, ec2_client
from educloud_lab.adapters.memory.clock import FakeClock
from educloud_lab.adapters.memory.cloud import MemoryCloud
from educloud_lab.broker.command_lines import aws_line
from educloud_lab.broker.command_lines_euca import euca_line
from educloud_lab.broker.diagnosis.redact import LEFT_OUT
from educloud_lab.broker.telling import answer_of, parameters_of
from educloud_lab.broker.ways import way_of
from educloud_lab.domain.errors import (
    CannotGrowError,
    CapacityError,
    CloudAuthError,
    CloudError,
    CloudNotFoundError,
    CloudRefusedError,
    CloudStateError,
    CloudTakesNoTagsError,
    CloudUnreachableError,
)
from educloud_lab.localcloud.clock import VirtualClock
from educloud_lab.localcloud.service import LocalCloud
from educloud_lab.localcloud.settings import Folders, Settings
from educloud_lab.ports.calls import CALLS, CallOutcome
from educloud_lab.ports.cloud import InstanceState, RuleSeen, RunSpec, VolumeState

GIB = 1024**3
NO_INSTANCE = "i-0123456789abcdef0"
NO_VOLUME = "vol-0123456789abcdef0"
DEVICE = "/dev/vdf"


class Side(ABC):
    """One implementation with what a test needs around it."""

    cloud: object
    zone = "one"

    @abstractmethod
    async def open(self): ...

    @abstractmethod
    async def close(self): ...

    @abstractmethod
    async def image_id(self): ...

    @abstractmethod
    async def pause(self):
        """Let a little time pass."""

    @abstractmethod
    def be_full(self):
        """From now on there is no room for a machine."""

    @abstractmethod
    async def vanish(self):
        """From now on the cloud does not answer."""

    @abstractmethod
    async def add_key(self, name):
        """Make a key pair by hand."""

    @abstractmethod
    async def tag_image(self, tags):
        """Set tags of the image by hand."""

    async def until(self, what):
        """Observe until ``what(view)`` is true; return it."""
        for _ in range(300):
            if found := what(await self.cloud.observe()):
                return found
            await self.pause()
        pytest.fail("it never came about")

    async def instance(self, instance_id, state):
        def there(view):
            seen = view.instances.get(instance_id)
            return seen if seen is not None and seen.state is state else None

        return await self.until(there)

    async def volume(self, volume_id, state):
        def there(view):
            seen = view.volumes.get(volume_id)
            return seen if seen is not None and seen.state is state else None

        return await self.until(there)

    async def attachment(self, volume_id, state="attached"):
        def there(view):
            return next((a for a in view.volumes[volume_id].attachments if a.state == state), None)

        return await self.until(there)

    async def spec(self, **changes):
        spec = RunSpec(
            image_id=await self.image_id(),
            instance_type=self.instance_type,
            zone=self.zone,
            user_data="#!/bin/sh\n: 'é'\n",
            tags={"educloud:lease": "ab12", "Name": "Ada's machine"},
        )
        return replace(spec, **changes)

    async def running(self, token="t1", **changes):
        seen = await self.cloud.run_instance(await self.spec(**changes), client_token=token)
        return await self.instance(seen.instance_id, InstanceState.RUNNING)

    async def created(self, tags):
        """Create a volume with tags, in the way that the cloud knows."""
        try:
            return await self.cloud.create_volume(size_gib=2, zone=self.zone, tags=tags)
        except CloudTakesNoTagsError:
            seen = await self.cloud.create_volume(size_gib=2, zone=self.zone, tags=tags, untagged=True)
            assert not seen.tags
            await self.cloud.tag(seen.volume_id, tags)
            return seen

    async def available(self, **tags):
        seen = await self.created(tags)
        return (await self.volume(seen.volume_id, VolumeState.AVAILABLE)).volume_id

    async def attached(self):
        machine, volume_id = await self.running(), await self.available()
        await self.cloud.attach_volume(volume_id, machine.instance_id, DEVICE)
        await self.attachment(volume_id)
        return machine.instance_id, volume_id


class MemorySide(Side):
    instance_type = "t2.micro"

    def __init__(self, _folder, root_device_type):
        self.clock = FakeClock()
        self.cloud = MemoryCloud(self.clock, root_device_type=root_device_type)

    async def open(self):
        pass

    async def close(self):
        pass

    async def image_id(self):
        return (await self.cloud.images())[0].image_id

    async def pause(self):
        await self.clock.advance(0.1)

    def be_full(self):
        self.cloud.faults.errors["run_instance"] = [CapacityError("The cloud has no room.")]

    async def vanish(self):
        self.cloud.faults.out_of_sight = True

    async def add_key(self, name):
        self.cloud.keys.add(name)

    async def tag_image(self, tags):
        self.cloud.image_tags.update(tags)


class Ec2Side(Side):
    profile = "eucalyptus-6"

    def __init__(self, folder, root_device_type):
        for name, kind in (("tiny", "ebs"), ("tiny-store", "instance-store")):
            write_image(folder, name, kind)
        self.image = "tiny" if root_device_type == "ebs" else "tiny-store"
        self.free = 8 << 30
        # Machines take their time by a clock that moves in pause() only: a state lasts until the test has seen it.
        self.clock = VirtualClock()
        settings = Settings(
            Folders(folder), hypervisor="simulated", profile=self.profile, watch_period_s=0.02, simulated_pace=1.0
        )
        self.local = LocalCloud(settings, machine_memory_bytes=lambda: self.free, clock=self.clock)
        self.runner = web.AppRunner(self.local.api.application(), access_log=None, shutdown_timeout=0.5)

    async def open(self):
        await self.local.open()
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", 0).start()
        host, port = self.runner.addresses[0]
        account, secret = self.local.accounts.named("educloud")
        self.endpoint = Endpoint(f"http://{host}:{port}/services/compute", account.access_key, secret)
        self.cloud = Ec2Cloud(self.endpoint)
        self.instance_type = self.local.cloud.default_type

    async def close(self):
        self.cloud.close()
        await self.runner.cleanup()
        await self.local.close()

    async def image_id(self):
        return next(image.image_id for image in await self.cloud.images() if image.name == self.image)

    async def pause(self):
        self.clock.advance(0.5)
        await asyncio.sleep(0.01)

    def be_full(self):
        self.free = 0

    async def vanish(self):
        await self.runner.cleanup()

    async def add_key(self, name):
        await asyncio.to_thread(ec2_client(self.endpoint).create_key_pair, KeyName=name)

    async def tag_image(self, tags):
        await self.cloud.tag(await self.image_id(), tags)


def write_image(home, name, root_device_type):
    """Write what the image builder leaves, as far as simulated machines look at it."""
    folder = home / "images" / name
    folder.mkdir(parents=True)
    files = {"kernel": "vmlinux", "ramdisk": "ramdisk.img", "root": "root.qcow2"}
    for file in files.values():
        (folder / file).write_bytes(file.encode())
    manifest = {
        "schema": 1, "name": name, "version": "2026.11.22-01234567", "title": name, "description": "for tests",
        "architecture": "x86_64", "virtualization_type": "hvm", "root_device_type": root_device_type, "files": files,
        "sha256": {file: hashlib.sha256(file.encode()).hexdigest() for file in files.values()},
        "root_size_bytes": 1 << 30, "min_memory_bytes": 128 << 20, "kernel_args": "console=ttyS0",
        "login_user": "student",
    }  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(manifest))


class Ec2Side44(Ec2Side):
    profile = "eucalyptus-4.4"


class Ec2SideAws(Ec2Side):
    profile = "aws"


EUCALYPTUS = {"eucalyptus-6": Ec2Side, "eucalyptus-4.4": Ec2Side44}
EC2 = {**EUCALYPTUS, "aws": Ec2SideAws}
SIDES = {"memory": MemorySide, **EC2}


@pytest.fixture(params=sorted(SIDES))
async def side(request, tmp_path):
    side = SIDES[request.param](tmp_path, "ebs")
    await side.open()
    yield side
    await side.close()


@pytest.fixture(params=sorted(SIDES))
async def store_side(request, tmp_path):
    """A cloud whose image is an instance-store one."""
    side = SIDES[request.param](tmp_path, "instance-store")
    await side.open()
    yield side
    await side.close()


@pytest.fixture(params=sorted(EC2))
async def ec2_side(request, tmp_path):
    side = EC2[request.param](tmp_path, "ebs")
    await side.open()
    yield side
    await side.close()


@pytest.fixture(params=sorted(EUCALYPTUS))
async def eucalyptus_side(request, tmp_path):
    side = EUCALYPTUS[request.param](tmp_path, "ebs")
    await side.open()
    yield side
    await side.close()


# Looking


async def test_an_empty_cloud_is_seen_as_empty(side):
    view = await side.cloud.observe()
    assert view.instances == {}
    assert view.volumes == {}
    assert view.seen_at.utcoffset().total_seconds() == 0


async def test_images_and_zones(side):
    image = next(image for image in await side.cloud.images() if image.name == "tiny")
    assert (image.state, image.architecture, image.root_device_type) == ("available", "x86_64", "ebs")
    assert image.virtualization_type == "hvm"
    assert await side.cloud.zones() == (side.zone,)


async def test_kernels_and_ramdisks_are_no_images_to_run(store_side):
    assert {image.image_id[:4] for image in await store_side.cloud.images()} <= {"emi-", "ami-"}


# Instances


async def test_a_new_instance_is_pending_without_address(side):
    spec = await side.spec()
    seen = await side.cloud.run_instance(spec, client_token="t1")
    assert (seen.state, seen.address) == (InstanceState.PENDING, None)
    assert (seen.image_id, seen.instance_type, seen.zone) == (spec.image_id, spec.instance_type, spec.zone)
    assert (seen.root_device_type, seen.client_token, dict(seen.tags)) == ("ebs", "t1", dict(spec.tags))
    assert seen.launched_at.utcoffset().total_seconds() == 0


async def test_it_becomes_running_with_an_address(side):
    spec = await side.spec()
    seen = await side.running()
    assert seen.address is not None
    assert seen.address != "0.0.0.0"
    assert (seen.client_token, dict(seen.tags), seen.image_id) == ("t1", dict(spec.tags), spec.image_id)


async def test_the_same_token_is_the_same_instance(side):
    first = await side.cloud.run_instance(await side.spec(), client_token="t1")
    again = await side.cloud.run_instance(await side.spec(), client_token="t1")
    assert again.instance_id == first.instance_id
    other = await side.cloud.run_instance(await side.spec(tags={}), client_token="t2")
    assert other.instance_id != first.instance_id
    assert set((await side.until(lambda v: len(v.instances) == 2 and v)).instances) == {
        first.instance_id, other.instance_id,
    }  # fmt: skip


async def test_the_same_token_gives_even_a_dead_instance(side):
    machine = await side.running()
    await side.cloud.terminate_instance(machine.instance_id)
    await side.instance(machine.instance_id, InstanceState.TERMINATED)
    again = await side.cloud.run_instance(await side.spec(), client_token="t1")
    assert (again.instance_id, again.state) == (machine.instance_id, InstanceState.TERMINATED)


async def test_no_room(side):
    spec = await side.spec()
    side.be_full()
    with pytest.raises(CapacityError) as caught:
        await side.cloud.run_instance(spec, client_token="t1")
    assert isinstance(caught.value, CloudError)
    assert (await side.cloud.observe()).instances == {}


async def test_stop_and_start(side):
    machine_id = (await side.running()).instance_id
    await side.cloud.stop_instance(machine_id)
    await side.cloud.stop_instance(machine_id)  # stopping is success
    stopped = await side.instance(machine_id, InstanceState.STOPPED)
    assert stopped.address is None
    await side.cloud.stop_instance(machine_id)  # stopped is success
    await side.cloud.start_instance(machine_id)
    await side.cloud.start_instance(machine_id)  # the cloud says nothing when it is not stopped
    assert (await side.instance(machine_id, InstanceState.RUNNING)).address is not None


async def test_an_instance_store_machine_cannot_stop(store_side):
    machine = await store_side.running()
    assert machine.root_device_type == "instance-store"
    with pytest.raises(CloudStateError):
        await store_side.cloud.stop_instance(machine.instance_id)
    assert (await store_side.cloud.observe()).instances[machine.instance_id].state is InstanceState.RUNNING


async def test_terminate(side):
    machine_id = (await side.running()).instance_id
    await side.cloud.terminate_instance(machine_id)
    await side.cloud.terminate_instance(machine_id)
    await side.instance(machine_id, InstanceState.TERMINATED)
    await side.cloud.terminate_instance(machine_id)
    await side.cloud.start_instance(machine_id)
    seen = (await side.cloud.observe()).instances[machine_id]
    assert (seen.state, seen.address) == (InstanceState.TERMINATED, None)


async def test_a_dead_instance_cannot_be_stopped(side):
    machine_id = (await side.running()).instance_id
    await side.cloud.terminate_instance(machine_id)
    await side.instance(machine_id, InstanceState.TERMINATED)
    with pytest.raises(CloudStateError):
        await side.cloud.stop_instance(machine_id)
    for _ in range(5):
        await side.pause()
        assert (await side.cloud.observe()).instances[machine_id].state is InstanceState.TERMINATED


async def test_console_output(side):
    pending = await side.cloud.run_instance(await side.spec(), client_token="t1")
    assert await side.cloud.console_output(pending.instance_id) == ""
    await side.instance(pending.instance_id, InstanceState.RUNNING)
    assert "boot" in await side.cloud.console_output(pending.instance_id)


@pytest.mark.parametrize(
    "call",
    ["start_instance", "stop_instance", "terminate_instance", "console_output"],
)
async def test_unknown_instances(side, call):
    with pytest.raises(CloudNotFoundError):
        await getattr(side.cloud, call)(NO_INSTANCE)


# Groups


async def test_a_group_is_found_or_made_and_machines_run_in_it(side):
    await side.cloud.ensure_group("educloud-ab12")
    await side.cloud.ensure_group("educloud-ab12")
    machine = await side.running(group="educloud-ab12")
    assert machine.state is InstanceState.RUNNING


async def test_a_group_that_nobody_made_does_not_exist(side):
    with pytest.raises(CloudNotFoundError):
        await side.cloud.run_instance(await side.spec(group="educloud-ab12"), client_token="t1")
    assert (await side.cloud.observe()).instances == {}


def rules(side, name):
    groups = ec2_client(side.endpoint).describe_security_groups(GroupNames=[name])["SecurityGroups"]
    return [
        (entry["IpProtocol"], entry["FromPort"], entry["ToPort"], [net["CidrIp"] for net in entry["IpRanges"]])
        for entry in groups[0]["IpPermissions"]
    ]


async def test_the_group_lets_ssh_and_ping_in_whoever_was_quicker(ec2_side):
    others = [Ec2Cloud(ec2_side.endpoint) for _ in range(3)]
    await asyncio.gather(*(cloud.ensure_group("educloud-ab12") for cloud in (ec2_side.cloud, *others)))
    assert await asyncio.to_thread(rules, ec2_side, "educloud-ab12") == [
        ("tcp", 22, 22, ["0.0.0.0/0"]), ("icmp", -1, -1, ["0.0.0.0/0"]),
    ]  # fmt: skip
    for cloud in others:
        cloud.close()


async def opened(side, name, *ports):
    return {port for port in ports if await side.cloud.lets_in(name, port)}


async def test_the_ports_of_a_group_are_opened_and_closed_and_nothing_else(side):
    await side.cloud.ensure_group("educloud-ab12-web", (80, 8080))
    await side.cloud.ensure_group("educloud-ab12-tiny")
    web = await side.running(group="educloud-ab12-web", token="web")
    plain = await side.running(group="educloud-ab12-tiny", token="plain")
    assert await opened(side, web.instance_id, 22, 80, 443, 8080) == {22, 80, 8080}
    assert await opened(side, plain.instance_id, 22, 80, 443, 8080) == {22}
    await side.cloud.ensure_group("educloud-ab12-web", (80, 443))
    assert await opened(side, web.instance_id, 22, 80, 443, 8080) == {22, 80, 443}
    await side.cloud.ensure_group("educloud-ab12-web")
    assert await opened(side, web.instance_id, 22, 80, 443, 8080) == {22}


async def test_a_group_that_was_looked_at_costs_no_call(ec2_side, monkeypatch):
    await ec2_side.cloud.ensure_group("educloud-ab12-web", (80,))

    async def refuse(function):
        raise AssertionError

    with monkeypatch.context() as changed:
        changed.setattr(ec2_side.cloud, "_call", refuse)
        await ec2_side.cloud.ensure_group("educloud-ab12-web", (80,))


async def test_ports_of_a_group_are_opened_and_closed_whoever_was_quicker(ec2_side):
    others = [Ec2Cloud(ec2_side.endpoint) for _ in range(3)]
    clouds = (ec2_side.cloud, *others)
    await asyncio.gather(*(cloud.ensure_group("educloud-ab12", (80, 443)) for cloud in clouds))
    assert {rule[1] for rule in await asyncio.to_thread(rules, ec2_side, "educloud-ab12")} == {22, 80, 443, -1}
    # What a person added stays: a range, and what lets others in than the front end.
    await asyncio.to_thread(
        ec2_client(ec2_side.endpoint).authorize_security_group_ingress,
        GroupName="educloud-ab12", IpProtocol="tcp", FromPort=5000, ToPort=5010, CidrIp="0.0.0.0/0",
    )  # fmt: skip
    await asyncio.gather(*(cloud.ensure_group("educloud-ab12", (80,)) for cloud in clouds))
    assert {rule[1] for rule in await asyncio.to_thread(rules, ec2_side, "educloud-ab12")} == {22, 80, -1, 5000}
    for cloud in others:
        cloud.close()


async def test_a_group_with_half_of_its_rules_gets_the_other_half(ec2_side):
    def half():
        ec2 = ec2_client(ec2_side.endpoint)
        ec2.create_security_group(GroupName="educloud-ab12", Description="left by a process that was killed")
        ec2.authorize_security_group_ingress(
            GroupName="educloud-ab12", IpProtocol="icmp", FromPort=-1, ToPort=-1, CidrIp="0.0.0.0/0"
        )

    await asyncio.to_thread(half)
    await ec2_side.cloud.ensure_group("educloud-ab12")
    assert {rule[0] for rule in await asyncio.to_thread(rules, ec2_side, "educloud-ab12")} == {"tcp", "icmp"}


async def test_a_group_that_somebody_deleted_is_made_anew(ec2_side):
    await ec2_side.cloud.ensure_group("educloud-ab12")
    await asyncio.to_thread(ec2_client(ec2_side.endpoint).delete_security_group, GroupName="educloud-ab12")
    assert (await ec2_side.running(group="educloud-ab12")).state is InstanceState.RUNNING
    assert len(await asyncio.to_thread(rules, ec2_side, "educloud-ab12")) == 2


# Volumes


async def test_a_volume_is_created_with_its_tags(side):
    tags = {"educloud:volume": "v1", "Name": "Ada's „files“", "empty": ""}
    seen = await side.created(tags)
    assert seen.state is VolumeState.CREATING
    listed = await side.volume(seen.volume_id, VolumeState.AVAILABLE)
    assert (listed.size_bytes, listed.zone, dict(listed.tags)) == (2 * GIB, side.zone, tags)
    assert (listed.attachments, listed.snapshot_id) == ((), "")
    assert listed.created_at.utcoffset().total_seconds() == 0


async def test_creating_twice_makes_two(side):
    assert await side.available(of="me") != await side.available(of="me")


async def test_tags_come_with_the_call_or_nothing_is_created(side):
    try:
        seen = await side.cloud.create_volume(size_gib=1, zone=side.zone, tags={"of": "me"})
    except CloudTakesNoTagsError:
        assert getattr(side, "profile", "") == "eucalyptus-4.4"
        assert (await side.cloud.observe()).volumes == {}
    else:
        assert getattr(side, "profile", "") != "eucalyptus-4.4"
        assert dict(seen.tags) == {"of": "me"}


async def test_a_deleted_volume_is_gone_and_deleting_it_again_is_success(side):
    volume_id = await side.available(of="me")
    await side.cloud.delete_volume(volume_id)
    gone = (None, VolumeState.DELETED)

    def is_gone(view):
        seen = view.volumes.get(volume_id)
        return (seen.state if seen is not None else None) in gone

    await side.until(is_gone)
    await side.cloud.delete_volume(volume_id)
    await side.cloud.delete_volume(NO_VOLUME)


async def test_a_volume_in_use_is_neither_deleted_nor_grown(side):
    _, volume_id = await side.attached()
    with pytest.raises(CloudStateError):
        await side.cloud.delete_volume(volume_id)
    if getattr(side, "profile", "") in ("aws", "eucalyptus-4.4"):
        return  # AWS grows volumes in use, 4.4 none
    with pytest.raises(CloudStateError):
        await side.cloud.grow_volume(volume_id, 5)
    assert (await side.cloud.observe()).volumes[volume_id].size_bytes == 2 * GIB


async def test_a_volume_grows_and_never_shrinks_or_the_cloud_says_that_it_cannot(side):
    volume_id = await side.available(of="me")
    if getattr(side, "profile", "") == "eucalyptus-4.4":
        with pytest.raises(CannotGrowError) as caught:
            await side.cloud.grow_volume(volume_id, 3)
        assert caught.value.next_step
        return
    await side.cloud.grow_volume(volume_id, 3)
    await side.until(lambda view: view.volumes[volume_id].size_bytes == 3 * GIB)
    await side.cloud.grow_volume(volume_id, 3)  # that size already is success


@pytest.mark.parametrize("profile", ["eucalyptus-6", "aws"])
async def test_a_volume_is_never_made_smaller(tmp_path, profile):
    side = EC2[profile](tmp_path, "ebs")
    await side.open()
    volume_id = await side.available(of="me")
    with pytest.raises(CloudRefusedError):
        await side.cloud.grow_volume(volume_id, 1)
    assert (await side.cloud.observe()).volumes[volume_id].size_bytes == 2 * GIB
    await side.close()


# Snapshots


async def completed(side, volume_id, description="educloud d1 s1-1"):
    """Take a snapshot with a tag and wait until it is complete."""
    seen = await side.cloud.create_snapshot(volume_id, description=description, tags={"of": "me"})
    for _ in range(300):
        listed = (await side.cloud.observe_snapshots()).get(seen.snapshot_id)
        if listed is not None and listed.state == "completed":
            return listed
        await side.pause()
    pytest.fail("it never became complete")


async def test_no_snapshots_at_first(side):
    assert await side.cloud.observe_snapshots() == {}


async def test_a_snapshot_is_found_by_its_description_and_its_tags(side):
    volume_id = await side.available(of="me")
    seen = await side.cloud.create_snapshot(volume_id, description="educloud d1 s1-1", tags={"of": "me"})
    assert (seen.state, seen.volume_id, seen.size_bytes) == ("pending", volume_id, 2 * GIB)
    listed = await completed(side, volume_id, "educloud d1 s2-1")
    assert (listed.description, listed.progress_percent) == ("educloud d1 s2-1", 100)
    assert listed.created_at.utcoffset().total_seconds() == 0
    both = await side.cloud.observe_snapshots()
    assert {item.description for item in both.values()} == {"educloud d1 s1-1", "educloud d1 s2-1"}
    if not isinstance(side.cloud, MemoryCloud):
        assert {item.tags.get("of") for item in both.values()} == {"me"}


async def test_a_volume_is_made_from_a_snapshot_and_may_be_larger(side):
    listed = await completed(side, await side.available(of="me"))
    for size_gib in (2, 4):
        seen = await side.cloud.create_volume(
            size_gib=size_gib, zone=side.zone, tags={}, snapshot_id=listed.snapshot_id, untagged=True
        )
        made = await side.volume(seen.volume_id, VolumeState.AVAILABLE)
        assert (made.size_bytes, made.snapshot_id) == (size_gib * GIB, listed.snapshot_id)


async def test_a_volume_from_a_snapshot_that_is_not_there(side):
    with pytest.raises(CloudNotFoundError):
        await side.cloud.create_volume(
            size_gib=2, zone=side.zone, tags={}, snapshot_id="snap-0123456789abcdef0", untagged=True
        )


async def test_a_deleted_snapshot_is_gone_and_its_volumes_stay(side):
    listed = await completed(side, await side.available(of="me"))
    seen = await side.cloud.create_volume(
        size_gib=2, zone=side.zone, tags={}, snapshot_id=listed.snapshot_id, untagged=True
    )
    await side.volume(seen.volume_id, VolumeState.AVAILABLE)
    await side.cloud.delete_snapshot(listed.snapshot_id)
    assert await side.cloud.observe_snapshots() == {}
    await side.cloud.delete_snapshot(listed.snapshot_id)
    assert (await side.volume(seen.volume_id, VolumeState.AVAILABLE)).volume_id == seen.volume_id


async def test_a_snapshot_of_nothing(side):
    with pytest.raises(CloudNotFoundError):
        await side.cloud.create_snapshot(NO_VOLUME, description="educloud d1 s1-1", tags={})


async def test_attach_and_detach(side):
    machine_id, volume_id = await side.attached()
    seen = (await side.cloud.observe()).volumes[volume_id]
    assert seen.state is VolumeState.IN_USE
    (attachment,) = seen.attachments
    assert (attachment.volume_id, attachment.instance_id, attachment.device) == (volume_id, machine_id, DEVICE)
    await side.cloud.attach_volume(volume_id, machine_id, DEVICE)  # attached to this very instance is success
    assert (await side.cloud.observe()).volumes[volume_id].attachments == (attachment,)
    await side.cloud.detach_volume(volume_id, machine_id)
    assert (await side.volume(volume_id, VolumeState.AVAILABLE)).attachments == ()
    await side.cloud.detach_volume(volume_id, machine_id)  # not attached is success


async def test_attach_asked_again_at_once(side):
    machine, volume_id = await side.running(), await side.available()
    await side.cloud.attach_volume(volume_id, machine.instance_id, DEVICE)
    await side.cloud.attach_volume(volume_id, machine.instance_id, DEVICE)
    assert (await side.attachment(volume_id)).instance_id == machine.instance_id


async def test_a_volume_has_one_instance(side):
    machine_id, volume_id = await side.attached()
    other = await side.running("t2", tags={})
    with pytest.raises(CloudStateError):
        await side.cloud.attach_volume(volume_id, other.instance_id, DEVICE)
    await side.cloud.detach_volume(volume_id, other.instance_id)  # not attached to that one: success, and no change
    await side.pause()
    assert (await side.attachment(volume_id)).instance_id == machine_id


async def test_a_stopped_instance_keeps_and_takes_volumes(side):
    machine_id, volume_id = await side.attached()
    await side.cloud.stop_instance(machine_id)
    await side.instance(machine_id, InstanceState.STOPPED)
    assert (await side.attachment(volume_id)).instance_id == machine_id
    await side.cloud.detach_volume(volume_id, machine_id)
    await side.volume(volume_id, VolumeState.AVAILABLE)
    await side.cloud.attach_volume(volume_id, machine_id, DEVICE)
    assert (await side.attachment(volume_id)).instance_id == machine_id


async def test_a_pending_or_dead_instance_takes_none(side):
    volume_id = await side.available()
    machine = await side.cloud.run_instance(await side.spec(), client_token="t1")
    with pytest.raises(CloudStateError):
        await side.cloud.attach_volume(volume_id, machine.instance_id, DEVICE)
    await side.cloud.terminate_instance(machine.instance_id)
    await side.instance(machine.instance_id, InstanceState.TERMINATED)
    with pytest.raises(CloudStateError):
        await side.cloud.attach_volume(volume_id, machine.instance_id, DEVICE)
    assert (await side.volume(volume_id, VolumeState.AVAILABLE)).attachments == ()


async def test_the_end_of_an_instance_frees_its_volumes(side):
    machine_id, volume_id = await side.attached()
    await side.cloud.terminate_instance(machine_id)
    await side.instance(machine_id, InstanceState.TERMINATED)
    assert (await side.volume(volume_id, VolumeState.AVAILABLE)).attachments == ()


async def test_unknown_volumes_and_machines(side):
    volume_id, machine = await side.available(), await side.running()
    with pytest.raises(CloudNotFoundError):
        await side.cloud.attach_volume(NO_VOLUME, machine.instance_id, DEVICE)
    with pytest.raises(CloudNotFoundError):
        await side.cloud.attach_volume(volume_id, NO_INSTANCE, DEVICE)
    with pytest.raises(CloudNotFoundError):
        await side.cloud.detach_volume(NO_VOLUME, machine.instance_id)
    await side.cloud.detach_volume(volume_id, NO_INSTANCE)  # not attached to it is success


# Tags


async def test_tags_are_set_and_changed_and_the_others_stay(side):
    machine, volume_id = await side.running(), await side.available(first="1")
    for resource_id, before in ((machine.instance_id, dict(machine.tags)), (volume_id, {"first": "1"})):
        for _ in range(2):
            await side.cloud.tag(resource_id, {"Name": "„neu“ <&>", "second": "2"})
        view = await side.cloud.observe()
        seen = {**view.instances, **view.volumes}[resource_id]
        assert dict(seen.tags) == before | {"Name": "„neu“ <&>", "second": "2"}


@pytest.mark.parametrize("resource_id", [NO_INSTANCE, NO_VOLUME])
async def test_what_is_not_there_cannot_be_tagged(side, resource_id):
    with pytest.raises(CloudError):
        await side.cloud.tag(resource_id, {"Name": "x"})


# No answer


async def test_a_cloud_out_of_sight(side):
    await side.running()
    await side.vanish()
    with pytest.raises(CloudUnreachableError):
        await side.cloud.observe()


# What only a cloud over the network can do


async def test_another_secret_is_refused(ec2_side):
    stranger = Ec2Cloud(replace(ec2_side.endpoint, secret_key="another"))
    try:
        with pytest.raises(CloudAuthError) as caught:
            await stranger.observe()
    finally:
        stranger.close()
    assert "access key" in caught.value.next_step
    assert "another" not in str(caught.value)


async def test_another_account_sees_nothing(ec2_side):
    machine_id, volume_id = await ec2_side.attached()
    account, secret = ec2_side.local.accounts.named("eucalyptus")
    other = Ec2Cloud(replace(ec2_side.endpoint, access_key=account.access_key, secret_key=secret))
    try:
        view = await other.observe()
    finally:
        other.close()
    assert (view.instances, view.volumes) == ({}, {})
    assert set((await ec2_side.cloud.observe()).instances) == {machine_id}
    assert volume_id in (await ec2_side.cloud.observe()).volumes


async def test_the_console_of_a_stopped_instance_is_empty(eucalyptus_side):
    side = eucalyptus_side
    machine_id = (await side.running()).instance_id
    await side.cloud.stop_instance(machine_id)
    await side.instance(machine_id, InstanceState.STOPPED)
    assert await side.cloud.console_output(machine_id) == ""


@pytest.mark.parametrize("device", ["/dev/nvme1n1", "", "/dev/sdf; reboot"])
async def test_a_device_name_that_eucalyptus_does_not_take(ec2_side, device):
    machine, volume_id = await ec2_side.running(), await ec2_side.available()
    with pytest.raises(CloudRefusedError):
        await ec2_side.cloud.attach_volume(volume_id, machine.instance_id, device)
    assert (await ec2_side.volume(volume_id, VolumeState.AVAILABLE)).attachments == ()


async def test_bad_requests_are_refused_and_change_nothing(ec2_side):
    with pytest.raises((CloudRefusedError, CloudNotFoundError)):
        await ec2_side.cloud.run_instance(await ec2_side.spec(image_id="emi-00000000"), client_token="t1")
    with pytest.raises((CloudRefusedError, CloudAuthError)):
        await ec2_side.cloud.run_instance(await ec2_side.spec(instance_type="x9.huge"), client_token="t1")
    with pytest.raises(CloudRefusedError):
        await ec2_side.cloud.run_instance(await ec2_side.spec(user_data="x" * 16385), client_token="t1")
    with pytest.raises((CloudRefusedError, CloudNotFoundError)):
        await ec2_side.cloud.create_volume(size_gib=1, zone="nowhere", tags={})
    with pytest.raises(CloudRefusedError):
        await ec2_side.cloud.create_volume(size_gib=0, zone="one", tags={})
    view = await ec2_side.cloud.observe()
    assert (view.instances, view.volumes) == ({}, {})


async def test_the_loop_is_not_blocked_by_a_slow_cloud(ec2_side):
    """Calls run in threads: with the cloud's answer held back, the loop goes on at once."""
    asked = asyncio.create_task(ec2_side.cloud.observe())
    turns = 0
    while not asked.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns > 10
    assert (await asked).seen_at <= datetime.now(UTC)


async def test_zones_are_told_with_their_states(side):
    assert await side.cloud.zone_states() == {side.zone: "available"}


async def test_the_health_of_an_instance_and_its_open_port(side):
    await side.cloud.ensure_group("educloud-0123456789")
    seen = await side.running(group="educloud-0123456789")
    health = await side.cloud.instance_health(seen.instance_id)
    assert health is not None
    assert health.system == "ok"
    assert await side.cloud.lets_in(seen.instance_id, 22) is True
    assert await side.cloud.lets_in(seen.instance_id, 23) is False
    await side.cloud.terminate_instance(seen.instance_id)
    await side.instance(seen.instance_id, InstanceState.TERMINATED)
    gone = await side.cloud.instance_health(seen.instance_id)
    assert gone is None or gone.system == "not-applicable"


async def test_the_clouds_clock_is_known_after_its_first_answer(side):
    await side.cloud.zones()
    assert side.cloud.clock_offset_s() is not None
    assert abs(side.cloud.clock_offset_s()) < 120


async def test_an_ebs_backed_instance_names_the_volume_of_its_system_disk(ec2_side):
    seen = await ec2_side.running()
    view = await ec2_side.until(lambda v: v if v.instances[seen.instance_id].root_volume_id in v.volumes else None)
    assert view.instances[seen.instance_id].root_volume_id


# Groups, key pairs and tags of images, for checks


async def test_security_groups_are_listed_with_their_rules(side):
    await side.cloud.ensure_group("web")
    group = next(group for group in await side.cloud.security_groups() if group.name == "web")
    rules = {(rule.protocol, rule.first_port, rule.last_port) for rule in group.rules}
    assert rules == {("tcp", 22, 22), ("icmp", -1, -1)}
    assert all(rule.sources == ("0.0.0.0/0",) for rule in group.rules)
    assert group.group_id


async def test_a_rule_that_names_a_group_shows_it(ec2_side):
    await ec2_side.cloud.ensure_group("web")
    pair = {"GroupName": "web"}
    rule = {"IpProtocol": "tcp", "FromPort": 80, "ToPort": 90, "UserIdGroupPairs": [pair]}
    ec2 = ec2_client(ec2_side.endpoint)
    await asyncio.to_thread(ec2.authorize_security_group_ingress, GroupName="web", IpPermissions=[rule])
    group = next(group for group in await ec2_side.cloud.security_groups() if group.name == "web")
    assert RuleSeen("tcp", 80, 90, ("web",)) in group.rules


async def test_key_pairs_are_listed_by_name(side):
    assert await side.cloud.key_pairs() == ()
    await side.add_key("mine")
    assert await side.cloud.key_pairs() == ("mine",)


async def test_tags_of_images_are_seen(side):
    await side.tag_image({"Name": "our own"})
    image = next(image for image in await side.cloud.images() if image.name == "tiny")
    assert dict(image.tags) == {"Name": "our own"}


# What is told of calls


class Heard(list):
    """Hears calls, as a job's account does."""

    def operations(self):
        return [call.operation for call in self]

    def last(self, operation):
        return next(call for call in reversed(self) if call.operation == operation)


@pytest.fixture(params=["eucalyptus-6", "memory"])
async def told_side(request, tmp_path):
    """The adapter and the one in memory once each: what is told does not depend on the kind of cloud."""
    side = SIDES[request.param](tmp_path, "ebs")
    await side.open()
    yield side
    await side.close()


@pytest.fixture
def heard():
    calls = Heard()
    token = CALLS.set(calls.append)
    yield calls
    CALLS.reset(token)


async def test_a_call_is_told_with_what_was_sent_and_what_was_answered(told_side, heard):
    machine = await told_side.running(user_data="#!/bin/sh\n: secret\n")
    run = heard.last("RunInstances")
    told = parameters_of(run)
    assert told["UserData"] == "[user data, 19 bytes]"
    assert told["ClientToken"] == "t1"
    assert (told["InstanceType"], told["Placement.AvailabilityZone"]) == (told_side.instance_type, told_side.zone)
    assert (told["MinCount"], told["MaxCount"]) == ("1", "1")
    assert (run.outcome, run.error_code) == (CallOutcome.OK, "")
    assert run.at.utcoffset().total_seconds() == 0
    assert answer_of(run, ())["Instances.1.InstanceId"] == machine.instance_id
    assert answer_of(run, ())["Instances.1.RootDeviceType"] == "ebs"
    look = answer_of(heard.last("DescribeInstances"), {machine.instance_id})
    assert (look["Instances.1.State.Name"], look["Instances.1.PrivateIpAddress"]) == ("running", machine.address)


async def test_volumes_and_their_attachments_are_told(told_side, heard):
    machine_id, volume_id = await told_side.attached()
    attach = heard.last("AttachVolume")
    assert parameters_of(attach) == {"VolumeId": volume_id, "InstanceId": machine_id, "Device": DEVICE}
    assert answer_of(attach, ())["State"] in ("attaching", "attached")
    made = heard.last("CreateVolume")
    assert (parameters_of(made)["Size"], parameters_of(made)["AvailabilityZone"]) == ("2", told_side.zone)
    assert "ClientToken" not in made.parameters
    look = answer_of(heard.last("DescribeVolumes"), {volume_id})
    assert look["Volumes.1.Attachments.1.InstanceId"] == machine_id
    await told_side.cloud.detach_volume(volume_id, machine_id)
    assert parameters_of(heard.last("DetachVolume")) == {"VolumeId": volume_id, "InstanceId": machine_id}


async def test_what_others_have_in_the_account_is_told_to_nobody(told_side, heard):
    mine = await told_side.running("t1")
    other = await told_side.running("t2")
    told = answer_of(heard.last("DescribeInstances"), {mine.instance_id, mine.image_id})
    assert other.instance_id not in told.values()
    assert other.address not in told.values()
    assert told["others"] == "[left out]"


async def test_a_refusal_is_told_with_its_code(told_side, heard):
    with pytest.raises(CloudError):
        await told_side.cloud.terminate_instance(NO_INSTANCE)
    call = heard.last("TerminateInstances")
    assert call.outcome is CallOutcome.REFUSED
    assert call.error_code
    assert call.answer == {}


async def test_no_answer_is_told_as_lost(told_side, heard):
    await told_side.vanish()
    with pytest.raises(CloudUnreachableError):
        await told_side.cloud.observe()
    lost = heard.last("DescribeInstances")
    assert (lost.outcome, lost.answer) == (CallOutcome.LOST, {})
    assert "127.0.0.1" not in lost.error  # saved notebooks hold no addresses of servers


async def test_every_call_of_a_life_has_command_lines_and_a_way(side, heard):
    machine_id, volume_id = await side.attached()
    await side.cloud.images()
    await side.cloud.zones()
    await side.cloud.ensure_group("labs")
    await side.cloud.ensure_group("web", (80,))
    await side.cloud.console_output(machine_id)
    await side.cloud.instance_health(machine_id)
    taken = await side.cloud.create_snapshot(volume_id, description="d", tags={"a b": "c=d'e"})
    for _ in range(300):
        if (await side.cloud.observe_snapshots())[taken.snapshot_id].state == "completed":
            break
        await side.pause()
    await side.cloud.delete_snapshot(taken.snapshot_id)
    await side.cloud.detach_volume(volume_id, machine_id)
    await side.volume(volume_id, VolumeState.AVAILABLE)
    with contextlib.suppress(CannotGrowError):
        await side.cloud.grow_volume(volume_id, 3)
    await side.cloud.delete_volume(volume_id)
    await side.cloud.stop_instance(machine_id)
    await side.instance(machine_id, InstanceState.STOPPED)
    await side.cloud.start_instance(machine_id)
    await side.cloud.terminate_instance(machine_id)
    for call in heard:
        told, name = parameters_of(call), call.operation
        assert LEFT_OUT not in told.values(), (name, told)
        assert aws_line(name, told).startswith("aws ec2 "), (name, told)
        assert bool(euca_line(name, told, {})) is (name != "ModifyVolume"), (name, told)
        assert way_of(name, told) is not None, name
    assert len(set(heard.operations())) >= 18


async def test_request_ids_of_a_cloud_are_told(ec2_side, heard):
    await ec2_side.cloud.observe()
    with pytest.raises(CloudError):
        await ec2_side.cloud.stop_instance(NO_INSTANCE)
    look, refused = heard.last("DescribeInstances"), heard.last("StopInstances")
    assert look.request_id
    assert refused.request_id not in ("", look.request_id)
