"""Write, save, detach, attach elsewhere, with faults in between: what was saved is there, and a busy volume stays.

``EDUCLOUD_CYCLES`` and ``EDUCLOUD_MODEL_SEED`` say how many and from where (``scripts/check-deep cycles``). The world
is the model's (:mod:`tests.contracts.model.world`), which notices by itself what must never happen.
"""

import hashlib
import os
import random

import pytest

from educloud_lab.domain.lease import Status, Target
from tests.contracts.model.story import Story

CYCLES = int(os.environ.get("EDUCLOUD_CYCLES", "100"))
SEED = int(os.environ.get("EDUCLOUD_MODEL_SEED", "1"))
FAULTS = (
    "lost_reply",
    "refusal",
    "cloud_misbehaves",
    "connection_breaks",
    "front_end_fails",
    "broker_killed_at",
    "broker_killed",
    "broker_started",
    "broker_paused",
    "a_moment",
)
TURNS = 25  # cycles of one story; the next one has a cloud of its own


def fingerprint(files):
    return hashlib.sha256(repr(sorted(files.items())).encode()).hexdigest()


class Cycle:
    """One person's machine, again and again."""

    def __init__(self, seed, root_device_type):
        self.story = Story(seed, root_device_type)
        self.random = random.Random(seed)
        self.written = {}
        self.count = 0
        self.volume_id = None
        self.instances = set()

    def number(self):
        return self.random.randrange(1000)

    def disturb(self):
        """Let one to four things go wrong, now or soon."""
        for _ in range(self.random.randint(1, 4)):
            self.story.take((self.random.choice(FAULTS), self.number(), self.number()))

    def press(self, name):
        """Press a button, at a broker that answers."""
        self.story.take(("broker_resumed", 0, 0))
        before = self.story.lease(0)
        for _ in range(20):
            self.story.take((name, 0, self.number()))
            lease = self.story.lease(0)
            wanted = {"start": Target.RUNNING, "stop": Target.STOPPED, "delete": Target.DELETED}[name]
            if lease is not None and lease.target is wanted:
                return
        raise AssertionError(f"{name} was not taken: {before}")

    def settle(self):
        """Take the faults away and let everything come to its end; look at what is on the disk."""
        self.story.finish()
        lease = self.story.lease(0)
        (volume,) = [row for row in self.story.world.store.peek().volumes.values() if row.lease_id == lease.id]
        assert self.volume_id in (None, volume.cloud_id), "another volume took its place"
        self.volume_id = volume.cloud_id
        disk = self.story.world.cloud.disks[volume.cloud_id]
        assert fingerprint(disk.files) == fingerprint(self.written)
        assert disk.formats == 1
        return lease

    def write(self, count):
        """Write files on the machine that runs: saved by the program, or only to be saved by the end of the machine."""
        cloud = self.story.world.cloud
        machine = cloud.machines[self.story.lease(0).instance_id]
        assert list(machine.mounts.values()) == [self.volume_id]
        for _ in range(count):
            self.count += 1
            name, text = f"file{self.random.randrange(20)}", str(self.count)  # the model tells newer from lost by it
            self.written[name] = text
            cloud.unsynced.get(self.volume_id, {}).pop(name, None)
            if self.random.random() < 0.5:
                cloud.unsynced.setdefault(self.volume_id, {})[name] = text
            else:
                cloud.disks[self.volume_id].files[name] = text
        return machine

    def busy(self, machine):
        """Nothing detaches a volume that something still uses, and Stop says what it is."""
        calls = self.story.world.cloud.calls
        before = calls["detach_volume"], calls["stop_instance"], calls["terminate_instance"]
        machine.holders.append("vim notes.txt")
        self.press("stop")
        self.story.take(("a_while", 3, 0))
        lease = self.story.lease(0)
        assert lease.status is Status.FAILED
        assert lease.problem.code == "volume-busy"
        assert (calls["detach_volume"], calls["stop_instance"], calls["terminate_instance"]) == before
        assert self.volume_id in machine.mounts.values()
        machine.holders.clear()
        self.press("start")
        self.story.take(("a_while", 0, 0))

    def turn(self, number):
        """Write, stop or delete, start again."""
        lease = self.story.lease(0)
        self.instances.add(lease.instance_id)
        machine = self.write(self.random.randint(1, 4))
        if number % 5 == 4:
            self.busy(machine)
        self.disturb()
        self.press("delete" if number % 3 == 2 else "stop")  # every third time the next machine is another one
        self.disturb()
        self.settle()
        self.disturb()
        self.press("start")
        self.disturb()
        lease = self.settle()
        assert lease.status is Status.RUNNING


@pytest.mark.timeout(120 + 2 * CYCLES)
@pytest.mark.parametrize("part", range(-(-CYCLES // TURNS)))
def test_what_was_saved_is_there_in_every_cycle(part):
    cycle = Cycle(SEED * 100 + part, ("ebs", "instance-store")[part % 2])
    try:
        cycle.press("start")
        cycle.settle()
        for number in range(TURNS):
            cycle.turn(number)
        assert len(cycle.instances) >= TURNS // 3
    except AssertionError as error:
        error.add_note(f"scripts/check-deep cycles --cycles {CYCLES} --seed {SEED} (part {part})")
        raise
    finally:
        cycle.story.close()
