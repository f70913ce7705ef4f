"""Disk images through the broker's real steps and the real blkid, wipefs, mkfs, e2fsck: formatted once, or never (I3).

The broker runs over the cloud in memory; its machine's disks are image files and its scripts are run on them
(``disks/``). Each image: mkfs ran only where the disk was blank *and* a permit for exactly this volume, serial,
generation and UUID had been spent, and then once; every byte of everything else is as it was; the person is told what
it was. ``EDUCLOUD_DISK_IMAGES`` says how many, ``EDUCLOUD_DISK_SEED`` which (``scripts/check-deep disk-images``).
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

import pytest

from educloud_lab.adapters.memory.world import MemoryWorld
from educloud_lab.wire import models as wire
from tests.contracts.disks import corpus
from tests.contracts.disks.guest import Guest, blank, digest
from tests.contracts.disks.shell import RealDisksShell

ANN = "ann"
START = wire.LeaseRequest(lab="01-first", machine_profile="first-steps", start=True)
SEED = os.environ.get("EDUCLOUD_DISK_SEED", "1")
NOT_BLANK, UNREADABLE, MISMATCH = "volume-not-blank", "volume-unreadable", "volume-mismatch"


@dataclass
class Lab:
    """One person's lab on a machine with real disks."""

    world: MemoryWorld
    guest: Guest
    shell: RealDisksShell
    chance: Random
    helpers: list[subprocess.Popen[bytes]]

    def helper(self) -> int:
        """Start a process that does nothing; returns its number."""
        self.helpers.append(subprocess.Popen(["sleep", "600"]))
        return self.helpers[-1].pid

    async def created(self) -> None:
        """Press Start, and stop where the cloud has the volume and nobody has looked at it."""
        self.broker = await self.world.broker(shell=self.shell)
        await self.broker.ensure_lease(ANN, START)
        await self.world.clock.drive(lambda: self.world.volume().cloud_id in self.world.cloud.disks)

    async def rests(self) -> wire.Lease:
        """Wait until it is ready or in trouble."""
        await self.world.clock.drive(lambda: self.world.phase(ANN) in ("ready", "trouble"), limit_s=7200)
        return (await self.broker.snapshot(ANN)).leases[0]

    async def again(self) -> wire.Lease:
        """Stop, and start."""
        lease = self.world.lease()
        await self.broker.stop(ANN, lease.id)
        await self.world.until(self.broker, "asleep")
        await self.broker.start(ANN, lease.id)
        await self.world.clock.drive(lambda: self.world.phase(ANN) not in ("ready", "trouble", "asleep"))
        return await self.rests()

    async def formatted_once(self) -> None:
        """It gets ready with a sound file system of ours, made once, and stays the same over a stop and a start."""
        lease = await self.rests()
        assert lease.phase == "ready", lease.problem
        for turn in ("made", "stopped and started"):
            (made,) = self.guest.formats()
            uuid = self.world.volume().file_system_uuid
            assert f" -U {uuid} " in made
            assert made.endswith(str(self.guest.disk))
            assert self.guest.is_sound()
            if turn == "made":
                lease = await self.again()
                assert lease.phase == "ready", lease.problem
        assert digest(self.guest.root / "dev/vdc") == digest(blank(self.guest.root / "blank"))

    async def refused(self, code: str, *, formats: int = 0) -> None:
        """It is in trouble of this kind, nothing was formatted, and no byte of any disk has changed."""
        before = self.guest.digests()
        lease = await self.rests()
        assert lease.phase == "trouble"
        assert lease.problem is not None
        assert lease.problem.code == code, lease.problem
        assert lease.problem.what
        assert lease.problem.next_step
        assert "not changed" in lease.problem.kept.lower(), lease.problem
        assert len(self.guest.formats()) == formats
        assert self.guest.digests() == before
        assert (self.guest.root / "proc/mounts").read_text() == ""

    def change_permits(self, **changes: object) -> None:
        """Let the permit that was recorded a moment ago be one for something else."""
        permits = self.world.store.peek().permits
        for key, permit in permits.items():
            permits[key] = replace(permit, **changes)

    def exchange(self, content: corpus.Content) -> None:
        """Put another disk in the place of this one."""
        blank(self.guest.disk)
        content(self.guest.disk, self.chance)


Story = Callable[[Lab], Awaitable[None]]


def holding(content: corpus.Content, code: str | None) -> Story:
    async def story(lab: Lab) -> None:
        content(lab.guest.disk, lab.chance)
        await lab.created()
        await (lab.refused(code) if code else lab.formatted_once())

    return story


# Disks that cannot be read


async def every_read_fails(lab: Lab) -> None:
    """The kernel answers EIO: the "disk" is the memory of a process, which has nothing at these places."""
    lab.guest.disk.unlink()
    lab.guest.disk.symlink_to(f"/proc/{lab.helper()}/mem")
    await lab.created()
    await lab.refused(UNREADABLE)


async def ends_too_early(lab: Lab) -> None:
    os.truncate(lab.guest.disk, lab.chance.randrange(corpus.SIZE))
    await lab.created()
    await lab.refused(UNREADABLE)


async def is_no_disk(lab: Lab) -> None:
    lab.guest.disk.unlink()
    lab.guest.disk.mkdir()  # reading a folder fails for root too
    await lab.created()
    await lab.refused(UNREADABLE)


async def recovers(lab: Lab) -> None:
    """What could not be read at first is looked at anew at the next Start."""
    lab.guest.disk.rename(lab.guest.root / "aside.img")
    lab.guest.disk.mkdir()
    await lab.created()
    await lab.refused(UNREADABLE)
    lab.guest.disk.rmdir()
    (lab.guest.root / "aside.img").rename(lab.guest.disk)
    await lab.broker.start(ANN, lab.world.lease().id)
    await lab.world.clock.drive(lambda: lab.world.phase(ANN) != "trouble")
    await lab.formatted_once()


# Disks that come late, are others, or are exchanged


def comes_after(least: int, most: int) -> Story:
    async def story(lab: Lab) -> None:
        (lab.guest.root / "sys/block/vdb").rename(lab.guest.root / "aside")
        (lab.guest.root / "late").write_text(f"{lab.chance.randint(least, most)}\n")
        await lab.created()
        await lab.formatted_once()

    return story


async def never_comes(lab: Lab) -> None:
    (lab.guest.root / "sys/block/vdb").rename(lab.guest.root / "aside")
    await lab.created()
    await lab.refused("shell")


async def has_another_size(lab: Lab) -> None:
    wrong = lab.chance.choice([corpus.SIZE - 512, corpus.SIZE * 2, 512 * 100_000])
    (lab.guest.root / "sys/block/vdb/size").write_text(f"{wrong // 512}\n")
    await lab.created()
    await lab.refused(MISMATCH)


async def is_write_protected(lab: Lab) -> None:
    (lab.guest.root / "sys/block/vdb/ro").write_text("1\n")
    await lab.created()
    await lab.refused(UNREADABLE)


def exchanged_before_mkfs(contents: dict[str, corpus.Content]) -> Story:
    """Blank when it was looked at, another one when mkfs is asked for."""

    async def story(lab: Lab) -> None:
        exchanged: list[str] = []

        def exchange() -> None:
            lab.exchange(lab.chance.choice(list(contents.values())))
            exchanged.append(digest(lab.guest.disk))

        lab.guest.before["format"] = exchange
        await lab.created()
        lease = await lab.rests()
        assert (lease.phase, lease.problem and lease.problem.code) == ("trouble", NOT_BLANK)
        assert lab.guest.formats() == []
        assert [digest(lab.guest.disk)] == exchanged

    return story


async def resized_before_mkfs(lab: Lab) -> None:
    size = lab.guest.root / "sys/block/vdb/size"

    def resize() -> None:
        size.write_text(f"{corpus.SIZE // 256}\n")

    lab.guest.before["format"] = resize
    await lab.created()
    lease = await lab.rests()
    assert (lease.phase, lease.problem and lease.problem.code) == ("trouble", MISMATCH)
    assert lab.guest.formats() == []


def exchanged_while_asleep(content: corpus.Content) -> Story:
    async def story(lab: Lab) -> None:
        await lab.created()
        await lab.rests()
        lease_id = lab.world.lease().id
        await lab.broker.stop(ANN, lease_id)
        await lab.world.until(lab.broker, "asleep")
        lab.exchange(content)
        await lab.broker.start(ANN, lease_id)
        await lab.world.clock.drive(lambda: lab.world.phase(ANN) != "asleep")
        await lab.refused(MISMATCH, formats=1)

    return story


# Snapshots and permits


def born_from_a_snapshot(content: corpus.Content, code: str) -> Story:
    """Whatever it holds, and be it nothing: what came from a snapshot is somebody's, and no permit is given."""

    async def story(lab: Lab) -> None:
        content(lab.guest.disk, lab.chance)
        await lab.created()
        row = lab.world.cloud.volume_row(lab.world.volume().cloud_id or "")
        row.seen = replace(row.seen, snapshot_id="snap-0123abcd")
        if row.next_seen is not None:
            row.next_seen = replace(row.next_seen, snapshot_id="snap-0123abcd")
        await lab.refused(code)
        assert lab.world.store.peek().permits == {}

    return story


def with_a_permit(**changes: object) -> Story:
    """The permit that there is is for something else, or was spent."""

    async def story(lab: Lab) -> None:
        lab.guest.before["probe"] = lambda: lab.change_permits(**changes)
        await lab.created()
        await lab.refused("volume")
        assert "format" not in lab.guest.scripts

    return story


def without_a_word(when: str) -> Story:
    """The connection breaks before mkfs begins, or when it has done its work: it is made once all the same."""

    async def story(lab: Lab) -> None:
        getattr(lab.shell, f"break_{when}")["format"] = 1
        await lab.created()
        await lab.formatted_once()

    return story


async def mkfs_is_killed(lab: Lab) -> None:
    """What it has written by then is data that nobody knows: it is not tried again without a person."""
    (lab.guest.root / "kill-mkfs").touch()
    await lab.created()
    lease = await lab.rests()
    assert (lease.phase, lease.problem and lease.problem.code) == ("trouble", NOT_BLANK)
    assert len(lab.guest.formats()) == 1


STORIES: dict[str, Story] = {
    "blank": holding(corpus.sparse, None),
    "blank-zeros": holding(corpus.zeros, None),
    **{name: holding(content, NOT_BLANK) for name, content in corpus.SIGNATURES.items()},
    **{name: holding(content, NOT_BLANK) for name, content in (corpus.DAMAGED | corpus.UNKNOWN).items()},
    "every-read-fails": every_read_fails,
    "ends-too-early": ends_too_early,
    "no-disk": is_no_disk,
    "recovers": recovers,
    "late": comes_after(1, 200),
    "late-for-the-first-look": comes_after(202, 350),
    "never-comes": never_comes,
    "another-size": has_another_size,
    "write-protected": is_write_protected,
    "exchanged-before-mkfs": exchanged_before_mkfs(corpus.SIGNATURES),
    "exchanged-before-mkfs-unknown": exchanged_before_mkfs(corpus.UNKNOWN | corpus.DAMAGED),
    "resized-before-mkfs": resized_before_mkfs,
    "exchanged-by-a-blank-one": exchanged_while_asleep(corpus.sparse),
    "exchanged-by-another": exchanged_while_asleep(corpus.extended("ext4")),
    "snapshot-of-files": born_from_a_snapshot(corpus.extended("ext4"), NOT_BLANK),
    "snapshot-of-nothing": born_from_a_snapshot(corpus.sparse, "volume"),
    "permit-of-another-generation": with_a_permit(generation=0),
    "permit-of-another-serial": with_a_permit(serial="euca-vol-99999999-de"),
    "permit-of-another-file-system": with_a_permit(file_system_uuid="0a1b2c3d-0000-4000-8000-123456789abc"),
    "cut-off-before-mkfs": without_a_word("before"),
    "cut-off-after-mkfs": without_a_word("after"),
    "mkfs-killed": mkfs_is_killed,
}
COUNT = max(len(STORIES), int(os.environ.get("EDUCLOUD_DISK_IMAGES", "40")))
# Each of them once, then over and over with other places, sizes and bytes.
IMAGES = [(number, list(STORIES)[number % len(STORIES)]) for number in range(COUNT)]
IDS = [name if number < len(STORIES) else f"{name}-{number}" for number, name in IMAGES]


@pytest.fixture
def helpers() -> Iterator[list[subprocess.Popen[bytes]]]:
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for process in started:
        process.kill()
        process.wait()


@pytest.mark.parametrize(("number", "name"), IMAGES, ids=IDS)
async def test_formatted_once_or_never(
    number: int, name: str, tmp_path: Path, helpers: list[subprocess.Popen[bytes]]
) -> None:
    world = MemoryWorld()
    guest = Guest(tmp_path / "guest")
    lab = Lab(world, guest, RealDisksShell(world, guest), Random(f"{SEED} {number}"), helpers)
    system = digest(guest.root / "dev/vda")
    try:
        await STORIES[name](lab)
        assert digest(guest.root / "dev/vda") == system
        spent = [permit for permit in world.store.peek().permits.values() if permit.spent_at is not None]
        assert len(guest.formats()) <= min(1, len(spent))
        assert lab.shell.violations == []
        assert world.cloud.violations == []
    finally:
        await world.close()


def test_the_corpus_is_what_was_promised() -> None:
    assert len(STORIES) >= 40
    assert len(corpus.SIGNATURES) >= 12
