"""A mixed workload against a local cloud that is killed again and again, and what must be true after each start.

Each client works on machines and volumes of its own and keeps a ledger: what was answered, and what may have happened
because no answer came. After every kill a new process starts, everything comes to rest, and the ledgers are compared
with what the cloud says, what lies in its folders and what its hypervisor runs.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from educloud_lab.localcloud.hypervisor.simulated_journal import Journal
from educloud_lab.localcloud.processes import is_alive, start_ticks

HERE = Path(__file__).parent
MOVING = {"pending", "stopping", "shutting-down", "creating", "deleting", "attaching", "detaching"}
REST_LIMIT_S = 90.0


@dataclass
class Known:
    """What a client knows of one thing: the states that it may be in once everything is at rest."""

    id: str
    states: set[str]
    token: str = ""
    at: str = ""  # the instance that a volume may be at
    tags: dict[str, set[str | None]] = field(default_factory=dict)
    store: bool = False


class BrokenPromiseError(AssertionError):
    """Something that was promised does not hold."""


class Lives:
    """The cloud's process, one life after another at the same port."""

    def __init__(self, home: Path, *, hypervisor: str = "simulated", pace: float = 0.05, settings: dict | None = None):
        self.home = home
        self.order = {
            "home": str(home), "hypervisor": hypervisor, "pace": pace, "port": 0, "settings": settings or {}
        }  # fmt: skip
        self.pid = 0
        self.ticks: int | None = None
        self._client = None
        self._zygote = subprocess.Popen(
            [sys.executable, str(HERE / "kill_zygote.py")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def begin(self, kill_at: int = 0) -> None:
        """Start a life and wait until it answers or has ended by its own step."""
        state = self.home / "cloud/api.state.json"
        line = json.dumps(self.order | {"kill_at": kill_at})
        self._zygote.stdin.write(line + "\n")
        self._zygote.stdin.flush()
        self.pid = int(self._zygote.stdout.readline())
        self.ticks = start_ticks(self.pid)
        end = time.monotonic() + 180
        while time.monotonic() < end and self.alive:
            try:
                told = json.loads(state.read_text())
            except (OSError, ValueError):
                told = {}
            if told.get("pid") == self.pid:
                self.order["port"] = told["port"]
                return
            time.sleep(0.01)
        if self.alive:
            raise BrokenPromiseError("the cloud did not answer within 180 s")
        if not kill_at:
            log = (self.home / "cloud/log/api.log").read_text()[-3000:]
            raise BrokenPromiseError(f"the cloud ended at its start:\n{log}")

    @property
    def alive(self) -> bool:
        return is_alive(self.pid, self.ticks)

    def kill(self) -> None:
        """SIGKILL."""
        if self.alive:
            os.kill(self.pid, signal.SIGKILL)
        while self.alive:
            time.sleep(0.002)

    def close(self) -> None:
        self.kill()
        if self._client is not None:
            self._client.close()
        self._zygote.stdin.close()
        self._zygote.wait()
        self._zygote.stdout.close()

    def client(self):
        """Return the EC2 client, which asks once; threads may share it."""
        if self._client is not None:
            return self._client
        accounts = json.loads((self.home / "cloud/credentials.json").read_text())["accounts"]
        keys = accounts["educloud"]
        ec2 = boto3.session.Session().client(
            "ec2", region_name="eucalyptus", endpoint_url=f"http://127.0.0.1:{self.order['port']}/services/compute",
            aws_access_key_id=keys["access_key"], aws_secret_access_key=keys["secret_key"],
            config=Config(retries={"mode": "standard", "max_attempts": 1}, connect_timeout=30, read_timeout=60),
        )  # fmt: skip

        def without_token(params, **_):
            params["body"].pop("ClientToken", None)

        ec2.meta.events.register("before-call.ec2.CreateVolume", without_token)
        self._client = ec2
        return ec2


class Client:
    """One caller with a ledger."""

    def __init__(self, name: str, lives: Lives, seed: int, images: dict[str, str]):
        self.name = name
        self.random = random.Random(seed)
        self.ec2 = lives.client()
        self.images = images
        self.instances: dict[str, Known] = {}
        self.volumes: dict[str, Known] = {}
        self.snapshots: dict[str, Known] = {}
        self.images_made: dict[str, Known] = {}
        self.tokens: dict[str, set[str]] = {}  # token -> ids that were answered; empty when no answer came
        self.ran: dict[str, str] = {}  # token -> the image of one's own that was asked for
        self.counts: Counter[str] = Counter()
        self.faults: list[str] = []

    def work(self, stop: threading.Event) -> None:
        """Ask for one thing after another until told to stop or nobody answers."""
        actions = [
            *[self.run] * 4, *[self.make_volume] * 3, *[self.attach] * 5, *[self.detach] * 3, *[self.stop] * 3,
            *[self.start] * 3, *[self.tag] * 3, self.terminate, self.delete_volume, self.run_again,
        ]  # fmt: skip
        actions += [self.snapshot, self.snapshot, self.volume_from_snapshot, self.delete_snapshot]
        actions += [self.image_of_machine, self.image_of_snapshot, self.run_own_image, self.deregister]
        while not stop.is_set():
            action = self.random.choice(actions)
            try:
                action()
            except ClientError as error:
                code, status = error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"]
                self.counts[f"{action.__name__}: {code}"] += 1
                # Eucalyptus's own word for a machine that an image cannot be made of now.
                passing = "in either the 'running' or 'stopped' state" in str(error)
                if status >= 500 and code not in ("ServiceUnavailable",) and not passing:
                    self.faults.append(f"{action.__name__}: {error}")
            except BotoCoreError:
                self.counts[f"{action.__name__}: no answer"] += 1
                return
            else:
                self.counts[action.__name__] += 1

    def _asked(self, known: Known, *states: str) -> set[str]:
        """Note that a request is on its way that may lead to these states; returns those from before."""
        before = set(known.states)
        known.states |= set(states)
        return before

    def _pick(self, things: dict[str, Known], *states: str) -> Known | None:
        found = [thing for thing in things.values() if thing.states <= set(states)]
        return self.random.choice(found) if found else None

    def run(self) -> None:
        if len(self._live()) > 6:
            return
        store = self.random.random() < 0.3
        token = f"{self.name}-{self.random.getrandbits(64):x}"
        self.tokens[token] = set()
        self._run(token, self.images["tiny-store" if store else "tiny"], store)

    def _live(self) -> list[Known]:
        return [known for known in self.instances.values() if known.states != {"terminated"}]

    def _run(self, token: str, image: str, store: bool) -> None:
        answer = self.ec2.run_instances(
            ImageId=image, MinCount=1, MaxCount=self.random.choice([1, 1, 2]), ClientToken=token,
            TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "token", "Value": token}]}],
        )  # fmt: skip
        ids = {instance["InstanceId"] for instance in answer["Instances"]}
        if self.tokens[token] and self.tokens[token] != ids:
            self.faults.append(f"token {token} answered {self.tokens[token]} and then {ids}")
        self.tokens[token] = ids
        for instance_id in ids - self.instances.keys():
            known = Known(instance_id, {"running"}, token, store=store)
            known.tags["token"] = {token}
            self.instances[instance_id] = known

    def run_again(self) -> None:
        if self.tokens:
            token = self.random.choice(sorted(self.tokens))
            store = any(self.instances[i].store for i in self.tokens[token])
            self._run(token, self.ran.get(token, self.images["tiny-store" if store else "tiny"]), store)

    def stop(self) -> None:
        if known := self._pick(self.instances, "running"):
            if known.store:
                return
            before = self._asked(known, "stopped")
            try:
                self.ec2.stop_instances(InstanceIds=[known.id], Force=self.random.random() < 0.3)
            except ClientError:
                known.states = before
                raise
            known.states = {"stopped"}

    def start(self) -> None:
        if known := self._pick(self.instances, "stopped"):
            self._asked(known, "running")
            answer = self.ec2.start_instances(InstanceIds=[known.id])
            # A machine that is still on its way to stopped is passed over in silence.
            known.states = {"running"} if answer["StartingInstances"] else {"stopped"}

    def terminate(self) -> None:
        if known := self._pick(self.instances, "running", "stopped"):
            self._asked(known, "terminated")
            for volume in self.volumes.values():
                if volume.at == known.id:
                    volume.states |= {"available"}
            self.ec2.terminate_instances(InstanceIds=[known.id])
            known.states = {"terminated"}
            for volume in self.volumes.values():
                if volume.at == known.id:
                    volume.states, volume.at = {"available"}, ""

    def make_volume(self, snapshot: str | None = None) -> None:
        if len([v for v in self.volumes.values() if v.states != {"deleted"}]) > 8:
            return
        options = {"SnapshotId": snapshot} if snapshot else {}
        answer = self.ec2.create_volume(AvailabilityZone="one", Size=1, **options)
        self.volumes[answer["VolumeId"]] = Known(answer["VolumeId"], {"available"})

    def attach(self) -> None:
        volume = self._pick(self.volumes, "available")
        instance = self._pick(self.instances, "running", "stopped")
        if volume and instance and instance.states != {"terminated"}:
            before = self._asked(volume, "in-use")
            volume.at = instance.id
            try:
                self.ec2.attach_volume(
                    VolumeId=volume.id, InstanceId=instance.id, Device=f"/dev/sd{self.random.choice('fghijklmnop')}"
                )
            except ClientError:
                volume.states, volume.at = before, ""
                raise
            volume.states = {"in-use"}

    def detach(self) -> None:
        if volume := self._pick(self.volumes, "in-use"):
            before = self._asked(volume, "available")
            try:
                self.ec2.detach_volume(VolumeId=volume.id)
            except ClientError:
                volume.states = before
                raise
            volume.states, volume.at = {"available"}, ""

    def delete_volume(self) -> None:
        if volume := self._pick(self.volumes, "available"):
            before = self._asked(volume, "deleted")
            try:
                self.ec2.delete_volume(VolumeId=volume.id)
            except ClientError:
                volume.states = before
                raise
            volume.states = {"deleted"}

    def tag(self) -> None:
        things = [t for t in (*self.instances.values(), *self.volumes.values()) if t.states & {"running", "available"}]
        if things:
            thing, value = self.random.choice(things), f"{self.random.getrandbits(32):x}"
            thing.tags.setdefault("mark", {None}).add(value)
            self.ec2.create_tags(Resources=[thing.id], Tags=[{"Key": "mark", "Value": value}])
            thing.tags["mark"] = {value}

    def snapshot(self) -> None:
        volume = self._pick(self.volumes, "available", "in-use")
        if volume and len(self.snapshots) < 12:
            answer = self.ec2.create_snapshot(VolumeId=volume.id)
            self.snapshots[answer["SnapshotId"]] = Known(answer["SnapshotId"], {"completed"})

    def volume_from_snapshot(self) -> None:
        if snapshot := self._pick(self.snapshots, "completed"):
            self.make_volume(snapshot.id)

    def delete_snapshot(self) -> None:
        if snapshot := self._pick(self.snapshots, "completed"):
            before = self._asked(snapshot, "deleted")
            try:
                self.ec2.delete_snapshot(SnapshotId=snapshot.id)
            except ClientError:
                snapshot.states = before
                raise
            snapshot.states = {"deleted"}

    def image_of_machine(self) -> None:
        own = {key: known for key, known in self.instances.items() if not known.store}
        if (known := self._pick(own, "running", "stopped")) and len(self.images_made) < 6:
            answer = self.ec2.create_image(InstanceId=known.id, Name=self._name(), NoReboot=self.random.random() < 0.5)
            self._made(answer["ImageId"])

    def image_of_snapshot(self) -> None:
        if (snapshot := self._pick(self.snapshots, "completed")) and len(self.images_made) < 6:
            disk = {"DeviceName": "/dev/sda", "Ebs": {"SnapshotId": snapshot.id}}
            answer = self.ec2.register_image(
                Name=self._name(), RootDeviceName="/dev/sda", Architecture="x86_64", BlockDeviceMappings=[disk]
            )
            self._made(answer["ImageId"])

    def _name(self) -> str:
        return f"{self.name}-{self.random.getrandbits(48):x}"

    def _made(self, image_id: str) -> None:
        self.images_made[image_id] = Known(image_id, {"available"})

    def run_own_image(self) -> None:
        if (image := self._pick(self.images_made, "available")) and len(self._live()) <= 6:
            token = f"{self.name}-{self.random.getrandbits(64):x}"
            self.tokens[token] = set()
            self.ran[token] = image.id
            self._run(token, image.id, store=False)

    def deregister(self) -> None:
        if image := self._pick(self.images_made, "available"):
            before = self._asked(image, "gone")
            try:
                self.ec2.deregister_image(ImageId=image.id)
            except ClientError:
                image.states = before
                raise
            image.states = {"gone"}

    def machines_died(self, only: str = "") -> None:
        """Every machine that ran (or one) is gone: EBS-backed ones are stopped, instance-store ones ended."""
        for known in self.instances.values():
            if "running" in known.states and only in ("", known.id):
                known.states |= {"terminated"} if known.store else {"stopped"}
                if known.store:
                    for volume in self.volumes.values():
                        if volume.at == known.id:
                            volume.states |= {"available"}

    def check(self, told: dict[str, dict[str, dict]]) -> list[str]:
        """Compare the ledger with what the cloud says, and take over what was open."""
        wrong = list(self.faults)
        self.faults.clear()
        for things, kind in (
            (self.instances, "instance"), (self.volumes, "volume"), (self.snapshots, "snapshot"),
            (self.images_made, "image"),
        ):  # fmt: skip
            for known in things.values():
                found = told[kind].get(known.id)
                if found is None:
                    if kind == "image" and "gone" in known.states:
                        known.states = {"gone"}  # a deregistered image is not listed
                    elif kind == "snapshot" and "deleted" in known.states:
                        known.states = {"deleted"}  # as on Eucalyptus, a deleted snapshot is not listed
                    else:
                        wrong.append(f"{known.id} does not answer; it should be {known.states}")
                    continue
                if found["state"] not in known.states:
                    wrong.append(f"{known.id} is {found['state']}; it should be {known.states}")
                known.states = {found["state"]}
                if kind == "volume" and found["state"] == "in-use" and found["at"] != known.at:
                    wrong.append(f"{known.id} is at {found['at']}; it should be at {known.at}")
                if kind == "volume" and found["state"] != "in-use":
                    known.at = ""
                for key, values in known.tags.items():
                    if found["state"] in ("terminated", "deleted"):
                        continue
                    if found["tags"].get(key) not in values:
                        wrong.append(f"{known.id} has tag {key}={found['tags'].get(key)}; it should be {values}")
                    known.tags[key] = {found["tags"].get(key)}
        by_token: dict[str, set[str]] = {}
        for instance_id, found in told["instance"].items():
            by_token.setdefault(found["token"], set()).add(instance_id)
        for token, ids in self.tokens.items():
            have = by_token.get(token, set())
            if ids and have != ids:
                wrong.append(f"token {token} was answered {ids}; the cloud has {have}")
            for instance_id in have - self.instances.keys():  # made, but nobody was told
                found = told["instance"][instance_id]
                self.instances[instance_id] = Known(instance_id, {found["state"]}, token, store=found["store"])
            self.tokens[token] = have
        return wrong


class Rig:
    """A home, its lives and its clients."""

    def __init__(self, home: Path, lives: Lives, *, clients: int = 3, seed: int = 1):
        self.home = home
        self.lives = lives
        self.random = random.Random(seed)
        self.killed: Counter[str] = Counter()
        lives.begin()
        images = {
            image["Name"]: image["ImageId"]
            for image in lives.client().describe_images()["Images"]
            if image["ImageType"] == "machine"
        }
        self.clients = [Client(f"c{n}", lives, seed * 1000 + n, images) for n in range(clients)]

    def point(self, kind: str) -> str:
        """Work, kill in the middle, start again, wait for rest and compare. Returns where it was killed.

        Parameters
        ----------
        kind : ``step`` (the process ends itself at a counted step), ``time`` (it is killed from outside at a random
            moment), ``machine`` (as ``time``, and one machine is killed with it), ``host`` (as ``time``, and all
            machines are gone with it).
        """
        self.lives.kill()
        self.lives.begin(self.random.randint(1, 150) if kind == "step" else 0)
        stop = threading.Event()
        threads = [threading.Thread(target=client.work, args=(stop,)) for client in self.clients]
        for thread in threads:
            thread.start()
        limit = time.monotonic() + (1.5 if kind == "step" else self.random.uniform(0.05, 0.8))
        while time.monotonic() < limit and self.lives.alive:
            time.sleep(0.005)
        self.lives.kill()
        stop.set()
        for thread in threads:
            thread.join()
        note = self.home / "killed-at"
        where = note.read_text() if note.exists() else "a random moment"
        if kind == "host":
            where = "the host"
            (self.home / "cloud/simulated.jsonl").unlink(missing_ok=True)
            for client in self.clients:
                client.machines_died()
        if kind == "machine":
            where = "a machine"
            self.kill_machine()
        self.killed[where] += 1
        self.lives.begin()
        told = self.rest()
        # That a machine is gone is found by looking once a period: what is told may lag that much behind.
        end = time.monotonic() + 60
        while self.compare_with_machines(told) and time.monotonic() < end:
            told = self.rest()
        wrong = [f"{client.name}: {text}" for client in self.clients for text in client.check(told)]
        wrong += self.compare_with_machines(told)
        wrong += self.compare_with_files(told)
        if wrong:
            raise BrokenPromiseError(f"killed at {where}:\n" + "\n".join(wrong))
        return where

    def kill_machine(self) -> None:
        """One of the machines that run ends by itself, as by SIGKILL, while the cloud's process is away."""
        journal = self.home / "cloud/simulated.jsonl"
        live = {key: record for key, record in Journal(journal).open().items() if record["state"] == "running"}
        if live:
            victim = self.random.choice(sorted(live))
            ended = live[victim] | {"state": "ended", "reason": "killed", "disks": {}}
            with journal.open("a") as stream:
                stream.write("\n" + json.dumps([victim, ended]) + "\n")
            for client in self.clients:
                client.machines_died(victim)

    def rest(self) -> dict[str, dict[str, dict]]:
        """Wait until nothing is on its way any more, and return what the cloud tells."""
        ec2 = self.clients[0].ec2
        end = time.monotonic() + REST_LIMIT_S
        while True:
            told = tell(ec2)
            moving = [
                f"{key} {found['state']}"
                for things in told.values()
                for key, found in things.items()
                if found["moving"]
            ]
            if not moving:
                return told
            if time.monotonic() > end:
                raise BrokenPromiseError(f"not at rest after {REST_LIMIT_S:.0f} s: {moving}")
            time.sleep(0.05)

    def compare_with_machines(self, told: dict[str, dict[str, dict]]) -> list[str]:
        """Every running instance has one machine with its volumes plugged, and there is no other machine."""
        records = Journal(self.home / "cloud/simulated.jsonl").open()
        live = {key: record for key, record in records.items() if record["state"] in ("running", "paused")}
        wanted = {key for key, found in told["instance"].items() if found["state"] == "running"}
        wrong = [f"{key} runs and is not wanted" for key in live.keys() - wanted]
        wrong += [f"{key} is told to run and does not" for key in wanted - live.keys()]
        for key in wanted & live.keys():
            plugged = set(live[key]["disks"])
            attached = {v for v, found in told["volume"].items() if found["at"] == key and not found["root"]}
            if plugged != attached:
                wrong.append(f"{key} has {plugged} plugged; attached are {attached}")
        return wrong

    def compare_with_files(self, told: dict[str, dict[str, dict]]) -> list[str]:
        """Every volume that is there has its file, those that are deleted have none, nothing is half made."""
        cloud = self.home / "cloud"
        wrong = []
        files = {path.name.split(".")[0] for path in (cloud / "volumes").glob("vol-*.qcow2")}
        never_made = volumes_never_made(cloud / "cloud.sqlite")
        for key, found in told["volume"].items():
            if found["state"] == "deleted" and (cloud / f"volumes/{key}.qcow2").exists():
                wrong.append(f"{key} is deleted and its file is still there")
            if found["state"] in ("available", "in-use") and key not in files | never_made:
                wrong.append(f"{key} is {found['state']} and has no file")
        wrong += [f"{key} has a file and no row" for key in files - told["volume"].keys()]
        wrong += [f"half made: {path}" for path in cloud.rglob(".making-*")]
        roots = {path.name.split(".")[0] for path in (cloud / "roots").glob("i-*.qcow2")}
        wrong += [
            f"{key} is {told['instance'].get(key, {}).get('state')} and its root is still there"
            for key in roots
            if told["instance"].get(key, {}).get("state") not in ("running", "stopped")
        ]
        return wrong

    def close(self) -> None:
        self.lives.close()


def volumes_never_made(state: Path) -> set[str]:
    """Return roots of machines that were stopped before their disk was made: it is made at the next start."""
    connection = sqlite3.connect(f"file:{state}?mode=ro", uri=True)
    try:
        return {row[0] for row in connection.execute("SELECT id FROM volume WHERE state = 'creating'")}
    finally:
        connection.close()


def tell(ec2) -> dict[str, dict[str, dict]]:
    """Return everything that the cloud tells, by kind and id."""
    instances, volumes, snapshots, images = {}, {}, {}, {}
    for reservation in ec2.describe_instances()["Reservations"]:
        for item in reservation["Instances"]:
            state = item["State"]["Name"]
            instances[item["InstanceId"]] = {
                "state": state, "moving": state in MOVING, "token": item.get("ClientToken", ""),
                "store": item.get("RootDeviceType") == "instance-store",
                "tags": {tag["Key"]: tag["Value"] for tag in item.get("Tags", ())},
            }  # fmt: skip
    for item in ec2.describe_volumes()["Volumes"]:
        (attachment,) = item["Attachments"] or [{}]
        stopped = instances.get(attachment.get("InstanceId"), {}).get("state") == "stopped"
        root = attachment.get("Device") == "/dev/sda"
        moving = item["State"] in MOVING or attachment.get("State") in MOVING
        volumes[item["VolumeId"]] = {
            "state": item["State"], "at": attachment.get("InstanceId", ""), "root": root,
            # The disk of a machine that was stopped before it ever ran is made at its next start.
            "moving": moving and not (root and stopped),
            "tags": {tag["Key"]: tag["Value"] for tag in item.get("Tags", ())},
        }  # fmt: skip
    for item in ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]:
        snapshots[item["SnapshotId"]] = {
            "state": item["State"], "moving": item["State"] == "pending",
            "tags": {tag["Key"]: tag["Value"] for tag in item.get("Tags", ())},
        }  # fmt: skip
    for item in ec2.describe_images(Owners=["self"])["Images"]:
        images[item["ImageId"]] = {"state": item["State"], "moving": item["State"] == "pending", "tags": {}}
    return {"instance": instances, "volume": volumes, "snapshot": snapshots, "image": images}


def link_images(images: Path, home: Path) -> None:
    """Put built images into a home without copying them."""
    for name in ("tiny", "tiny-store"):
        shutil.copytree(images / name, home / "images" / name, copy_function=os.link, dirs_exist_ok=True)
