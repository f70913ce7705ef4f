"""The local cloud is killed at every kind of moment of a mixed workload; nothing that it promised is lost.

The simulated hypervisor in a real process covers the steps between rows, disks and machines; a few points with real
machines cover what only QEMU can show: that machines go on, that what a guest has synced is on its volume, and that
no disk ever has two machines.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from tests.system import kill_real, kill_rig

KINDS = ("step", "step", "time", "step", "host", "step", "machine", "time")
POINTS = int(os.environ.get("EDUCLOUD_KILL_POINTS", "40"))
SEED = int(os.environ.get("EDUCLOUD_KILL_SEED", "3"))


ACTIONS = (
    "run", "stop", "start", "terminate", "attach", "detach", "make_volume", "delete_volume", "tag", "snapshot",
    "image_of_machine", "image_of_snapshot", "run_own_image",
)  # fmt: skip


def counts_of(rig: kill_rig.Rig) -> Counter[str]:
    return sum((client.counts for client in rig.clients), Counter())


def missing(rig: kill_rig.Rig) -> list[str]:
    """What of the work has never been done yet."""
    done = counts_of(rig)
    unanswered = any(count and action.endswith(": no answer") for action, count in done.items())
    return [action for action in ACTIONS if not done[action]] + ([] if unanswered else ["a call without an answer"])


def test_killed_at_many_points_of_a_mixed_workload(images: Path, tmp_path: Path) -> None:
    kill_rig.link_images(images, tmp_path)
    lives = kill_rig.Lives(tmp_path)
    rig = None
    try:
        rig = kill_rig.Rig(tmp_path, lives, seed=SEED)
        for number in range(POINTS):
            rig.point(KINDS[number % len(KINDS)])
        # A slow computer gets less done between two kills: there are more of them until each kind of work was done.
        more = 0
        while more < 4 * POINTS and (missing(rig) or len(rig.killed) <= min(5, POINTS // 4)):
            rig.point(KINDS[more % len(KINDS)])
            more += 1
        done = counts_of(rig)
        print(f"killed at: {dict(rig.killed)}\nasked: {dict(done)}")  # shown by scripts/check-deep
        assert missing(rig) == [], "the workload never got to these"
        assert len(rig.killed) > min(5, POINTS // 4)
    finally:
        lives.close()


@pytest.mark.qemu
def test_real_machines_and_what_their_guests_have_written(images: Path, tmp_path: Path) -> None:
    kill_rig.link_images(images, tmp_path)
    (tmp_path / "kept").mkdir()
    real = kill_real.Real(tmp_path)
    try:
        real.start(2)
        first, second = real.machines
        real.kill_api()
        real.backup_while_writing(tmp_path / "kept")
        real.kill_machine(first)
        real.wait_for_writing()  # the other one goes on
        real.kill_with_run_folder(second)
        real.kill_host()
        counts = real.check_written()
        assert min(counts.values()) >= 10
    finally:
        real.close()
